//! The way of every request: named, let in or refused, read, answered on the right thread, counted, told.
//!
//! Invariant: there is no other way to a route. Paths that do not exist and methods that do not fit come by here, too, and tell
//! a stranger nothing.

use super::app::App;
use super::auth::Role;
use super::body::{self, Media, Share};
use super::call::{Answer, Call, Query};
use super::pool;
use super::problem::{Code, Problem};
use super::request_id::RequestId;
use super::router::{InSteps, Place, Route, Run, Verb};
use super::routes;
use super::routes::search::{Given, Pass, Step};
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tracing::Instrument;

/// Of a body that is read where the sockets are.
pub(super) const SHORT_BYTES_MAX: usize = 64 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who is connected, where that is known.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Names in a path, or why they cannot be read.
pub(crate) type Names = Result<Vec<(String, String)>, Problem>;

pub(crate) fn names<E>(params: Result<RawPathParams, E>) -> Names {
    let params = params.map_err(|_| Problem::invalid("the path is not URL-encoded UTF-8"))?;
    Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Answers a request to a path of the table; to any other path if there is none.
pub(crate) async fn answer(app: App, place: Option<Arc<Place>>, names: Names, request: Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    let id = RequestId::of(parts.headers.get(REQUEST_ID));
    let route = place.as_ref().and_then(|place| place.route(&parts.method));
    let path = place.as_ref().map_or("", |place| place.path);
    let span = tracing::debug_span!("request", request_id = id.as_str(), method = %parts.method, path);
    let method = parts.method.clone();
    let done = async {
        let peer = parts.extensions.get::<Peer>().map(|Peer(peer)| *peer);
        let role = route.map_or(Some(Role::Read), |route| route.role);
        let_in(&app, &parts.headers, peer, role, &parts.method)?;
        let Some(place) = &place else {
            return Err(Problem::new(Code::NotFound, "there is no such path; /docs lists those that are"));
        };
        let Some(route) = route else {
            return Err(Problem::method(parts.method.as_str(), place.allowed()));
        };
        let mut names = names?;
        if let Some((name, word)) = place.name(route) {
            names.push((name.to_owned(), word.to_owned()));
        }
        run(&app, route, names, parts, body, start).await
    };
    let done = done.instrument(span).await;
    let took = start.elapsed();
    let mut response = match done {
        Ok(response) => response,
        Err(problem) => {
            log(&id, path, &problem);
            match route {
                // Who needs no token learns one word, also of a server that is too busy to say another.
                Some(Route { role: None, .. }) if problem.status.is_server_error() => problem.word(),
                _ => problem.response(&id),
            }
        }
    };
    let status = response.status().as_u16();
    tracing::debug!(request_id = id.as_str(), %method, path, status, took_us = took.as_micros() as u64, "answered");
    app.metrics.answered(route.map(|route| route.number), status, took);
    response.headers_mut().insert(REQUEST_ID, id.header());
    if app.is_ending.load(Ordering::Relaxed) {
        // The connection's task may not have heard of it yet.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn log(id: &RequestId, path: &str, problem: &Problem) {
    let (code, cause) = (problem.code.name(), problem.cause.as_deref().unwrap_or_default());
    if problem.status.is_server_error() {
        tracing::warn!(request_id = id.as_str(), path, code, detail = %problem.detail, cause, "failed");
    } else {
        tracing::debug!(request_id = id.as_str(), path, code, detail = %problem.detail, cause, "refused");
    }
}

/// Lets a caller in, or says why not.
fn let_in(
    app: &App,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    role: Option<Role>,
    method: &axum::http::Method,
) -> Result<(), Problem> {
    if app.is_guarded {
        check_host(headers, &app.options.hosts)?;
        if method.is_safe() {
            check_origin_of_reader(headers)?;
        } else {
            check_origin(headers)?;
        }
    }
    let Some(role) = role else { return Ok(()) };
    app.tokens.load().check(headers, role).map_err(|refused| match refused.code {
        // Whoever sends nothing does not guess.
        Code::Unauthorized if headers.contains_key(header::AUTHORIZATION) => {
            match app.throttle.failed(peer) {
                Some(wait) => Problem::too_many(wait.as_secs() as u32 + 1),
                None => refused,
            }
        }
        _ => refused,
    })
}

/// Refuses a name that is not ours: a page that made its own name point here would be of our origin.
fn check_host(headers: &HeaderMap, hosts: &[String]) -> Result<(), Problem> {
    let mut given = headers.get_all(header::HOST).iter();
    let host = match (given.next(), given.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let detail = "the Host header names no host of this server; ask for localhost, or give the server tokens";
    Err(Problem::new(Code::Forbidden, detail))
}

/// Refuses what a page of another origin makes a browser send.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_ours = |origin: &str| origin.strip_prefix("http://").is_some_and(|name| name == host);
    match origin {
        Some(origin) if !is_ours(origin) => {
            Err(Problem::new(Code::Forbidden, "a page of another origin may not call this server"))
        }
        _ => check_origin_of_reader(headers),
    }
}

fn check_origin_of_reader(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        Some(b"cross-site") if headers.get("sec-fetch-mode").is_none_or(|mode| mode != "navigate") => {
            Err(Problem::new(Code::Forbidden, "a page of another origin may not call this server"))
        }
        _ => Ok(()),
    }
}

async fn run(
    app: &App,
    route: &'static Route,
    params: Vec<(String, String)>,
    parts: Parts,
    body: Body,
    start: Instant,
) -> Result<Response, Problem> {
    let until = start + app.limits().request();
    let query = Query::parse(parts.uri.query())?;
    let patience = app.limits().request();
    let headers = parts.headers;
    let mut call = Call { params, query, headers, body: Default::default(), patience };
    let media = Media::of(&call.headers);
    if matches!(route.run, Run::Chunks(_)) && media == Media::Lines {
        return routes::bulk::stream(app, call, body).await;
    }
    let mut share = app.budget.share();
    if route.verb == Verb::Post {
        call.body = body::read(&call.headers, body, &app.limits(), &mut share, until).await?;
        if media != Media::Json && !(media == Media::None && call.body.is_empty()) {
            let lines = if matches!(route.run, Run::Chunks(_)) { " or application/x-ndjson" } else { "" };
            return Err(Problem::media_type(format!("send application/json{lines}, not encoded")));
        }
    }
    call.patience = until.saturating_duration_since(Instant::now());
    on_its_thread(app, route, call, share).await.map(Answer::response)
}

async fn on_its_thread(
    app: &App,
    route: &'static Route,
    call: Call,
    share: Share,
) -> Result<Answer, Problem> {
    let (lane, work) = match route.run {
        Run::Here(work) => return work(app, &call),
        Run::Wait(work) => return work(app.clone(), call, share).await,
        Run::Question(work) => return in_steps(app, work, call, share).await,
        Run::Search(work) => (&app.searches, work),
        Run::Write(work) | Run::Chunks(work) => (&app.writes, work),
    };
    let writes = matches!(route.run, Run::Write(_) | Run::Chunks(_));
    let (patience, shared) = (call.patience, app.clone());
    lane.run(patience, move || {
        // The body counts until nobody looks at it any more.
        let _share = share;
        let work = || work(&shared, &call);
        if writes { by_name(work) } else { work() }
    })
    .await?
}

/// A write to a collection that is opened by its name. If it conflicts, nothing was written, and the name may have gone to another collection on
/// the way, which is the one that is meant now: then it is made once more.
pub(super) fn by_name<T>(work: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
    match work() {
        Err(problem) if problem.code == Code::Conflict => work(),
        done => done,
    }
}

/// A call that may be over at once, or else on a thread for searches, where it may ask for the vectors of texts, and is made again when they
/// are there, or will not be.
async fn in_steps(app: &App, work: InSteps, call: Call, share: Share) -> Result<Answer, Problem> {
    let until = Instant::now() + call.patience;
    // The body counts until nobody looks at it any more.
    let held = Arc::new((call, share));
    let begun = app.alone.begin();
    if begun.is_alone()
        && held.0.body.len() <= SHORT_BYTES_MAX
        && let Step::Done(answer) = pool::in_place(|| work(app, &held.0, Pass::Here))??
    {
        return Ok(answer);
    }
    let mut given: Option<Given> = None;
    loop {
        let (shared, of, patience) =
            (app.clone(), held.clone(), until.saturating_duration_since(Instant::now()));
        let pass = move || work(&shared, &of.0, given.as_ref().map_or(Pass::First, Pass::Again));
        let questions = match app.searches.run(patience, pass).await?? {
            Step::Done(answer) => return Ok(answer),
            Step::Embed(questions) => questions,
            Step::Elsewhere => {
                return Err(Problem::new(Code::Internal, "a search found no place; please report this"));
            }
        };
        let (shared, start, patience) = (app.clone(), Instant::now(), questions.patience);
        let collection = questions.collection.clone();
        let made = app.questions.run(patience, move || questions.ask(&shared)).await;
        given = Some(Given::of(collection, made, start.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_static(text)))
            .collect()
    }

    /// S12.
    #[test]
    fn only_our_own_names_are_answered_where_nobody_needs_a_token() {
        let hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let check = |host| check_host(&head(&[("host", host)]), &hosts).is_ok();
        for ours in ["localhost", "LOCALHOST:6327", "127.0.0.1:1", "[::1]:6327", "[::1]"] {
            assert!(check(ours), "{ours}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:6327", "", ":6327", "127.0.0.1:x"]
        {
            assert!(!check(other), "{other}");
        }
        assert!(check_host(&HeaderMap::new(), &hosts).is_err());
    }

    /// S12.
    #[test]
    fn a_page_of_another_origin_is_refused() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = head(pairs);
            headers.insert("host", HeaderValue::from_static("localhost:6327"));
            check_origin(&headers).is_ok()
        };
        assert!(check(&[]));
        assert!(check(&[("origin", "http://localhost:6327"), ("sec-fetch-site", "same-origin")]));
        assert!(!check(&[("origin", "http://evil.example")]));
        assert!(!check(&[("origin", "null")]));
        assert!(!check(&[("origin", "http://localhost:8000")]));
        assert!(!check(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]));
        assert!(
            check_origin_of_reader(&head(&[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate")
            ]))
            .is_ok()
        );
    }
}
