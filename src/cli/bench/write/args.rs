//! The flags of `bench write`.

use super::super::args::from_1_to;
use crate::limits::{BUILD_THREADS_MAX, DIM_MAX, K_MAX};
use crate::{Durability, Metric};
use clap::Args;
use std::path::PathBuf;

/// Writers at once.
const WRITERS_MAX: usize = 256;
/// Rows in one upsert.
const BATCH_MAX: usize = 100_000;

/// What to write, and how.
#[derive(Args)]
pub(in crate::cli) struct WriteArgs {
    /// Rows in the store before anything is measured
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 20_000)]
    #[arg(value_parser = from_1_to(u32::MAX as usize))]
    pub(super) rows: usize,
    /// Dimensions of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 384, value_parser = from_1_to(DIM_MAX))]
    pub(super) dim: usize,
    /// Seed of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 42)]
    pub(super) seed: u64,
    /// Distance: cosine, l2 or dot
    #[arg(long, value_name = "NAME", help_heading = "Data", default_value_t = Metric::Cosine)]
    pub(super) metric: Metric,

    /// Rows of one upsert, separated by commas
    #[arg(
        long,
        value_name = "N,..",
        help_heading = "Writes",
        value_delimiter = ',',
        default_value = "1,32,1000"
    )]
    #[arg(value_parser = from_1_to(BATCH_MAX))]
    pub(super) batch: Vec<usize>,
    /// Threads that write at once, separated by commas
    #[arg(long, value_name = "N,..", help_heading = "Writes", value_delimiter = ',', default_value = "1,8")]
    #[arg(value_parser = from_1_to(WRITERS_MAX))]
    pub(super) writers: Vec<usize>,
    /// Seconds of writing for each pair of the two; half of that for the idle searches and the bare loop each
    #[arg(long, value_name = "S", help_heading = "Writes", default_value_t = 3.0, value_parser = seconds)]
    pub(super) seconds: f64,
    /// When a write is acknowledged: durable or buffered
    #[arg(long, value_name = "NAME", help_heading = "Writes", default_value_t = Durability::Durable)]
    pub(super) durability: Durability,
    /// Threads that link one large upsert: the library's default is 1
    #[arg(long, value_name = "N", help_heading = "Writes", default_value_t = 1)]
    #[arg(value_parser = from_1_to(BUILD_THREADS_MAX))]
    pub(super) build_threads: usize,
    /// Neighbours that the searches beside the writes ask for
    #[arg(long, value_name = "N", help_heading = "Writes", default_value_t = 10, value_parser = from_1_to(K_MAX))]
    pub(super) k: usize,

    /// Import this folder instead: base.f16.npy, base.f32.npy or base.fvecs, and docs.jsonl if it is there
    #[arg(long, value_name = "FOLDER", help_heading = "Import")]
    #[arg(conflicts_with_all = ["rows", "dim", "seed", "batch", "writers", "seconds", "k"])]
    pub(super) data_set: Option<PathBuf>,
    /// JSON lines with id, document_id, text and metadata, one for each row, in the place of the folder's docs.jsonl
    #[arg(long, value_name = "FILE", help_heading = "Import", requires = "data_set")]
    pub(super) docs: Option<PathBuf>,
    /// Rows of one upsert of the import
    #[arg(long, value_name = "N", help_heading = "Import", default_value_t = 4_096, requires = "data_set")]
    #[arg(value_parser = from_1_to(BATCH_MAX))]
    pub(super) import_batch: usize,
    /// Imports, each beside a build in memory
    #[arg(long, value_name = "N", help_heading = "Import", default_value_t = 3, requires = "data_set")]
    #[arg(value_parser = from_1_to(1_000))]
    pub(super) rounds: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.01..=3_600.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err(format!("{text} s is not 0.01 to 3600"))
}
