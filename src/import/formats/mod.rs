//! The formats that are read, a file each; all of them bounded, and none of them runs what it reads.

mod ahead;
mod beside;
mod csv;
mod faiss;
pub(crate) mod hnsw_rs;
mod hnswlib;
mod jsonl;
mod literal;
mod npy;
mod parquet;
mod pickle;
mod plain;
mod store;
#[cfg(test)]
mod tests;
mod vecs;

use super::source::{Format, Rows, Spec};
use crate::error::{Error, Result};

pub(crate) use csv::mapping as csv_mapping;
pub(crate) use jsonl::BASE64;
pub(crate) use plain::{Integers, Plain};

pub(super) fn open(format: Format, spec: &Spec) -> Result<Box<dyn Rows>> {
    check(format, spec)?;
    Ok(match format {
        Format::Jsonl => Box::new(jsonl::Jsonl::open(&spec.path, spec.extra)?),
        Format::Npy | Format::Vecs => beside::with(Box::new(plain::Plain::open(&spec.path)?), spec)?,
        Format::Faiss => beside::with(Box::new(faiss::Faiss::open(&spec.path)?), spec)?,
        Format::Csv => Box::new(csv::Csv::open(spec)?),
        Format::Parquet => Box::new(parquet::Parquet::open(spec)?),
        Format::HnswRs => Box::new(hnsw_rs::HnswRs::open(&spec.path)?),
        Format::Hnswlib => Box::new(hnswlib::Hnswlib::open(&spec.path)?),
        Format::Pickle => Box::new(store::Store::open(spec)?),
    })
}

/// Refuses what the format has no use for.
fn check(format: Format, spec: &Spec) -> Result<()> {
    let is_by_row = matches!(format, Format::Npy | Format::Vecs | Format::Faiss);
    if !is_by_row && (spec.ids.is_some() || spec.docs.is_some()) {
        let why = match format {
            Format::HnswRs | Format::Hnswlib => {
                "has ids of its own, and its rows stand in no order that one can rely on"
            }
            _ => "has ids and texts of its own",
        };
        return Err(Error::invalid(format!("a {format} file {why}: leave --ids and --docs away")));
    }
    if !matches!(format, Format::Csv | Format::Parquet) && !spec.columns.is_empty() {
        return Err(Error::invalid(format!("a {format} file has no columns: leave --columns away")));
    }
    Ok(())
}
