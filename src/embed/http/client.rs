//! One request until it is answered, refused, or time is over.

use super::options::{HttpOptions, Key};
use super::retry::{Meaning, meaning, retry_after, wait};
use super::wire::{Flaw, Question, parse};
use crate::error::{Error, ErrorKind, Result, excerpt};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of an answer beside its vectors, and of an error's.
const ANSWER_BYTES: usize = 1 << 20;
const ERROR_BYTES_MAX: u64 = 64 << 10;
/// A number as text, at its longest, with its comma and indentation.
const NUMBER_BYTES: usize = 48;
/// Letters of a service's reason that are told.
const REASON_CHARS_MAX: usize = 300;

/// Why a request has no vectors.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something in it: what the service says.
    Blamed(String),
    /// No request will do better, for now.
    Over(Error),
}

/// What came back from one try.
enum Tried {
    Answer {
        status: u16,
        retry_after: Option<String>,
        location: Option<String>,
        body: Vec<u8>,
    },
    /// Nothing, or half of something.
    Lost(String),
    /// More than it may be.
    TooLarge(u64),
}

pub(super) type Vectors = Vec<std::result::Result<Vec<f32>, &'static str>>;

#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
    /// The service does not know base64.
    plain: AtomicBool,
    /// All wait when it asked one to.
    not_before: Mutex<Option<Instant>>,
    random: RandomState,
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Blamed(why) => {
                Error::new(ErrorKind::Conflict, format!("the embedding service refused a text: {why}"))
            }
            Self::Over(error) => error,
        }
    }
}

impl Client {
    pub(super) fn new(options: &HttpOptions) -> Result<Self> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(options.connect))
            .max_idle_connections_per_host(options.concurrency)
            .build();
        Ok(Self {
            agent: config.into(),
            url: options.address()?,
            plain: AtomicBool::new(false),
            not_before: Mutex::default(),
            random: RandomState::new(),
        })
    }

    /// The vectors of `texts`, each of the width `dim` if one is given.
    pub(super) fn ask(
        &self,
        options: &HttpOptions,
        texts: &[&str],
        dim: Option<usize>,
        until: Instant,
    ) -> std::result::Result<Vectors, Failure> {
        let mut tried = 0;
        loop {
            self.pause(until)?;
            tried += 1;
            let plain = self.plain.load(Ordering::Relaxed);
            let (why, asked) = match self.once(options, texts, dim, plain, until) {
                Tried::TooLarge(max) => {
                    let message = format!(
                        "the embedding service answered with more than {max} bytes; check its address and the width"
                    );
                    return Err(Failure::Over(Error::new(ErrorKind::Conflict, message)));
                }
                Tried::Lost(why) => (why, None),
                Tried::Answer { status, retry_after: header, location, body } => match meaning(status) {
                    Meaning::Good => match parse(&body, texts.len(), dim, options.normalized) {
                        Ok(vectors) => return Ok(vectors),
                        Err(Flaw::Width { got, expected }) => {
                            return Err(width(&options.model, got, expected));
                        }
                        Err(Flaw::Torn(why)) => (why, None),
                    },
                    Meaning::Blames => {
                        let why = reason(&body, options.key.as_ref());
                        if !plain && why.contains("encoding_format") {
                            self.plain.store(true, Ordering::Relaxed);
                            tried -= 1;
                            continue;
                        }
                        return Err(Failure::Blamed(format!("status {status}, {why}")));
                    }
                    Meaning::Never => {
                        return Err(never(status, location, &reason(&body, options.key.as_ref())));
                    }
                    Meaning::Later => {
                        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                        let asked = header.and_then(|text| retry_after(&text, now.as_secs()));
                        (format!("status {status}, {}", reason(&body, options.key.as_ref())), asked)
                    }
                },
            };
            let random = self.random.hash_one(tried);
            let rest = asked.unwrap_or_else(|| wait(tried, options.backoff_ms, random));
            let left = until.saturating_duration_since(Instant::now());
            if tried >= options.tries || rest >= left {
                return Err(Failure::Over(gave_up(tried, &why, asked)));
            }
            if asked.is_some() {
                let mut not_before = self.not_before.lock();
                *not_before = (*not_before).max(Some(Instant::now() + rest));
            } else {
                std::thread::sleep(rest);
            }
        }
    }

    /// Waits as long as the service asked anybody to.
    fn pause(&self, until: Instant) -> std::result::Result<(), Failure> {
        loop {
            let now = Instant::now();
            if now >= until {
                return Err(Failure::Over(gave_up(0, "the call's time is over", None)));
            }
            match *self.not_before.lock() {
                Some(then) if then > now => {
                    if then >= until {
                        let why = "it asks to wait for longer than the call has time";
                        return Err(Failure::Over(gave_up(0, why, Some(then - now))));
                    }
                }
                _ => return Ok(()),
            }
            let rest =
                self.not_before.lock().map_or(Duration::ZERO, |then| then.saturating_duration_since(now));
            std::thread::sleep(rest);
        }
    }

    fn once(
        &self,
        options: &HttpOptions,
        texts: &[&str],
        dim: Option<usize>,
        plain: bool,
        until: Instant,
    ) -> Tried {
        let question = Question {
            model: &options.model,
            input: texts,
            encoding_format: (!plain).then_some("base64"),
            dimensions: dim.or(options.dim).filter(|_| options.asks_dim),
        };
        let Ok(body) = serde_json::to_vec(&question) else {
            return Tried::Lost("the question is no JSON".to_owned());
        };
        let mut request = ureq::http::Request::post(&self.url).header("content-type", "application/json");
        if let Some(key) = &options.key {
            request = request.header("authorization", format!("Bearer {}", key.secret()));
        }
        let request = match request.body(body) {
            Ok(request) => request,
            Err(_) => return Tried::Lost("the address or the key cannot be sent".to_owned()),
        };
        let left = until.saturating_duration_since(Instant::now()).min(options.request);
        let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
        let mut answer = match self.agent.run(request) {
            Ok(answer) => answer,
            Err(e) => return Tried::Lost(e.to_string()),
        };
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (retry_after, location) = (header("retry-after"), header("location"));
        let width = dim.or(options.dim).unwrap_or(crate::limits::DIM_MAX);
        let room = texts.len().saturating_mul(width.saturating_mul(NUMBER_BYTES).saturating_add(1_024));
        let max = match meaning(status) {
            Meaning::Good => (ANSWER_BYTES.saturating_add(room)) as u64,
            _ => ERROR_BYTES_MAX,
        };
        match answer.body_mut().with_config().limit(max).read_to_vec() {
            Ok(body) => Tried::Answer { status, retry_after, location, body },
            Err(ureq::Error::BodyExceedsLimit(_)) if meaning(status) == Meaning::Good => Tried::TooLarge(max),
            // What the status says holds without the words.
            Err(_) if meaning(status) != Meaning::Good => {
                Tried::Answer { status, retry_after, location, body: Vec::new() }
            }
            Err(e) => Tried::Lost(format!("the answer broke off: {e}")),
        }
    }
}

fn width(model: &str, got: usize, expected: usize) -> Failure {
    let message = format!(
        "model {} makes vectors of {got} numbers, {expected} were expected; name the width that it makes, or another model",
        excerpt(model)
    );
    Failure::Over(Error::new(ErrorKind::Conflict, message))
}

fn never(status: u16, location: Option<String>, why: &str) -> Failure {
    let remedy = match status {
        300..=399 => {
            let to = location.map_or("another address".to_owned(), |to| excerpt(&to));
            format!("it redirects to {to}, which is not followed; name the service's own address")
        }
        401 | 403 => "check the key".to_owned(),
        404 => "check the address and the model's name".to_owned(),
        _ => "check the address, the model and the key".to_owned(),
    };
    let message = format!("the embedding service answered with status {status}, {why}; {remedy}");
    Failure::Over(Error::new(ErrorKind::Conflict, message))
}

fn gave_up(tried: u32, why: &str, asked: Option<Duration>) -> Error {
    let asked = asked.map_or(String::new(), |rest| format!(" (it asks to wait for {} s)", rest.as_secs()));
    let message =
        format!("no vectors from the embedding service after {tried} tries: {why}{asked}; try again later");
    Error::new(ErrorKind::Unavailable, message)
}

/// What a service says of an error, without the key if it repeats it.
fn reason(body: &[u8], key: Option<&Key>) -> String {
    let told: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = [&told["error"]["message"], &told["error"], &told["message"], &told["detail"]];
    let said = said.into_iter().find_map(|value| value.as_str().map(str::to_owned));
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let said = match key {
        Some(key) => said.replace(key.secret(), "***"),
        None => said,
    };
    let said: String = said.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    if said.trim().is_empty() { "without a reason".to_owned() } else { said }
}
