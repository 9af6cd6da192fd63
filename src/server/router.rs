//! The whole API, on one page: what there is, who may call it, and on which thread it runs.
//!
//! Invariant: a path is answered because it stands here, and for no other reason. The tests walk this table.

use super::app::App;
use super::auth::Role;
use super::body::Share;
use super::call::{Answer, Call};
use super::gate;
use super::options::Options;
use super::problem::Problem;
use super::routes::search::{Pass, Step};
use super::routes::{admin, chunks, collections, health, search, vectors};
use super::side::Mirror;
use crate::{Result, Store};
use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::http::Method;
use axum::routing::any;
use std::pin::Pin;
use std::sync::Arc;

/// What answers a call.
pub(crate) type Work = fn(&App, &Call) -> Result<Answer, Problem>;
/// The same where something is waited for.
pub(crate) type Waiting =
    fn(App, Call, Share) -> Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// The same in steps: it may be over at once, and a text may have to be embedded first; then it is called again with what came of that.
pub(crate) type InSteps = fn(&App, &Call, Pass<'_>) -> Result<Step, Problem>;

/// Where a route runs.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// On the socket's thread: it neither computes nor waits.
    Here(Work),
    /// On a thread for searches.
    Search(Work),
    /// The same, or where it is in the socket's place if it is short and alone; and in between on a thread that waits, where a text has to
    /// be embedded elsewhere first.
    Question(InSteps),
    /// On a thread for writes.
    Write(Work),
    /// The same, and a stream of lines has a way of its own.
    Chunks(Work),
    /// On the socket's thread, which serves others while it waits.
    Wait(Waiting),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Delete,
}

/// One line of the table.
pub(crate) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// Whoever may call it; nobody in particular if there is none.
    pub(super) role: Option<Role>,
    pub(super) run: Run,
    /// Its name in metrics and in the description.
    pub(super) name: &'static str,
    /// Its place in the table.
    pub(super) number: usize,
}

const READ: Option<Role> = Some(Role::Read);
const WRITE: Option<Role> = Some(Role::Write);
const ADMIN: Option<Role> = Some(Role::Admin);
const OPEN: Option<Role> = None;

use Run::{Chunks, Here, Question, Search, Wait, Write};
use Verb::{Delete, Get, Post};

/// A page of a port of our own; a host has one of its own.
pub(super) const ROOT: &str = "/";

type Line = (Verb, &'static str, Option<Role>, Run, &'static str);

#[rustfmt::skip]
const TABLE: &[Line] = &[
    (Post,   "/v1/collections",                           WRITE, Write(collections::create),       "create_collection"),
    (Get,    "/v1/collections",                           READ,  Search(collections::list),        "list_collections"),
    (Get,    "/v1/collections/{collection}",              READ,  Search(collections::show),        "get_collection"),
    (Delete, "/v1/collections/{collection}",              WRITE, Write(collections::drop),         "drop_collection"),
    (Post,   "/v1/collections/{collection}/chunks",       WRITE, Chunks(chunks::upsert),           "upsert_chunks"),
    (Get,    "/v1/collections/{collection}/chunks",       READ,  Search(chunks::list),             "list_chunks"),
    (Get,    "/v1/collections/{collection}/chunks/{id}",  READ,  Search(chunks::show),             "get_chunk"),
    (Post,   "/v1/collections/{collection}/chunks/get",   READ,  Search(chunks::get_many),         "get_chunks"),
    (Post,   "/v1/collections/{collection}/chunks/delete", WRITE, Write(chunks::delete),           "delete_chunks"),
    (Post,   "/v1/collections/{collection}/count",        READ,  Search(chunks::count),            "count_chunks"),
    (Post,   "/v1/collections/{collection}/search",       READ,  Question(search::search),         "search"),
    (Post,   "/v1/collections/{collection}/search/batch", READ,  Question(search::batch),          "search_batch"),
    (Post,   "/v1/collections/{collection}/range",        READ,  Search(search::range),            "range"),
    (Get,    "/v1/admin/status",                          ADMIN, Search(admin::status),            "status"),
    (Post,   "/v1/admin/sync",                            ADMIN, Search(admin::sync),              "sync"),
    (Get,    "/v1/admin/jobs",                            ADMIN, Here(admin::jobs),                "list_jobs"),
    (Get,    "/v1/admin/jobs/{id}",                       ADMIN, Here(admin::job),                 "get_job"),
    (Delete, "/v1/admin/jobs/{id}",                       ADMIN, Here(admin::cancel),              "cancel_job"),
    (Post,   "/v1/admin/resolve",                         ADMIN, Write(admin::resolve),            "resolve"),
    (Get,    "/v1/admin/dead-letters",                    ADMIN, Search(admin::dead_letters),      "dead_letters"),
    (Post,   "/v1/admin/checkpoint",                      ADMIN, Here(admin::checkpoint),          "checkpoint"),
    (Post,   "/v1/admin/reclaim",                         ADMIN, Here(admin::reclaim),             "reclaim"),
    (Post,   "/v1/admin/verify",                          ADMIN, Here(admin::verify),              "verify"),
    (Post,   "/v1/admin/snapshot",                        ADMIN, Here(admin::snapshot),            "snapshot"),
    (Get,    "/v1/admin/embedding",                       ADMIN, Search(admin::embedding),         "get_embedding"),
    (Post,   "/v1/admin/embedding",                       ADMIN, Search(admin::retry_embedding),   "retry_embedding"),
    (Post,   "/v1/admin/migrate",                         ADMIN, Search(admin::migrate),           "migrate"),
    (Get,    "/livez",                                    OPEN,  Here(health::livez),              "livez"),
    (Get,    "/readyz",                                   OPEN,  Search(health::readyz),           "readyz"),
    (Get,    "/healthz",                                  READ,  Search(health::healthz),          "healthz"),
    (Get,    "/metrics",                                  READ,  Search(health::metrics),          "metrics"),
    (Post,   "/vectors/sync",                             WRITE, Wait(vectors::sync),              "vectors_sync"),
    (Get,    "/vectors/stats",                            READ,  Search(vectors::stats),           "vectors_stats"),
    (Get,    "/vectors/document/{id}",                    READ,  Search(vectors::document),        "vectors_document"),
    (Delete, "/vectors/document/{id}",                    WRITE, Write(vectors::delete),           "vectors_delete"),
    (Get,    "/openapi.json",                             READ,  Here(health::openapi),            "openapi"),
    (Get,    "/docs",                                     READ,  Here(health::docs),               "docs"),
    (Get,    "/dashboard",                                READ,  Here(health::dashboard),          "dashboard"),
    (Get,    ROOT,                                        READ,  Here(health::dashboard),          "dashboard_at_root"),
];

/// The table.
pub(crate) static ROUTES: std::sync::LazyLock<Vec<Route>> = std::sync::LazyLock::new(|| {
    let route = |(number, (verb, path, role, run, name)): (usize, &Line)| Route {
        verb: *verb,
        path,
        role: *role,
        run: *run,
        name,
        number,
    };
    TABLE.iter().enumerate().map(route).collect()
});

/// The routes of one path.
pub(crate) struct Place {
    pub(super) path: &'static str,
    routes: Vec<&'static Route>,
    /// Of routes that take any name where this path has a word: for methods that the word does not take, it is a name.
    namesakes: Vec<&'static Route>,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            // Whoever sends it leaves the body out.
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

impl Place {
    pub(super) fn route(&self, method: &Method) -> Option<&'static Route> {
        let verb = Verb::of(method)?;
        self.routes.iter().chain(&self.namesakes).find(|route| route.verb == verb).copied()
    }

    /// The name that the path's last word is for a namesake.
    pub(super) fn name(&self, route: &Route) -> Option<(&'static str, &'static str)> {
        if route.path == self.path {
            return None;
        }
        let last = |path: &'static str| path.rsplit('/').next().unwrap_or_default();
        Some((last(route.path).trim_matches(['{', '}']), last(self.path)))
    }

    /// The methods that it takes, as a header lists them.
    pub(super) fn allowed(&self) -> String {
        let mut names: Vec<&str> = self.routes.iter().map(|route| route.verb.name()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.join(", ")
    }
}

/// The API of a store, and of its mirror if it has one, to be mounted in a host's own axum application.
///
/// Paths that are not of the API are the host's. The host's listener, its timeouts and its limits on connections are its own,
/// too; [`serve`](super::serve) brings some.
pub fn router(store: Store, mirror: Option<Mirror>, options: Options) -> Result<Router> {
    let app = App::new(store, mirror, options, false)?;
    Ok(routes_of(&app, |path| path != ROOT))
}

/// Routes with a name where `route` has its last word.
fn namesakes(route: &Route) -> Vec<&'static Route> {
    let above = |path: &'static str| path.rsplit_once('/').unwrap_or_default();
    let (folder, word) = above(route.path);
    let is_namesake = |other: &&Route| {
        let (other_folder, name) = above(other.path);
        folder == other_folder && name.starts_with('{') && !word.starts_with('{')
    };
    ROUTES.iter().filter(is_namesake).collect()
}

fn routes_of(app: &App, is_wanted: impl Fn(&str) -> bool) -> Router {
    let mut places: Vec<Place> = Vec::new();
    for route in ROUTES.iter().filter(|route| is_wanted(route.path)) {
        match places.iter_mut().find(|place| place.path == route.path) {
            Some(place) => place.routes.push(route),
            None => places.push(Place { path: route.path, routes: vec![route], namesakes: namesakes(route) }),
        }
    }
    places.into_iter().map(Arc::new).fold(Router::new(), |router, place| {
        let (path, app) = (place.path, app.clone());
        router.route(
            path,
            any(move |params: Result<RawPathParams, _>, request: Request| {
                let names = gate::names::<axum::extract::rejection::RawPathParamsRejection>(params);
                gate::answer(app.clone(), Some(place.clone()), names, request)
            }),
        )
    })
}

/// The same on a port of our own, where all other paths are refused, too.
pub(super) fn whole(app: &App) -> Router {
    let strange = app.clone();
    routes_of(app, |_| true)
        .fallback(move |request: Request| gate::answer(strange.clone(), None, Ok(Vec::new()), request))
}
