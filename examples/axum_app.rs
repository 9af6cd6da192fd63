//! A service with routes of its own that has an index inside, and mounts its API beside them.
//!
//! ```sh
//! cargo run --example axum_app
//! curl localhost:3000/similar/2
//! curl localhost:3000/index/v1/collections
//! ```

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use nearfield::{Chunk, Collection, Metric, Schema, Store, server};

/// The service: its own routes call the library, the index's API stands under `/index`.
pub fn app(store: Store) -> nearfield::Result<Router> {
    let pages = store.get_or_create("pages", Schema::new(2, Metric::L2))?;
    pages.upsert(
        (0..10).map(|n| Chunk::new(n.to_string()).vector([n as f32, 0.0]).text(format!("page {n}"))),
    )?;
    let api = server::router(store, None, server::Options::default())?;
    Ok(Router::new().route("/similar/{page}", get(similar)).with_state(pages).nest("/index", api))
}

/// The pages nearest to a page. A search takes microseconds; it is computed all the same, so it has a thread of its own.
async fn similar(State(pages): State<Collection>, Path(page): Path<String>) -> Result<String, StatusCode> {
    let searched = tokio::task::spawn_blocking(move || -> nearfield::Result<Option<Vec<String>>> {
        let Some(vector) = pages.get(&page)?.and_then(|chunk| chunk.vector) else { return Ok(None) };
        let found = pages.search(&vector).k(4).run()?;
        Ok(Some(found.hits.into_iter().map(|hit| hit.id.to_string()).filter(|id| *id != page).collect()))
    });
    match searched.await {
        Ok(Ok(Some(ids))) => Ok(ids.join(" ")),
        Ok(Ok(None)) => Err(StatusCode::NOT_FOUND),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(Store::memory())?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
        axum::serve(listener, app).await?;
        Ok(())
    })
}
