//! Comma-separated values (RFC 4180) with a header row.
//!
//! Columns are named as the fields of a chunk, or are mapped to them (`--columns text=body`). The vector is a column of JSON arrays, or
//! the columns `v0` to `vN`; `metadata` holds a JSON object. A record is held as a whole, up to the length of a line.

use super::ahead::{Ahead, RowReader};
use super::jsonl::{FIELDS, Line};
use crate::error::{Error, Result};
use crate::import::input::{Parsed, bad, regular};
use crate::import::lines::LINE_BYTES_MAX;
use crate::import::source::{Entry, Extra, Place, Shape, Spec};
use crate::record::Chunk;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// What the columns of a vector begin with.
const PREFIX: &str = "v";

/// The fields of one record after the other.
pub(super) struct Records<R> {
    input: R,
    /// Where the next record begins.
    pub(super) line: u64,
}

/// What a column is.
#[derive(Clone, Debug, PartialEq)]
enum Column {
    Field(&'static str),
    Value(usize),
    Extra(String),
}

pub(crate) struct Csv {
    path: PathBuf,
    records: Records<BufReader<std::fs::File>>,
    columns: Vec<Column>,
    /// Columns of values, if the vector is spread over them.
    values: usize,
    extra: Extra,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 1 }
    }

    /// The next record; `None` after the last. Blank lines are passed over.
    pub(super) fn next(&mut self) -> Parsed<Option<Vec<String>>> {
        loop {
            let from = self.line;
            let Some(bytes) = self.record()? else { return Ok(None) };
            if bytes.is_empty() {
                continue;
            }
            let fields = fields(&bytes).map_err(|what| format!("line {from}: {what}"))?;
            return Ok(Some(fields));
        }
    }

    /// The bytes of one record without its end: lines, until no quote is open.
    fn record(&mut self) -> Parsed<Option<Vec<u8>>> {
        let (from, mut bytes) = (self.line, Vec::new());
        loop {
            let room = (LINE_BYTES_MAX - bytes.len()) as u64 + 1;
            let n = self.input.by_ref().take(room).read_until(b'\n', &mut bytes);
            let n = n.map_err(|e| format!("line {}: {e}", self.line))?;
            if bytes.len() > LINE_BYTES_MAX {
                return Err(format!(
                    "line {from}: the record is longer than {LINE_BYTES_MAX} bytes: is a quote not closed?"
                ));
            }
            let is_open = bytes.iter().filter(|&&b| b == b'"').count() % 2 == 1;
            if n == 0 {
                return match (bytes.is_empty(), is_open) {
                    (true, _) => Ok(None),
                    (false, true) => {
                        Err(format!("line {from}: a quote is not closed at the end of the file"))
                    }
                    (false, false) => Ok(Some(bytes)),
                };
            }
            self.line += 1;
            if !is_open {
                while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                    bytes.pop();
                }
                return Ok(Some(bytes));
            }
        }
    }
}

/// The fields of a record.
fn fields(record: &[u8]) -> Parsed<Vec<String>> {
    let (mut fields, mut rest) = (Vec::new(), record);
    loop {
        let (field, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.iter().position(|&b| b == b',').unwrap_or(rest.len());
                if rest[..end].contains(&b'"') {
                    return Err(format!("field {}: a quote within a field without quotes", fields.len() + 1));
                }
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        let n = fields.len() + 1;
        fields.push(String::from_utf8(field).map_err(|_| format!("field {n} is not UTF-8"))?);
        match after {
            [] => return Ok(fields),
            [b',', more @ ..] => rest = more,
            _ => return Err(format!("field {n}: text after its closing quote")),
        }
    }
}

/// A field whose opening quote was read, and what follows its closing quote.
fn quoted_field(mut rest: &[u8]) -> Parsed<(Vec<u8>, &[u8])> {
    let mut field = Vec::new();
    loop {
        let end = rest.iter().position(|&b| b == b'"').ok_or("a quote is not closed")?;
        field.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"\"") {
            Some(more) => {
                field.push(b'"');
                rest = more;
            }
            None => return Ok((field, rest)),
        }
    }
}

impl Csv {
    pub(crate) fn open(spec: &Spec) -> Result<Ahead<Self>> {
        let path = spec.path.clone();
        let (file, _) = regular(&path)?;
        let mut records = Records::new(BufReader::with_capacity(1 << 18, file));
        let header = records.next().map_err(|what| bad(&path, what))?;
        let header = header.ok_or_else(|| bad(&path, "is empty: it has no header row"))?;
        let columns = columns(&header, &spec.columns, spec.extra).map_err(|what| bad(&path, what))?;
        let values = columns.iter().filter(|column| matches!(column, Column::Value(_))).count();
        let dim = (values > 0).then_some(values);
        let shape = Shape { dim, ..Shape::default() };
        Ahead::of(Self { path, records, columns, values, extra: spec.extra }, shape)
    }

    fn chunk(&self, record: Vec<String>) -> Parsed<Chunk> {
        let (found, wanted) = (record.len(), self.columns.len());
        if found != wanted {
            return Err(format!("it has {found} fields and the header has {wanted}"));
        }
        let (mut object, mut others) = (Map::new(), Map::new());
        let mut vector = vec![0.0; self.values];
        for (column, text) in self.columns.iter().zip(record) {
            match column {
                Column::Value(nth) => {
                    let value = text.trim().parse();
                    vector[*nth] = value.map_err(|_| format!("value {nth} of its vector is {text:?}"))?;
                }
                // An empty field says nothing.
                Column::Field(_) | Column::Extra(_) if text.is_empty() => {}
                Column::Field("vector") => vector = parsed("vector", &text)?,
                Column::Field(name @ ("metadata" | "chunk_index")) => {
                    object.insert((*name).to_owned(), parsed(name, text.trim())?);
                }
                Column::Field(name) => drop(object.insert((*name).to_owned(), Value::String(text))),
                Column::Extra(name) => drop(others.insert(name.clone(), Value::String(text))),
            }
        }
        let mut chunk = Line::of(Value::Object(object), self.extra)?.chunk()?;
        chunk.vector = (!vector.is_empty()).then_some(vector);
        // Beside the fields and not among them: a column may be called as one is, and be another.
        for (name, value) in others.into_iter().filter(|_| self.extra == Extra::Metadata) {
            if chunk.metadata.insert(name.clone(), value).is_some() {
                return Err(format!("the field {name:?} is in its metadata already"));
            }
        }
        Ok(chunk)
    }
}

impl RowReader for Csv {
    fn read(&mut self) -> Result<Option<Entry>> {
        let line = self.records.line;
        let record = self.records.next().map_err(|what| bad(&self.path, what))?;
        let Some(record) = record else { return Ok(None) };
        Ok(Some(Entry { place: Place::Line(line), chunk: self.chunk(record) }))
    }
}

fn parsed<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Parsed<T> {
    serde_json::from_str(text).map_err(|e| format!("{name} is no JSON of its kind: {e}"))
}

/// What each column of the header is.
fn columns(header: &[String], mapped: &[(String, String)], extra: Extra) -> Parsed<Vec<Column>> {
    let mut names: Vec<(&'static str, &str)> = FIELDS.iter().map(|field| (*field, *field)).collect();
    let mut prefix = PREFIX;
    for (field, column) in mapped {
        let known = names.iter_mut().find(|(name, _)| name == field);
        let known =
            known.ok_or_else(|| format!("{field:?} is no field of a chunk: {}", FIELDS.join(", ")))?;
        match column.strip_suffix('*').filter(|_| field == "vector") {
            Some(stem) => prefix = stem,
            None if !header.contains(column) => {
                return Err(format!(
                    "has no column {column:?}, which --columns names; it has {}",
                    header.join(", ")
                ));
            }
            None => known.1 = column,
        }
    }
    let numbered = |name: &str| {
        name.strip_prefix(prefix).and_then(|n| n.parse::<usize>().ok().filter(|k| k.to_string() == n))
    };
    let has_vector =
        names.iter().any(|(field, column)| *field == "vector" && header.iter().any(|name| name == column));
    let mut found = Vec::new();
    for name in header {
        let field = names.iter().find(|(_, column)| column == name);
        found.push(match (field, numbered(name).filter(|_| !has_vector)) {
            (Some((field, _)), _) => Column::Field(field),
            (None, Some(nth)) => Column::Value(nth),
            (None, None) => Column::Extra(name.clone()),
        });
    }
    for (nth, column) in found.iter().enumerate() {
        if found[..nth].contains(column) {
            return Err(format!("its header has the column {:?} twice", header[nth]));
        }
    }
    let values = found.iter().filter(|column| matches!(column, Column::Value(_))).count();
    if let Some(gap) = (0..values).find(|nth| !found.contains(&Column::Value(*nth))) {
        return Err(format!("its header has {values} columns of a vector, but no {prefix}{gap}"));
    }
    if !found.contains(&Column::Field("id")) {
        return Err(format!(
            "has no column of ids; name one with --columns id=NAME. It has {}",
            header.join(", ")
        ));
    }
    if extra == Extra::Refuse
        && let Some(Column::Extra(name)) = found.iter().find(|column| matches!(column, Column::Extra(_)))
    {
        return Err(format!(
            "the column {name:?} is no field of a chunk; map it with --columns, pass it over with --extra ignore, or keep it \
             with --extra metadata"
        ));
    }
    Ok(found)
}

/// `field=column,..` as it stands on a command line.
pub(crate) fn mapping(text: &str) -> Result<(String, String)> {
    let parts = text.split_once('=').filter(|(field, column)| !field.is_empty() && !column.is_empty());
    let (field, column) =
        parts.ok_or_else(|| Error::invalid(format!("{text:?} is not FIELD=COLUMN, such as text=body")))?;
    Ok((field.to_owned(), column.to_owned()))
}
