//! The folder of a small Python vector store: `vectors.pkl`, a pickle of the vectors, and `metadata.json`, their texts and metadata.
//!
//! Read are, of vectors: a list of vectors or an array with two dimensions, a dictionary from id to vector, and a dictionary with `vectors`
//! (or `embeddings`) and perhaps `ids`. A vector is a list or tuple of numbers, or a NumPy array of floats. Of metadata: a list of
//! entries in the same order, a dictionary from id to entry, and a dictionary of lists (`ids`, `texts` or `documents`, `metadatas`). An
//! entry is `{id, text | page_content | content, metadata, document_id, chunk_index}`; without `metadata` its other fields are the
//! metadata. Such a store compares by cosine.
//!
//! A pickle cannot be read in parts: both files are held in memory.

use super::jsonl::Line;
use super::pickle::{Array, Node, Pickle, Ref};
use crate::config::Metric;
use crate::error::Result;
use crate::import::input::{Input, Parsed, bad};
use crate::import::source::{Entry, Extra, Place, Rows, Shape, Spec};
use crate::record::Chunk;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const VECTORS: &str = "vectors.pkl";
const METADATA: &str = "metadata.json";
/// What the text of an entry may be called.
const TEXTS: [&str; 4] = ["text", "page_content", "content", "document"];

/// Where the vectors are within a pickle.
enum Vectors {
    Each(Vec<Ref>),
    Matrix(Array),
}

pub(crate) struct Store {
    pickle: Pickle,
    vectors: Vectors,
    ids: Option<Vec<String>>,
    entries: Vec<Value>,
    extra: Extra,
    shape: Shape,
    next: usize,
}

impl Store {
    pub(crate) fn open(spec: &Spec) -> Result<Self> {
        let (pkl, json) = files(&spec.path);
        let mut input = Input::open(&pkl)?;
        let bytes = input.bytes(input.len(), "pickle").map_err(|what| bad(&pkl, what))?;
        let pickle = Pickle::read(bytes).map_err(|what| bad(&pkl, what))?;
        let (vectors, ids) = vectors_of(&pickle).map_err(|what| bad(&pkl, what))?;
        let rows = match &vectors {
            Vectors::Each(vectors) => vectors.len(),
            Vectors::Matrix(array) => array.shape[0],
        };
        if rows == 0 {
            return Err(bad(&pkl, "holds no vectors"));
        }
        let entries = match json.exists() {
            true => entries(&json, ids.as_deref(), rows)?,
            false => (0..rows).map(|_| Value::Object(Map::new())).collect(),
        };
        let mut store =
            Self { pickle, vectors, ids, entries, extra: spec.extra, shape: Shape::default(), next: 0 };
        store.shape = Shape {
            dim: (0..rows).find_map(|row| store.vector(row).ok()).map(|vector| vector.len()),
            metric: Some(Metric::Cosine),
            rows: Some(rows as u64),
            notes: vec!["a pickle and its metadata, read as data: nothing in it is run".to_owned()],
        };
        if !json.exists() {
            store.shape.notes.push(format!("{} is not there: vectors alone", json.display()));
        }
        Ok(store)
    }

    fn vector(&self, row: usize) -> Parsed<Vec<f32>> {
        let at = match &self.vectors {
            Vectors::Matrix(array) => return Ok(self.pickle.array_row(array, row)),
            Vectors::Each(vectors) => vectors[row],
        };
        if let Some(array) = self.pickle.array(at).filter(|array| array.shape.len() == 1) {
            return Ok(self.pickle.array_row(&array, 0));
        }
        let items = self.pickle.items(at).ok_or(
            "its vector is neither a list of numbers nor a NumPy array of little-endian floats in C order",
        )?;
        let number = |(nth, item): (usize, &Ref)| {
            let number = self.pickle.number(*item);
            number.map(|x| x as f32).ok_or_else(|| format!("value {nth} of its vector is no number"))
        };
        items.iter().enumerate().map(number).collect()
    }

    fn chunk(&mut self, row: usize) -> Parsed<Chunk> {
        let vector = self.vector(row)?;
        let entry = std::mem::take(&mut self.entries[row]);
        let id = self.ids.as_ref().map(|ids| ids[row].clone());
        let mut chunk = Line::of(entry_of(entry)?, self.extra)?
            .beside(Chunk::new(id.clone().unwrap_or_else(|| row.to_string())).vector(vector))?;
        // What the vectors say of themselves counts.
        if let Some(id) = id {
            chunk.id = id;
        }
        Ok(chunk)
    }
}

impl Rows for Store {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        let row = self.next;
        if row as u64 >= self.shape.rows.unwrap_or_default() {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(Entry { place: Place::Row(row as u64, 0), chunk: self.chunk(row) }))
    }
}

/// The two files of a store: of its folder, or beside one of them.
fn files(path: &Path) -> (PathBuf, PathBuf) {
    if path.is_dir() {
        return (path.join(VECTORS), path.join(METADATA));
    }
    (path.to_owned(), path.with_file_name(METADATA))
}

fn vectors_of(pickle: &Pickle) -> Parsed<(Vectors, Option<Vec<String>>)> {
    let Node::Dict(pairs) = pickle.node(pickle.top) else {
        return Ok((each(pickle, pickle.top)?, None));
    };
    let named = |names: &[&str]| {
        let is = |key: Ref| pickle.text(key).is_some_and(|key| names.contains(&key));
        pairs.iter().find(|(key, _)| is(*key)).map(|(_, value)| *value)
    };
    if let Some(vectors) = named(&["vectors", "embeddings"]) {
        let vectors = each(pickle, vectors)?;
        let Some(ids) = named(&["ids"]) else { return Ok((vectors, None)) };
        let ids = pickle.items(ids).ok_or("its ids are no list")?;
        let ids: Parsed<Vec<String>> = ids.iter().map(|id| id_of(pickle, *id)).collect();
        let (ids, rows) = (ids?, rows_of(&vectors));
        if ids.len() != rows {
            return Err(format!("has {} ids for {rows} vectors", ids.len()));
        }
        return Ok((vectors, Some(ids)));
    }
    let ids: Parsed<Vec<String>> = pairs.iter().map(|(id, _)| id_of(pickle, *id)).collect();
    Ok((Vectors::Each(pairs.iter().map(|(_, vector)| *vector).collect()), Some(ids?)))
}

fn rows_of(vectors: &Vectors) -> usize {
    match vectors {
        Vectors::Each(vectors) => vectors.len(),
        Vectors::Matrix(array) => array.shape[0],
    }
}

fn each(pickle: &Pickle, at: Ref) -> Parsed<Vectors> {
    if let Some(array) = pickle.array(at).filter(|array| array.shape.len() == 2 && array.shape[1] > 0) {
        return Ok(Vectors::Matrix(array));
    }
    let items = pickle.items(at).ok_or(
        "holds neither a list nor a dictionary of vectors, nor a NumPy array of little-endian floats in C order with two \
         dimensions: save the vectors with numpy.save, and import that file",
    )?;
    Ok(Vectors::Each(items.to_vec()))
}

fn id_of(pickle: &Pickle, at: Ref) -> Parsed<String> {
    if let Node::Int(n) = pickle.node(at) {
        return Ok(n.to_string());
    }
    pickle.text(at).map(str::to_owned).ok_or_else(|| "an id is neither a text nor a whole number".to_owned())
}

/// The entry of each row.
fn entries(path: &Path, ids: Option<&[String]>, rows: usize) -> Result<Vec<Value>> {
    let mut input = Input::open(path)?;
    let bytes = input.bytes(input.len(), "metadata").map_err(|what| bad(path, what))?;
    let value = serde_json::from_slice(&bytes);
    let value: Value = value.map_err(|e| {
        bad(
            path,
            format!(
                "it is no JSON: {e}. If the store encrypts its metadata, have it write them in the clear"
            ),
        )
    })?;
    let entries = match value {
        Value::Array(entries) => Ok(entries),
        Value::Object(map) if map.values().all(Value::is_array) && !map.is_empty() => columns(map, rows),
        Value::Object(map) => by_id(map, ids),
        other => Err(format!(
            "holds {}, not entries. If the store encrypts its metadata, have it write them in the clear",
            crate::error::excerpt(&other.to_string())
        )),
    };
    let entries = entries.map_err(|what| bad(path, what))?;
    if entries.len() != rows {
        return Err(bad(path, format!("has {} entries for {rows} vectors", entries.len())));
    }
    Ok(entries)
}

/// Lists side by side.
fn columns(map: Map<String, Value>, rows: usize) -> Parsed<Vec<Value>> {
    let mut entries = vec![Map::new(); rows];
    for (name, values) in map {
        let field = match name.as_str() {
            "ids" => "id",
            "texts" | "documents" => "text",
            "metadatas" | "metadata" => "metadata",
            _ => {
                return Err(format!("has a list {name:?}; ids, texts (or documents) and metadatas are read"));
            }
        };
        let Value::Array(values) = values else { return Err(format!("{name:?} is no list")) };
        if values.len() != rows {
            return Err(format!("has {} {name} for {rows} vectors", values.len()));
        }
        for (entry, value) in entries.iter_mut().zip(values) {
            entry.insert(field.to_owned(), value);
        }
    }
    Ok(entries.into_iter().map(Value::Object).collect())
}

/// Entries under their ids, in the order of the vectors.
fn by_id(map: Map<String, Value>, ids: Option<&[String]>) -> Parsed<Vec<Value>> {
    let Some(ids) = ids else {
        return Err(
            "has its entries under ids, but the vectors have none: nobody knows whose they are".to_owned()
        );
    };
    let mut map: HashMap<String, Value> = map.into_iter().collect();
    let mut taken = Vec::with_capacity(ids.len());
    for id in ids {
        taken.push(map.remove(id).ok_or_else(|| format!("has no entry of {}", crate::error::excerpt(id)))?);
    }
    match map.keys().next() {
        Some(id) => Err(format!("has an entry of {}, which no vector has", crate::error::excerpt(id))),
        None => Ok(taken),
    }
}

/// An entry as a line of ours would have it.
fn entry_of(entry: Value) -> Parsed<Value> {
    let Value::Object(mut entry) = entry else { return Err("its entry is no object".to_owned()) };
    let mut line = Map::new();
    if let Some(name) = TEXTS.into_iter().find(|name| entry.get(*name).is_some_and(Value::is_string)) {
        line.extend(entry.remove(name).map(|text| ("text".to_owned(), text)));
    }
    for name in ["id", "document_id", "chunk_index"] {
        if let Some(value) = entry.remove(name) {
            let is_number = name == "id" && value.is_number();
            line.insert(name.to_owned(), if is_number { Value::String(value.to_string()) } else { value });
        }
    }
    match entry.remove("metadata") {
        Some(Value::Object(metadata)) => {
            line.insert("metadata".to_owned(), Value::Object(metadata));
            line.extend(entry);
        }
        Some(Value::Null) => line.extend(entry),
        Some(_) => return Err("its metadata are no object".to_owned()),
        None => drop(line.insert("metadata".to_owned(), Value::Object(entry))),
    }
    Ok(Value::Object(line))
}
