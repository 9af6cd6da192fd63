//! Operation: state, jobs, decisions.

use super::super::app::App;
use super::super::call::{Answer, Call};
use super::super::jobs::{Job, Task};
use super::super::problem::{Code, Problem};
use super::super::wire::{
    CollectionBody, EmbeddingList, EmbeddingOf, JobAnswer, JobList, LetterList, MigrateBody, NewEmbedding,
    NoBody, Object, ParkedBody, ResolveAnswer, ResolveBody, RetriedBody, RetryAnswer, RetryBody,
    StatusAnswer, SyncBody, SyncMode, VerifyBody,
};
use crate::{Collection, EmbeddingProfile, ParkedRow};
use axum::http::StatusCode;

pub(crate) fn status(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let mut store = serde_json::to_value(app.store.stats()).unwrap_or_default();
    store["token"] = app.store.token().to_string().into();
    store["durability"] = serde_json::to_value(app.store.durability()).unwrap_or_default();
    Answer::ok(&StatusAnswer {
        version: env!("CARGO_PKG_VERSION"),
        store,
        collections: app
            .store
            .collections()
            .iter()
            .map(|collection| CollectionBody::of(collection, app.embedding.status(collection)))
            .collect(),
        mirror: app.side.status(),
        jobs_unfinished: app.jobs.unfinished(),
        recall_estimate: app.recall.estimate().0,
    })
}

pub(crate) fn sync(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let SyncBody { mode, collection, trust, deep, dry_run } = call.json()?;
    app.side.check()?;
    if let Some(name) = &collection {
        app.collection(name, None)?;
    }
    let (deep, dry_run) = (deep.unwrap_or(false), dry_run.unwrap_or(false));
    let task = match mode {
        SyncMode::Push => Task::Push,
        SyncMode::Pull => Task::Pull,
        SyncMode::Audit => Task::Audit { collection, deep },
        SyncMode::Repair => {
            let trust = trust.ok_or_else(|| {
                Problem::invalid(
                    "trust is missing: a repair must know which side is right, database or local",
                )
            })?;
            Task::Repair { collection, trust, deep, dry_run }
        }
        SyncMode::Rebuild => Task::Rebuild { collection },
    };
    begun(app, task)
}

pub(crate) fn jobs(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Answer::ok(&JobList { jobs: app.jobs.list().iter().map(|job| job.body()).collect() })
}

pub(crate) fn job(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Answer::ok(&app.jobs.find(call.param("id"))?.body())
}

pub(crate) fn cancel(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Answer::ok(&app.jobs.cancel(call.param("id"))?.body())
}

pub(crate) fn resolve(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let ResolveBody { trust } = call.json()?;
    Answer::ok(&ResolveAnswer { state: app.side.resolve(trust)? })
}

pub(crate) fn dead_letters(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Answer::ok(&LetterList { dead_letters: app.side.dead_letters()? })
}

/// How the embedding of texts goes, and which chunks providers refuse.
pub(crate) fn embedding(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&["collection"])?;
    let told = |collection: Collection| {
        let (embedding, parked) = app.embedding.told(&collection)?;
        let parked = parked.into_iter().map(|ParkedRow { id, why }| ParkedBody { id, why }).collect();
        Some(EmbeddingOf { collection: collection.name().to_owned(), embedding, parked })
    };
    let collections = embedded(app, call.query.get("collection"))?.into_iter().filter_map(told).collect();
    Answer::ok(&EmbeddingList { collections })
}

pub(crate) fn retry_embedding(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let RetryBody { collection, retry } = call.json()?;
    if !retry {
        return Err(Problem::invalid(
            "retry is false; it must be true: there is nothing else to be done here",
        ));
    }
    let retried = |collection: Collection| RetriedBody {
        retried: app.embedding.retry(&collection),
        collection: collection.name().to_owned(),
    };
    let collections = embedded(app, collection.as_deref())?.into_iter().map(retried).collect();
    Answer::ok(&RetryAnswer { collections })
}

/// The collections with a profile, or the one of that name.
fn embedded(app: &App, name: Option<&str>) -> Result<Vec<Collection>, Problem> {
    let has_profile = |collection: &Collection| collection.schema().embedding.is_some();
    let Some(name) = name else {
        return Ok(app.store.collections().into_iter().filter(has_profile).collect());
    };
    let collection = app.collection(name, None)?;
    if has_profile(&collection) {
        return Ok(vec![collection]);
    }
    Err(Problem::new(Code::Conflict, format!("collection {name:?} has no profile of embeddings")))
}

/// A step of a collection's way to another embedding model. What can be known to be wrong is refused here, and the rest by the job.
pub(crate) fn migrate(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let Object(order) = call.json::<Object<MigrateBody>>()?;
    order.check()?;
    app.collection(&order.collection, None)?;
    match &order.embedding {
        Some(Object(NewEmbedding { provider, model })) => {
            let profile = EmbeddingProfile::new(provider, model);
            app.embedding.check_any_width(&profile, order.dim).map_err(Problem::of_profile)?;
        }
        None if order.embeds() => {
            return Err(Problem::invalid(format!(
                "embedding is missing: {} needs the provider and the model of the new vectors",
                order.step.word()
            )));
        }
        None => {}
    }
    begun(app, Task::Migrate(Box::new(order)))
}

pub(crate) fn checkpoint(app: &App, call: &Call) -> Result<Answer, Problem> {
    plain(app, call, Task::Checkpoint)
}

pub(crate) fn reclaim(app: &App, call: &Call) -> Result<Answer, Problem> {
    plain(app, call, Task::Reclaim)
}

pub(crate) fn verify(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let VerifyBody { deep } = call.json_or_default()?;
    begun(app, Task::Verify { deep: deep.unwrap_or(false) })
}

pub(crate) fn snapshot(app: &App, call: &Call) -> Result<Answer, Problem> {
    if app.options.snapshots.is_none() {
        return Err(super::super::jobs::no_snapshots());
    }
    plain(app, call, Task::Snapshot)
}

fn plain(app: &App, call: &Call, task: Task) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let NoBody {} = call.json_or_default()?;
    begun(app, task)
}

fn begun(app: &App, task: Task) -> Result<Answer, Problem> {
    let job = app.jobs.add(task)?;
    told(&job)
}

/// A job that goes on by itself.
pub(super) fn told(job: &Job) -> Result<Answer, Problem> {
    let answer = Answer::json(StatusCode::ACCEPTED, &JobAnswer { job: job.body() })?;
    Ok(answer.at(format!("/v1/admin/jobs/{}", job.id())))
}
