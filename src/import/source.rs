//! A file of another store, as rows: what every format is brought to.
//!
//! Invariants: rows come in the order of the file, the same each time that it is opened; what is wrong with one row is that row's
//! and the next one follows; what is wrong with the file ends it, with its name and the place. A reader holds a row or a
//! buffer of the file, but where its module says otherwise.

use super::formats;
use super::input::bad;
use crate::config::Metric;
use crate::error::{Error, Result};
use crate::limits::DIM_MAX;
use crate::record::Chunk;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    Jsonl,
    Npy,
    Vecs,
    Csv,
    Parquet,
    HnswRs,
    Faiss,
    Hnswlib,
    Pickle,
}

impl Format {
    const NAMES: [(Self, &str); 9] = [
        (Self::Jsonl, "jsonl"),
        (Self::Npy, "npy"),
        (Self::Vecs, "vecs"),
        (Self::Csv, "csv"),
        (Self::Parquet, "parquet"),
        (Self::HnswRs, "hnsw-rs"),
        (Self::Faiss, "faiss"),
        (Self::Hnswlib, "hnswlib"),
        (Self::Pickle, "pickle"),
    ];

    /// By its name, and where that says nothing by its first bytes.
    pub(crate) fn guess(path: &Path, start: &[u8]) -> Option<Self> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let by_name = [
            (&[".jsonl", ".jsonl.zst", ".ndjson", ".ndjson.zst"][..], Self::Jsonl),
            (&[".npy"], Self::Npy),
            (&[".fvecs", ".bvecs"], Self::Vecs),
            (&[".csv"], Self::Csv),
            (&[".parquet", ".pq"], Self::Parquet),
            (&[".hnsw.data", ".hnsw.graph"], Self::HnswRs),
            (&[".faiss"], Self::Faiss),
            (&[".hnswlib"], Self::Hnswlib),
            (&[".pkl", ".pickle"], Self::Pickle),
        ];
        let named = by_name.into_iter().find(|(names, _)| ends(names)).map(|(_, format)| format);
        named.or(match start {
            [b'I', b'x' | b'H' | b'w' | b'v', ..] => Some(Self::Faiss),
            [0x93, b'N', b'U', b'M', ..] => Some(Self::Npy),
            b"PAR1" => Some(Self::Parquet),
            _ => None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(format, _)| format == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Format {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(_, name)| *name == s);
        found.map(|(format, _)| *format).ok_or_else(|| {
            let known: Vec<_> = Self::NAMES.iter().map(|(_, name)| *name).collect();
            Error::invalid(format!("format {s:?} is not known; use one of {}", known.join(", ")))
        })
    }
}

/// What to do with fields that a chunk does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Extra {
    /// The row is refused: nothing is lost in silence.
    #[default]
    Refuse,
    Ignore,
    /// They go into the metadata.
    Metadata,
}

impl FromStr for Extra {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "refuse" => Ok(Self::Refuse),
            "ignore" => Ok(Self::Ignore),
            "metadata" => Ok(Self::Metadata),
            _ => Err(Error::invalid(format!("{s:?} is none of refuse, ignore, metadata"))),
        }
    }
}

/// Which files, and how they are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Spec {
    pub(crate) path: PathBuf,
    /// What it is; guessed if nothing is said.
    pub(crate) format: Option<Format>,
    /// Ids by row: lines, or whole numbers in `.npy` or `.ivecs`.
    pub(crate) ids: Option<PathBuf>,
    /// Everything but the vectors by row: lines of JSON.
    pub(crate) docs: Option<PathBuf>,
    pub(crate) extra: Extra,
    /// Of CSV and Parquet: `(field, column)`.
    pub(crate) columns: Vec<(String, String)>,
    /// Of rows that name none.
    pub(crate) tenant: Option<String>,
    /// The same.
    pub(crate) embedding_model: Option<String>,
}

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Shape {
    /// Nothing if no row has a vector.
    pub(crate) dim: Option<usize>,
    pub(crate) metric: Option<Metric>,
    /// How many rows there are; nothing if only reading can tell.
    pub(crate) rows: Option<u64>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// Counted from 1, as editors do.
    Line(u64),
    /// Counted from 0, and where its bytes begin.
    Row(u64, u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(n) => write!(f, "line {n}"),
            Self::Row(n, at) => write!(f, "row {n} (at byte {at})"),
        }
    }
}

/// A row, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) chunk: std::result::Result<Chunk, String>,
}

/// A file that is read.
pub(crate) trait Rows: Send {
    fn shape(&self) -> &Shape;

    /// The next row; `None` after the last, when the end of the file was looked at, too.
    fn next(&mut self) -> Result<Option<Entry>>;
}

/// Opens the files of `spec`. What is wrong with their heads is said here.
pub(crate) fn open(spec: &Spec) -> Result<Box<dyn Rows>> {
    let format = match spec.format {
        Some(format) => format,
        None => guess(&spec.path)?,
    };
    let rows = formats::open(format, spec)?;
    if let Some(dim) = rows.shape().dim.filter(|dim| !(1..=DIM_MAX).contains(dim)) {
        let what = format!("its vectors have {dim} dimensions; 1 to {DIM_MAX} can be stored: shorten them");
        return Err(bad(&spec.path, what));
    }
    Ok(Box::new(Filled { rows, tenant: spec.tenant.clone(), model: spec.embedding_model.clone() }))
}

fn guess(path: &Path) -> Result<Format> {
    if path.is_dir() {
        return Ok(Format::Pickle);
    }
    if formats::hnsw_rs::is_dump(path) {
        return Ok(Format::HnswRs);
    }
    let (file, _) = super::input::regular(path)?;
    let mut start = Vec::new();
    // A file that cannot be read says so when it is.
    let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, 4), &mut start);
    Format::guess(path, &start).ok_or_else(|| {
        bad(path, "neither its name nor its first bytes say what it is: name its format with --format")
    })
}

/// Rows that get what they lack.
struct Filled {
    rows: Box<dyn Rows>,
    tenant: Option<String>,
    model: Option<String>,
}

impl Rows for Filled {
    fn shape(&self) -> &Shape {
        self.rows.shape()
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        let mut entry = self.rows.next()?;
        if let Some(Entry { chunk: Ok(chunk), .. }) = &mut entry {
            if chunk.tenant.is_none() {
                chunk.tenant.clone_from(&self.tenant);
            }
            if chunk.embedding_model.is_none() && chunk.vector.is_some() {
                chunk.embedding_model.clone_from(&self.model);
            }
        }
        Ok(entry)
    }
}
