//! The flags of `bench open`, and of the child that it kills.

use super::super::args::from_1_to;
use crate::Metric;
use crate::limits::{BUILD_THREADS_MAX, DIM_MAX, K_MAX};
use clap::Args;

/// A store that is generated.
#[derive(Args)]
pub(in crate::cli::bench) struct MadeArgs {
    /// Rows to generate
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 100_000)]
    #[arg(value_parser = from_1_to(u32::MAX as usize))]
    pub(in crate::cli::bench) rows: usize,
    /// Dimensions of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 384, value_parser = from_1_to(DIM_MAX))]
    pub(in crate::cli::bench) dim: usize,
    /// Bytes of text of each generated row
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 200)]
    #[arg(value_parser = from_1_to(1 << 20))]
    pub(in crate::cli::bench) text_bytes: usize,
    /// Seed of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 42)]
    pub(in crate::cli::bench) seed: u64,
    /// Distance of a generated store: cosine, l2 or dot
    #[arg(long, value_name = "NAME", help_heading = "Data", default_value_t = Metric::Cosine)]
    pub(in crate::cli::bench) metric: Metric,
    /// Threads that build the generated store
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 2)]
    #[arg(value_parser = from_1_to(BUILD_THREADS_MAX))]
    pub(in crate::cli::bench) build_threads: usize,
}

/// What to open: a store that is generated, unless --data is one.
#[derive(Args)]
pub(in crate::cli) struct OpenArgs {
    #[command(flatten)]
    pub(super) made: MadeArgs,
    /// Rows that the child writes before it is killed
    #[arg(long, value_name = "N", help_heading = "Measurement", default_value_t = 1_000)]
    #[arg(value_parser = from_1_to(10_000_000))]
    pub(super) tail: usize,
    /// Neighbours that the searches ask for
    #[arg(long, value_name = "N", help_heading = "Measurement", default_value_t = 10, value_parser = from_1_to(K_MAX))]
    pub(super) k: usize,
    /// Openings after a close, and as many after a kill, of which the median counts
    #[arg(long, value_name = "N", help_heading = "Measurement", default_value_t = 5)]
    #[arg(value_parser = from_1_to(1_000))]
    pub(super) rounds: usize,
}

/// What the child writes.
#[derive(Args)]
pub(in crate::cli) struct ChildArgs {
    /// Collection to write to
    #[arg(long)]
    pub(super) collection: String,
    /// Rows to write
    #[arg(long)]
    pub(super) tail: usize,
}
