//! Collections: made, listed, shown, dropped.

use super::super::app::App;
use super::super::call::{Answer, Call};
use super::super::problem::{Code, Problem};
use super::super::wire::{
    CollectionBody, CollectionList, EmbeddingBody, NewCollection, NewEmbedding, Object,
};
use crate::{Collection, EmbeddingProfile, ErrorKind, Schema};
use axum::http::StatusCode;

pub(crate) fn create(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let new: NewCollection = call.json()?;
    let schema = schema_of(&new)?;
    if let Some(profile) = &schema.embedding {
        app.embedding.check(profile, schema.dim).map_err(Problem::of_profile)?;
    }
    // Made by somebody else in between, it is looked at again.
    for _ in 0..3 {
        match app.store.open_collection(&new.name) {
            Ok(collection) if *collection.schema() == schema => {
                return Answer::ok(&body_of(app, &collection));
            }
            Ok(collection) => return Err(another(&new.name, collection.schema())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        match app.store.create_collection(&new.name, schema.clone()) {
            Ok(collection) => {
                app.embedding.look();
                let made = Answer::json(StatusCode::CREATED, &body_of(app, &collection))?;
                return Ok(made.at(format!("/v1/collections/{}", new.name)));
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(Code::Conflict, "others make and drop this collection all the time; try again"))
}

fn schema_of(new: &NewCollection) -> Result<Schema, Problem> {
    let mut schema = Schema::new(new.dim, new.metric.into());
    schema.tenant_required = new.tenant_required.unwrap_or(false);
    if let Some(Object(NewEmbedding { provider, model })) = &new.embedding {
        schema.embedding = Some(EmbeddingProfile::new(provider, model));
    }
    if let Some(language) = &new.language {
        schema.language = language.parse()?;
    }
    if let Some(Object(index)) = &new.index {
        schema.graph = index.graph.map_or(schema.graph, Into::into);
        schema.m = index.m.unwrap_or(schema.m);
        schema.ef_construction = index.ef_construction.unwrap_or(schema.ef_construction);
    }
    Ok(schema)
}

fn another(name: &str, schema: &Schema) -> Problem {
    let Schema { dim, metric, graph, m, ef_construction, tenant_required, language, embedding } = schema;
    let embedding = embedding.as_ref().map_or("none".to_owned(), ToString::to_string);
    let detail = format!(
        "collection {name:?} exists with another schema: dim {dim}, metric {metric}, graph {graph}, m {m}, ef_construction \
         {ef_construction}, tenant_required {tenant_required}, language {language}, embedding {embedding}"
    );
    Problem::new(Code::Conflict, detail)
}

pub(crate) fn list(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let collections = app.store.collections().iter().map(|collection| body_of(app, collection)).collect();
    Answer::ok(&CollectionList { collections })
}

pub(crate) fn show(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Answer::ok(&body_of(app, &app.collection(call.param("collection"), None)?))
}

/// What those who may read are told: what a provider says to this server is for admins.
fn body_of(app: &App, collection: &Collection) -> CollectionBody {
    let embedding = app.embedding.status(collection);
    CollectionBody::of(collection, embedding.map(|body| EmbeddingBody { why: None, ..body }))
}

pub(crate) fn drop(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    app.store.drop_collection(call.param("collection"))?;
    app.embedding.look();
    Ok(Answer::nothing())
}
