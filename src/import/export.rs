//! A collection into files that an import reads back, bit for bit.
//!
//! Invariants: all rows are of one state of the collection; a file has its name only when all of it is on the disk, so that nobody finds
//! half of one; the digest that is told is that of what was written.

use super::digest::Digest;
use super::formats::BASE64;
use super::input::extension;
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::record::RowRef;
use base64::Engine;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Of zstd: its own default.
const LEVEL: i32 = 3;
/// The head of a `.npy` file of ours; the number of rows is written last.
const NPY_HEAD_BYTES: usize = 128;

/// How a line says its vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum VectorForm {
    /// `vector_b64`: a third of the bytes of numbers in decimal.
    #[default]
    Base64,
    /// `vector`, for people and for programs that read nothing else.
    Json,
}

impl FromStr for VectorForm {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "b64" => Ok(Self::Base64),
            "json" => Ok(Self::Json),
            _ => Err(Error::invalid(format!("{s:?} is none of b64, json"))),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExportRequest {
    /// `.jsonl`, `.jsonl.zst`, or `.npy`.
    pub(crate) to: PathBuf,
    /// Ids, a line each, beside a `.npy`.
    pub(crate) ids: Option<PathBuf>,
    /// Everything but the vectors beside a `.npy`, a line of JSON each.
    pub(crate) docs: Option<PathBuf>,
    pub(crate) filter: Option<Filter>,
    pub(crate) form: VectorForm,
    /// Files that are there are replaced.
    pub(crate) yes: bool,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExportReport {
    pub(crate) collection: String,
    pub(crate) to: PathBuf,
    pub(crate) rows: u64,
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

/// Writes the rows of a collection.
pub(crate) fn export(
    collection: &Collection,
    request: &ExportRequest,
    tell: &mut dyn FnMut(u64),
) -> Result<ExportReport> {
    let all = |each: Each<'_>| collection.for_each(request.filter.as_ref(), each).map(drop);
    write(collection.name(), collection.schema().dim, request, tell, all)
}

/// Hears of every row.
type Each<'a> = &'a mut dyn FnMut(RowRef<'_>, Option<&[f32]>) -> Result<()>;

/// Writes the rows that `all` brings.
pub(super) fn write(
    name: &str,
    dim: usize,
    request: &ExportRequest,
    tell: &mut dyn FnMut(u64),
    all: impl FnOnce(Each<'_>) -> Result<()>,
) -> Result<ExportReport> {
    let start = std::time::Instant::now();
    let mut out = Output::open(request, dim)?;
    let mut digest = Digest::default();
    all(&mut |row, vector| {
        digest.add_ref(&row, vector);
        if digest.rows.is_multiple_of(1_024) {
            tell(digest.rows);
        }
        out.row(&row, vector)
    })?;
    tell(digest.rows);
    let bytes = out.finish(digest.rows, dim)?;
    Ok(ExportReport {
        collection: name.to_owned(),
        to: request.to.clone(),
        rows: digest.rows,
        digest: format!("{:016x}", digest.sum),
        bytes,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The files of one export, none of which has its name yet.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Output {
    Lines { out: Draft, form: VectorForm, line: Vec<u8> },
    Table { vectors: Draft, ids: Draft, docs: Option<Draft>, line: Vec<u8> },
}

impl Output {
    fn open(request: &ExportRequest, dim: usize) -> Result<Self> {
        let yes = request.yes;
        let line = Vec::new();
        if extension(&request.to) != "npy" {
            if request.ids.is_some() || request.docs.is_some() {
                return Err(Error::invalid("lines of JSON hold ids and texts: leave --ids and --docs away"));
            }
            let name = request.to.to_string_lossy();
            if ![".jsonl", ".jsonl.zst", ".ndjson", ".ndjson.zst"].iter().any(|end| name.ends_with(end)) {
                let message = format!("{name}: a collection is exported to .jsonl, .jsonl.zst or .npy");
                return Err(Error::invalid(message));
            }
            return Ok(Self::Lines { out: Draft::open(&request.to, yes)?, form: request.form, line });
        }
        let ids = request.ids.as_ref().ok_or_else(|| {
            Error::invalid("a .npy file holds vectors alone: name a file for their ids with --ids")
        })?;
        let mut vectors = Draft::open(&request.to, yes)?;
        vectors.write(&npy_head(0, dim))?;
        let docs = request.docs.as_ref().map(|path| Draft::open(path, yes)).transpose()?;
        Ok(Self::Table { vectors, ids: Draft::open(ids, yes)?, docs, line })
    }

    fn row(&mut self, row: &RowRef<'_>, vector: Option<&[f32]>) -> Result<()> {
        match self {
            Self::Lines { out, form, line } => {
                line.clear();
                push_object(line, row, vector, *form);
                line.push(b'\n');
                out.write(line)
            }
            Self::Table { vectors, ids, docs, line } => {
                let vector = vector.ok_or_else(|| without("has no vector", row.id))?;
                if row.id.contains(['\n', '\r']) {
                    return Err(without("has a line break in its id", row.id));
                }
                vectors.write(&le_bytes(vector))?;
                ids.write(row.id.as_bytes())?;
                ids.write(b"\n")?;
                let Some(docs) = docs else { return Ok(()) };
                line.clear();
                push_row(line, row, false);
                line.extend(b"}\n");
                docs.write(line)
            }
        }
    }

    /// Makes all of it durable and gives the files their names.
    fn finish(self, rows: u64, dim: usize) -> Result<u64> {
        match self {
            Self::Lines { out, .. } => out.finish(None),
            Self::Table { vectors, ids, docs, .. } => {
                // The vectors last: where they are, what belongs to them is.
                let mut bytes = ids.finish(None)?;
                if let Some(docs) = docs {
                    bytes += docs.finish(None)?;
                }
                Ok(bytes + vectors.finish(Some(&npy_head(rows, dim)))?)
            }
        }
    }
}

fn without(what: &str, id: &str) -> Error {
    let id = crate::error::excerpt(id);
    Error::invalid(format!("chunk {id} {what}, which a table cannot say: export to .jsonl"))
}

/// All of it.
pub(super) fn push_object(line: &mut Vec<u8>, row: &RowRef<'_>, vector: Option<&[f32]>, form: VectorForm) {
    // Whether a comma is needed is told by what stands before.
    let mut object = Vec::new();
    push_row(&mut object, row, true);
    match (vector, form) {
        (None, _) => {}
        (Some(vector), VectorForm::Json) => push_field(&mut object, "vector", &vector),
        (Some(vector), VectorForm::Base64) => {
            push_field(&mut object, "vector_b64", &BASE64.encode(le_bytes(vector)));
        }
    }
    object.push(b'}');
    line.append(&mut object);
}

/// Everything but the vector, the object left open.
fn push_row(line: &mut Vec<u8>, row: &RowRef<'_>, with_id: bool) {
    line.push(b'{');
    if with_id {
        push_field(line, "id", &row.id);
    }
    let texts = [("document_id", row.document), ("text", row.text), ("tenant", row.tenant)];
    for (name, value) in texts.into_iter().chain([("embedding_model", row.embedding_model)]) {
        if let Some(value) = value {
            push_field(line, name, &value);
        }
    }
    if row.chunk_index > 0 {
        push_field(line, "chunk_index", &row.chunk_index);
    }
    if !row.metadata.is_empty() {
        push_name(line, "metadata");
        // Canonical JSON already.
        line.extend(row.metadata.as_bytes());
    }
}

fn push_field(line: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    push_name(line, name);
    // Texts and finite numbers into memory: it cannot fail.
    let _ = serde_json::to_writer(line, value);
}

fn push_name(line: &mut Vec<u8>, name: &str) {
    if line.len() > 1 {
        line.push(b',');
    }
    line.extend(format!("\"{name}\":").bytes());
}

fn le_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The head of an array of `rows` rows; as many bytes whatever their number.
fn npy_head(rows: u64, dim: usize) -> Vec<u8> {
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend(((NPY_HEAD_BYTES - 10) as u16).to_le_bytes());
    head.extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}").bytes());
    head.resize(NPY_HEAD_BYTES - 1, b' ');
    head.push(b'\n');
    head
}

/// A file on its way: it has another name until all of it is durable, and goes if that never comes.
struct Draft {
    to: PathBuf,
    temporary: PathBuf,
    out: Option<Sink>,
    bytes: u64,
}

enum Sink {
    Plain(BufWriter<File>),
    Packed(zstd::Encoder<'static, BufWriter<File>>),
}

impl Draft {
    fn open(to: &Path, yes: bool) -> Result<Self> {
        if to.exists() && !yes {
            let message = format!("{} exists; name another file, or say --yes to replace it", to.display());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let name = to.file_name().and_then(|name| name.to_str()).unwrap_or("export");
        let temporary = to.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary).map_err(|e| failed(to, e))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let out = if extension(to) == "zst" {
            Sink::Packed(zstd::Encoder::new(file, LEVEL).map_err(|e| failed(to, e))?)
        } else {
            Sink::Plain(file)
        };
        Ok(Self { to: to.to_owned(), temporary, out: Some(out), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let done = match &mut self.out {
            Some(Sink::Plain(out)) => out.write_all(bytes),
            Some(Sink::Packed(out)) => out.write_all(bytes),
            None => Ok(()),
        };
        done.map_err(|e| failed(&self.to, e))
    }

    /// Puts `head` in the place of what was written first; says how many bytes the file has.
    fn finish(mut self, head: Option<&[u8]>) -> Result<u64> {
        self.bytes = self.settle(head).map_err(|e| failed(&self.to, e))?;
        Ok(self.bytes)
    }

    fn settle(&mut self, head: Option<&[u8]>) -> io::Result<u64> {
        let out = match self.out.take() {
            Some(Sink::Plain(out)) => out,
            Some(Sink::Packed(out)) => out.finish()?,
            None => return Ok(0),
        };
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        if let Some(head) = head {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(head)?;
        }
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        drop(file);
        fs::rename(&self.temporary, &self.to)?;
        let folder = self.to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It has its name, or nobody wants it.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn failed(path: &Path, cause: io::Error) -> Error {
    let kind =
        if cause.kind() == io::ErrorKind::StorageFull { ErrorKind::Full } else { ErrorKind::Unavailable };
    Error::new(kind, format!("{} cannot be written", path.display())).with_source(cause)
}
