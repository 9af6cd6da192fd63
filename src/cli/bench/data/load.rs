//! Which files a run reads, and whether they belong together.

use super::{Doc, Matrix, NO_ROW, Neighbours, Parsed, bad, matrix, metadata, neighbours};
use crate::cli::bench::args::SearchArgs;
use crate::import::Lines;
use crate::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Everything a run reads or makes before it builds.
pub(in super::super) struct Workload {
    pub(in super::super) source: String,
    pub(in super::super) base: Matrix,
    pub(in super::super) queries: Matrix,
    pub(in super::super) truth: Option<Neighbours>,
    pub(in super::super) metadata: Option<Vec<Map<String, Value>>>,
}

/// The files of a run, from the flags and the folder; `None` when the data are to be generated.
pub(in super::super) fn load(args: &SearchArgs) -> Result<Option<Workload>> {
    let Some(files) = Files::of(args)? else { return Ok(None) };
    let base = matrix(&files.base)?;
    let queries = matrix(&files.queries)?;
    if base.dim != queries.dim {
        let (b, q) = (files.base.display(), files.queries.display());
        return Err(Error::invalid(format!(
            "{b} has {} dimensions and {q} has {}: they must agree",
            base.dim, queries.dim
        )));
    }
    let truth = files.truth.as_deref().map(neighbours).transpose()?;
    if let (Some(truth), Some(path)) = (&truth, &files.truth) {
        check_truth(truth, queries.rows(), base.rows(), args.k).map_err(|what| bad(path, what))?;
    }
    let metadata = files
        .metadata
        .as_deref()
        .map(|path| metadata::read(Lines::open(path)?, base.rows()).map_err(|what| bad(path, what)));
    let source = files.base.display().to_string();
    Ok(Some(Workload { source, base, queries, truth, metadata: metadata.transpose()? }))
}

/// Lines of JSON, packed or not.
const DOCS: [&str; 2] = ["docs.jsonl", "docs.jsonl.zst"];

/// Vectors and, where there are any, documents: those of `docs`, or of the folder.
pub(in super::super) fn load_docs(folder: &Path, docs: Option<&Path>) -> Result<(Matrix, Option<Vec<Doc>>)> {
    let base = matrix(&first_of(folder, &["base.f16.npy", "base.f32.npy", "base.fvecs"])?)?;
    let docs = match docs.map(Path::to_owned) {
        Some(path) => Some(path),
        None => first_of(folder, &DOCS).ok(),
    };
    let docs =
        docs.map(|path| metadata::lines(Lines::open(&path)?, base.rows()).map_err(|what| bad(&path, what)));
    Ok((base, docs.transpose()?))
}

/// Vectors to store and to search for, and the documents of the former if there are any.
#[cfg(feature = "mirror")]
pub(in super::super) fn load_pair(
    base: &Path,
    queries: &Path,
    docs: Option<&Path>,
) -> Result<(Matrix, Matrix, Option<Vec<Doc>>)> {
    let (base, queries) = (matrix(base)?, matrix(queries)?);
    if base.dim != queries.dim {
        let (base, queries) = (base.dim, queries.dim);
        return Err(Error::invalid(format!(
            "the base has {base} dimensions and the queries have {queries}: they must agree"
        )));
    }
    let docs =
        docs.map(|path| metadata::lines(Lines::open(path)?, base.rows()).map_err(|what| bad(path, what)));
    Ok((base, queries, docs.transpose()?))
}

struct Files {
    base: PathBuf,
    queries: PathBuf,
    truth: Option<PathBuf>,
    metadata: Option<PathBuf>,
}

impl Files {
    fn of(args: &SearchArgs) -> Result<Option<Self>> {
        let (mut truth, mut metadata) = (args.truth.clone(), args.metadata.clone());
        let Some(folder) = &args.data_dir else {
            let (Some(base), Some(queries)) = (args.base.clone(), args.queries.clone()) else {
                return Ok(None);
            };
            return Ok(Some(Self { base, queries, truth, metadata }));
        };
        let vectors = |given: &Option<PathBuf>, stem| match given {
            Some(path) => Ok(path.clone()),
            None => first_of(folder, &[&format!("{stem}.f16.npy"), &format!("{stem}.f32.npy")]),
        };
        // The truth of a folder is that of its own base, and of all its rows: under a filter another one is needed.
        if truth.is_none() && args.base.is_none() && args.filter.is_none() {
            truth = first_of(folder, &["truth.i32.npy"]).ok();
        }
        if metadata.is_none() && args.filter.is_some() {
            metadata = Some(first_of(folder, &DOCS)?);
        }
        Ok(Some(Self {
            base: vectors(&args.base, "base")?,
            queries: vectors(&args.queries, "queries")?,
            truth,
            metadata,
        }))
    }
}

pub(in crate::cli::bench) fn first_of(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    if let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let mut message = format!("{} has no {}", folder.display(), names.join(" or "));
    let packed = names.iter().map(|name| folder.join(format!("{name}.zst"))).find(|path| path.is_file());
    if let Some(packed) = packed {
        message += &format!("; unpack it (zstd -d {} -o FILE) and name it with its flag", packed.display());
    }
    Err(Error::new(ErrorKind::NotFound, message))
}

pub(super) fn check_truth(truth: &Neighbours, queries: usize, rows: usize, k: usize) -> Parsed<()> {
    let lists = truth.rows.len() / truth.width;
    if lists != queries {
        return Err(format!("a truth of {lists} queries, but there are {queries}"));
    }
    if truth.width < k.min(rows) {
        return Err(format!(
            "a truth of {} neighbours, but k is {k}: lower --k or leave --truth away",
            truth.width
        ));
    }
    match truth.rows.iter().find(|&&row| row != NO_ROW && row as usize >= rows) {
        Some(row) => Err(format!("names row {row}, but the base has {rows} rows, counted from 0")),
        None => Ok(()),
    }
}
