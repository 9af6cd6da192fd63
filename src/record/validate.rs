//! The check at the door: a chunk becomes a row, or is refused with a reason that names the value, the limit, the remedy.
//!
//! Everything that Postgres or pgvector would refuse is refused here (M14), so that no row can be accepted, acknowledged
//! and then stick in the mirror for ever. Lone surrogates, which `jsonb` refuses, need no check: a Rust string cannot
//! hold one, and the JSON parser refuses them.

use super::canonical::{self, Map};
use super::chunk::Chunk;
use super::num::Num;
use super::row::{Payload, Row};
use crate::error::{Error, excerpt};
use crate::ids::ChunkId;
use crate::limits::*;
use serde_json::Value;
use std::sync::Arc;

/// Why a chunk was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: String,
}

type Check<T = ()> = Result<T, Rejection>;

/// The row that `chunk` is, in a collection of `dim` dimensions.
pub(crate) fn admit(chunk: Chunk, dim: usize, cosine: bool) -> Check<Row> {
    let Chunk { id, vector, text, document_id, chunk_index, metadata, tenant, embedding_model } = chunk;
    check_name("id", &id)?;
    match &vector {
        Some(vector) => check_vector(vector, dim, cosine)?,
        None if text.as_ref().is_none_or(String::is_empty) => {
            return refuse("neither a vector nor a text; give at least one");
        }
        None => {}
    }
    if let Some(text) = &text {
        check_text(text)?;
    }
    if chunk_index > CHUNK_INDEX_MAX {
        return refuse(format!("chunk_index is {chunk_index}; the limit is {CHUNK_INDEX_MAX}"));
    }
    let payload = Payload {
        text: text.map(Into::into),
        metadata: canonical_metadata(&metadata)?.into(),
        document: shared("document_id", document_id)?,
        chunk_index,
        tenant: shared("tenant", tenant)?,
        embedding_model: shared("embedding_model", embedding_model)?,
    };
    Ok(Row { id: ChunkId::from(id.as_str()), vector, payload: payload.boxed() })
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::invalid(rejection.reason)
    }
}

fn refuse<T>(reason: impl Into<String>) -> Check<T> {
    Err(Rejection { reason: reason.into() })
}

fn check_name(what: &str, name: &str) -> Check {
    match name.len() {
        0 => refuse(format!("{what} is empty; give 1 to {ID_BYTES_MAX} bytes")),
        1..=ID_BYTES_MAX => check_nul(what, name),
        len => refuse(format!("{what} has {len} bytes; the limit is {ID_BYTES_MAX}")),
    }
}

fn shared(what: &str, name: Option<String>) -> Check<Option<Arc<str>>> {
    let Some(name) = name else { return Ok(None) };
    check_name(what, &name)?;
    Ok(Some(name.into()))
}

fn check_nul(what: &str, s: &str) -> Check {
    match s.as_bytes().iter().position(|&b| b == 0) {
        Some(at) => refuse(format!("{what} holds \\u0000 at byte {at}; Postgres cannot store it: remove it")),
        None => Ok(()),
    }
}

fn check_text(text: &str) -> Check {
    let len = text.len();
    if len > TEXT_BYTES_MAX {
        return refuse(format!("text has {len} bytes; the limit is {TEXT_BYTES_MAX}: split it into chunks"));
    }
    check_nul("text", text)
}

fn check_vector(vector: &[f32], dim: usize, cosine: bool) -> Check {
    if vector.len() != dim {
        let len = vector.len();
        return refuse(format!("vector has {len} dimensions; the collection has {dim}"));
    }
    // An f64 holds the square of every f32, so only a NaN or an infinity makes the sum unreal.
    let norm = norm_squared(vector);
    if !norm.is_finite() {
        let at = vector.iter().position(|x| !x.is_finite()).unwrap_or_default();
        return refuse(format!("vector[{at}] is {}; every element must be finite", vector[at]));
    }
    if norm > VECTOR_NORM_SQUARED_MAX {
        return refuse(format!(
            "vector has a squared length of {norm:e}; the limit is {VECTOR_NORM_SQUARED_MAX:e}, beyond which \
             distances overflow: scale your vectors down"
        ));
    }
    if cosine && norm == 0.0 {
        return refuse("vector is all zeros and has no direction, which cosine needs: leave such chunks out");
    }
    if cosine && norm < VECTOR_NORM_SQUARED_MIN {
        return refuse(format!(
            "vector has a squared length of {norm:e}; the minimum for cosine is {VECTOR_NORM_SQUARED_MIN:e}, below \
             which its direction is lost: scale it up, cosine ignores length"
        ));
    }
    Ok(())
}

/// In eight lanes, so that the compiler may use wide registers: this runs once per row at millions of rows.
fn norm_squared(vector: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let mut lanes = [0.0; 8];
    let (wide, rest) = vector.as_chunks::<8>();
    for part in wide {
        for (lane, &x) in lanes.iter_mut().zip(part) {
            *lane += square(x);
        }
    }
    lanes.into_iter().sum::<f64>() + rest.iter().map(|&x| square(x)).sum::<f64>()
}

fn canonical_metadata(map: &Map) -> Check<String> {
    // First, because the writer recurses.
    check_object(map, 1)?;
    let text = canonical::of_metadata(map);
    let len = text.len();
    if len > METADATA_BYTES_MAX {
        return refuse(format!(
            "metadata has {len} bytes as canonical JSON; the limit is {METADATA_BYTES_MAX}: put long content into text"
        ));
    }
    Ok(text)
}

fn check_object(map: &Map, depth: usize) -> Check {
    check_depth(depth)?;
    for (key, value) in map {
        check_nul("a metadata key", key)?;
        check_value(key, value, depth)?;
    }
    Ok(())
}

fn check_value(key: &str, value: &Value, depth: usize) -> Check {
    match value {
        Value::String(s) if s.as_bytes().contains(&0) => check_nul(&format!("metadata {}", excerpt(key)), s),
        Value::Number(n) if Num::of(n).is_none() => {
            refuse(format!("metadata {} is beyond a 64-bit float: store it as a string", excerpt(key)))
        }
        Value::Array(items) => {
            check_depth(depth + 1)?;
            items.iter().try_for_each(|item| check_value(key, item, depth + 1))
        }
        Value::Object(map) => check_object(map, depth + 1),
        _ => Ok(()),
    }
}

fn check_depth(depth: usize) -> Check {
    if depth > METADATA_DEPTH_MAX {
        return refuse(format!(
            "metadata is nested deeper than the limit of {METADATA_DEPTH_MAX}: flatten it"
        ));
    }
    Ok(())
}
