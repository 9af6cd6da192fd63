//! Lines of JSON, a chunk each: our own format, in and out.
//!
//! `{"id", "document_id", "chunk_index", "text", "metadata", "tenant", "embedding_model", "vector" | "vector_b64"}`, all but the id
//! optional; `vector_b64` is the base64 of little-endian `f32`. Both forms keep every bit of a vector.

use super::ahead::{Ahead, RowReader};
use crate::error::Result;
use crate::import::input::{Parsed, bad, push_f32s};
use crate::import::lines::Lines;
use crate::import::source::{Entry, Extra, Place, Shape};
use crate::record::{Chunk, Floats};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) const BASE64: GeneralPurpose = STANDARD;

/// The fields of a chunk, as files with columns name them.
pub(super) const FIELDS: [&str; 8] =
    ["id", "document_id", "chunk_index", "text", "metadata", "tenant", "embedding_model", "vector"];

/// What a line may say.
#[derive(Default)]
pub(crate) struct Line {
    id: Option<String>,
    document_id: Option<String>,
    chunk_index: Option<u32>,
    text: Option<String>,
    metadata: Option<Map<String, Value>>,
    tenant: Option<String>,
    embedding_model: Option<String>,
    vector: Option<Floats>,
    vector_b64: Option<String>,
    /// Fields that a chunk does not have.
    extra: Map<String, Value>,
}

/// Not derived: collecting unknown fields would put all others through a value that is not as exact, and slower.
impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of a chunk")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Line, A::Error> {
        let mut line = Line::default();
        while let Some(key) = map.next_key::<String>()? {
            let is_new = match key.as_str() {
                "id" => std::mem::replace(&mut line.id, map.next_value()?).is_none(),
                "document_id" => std::mem::replace(&mut line.document_id, map.next_value()?).is_none(),
                "chunk_index" => std::mem::replace(&mut line.chunk_index, map.next_value()?).is_none(),
                "text" => std::mem::replace(&mut line.text, map.next_value()?).is_none(),
                "metadata" => std::mem::replace(&mut line.metadata, map.next_value()?).is_none(),
                "tenant" => std::mem::replace(&mut line.tenant, map.next_value()?).is_none(),
                "embedding_model" => {
                    std::mem::replace(&mut line.embedding_model, map.next_value()?).is_none()
                }
                "vector" => std::mem::replace(&mut line.vector, map.next_value()?).is_none(),
                "vector_b64" => std::mem::replace(&mut line.vector_b64, map.next_value()?).is_none(),
                _ => line.extra.insert(key.clone(), map.next_value()?).is_none(),
            };
            if !is_new {
                return Err(A::Error::custom(format!("the field {key:?} stands there twice")));
            }
        }
        Ok(line)
    }
}

impl Line {
    pub(crate) fn parse(line: &[u8], extra: Extra) -> Parsed<Self> {
        let line: Self = serde_json::from_slice(line).map_err(|e| format!("it is no chunk: {e}"))?;
        line.settle(extra)
    }

    /// The same of a value that was parsed before.
    pub(super) fn of(value: Value, extra: Extra) -> Parsed<Self> {
        // Vectors are read from text alone.
        Self::parse(value.to_string().as_bytes(), extra)
    }

    /// Does with fields that a chunk does not have what it was told.
    fn settle(mut self, extra: Extra) -> Parsed<Self> {
        let others = std::mem::take(&mut self.extra);
        match extra {
            Extra::Ignore => {}
            Extra::Refuse => {
                if let Some(name) = others.keys().next() {
                    return Err(format!(
                        "the field {name:?} is none of a chunk's; pass it over with --extra ignore, or keep it with --extra metadata"
                    ));
                }
            }
            Extra::Metadata => {
                let metadata = self.metadata.get_or_insert_default();
                for (name, value) in others {
                    if metadata.insert(name.clone(), value).is_some() {
                        return Err(format!("the field {name:?} is in its metadata already"));
                    }
                }
            }
        }
        Ok(self)
    }

    /// The chunk that it is by itself.
    pub(crate) fn chunk(mut self) -> Parsed<Chunk> {
        let vector = self.take_vector()?;
        let id = self.id.take().ok_or("it has no id")?;
        let mut chunk = self.beside(Chunk::new(id))?;
        chunk.vector = vector;
        Ok(chunk)
    }

    /// The chunk, which has its vector from elsewhere, with what the line says.
    pub(super) fn beside(self, chunk: Chunk) -> Parsed<Chunk> {
        if self.vector.is_some() || self.vector_b64.is_some() {
            return Err("it has a vector, and so has the file that it stands beside".to_owned());
        }
        Ok(Chunk {
            id: self.id.unwrap_or(chunk.id),
            vector: chunk.vector,
            text: self.text,
            document_id: self.document_id,
            chunk_index: self.chunk_index.unwrap_or(0),
            metadata: self.metadata.unwrap_or_default(),
            tenant: self.tenant,
            embedding_model: self.embedding_model,
        })
    }

    fn take_vector(&mut self) -> Parsed<Option<Vec<f32>>> {
        match (self.vector.take(), self.vector_b64.take()) {
            (Some(_), Some(_)) => Err("it has both vector and vector_b64; leave one away".to_owned()),
            (vector, None) => Ok(vector.map(|floats| floats.0)),
            (None, Some(text)) => {
                let bytes = BASE64.decode(text).map_err(|e| format!("vector_b64 is no base64: {e}"))?;
                if !bytes.len().is_multiple_of(4) {
                    return Err(format!(
                        "vector_b64 has {} bytes, which are no whole number of f32",
                        bytes.len()
                    ));
                }
                let mut vector = Vec::with_capacity(bytes.len() / 4);
                push_f32s(&bytes, &mut vector);
                Ok(Some(vector))
            }
        }
    }
}

pub(crate) struct Jsonl {
    path: PathBuf,
    lines: Lines,
    extra: Extra,
}

impl Jsonl {
    pub(crate) fn open(path: &Path, extra: Extra) -> Result<Ahead<Self>> {
        let jsonl = Self { path: path.to_owned(), lines: Lines::open(path)?, extra };
        Ahead::of(jsonl, Shape::default())
    }
}

impl RowReader for Jsonl {
    fn read(&mut self) -> Result<Option<Entry>> {
        loop {
            let Some(line) = self.lines.next().map_err(|what| bad(&self.path, what))? else {
                return Ok(None);
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let chunk = Line::parse(line, self.extra).and_then(Line::chunk);
            return Ok(Some(Entry { place: Place::Line(self.lines.number()), chunk }));
        }
    }
}
