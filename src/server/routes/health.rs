//! How the server is: for load balancers, for people, for Prometheus. And what it is: its description.

use super::super::app::App;
use super::super::call::{Answer, Call, JSON};
use super::super::problem::Problem;
use super::super::wire::{HealthAnswer, StateAnswer};
use super::super::{metrics as counts, openapi as description, pages};
use crate::ErrorKind;
use axum::http::StatusCode;
use std::sync::atomic::Ordering;

/// The process answers.
pub(crate) fn livez(_app: &App, _call: &Call) -> Result<Answer, Problem> {
    Answer::ok(&StateAnswer { status: "ok" })
}

/// Whether new callers should come: not while the server ends, nor while collections lack rows of the database. A store that is
/// read-only, or lags behind its database, still answers searches.
pub(crate) fn readyz(app: &App, _call: &Call) -> Result<Answer, Problem> {
    let status = not_ready(app).unwrap_or("ok");
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Answer::json(code, &StateAnswer { status })
}

fn not_ready(app: &App) -> Option<&'static str> {
    if app.is_ending.load(Ordering::Relaxed) {
        return Some("ending");
    }
    let is_closed = app.store.check_writable().is_err_and(|error| error.kind() == ErrorKind::Closed);
    if is_closed {
        return Some("closed");
    }
    (!app.side.filling().is_empty()).then_some("filling")
}

pub(crate) fn healthz(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let writable = app.store.check_writable();
    let degraded = app.store.collections().iter().any(|collection| collection.is_degraded());
    // What failed is told, why is for the log and the admin's status.
    let failures = app.store.stats().failures;
    let failing: Vec<String> =
        failures.iter().map(|failure| failure.split(':').next().unwrap_or_default().to_owned()).collect();
    let status = match (not_ready(app), &writable) {
        (Some(why), _) => why,
        (None, Err(error)) if error.kind() == ErrorKind::Full => "full",
        (None, Err(_)) => "read_only",
        _ if degraded => "degraded",
        _ if !failing.is_empty() => "failing",
        _ => "ok",
    };
    Answer::ok(&HealthAnswer {
        status,
        version: env!("CARGO_PKG_VERSION"),
        token: app.store.token().to_string(),
        writable: writable.is_ok(),
        degraded,
        mirror: app.side.state(),
        filling: app.side.filling(),
        failing,
    })
}

pub(crate) fn metrics(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Ok(Answer::text("text/plain; version=0.0.4; charset=utf-8", counts::page(app)))
}

pub(crate) fn openapi(_app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Ok(Answer::text(JSON, description::document()))
}

pub(crate) fn docs(_app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Ok(pages::docs())
}

pub(crate) fn dashboard(_app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Ok(pages::dashboard())
}
