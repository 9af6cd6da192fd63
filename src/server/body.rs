//! Reading a body without trusting it: neither its length, nor its sender's haste.
//!
//! Invariants: a body over the limit is refused before it is read where its head says so, and at the first byte too many where
//! it does not; all bodies together stay within a budget; memory is taken as bytes come, not as they are announced.

use super::options::Limits;
use super::problem::{Code, Problem};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Bytes that all bodies may take.
pub(crate) struct Budget {
    left: AtomicUsize,
}

/// A part of the budget, given back when it goes.
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Takes more; refused when nothing is left.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let taken = self
            .budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_err() {
            return Err(
                Problem::later("other requests' bodies take all the memory there is; try again", 1).closing()
            );
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// Reads a body whole, until `until`.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
    share: &mut Share,
    until: Instant,
) -> Result<Bytes, Problem> {
    let max = limits.body_bytes_max;
    let too_large = || {
        Problem::new(Code::TooLarge, format!("the body has more than {max} bytes; send less at a time"))
            .closing()
    };
    let announced = announced(headers)?;
    if announced.is_some_and(|bytes| bytes > max as u64) {
        return Err(too_large());
    }
    let mut whole = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let frame = tokio::time::timeout(left, body.frame())
            .await
            .map_err(|_| Problem::slow(format!("the body did not come within {} ms", limits.request_ms)))?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|e| Problem::invalid("the body broke off").caused_by(e.to_string()).closing())?;
        let Ok(bytes) = frame.into_data() else { continue };
        if whole.len() + bytes.len() > max {
            return Err(too_large());
        }
        share.grow(bytes.len())?;
        // Most bodies come in one piece.
        if whole.is_empty() && announced == Some(bytes.len() as u64) {
            return Ok(bytes);
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.into())
}

fn announced(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // Whoever stands in between may believe the one while we believe the other.
        return Err(Problem::invalid("both Content-Length and Transfer-Encoding; send one").closing());
    }
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Problem::invalid("Content-Length is no number").closing())
}

/// What a body is, by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// Nothing is said.
    None,
    Json,
    /// One JSON document a line.
    Lines,
    Other,
}

impl Media {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(value) = given.next() else { return Self::None };
        if given.next().is_some() || headers.contains_key(header::CONTENT_ENCODING) {
            return Self::Other;
        }
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        let (name, rest) = text.split_once(';').unwrap_or((&text, ""));
        let parameter = rest.trim().trim_end_matches(';').replace('"', "");
        match (name.trim(), parameter.as_str()) {
            ("application/json", "" | "charset=utf-8") => Self::Json,
            ("application/x-ndjson", "" | "charset=utf-8") => Self::Lines,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::time::Duration;

    fn head(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        pairs.iter().map(|(name, text)| (header::HeaderName::from_static(name), value(text))).collect()
    }

    fn read_all(headers: &[(&'static str, &str)], body: Body, left: usize) -> Result<usize, u16> {
        let budget = Budget::new(left);
        let limits = Limits { body_bytes_max: 10, ..Limits::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut share = budget.share();
        let until = Instant::now() + Duration::from_secs(60);
        let headers = head(headers);
        let done = runtime.block_on(read(&headers, body, &limits, &mut share, until));
        let done = done.map(|bytes| bytes.len()).map_err(|problem| problem.status.as_u16());
        drop(share);
        assert_eq!(budget.left.load(Ordering::Relaxed), left);
        done
    }

    #[test]
    fn a_body_over_the_limit_is_refused_by_its_head_and_by_its_bytes() {
        assert_eq!(read_all(&[("content-length", "5")], Body::from("12345"), 100), Ok(5));
        assert_eq!(read_all(&[], Body::from("1234567890"), 100), Ok(10));
        assert_eq!(read_all(&[], Body::from("12345678901"), 100), Err(413));
        assert_eq!(read_all(&[("content-length", "11")], Body::empty(), 100), Err(413));
        assert_eq!(read_all(&[("content-length", "18446744073709551616")], Body::empty(), 100), Err(400));
        let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(read_all(&both, Body::from("12345"), 100), Err(400));
        assert_eq!(read_all(&[], Body::from("12345"), 4), Err(503));
    }

    #[test]
    fn the_kind_of_a_body_is_what_its_head_says() {
        let of = |text| Media::of(&head(&[("content-type", text)]));
        assert_eq!(Media::of(&HeaderMap::new()), Media::None);
        assert_eq!(of("application/json"), Media::Json);
        assert_eq!(of("Application/JSON; charset=UTF-8"), Media::Json);
        assert_eq!(of("application/x-ndjson"), Media::Lines);
        for other in ["text/plain", "application/json; charset=latin1", "application/jsonp", "", "\u{e9}"] {
            assert_eq!(of(other), Media::Other, "{other}");
        }
        let packed = head(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
        assert_eq!(Media::of(&packed), Media::Other);
    }
}
