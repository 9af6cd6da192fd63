//! A request as routes see it: names from its path, its query, its body. And the answer that they give.
//!
//! Invariant: what is not known is refused by name, in a query as in a body.

use super::problem::Problem;
use super::wire::Object;
use crate::Filter;
use crate::record::read_apart;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A request that was let in.
pub(crate) struct Call {
    /// Names in the path, decoded.
    pub(super) params: Vec<(String, String)>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What is left of the request's time.
    pub(super) patience: Duration,
}

impl Call {
    /// A name in the path; the route says which there are.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The body, which must be an object.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        read::<Object<T>>(&self.body).map(|Object(body)| body)
    }

    /// The same of a body that mostly has a vector as its field `vector`.
    pub(super) fn json_of_vector<T: DeserializeOwned>(
        &self,
        vector: impl FnOnce(&mut T) -> &mut Option<Vec<f32>>,
    ) -> Result<T, Problem> {
        read_apart(&self.body, vector).map_or_else(|| self.json(), Ok)
    }

    /// The body, which must be a list of objects.
    pub(super) fn list<'a, T: Deserialize<'a>>(&'a self) -> Result<Vec<Object<T>>, Problem> {
        read(&self.body)
    }

    /// The body; its defaults if there is none.
    pub(super) fn json_or_default<'a, T: Deserialize<'a> + Default>(&'a self) -> Result<T, Problem> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| Problem::invalid(format!("the body: {e}")))
}

/// The parameters behind the question mark.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (decode(key)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(Problem::invalid(format!("the query has {key:?} twice")));
            }
            pairs.push((key, value));
        }
        Ok(Self { pairs })
    }

    /// Refuses all but these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => {
                Err(Problem::invalid(format!("unknown parameter {key:?}; this takes none")))
            }
            Some((key, _)) => {
                Err(Problem::invalid(format!("unknown parameter {key:?}; this takes {}", known.join(", "))))
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        number
            .filter(|n| (1..=max).contains(n))
            .ok_or_else(|| Problem::invalid(format!("{name} is {text:?}; it must be 1 to {max}")))
    }

    /// Things joined by commas.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        self.get(name).unwrap_or_default().split(',').filter(|part| !part.is_empty()).collect()
    }

    /// A value as it would stand in JSON: `durable` reads as `"durable"`.
    pub(super) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let read = serde_json::from_value(text.into());
        read.map(Some).map_err(|e| Problem::invalid(format!("{name}: {e}")))
    }

    pub(super) fn filter(&self) -> Result<Option<Filter>, Problem> {
        self.get("filter").map(Filter::parse).transpose().map_err(Into::into)
    }
}

/// Undoes what a form does to text: `+` is a space, `%` begins a byte.
fn decode(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::invalid("the query is not URL-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err(wrong());
                };
                (high << 4 | low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// What a route answers; made where the route runs, so that no socket waits for it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media_type: &'static str,
    pub(super) body: Bytes,
    pub(super) location: Option<String>,
    /// What a page may do.
    pub(super) policy: Option<&'static str>,
}

pub(crate) const JSON: &str = "application/json";

impl Answer {
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|e| {
            Problem::new(super::problem::Code::Internal, "the answer cannot be told").caused_by(e.to_string())
        })?;
        Ok(Self { status, body: body.into(), ..Self::text(JSON, Bytes::new()) })
    }

    pub(super) fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, ..Self::text("", Bytes::new()) }
    }

    pub(super) fn text(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, media_type, body: body.into(), location: None, policy: None }
    }

    pub(super) fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    pub(super) fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.media_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        }
        if let Some(location) = self.location.and_then(|text| text.try_into().ok()) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(policy) = self.policy.and_then(|text| text.try_into().ok()) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_what_is_unknown_or_wrong_is_named() {
        let query = Query::parse(Some("filter=%7B%22a%22%3A+1%7D&limit=5&include=text,vector")).unwrap();
        assert_eq!(query.filter().unwrap().unwrap(), Filter::eq("a", 1));
        assert_eq!(query.number("limit", 100, 1_000).unwrap(), 5);
        assert_eq!(query.number("absent", 100, 1_000).unwrap(), 100);
        assert_eq!(query.list("include"), ["text", "vector"]);
        assert!(query.only(&["filter"]).unwrap_err().detail.contains("\"limit\""));
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=+1", "limit=", "limit=99999999999999999999"]
        {
            let query = Query::parse(Some(wrong)).unwrap();
            assert!(query.number("limit", 1, 1_000).unwrap_err().detail.contains("1 to 1000"), "{wrong}");
        }
        for wrong in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=1&a=2"] {
            assert!(Query::parse(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
