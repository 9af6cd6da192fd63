//! The two ways of asking.

use crate::{Error, ErrorKind, Result, Store};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, Instant};
use tower_service::Service;

/// An answer is a page of chunks at most.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Longer than a server lets a request take.
const PATIENCE: Duration = Duration::from_secs(60);
const CLOSE: Duration = Duration::from_secs(10);
/// After a process that was killed, the words of its rows may have to be looked up.
const WORDS: Duration = Duration::from_secs(30);

/// Somebody who answers.
pub(in crate::cli) enum Way {
    Http { agent: ureq::Agent, base: String, token: Option<String> },
    Inside { router: axum::Router, runtime: tokio::runtime::Runtime, store: Store },
}

impl Way {
    /// To a server.
    pub(super) fn to(url: &str, token: Option<String>) -> Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Error::invalid(format!(
                "{url:?} is no address of a server; write it like http://127.0.0.1:6327"
            )));
        }
        let config =
            ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
        Ok(Self::Http { agent: config.into(), base, token })
    }

    /// To a store of this process.
    pub(super) fn inside(router: axum::Router, store: Store) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|e| Error::new(ErrorKind::Unavailable, "a runtime cannot be made").with_source(e))?;
        Ok(Self::Inside { router, runtime, store })
    }

    pub(in crate::cli) fn get(&self, path: &str) -> Result<Value> {
        self.get_as(path)
    }

    pub(in crate::cli) fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(path, &self.call(Method::GET, path, None)?)
    }

    pub(in crate::cli) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.post_bytes(path, body.to_string().into_bytes())
    }

    pub(in crate::cli) fn post_bytes<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Result<T> {
        read(path, &self.call(Method::POST, path, Some(body))?)
    }

    pub(in crate::cli) fn delete(&self, path: &str) -> Result<()> {
        self.call(Method::DELETE, path, None).map(drop)
    }

    fn call(&self, method: Method, path: &str, bytes: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let (status, text) = match self {
            Self::Http { agent, base, token } => {
                over_http(agent, token.as_deref(), method, &format!("{base}{path}"), bytes)?
            }
            Self::Inside { router, runtime, .. } => {
                let answered = runtime.block_on(inside(router.clone(), method, path, bytes));
                answered.map_err(|e| Error::new(ErrorKind::Internal, format!("the route failed: {e}")))?
            }
        };
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(problem(status, &serde_json::from_slice(&text).unwrap_or_default()))
    }

    /// Before the one question of this process: what the background of a server looks up is waited for.
    pub(super) fn await_words(&self, collection: &str) {
        if let Self::Inside { store, .. } = self
            && let Ok(collection) = store.open_collection(collection)
        {
            collection.inner().settle_words(Instant::now() + WORDS);
        }
    }

    /// Ends it: a store is closed, a server is left alone.
    pub(super) fn end(self) -> Result<()> {
        match self {
            Self::Http { .. } => Ok(()),
            Self::Inside { router, store, .. } => {
                drop(router);
                store.close(CLOSE)
            }
        }
    }
}

fn over_http(
    agent: &ureq::Agent,
    token: Option<&str>,
    method: Method,
    url: &str,
    body: Option<Vec<u8>>,
) -> Result<(u16, Vec<u8>)> {
    let failed = |e: ureq::Error| Error::new(ErrorKind::Unavailable, format!("no answer from {url}: {e}"));
    let mut request = Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(body.unwrap_or_default());
    let request = request.map_err(|_| Error::invalid(format!("{url:?} or the token cannot be sent")))?;
    let mut answer = agent.run(request).map_err(failed)?;
    let bytes = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(failed)?;
    Ok((answer.status().as_u16(), bytes))
}

async fn inside(
    mut router: axum::Router,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> std::result::Result<(u16, Vec<u8>), axum::Error> {
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Body::from(body.unwrap_or_default())).map_err(axum::Error::new)?;
    // A router answers everything; its error is the type without a value.
    let answer = router.call(request).await.map_err(axum::Error::new)?;
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), ANSWER_BYTES_MAX as usize).await?;
    Ok((status, bytes.to_vec()))
}

fn read<T: DeserializeOwned>(path: &str, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        let message = format!("what answers {path} is no nearfield server, or one of another version: {e}");
        Error::new(ErrorKind::Unavailable, message)
    })
}

/// What a refusal means here.
pub(super) fn problem_of(told: &Value) -> Error {
    problem(0, told)
}

fn problem(status: u16, told: &Value) -> Error {
    let kind = match told["code"].as_str().unwrap_or_default() {
        "not_found" => ErrorKind::NotFound,
        "conflict" | "blocked" => ErrorKind::Conflict,
        "storage_full" => ErrorKind::Full,
        "read_only" => ErrorKind::Poisoned,
        "unavailable" | "rate_limited" => ErrorKind::Unavailable,
        "internal" => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    };
    let detail = told["detail"].as_str().unwrap_or("the server gave no reason");
    let hint = match status {
        401 => "; name a token with --token-file, or in NEARFIELD_TOKEN",
        403 => "; another token is needed",
        _ => "",
    };
    Error::new(kind, format!("{detail}{hint}"))
}
