//! What a client is told when a call fails: `application/problem+json` with a code that never changes.
//!
//! Invariant: a detail names what the caller sent, a limit or a remedy; never a path, SQL, a secret or a cause inside. What it
//! leaves out goes to the log, under the request's id.

use super::request_id::RequestId;
use crate::{Error, ErrorKind};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The request is wrong.
    Invalid,
    /// There is nothing of that name.
    NotFound,
    /// It exists with other properties, or the state is another.
    Conflict,
    /// The vector is of another width than the collection.
    DimensionMismatch,
    /// A token is missing or wrong.
    Unauthorized,
    /// The token's role does not reach so far.
    Forbidden,
    /// A limit on sizes.
    TooLarge,
    /// Too many failed attempts.
    RateLimited,
    /// The disk is full.
    StorageFull,
    /// A failed write made the store read-only.
    ReadOnly,
    /// Try again later.
    Unavailable,
    /// The mirror waits for a decision.
    #[cfg_attr(not(feature = "mirror"), allow(dead_code, reason = "there is no mirror to wait"))]
    Blocked,
    /// A fault here.
    Internal,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::Invalid | Self::DimensionMismatch => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::ReadOnly | Self::Unavailable | Self::Blocked => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::DimensionMismatch => "dimension_mismatch",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::StorageFull => "storage_full",
            Self::ReadOnly => "read_only",
            Self::Unavailable => "unavailable",
            Self::Blocked => "blocked",
            Self::Internal => "internal",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is not valid",
            Self::NotFound => "There is no such thing",
            Self::Conflict => "The state is not the expected one",
            Self::DimensionMismatch => "The vector has another number of dimensions",
            Self::Unauthorized => "A valid token is needed",
            Self::Forbidden => "The token does not allow this",
            Self::TooLarge => "The request is too large",
            Self::RateLimited => "Too many attempts",
            Self::StorageFull => "There is no room left",
            Self::ReadOnly => "The store is read-only",
            Self::Unavailable => "Not available now",
            Self::Blocked => "The mirror waits for a decision",
            Self::Internal => "A fault in the server",
        }
    }
}

/// A failed call.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) code: Code,
    pub(super) status: StatusCode,
    pub(super) detail: Cow<'static, str>,
    retry_after_s: Option<u32>,
    allow: Option<String>,
    /// The rest of the request is not read: no other can follow on the connection.
    closes: bool,
    /// For the log alone.
    pub(super) cause: Option<String>,
}

/// What a failed call answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// A URN of the code.
    #[serde(rename = "type")]
    kind: String,
    /// The code in words.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request, and what helps.
    detail: &'a str,
    /// Stable: for programs.
    code: Code,
    /// Stands in the server's log, too.
    request_id: &'a str,
}

impl Problem {
    /// What a provider's refusal of a profile of embeddings means.
    pub(crate) fn of_profile(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Conflict => Self::new(Code::DimensionMismatch, error.message().to_owned()),
            _ => Self::invalid(format!("embedding: {}", error.message())),
        }
    }

    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: code.status(),
            detail: detail.into(),
            retry_after_s: None,
            allow: None,
            closes: false,
            cause: None,
        }
    }

    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// Something is away, or busy; it is worth trying again.
    pub(crate) fn later(detail: impl Into<Cow<'static, str>>, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..Self::new(Code::Unavailable, detail) }
    }

    pub(crate) fn too_many(seconds: u32) -> Self {
        let detail = "too many failed attempts from this address; wait, then send a valid token";
        Self { retry_after_s: Some(seconds), ..Self::new(Code::RateLimited, detail) }
    }

    pub(crate) fn method(method: &str, allowed: String) -> Self {
        let detail = format!("{method} is not for this path; it takes {allowed}");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { status, allow: Some(allowed), ..Self::invalid(detail) }
    }

    pub(crate) fn media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..Self::invalid(detail) }
    }

    pub(crate) fn slow(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, closes: true, ..Self::invalid(detail) }
    }

    /// The same, told on a connection that ends with it.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The same in other words.
    pub(crate) fn saying(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    pub(crate) fn caused_by(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    pub(crate) fn body<'a>(&'a self, id: &'a RequestId) -> ProblemBody<'a> {
        ProblemBody {
            kind: format!("urn:nearfield:problem:{}", self.code.name()),
            title: self.code.title(),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id: id.as_str(),
        }
    }

    /// The code alone.
    pub(crate) fn word(self) -> Response {
        let mut response = Response::new(Body::from(format!("{{\"status\":\"{}\"}}", self.code.name())));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    pub(crate) fn response(self, id: &RequestId) -> Response {
        // Strings and a number: it cannot fail.
        let body = serde_json::to_vec(&self.body(id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow.and_then(|methods| methods.try_into().ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.code == Code::Unauthorized {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer, Basic realm=\"nearfield\""),
            );
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        // These messages are about what the caller sent. All others may name files or statements.
        let told = error.message().to_owned();
        let hidden = |code, detail: &'static str| Self::new(code, detail).caused_by(error.to_string());
        match error.kind() {
            ErrorKind::Invalid => Self::invalid(told),
            ErrorKind::NotFound => Self::new(Code::NotFound, told),
            ErrorKind::Conflict => Self::new(Code::Conflict, told),
            ErrorKind::Full => {
                hidden(Code::StorageFull, "the store has no room for this; free some, or raise its limit")
            }
            ErrorKind::Poisoned => {
                hidden(Code::ReadOnly, "a failed write made the store read-only; restart the server")
            }
            ErrorKind::Unavailable => Self {
                retry_after_s: Some(1),
                ..hidden(Code::Unavailable, "something that this needs is away; try again")
            },
            ErrorKind::Closed => hidden(Code::Unavailable, "the server is ending"),
            ErrorKind::Corrupt => hidden(
                Code::Internal,
                "stored bytes that this needs are damaged; the server's operator can repair them",
            ),
            _ => hidden(Code::Internal, "a fault in the server; its log has more under the request's id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_code_and_none_leaks_what_is_inside() {
        for (kind, code, status) in [
            (ErrorKind::Invalid, "invalid", 400),
            (ErrorKind::NotFound, "not_found", 404),
            (ErrorKind::AlreadyOpen, "internal", 500),
            (ErrorKind::Full, "storage_full", 507),
            (ErrorKind::Corrupt, "internal", 500),
            (ErrorKind::Poisoned, "read_only", 503),
            (ErrorKind::Unavailable, "unavailable", 503),
            (ErrorKind::Conflict, "conflict", 409),
            (ErrorKind::Closed, "unavailable", 503),
            (ErrorKind::Internal, "internal", 500),
        ] {
            let error = Error::new(kind, "told").with_source("SELECT secret FROM /etc/passwd");
            let problem = Problem::from(error);
            assert_eq!((problem.code.name(), problem.status.as_u16()), (code, status));
            let id = RequestId::new();
            let body = serde_json::to_value(problem.body(&id)).unwrap();
            assert!(!body.to_string().contains("SELECT"), "{body}");
            assert_eq!(body["code"], code);
            assert_eq!(body["type"], format!("urn:nearfield:problem:{code}"));
            assert_eq!(body["request_id"], id.as_str());
        }
        let full = Problem::from(Error::new(ErrorKind::Full, "cannot write to wal/01.wal"));
        assert!(!full.detail.contains("wal"), "{}", full.detail);
        assert!(full.cause.unwrap().contains("wal"));
    }
}
