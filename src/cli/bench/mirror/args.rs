//! The flags of `bench mirror`.

use super::super::args::{from_0_to, from_1_to};
use crate::Metric;
use crate::limits::{BUILD_THREADS_MAX, DIM_MAX};
use clap::Args;
use std::path::PathBuf;

/// What to mirror, and where.
#[derive(Args)]
pub(in crate::cli) struct MirrorArgs {
    /// An empty database to measure with [default: a throw-away server]
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// Vectors to store: .npy (f32, f16) or .fvecs
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "queries")]
    pub(super) base: Option<PathBuf>,
    /// JSON lines with id, document_id, text and metadata, one for each row of the base
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "base")]
    pub(super) docs: Option<PathBuf>,
    /// Vectors to search for: .npy (f32, f16) or .fvecs
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "base")]
    pub(super) queries: Option<PathBuf>,
    /// Generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 20_000, conflicts_with = "base")]
    #[arg(value_parser = from_1_to(u32::MAX as usize))]
    pub(super) rows: usize,
    /// Dimensions of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 384, conflicts_with = "base")]
    #[arg(value_parser = from_1_to(DIM_MAX))]
    pub(super) dim: usize,
    /// Seed of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 42, conflicts_with = "base")]
    pub(super) seed: u64,
    /// Distance: cosine, l2 or dot
    #[arg(long, value_name = "NAME", help_heading = "Data", default_value_t = Metric::Cosine)]
    pub(super) metric: Metric,
    /// Rows of one upsert while writes and searches are measured
    #[arg(long, value_name = "N", help_heading = "Calls", default_value_t = 8, value_parser = from_1_to(10_000))]
    pub(super) batch: usize,
    /// Upserts begun a second while writes and searches are measured; 0 for as many as go
    #[arg(long, value_name = "N", help_heading = "Calls", default_value_t = 100, value_parser = from_0_to(100_000))]
    pub(super) upserts: usize,
    /// Seconds of writes and searches for each state of the mirror in a round
    #[arg(long, value_name = "S", help_heading = "Calls", default_value_t = 1, value_parser = from_1_to(3_600))]
    pub(super) seconds: usize,
    /// Rounds through all states; ratios are the medians of those of each round
    #[arg(long, value_name = "N", help_heading = "Calls", default_value_t = 5, value_parser = from_1_to(1_000))]
    pub(super) rounds: usize,
    /// Threads that link one large upsert
    #[arg(long, value_name = "N", help_heading = "Calls", default_value_t = 2)]
    #[arg(value_parser = from_1_to(BUILD_THREADS_MAX))]
    pub(super) build_threads: usize,
}
