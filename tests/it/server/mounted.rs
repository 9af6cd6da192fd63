//! The API inside a host's own axum application: the program of `examples/axum_app.rs`, run.

#[path = "../../../examples/axum_app.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example has a main of its own")]
mod axum_app;

use super::client::Client;
use super::{assert_problem, near};
use nearfield::Store;

#[test]
fn the_example_answers_on_its_own_routes_and_on_those_of_the_index() {
    let app = axum_app::app(Store::memory()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut client = Client::connect(addr);
    let similar = client.get("/similar/2");
    assert_eq!((similar.status, similar.text().as_str()), (200, "1 3 0"));
    assert_eq!(client.get("/similar/99").status, 404);
    assert_eq!(client.get("/index/v1/collections").json().1["collections"][0]["name"], "pages");
    let found = client.post("/index/v1/collections/pages/search", &near(3.0));
    assert!(!found.header("x-request-id").is_empty());
    assert_eq!(found.json().1["hits"][0]["id"], "3");
    assert_eq!(client.get("/index/v1/collections/pages/chunks/3").json().1["text"], "page 3");
    assert_problem(client.get("/index/v1/collections/none").json(), 404, "not_found", "none");
    assert_eq!(client.get("/index/docs").status, 200);
    // What is not of the API is the host's.
    assert_eq!(client.get("/livez").status, 404);
}
