//! The flags of `bench search`: every value that is wrong by itself is refused here, before a file is opened.

use crate::limits::{BUILD_THREADS_MAX, DIM_MAX, EF_CONSTRUCTION_MAX, EF_MAX, K_MAX, M_MAX};
use crate::{Filter, GraphKind, Metric, Result};
use clap::{ArgGroup, Args, builder::RangedU64ValueParser};
use std::path::PathBuf;

/// What to measure, on what.
#[derive(Args)]
#[command(group = ArgGroup::new("has_files").args(["base", "data_dir"]).multiple(true))]
#[command(group = ArgGroup::new("has_metadata").args(["metadata", "data_dir"]).multiple(true))]
pub(in crate::cli) struct SearchArgs {
    /// Folder with base.f16.npy or base.f32.npy, queries.*.npy, truth.i32.npy and docs.jsonl; the flags below win
    #[arg(long, value_name = "FOLDER", help_heading = "Data")]
    pub(super) data_dir: Option<PathBuf>,
    /// Vectors to index: .npy (f32, f16) or .fvecs; row i gets the id "i"
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "queries")]
    pub(super) base: Option<PathBuf>,
    /// Vectors to search for: .npy (f32, f16) or .fvecs
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "base")]
    pub(super) queries: Option<PathBuf>,
    /// Exact row numbers for this metric and filter, nearest first, -1 for none: .npy (i32, i64) or .ivecs; computed
    /// when absent
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "has_files")]
    pub(super) truth: Option<PathBuf>,
    /// JSON lines, one for each row of the base; the field `metadata` of line i goes to row i
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "has_files")]
    pub(super) metadata: Option<PathBuf>,
    /// Search only the rows whose metadata match, such as '{"section": "python"}'
    #[arg(long, value_name = "JSON", help_heading = "Data", value_parser = FilterArg::parse)]
    #[arg(requires = "has_metadata")]
    pub(super) filter: Option<FilterArg>,

    /// Seed of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Generated data", default_value_t = 42)]
    #[arg(conflicts_with_all = FILES)]
    pub(super) seed: u64,
    /// Generated vectors to index
    #[arg(long, value_name = "N", help_heading = "Generated data", default_value_t = 50_000)]
    #[arg(conflicts_with_all = FILES, value_parser = from_1_to(u32::MAX as usize))]
    pub(super) rows: usize,
    /// Generated vectors to search for
    #[arg(long, value_name = "N", help_heading = "Generated data", default_value_t = 1_000)]
    #[arg(conflicts_with_all = FILES, value_parser = from_1_to(u32::MAX as usize))]
    pub(super) query_rows: usize,
    /// Dimensions of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Generated data", default_value_t = 384)]
    #[arg(conflicts_with_all = FILES, value_parser = from_1_to(DIM_MAX))]
    pub(super) dim: usize,
    /// Clusters that the generated vectors are drawn from
    #[arg(long, value_name = "N", help_heading = "Generated data", default_value_t = 200)]
    #[arg(conflicts_with_all = FILES, value_parser = from_1_to(1_000_000))]
    pub(super) clusters: usize,

    /// Distance: cosine, l2, dot or l1
    #[arg(long, value_name = "NAME", help_heading = "Index", default_value_t = Metric::Cosine)]
    pub(super) metric: Metric,
    /// Graph: flat (ours) or hnsw_rs
    #[arg(long, value_name = "NAME", help_heading = "Index", default_value_t = GraphKind::Flat)]
    pub(super) graph: GraphKind,
    /// Links of a node; twice as many on level 0
    #[arg(long, value_name = "N", help_heading = "Index", default_value_t = 16, value_parser = from_1_to(M_MAX))]
    pub(super) m: usize,
    /// Width of the beam that links a new node
    #[arg(long, value_name = "N", help_heading = "Index", default_value_t = 200)]
    #[arg(value_parser = from_1_to(EF_CONSTRUCTION_MAX))]
    pub(super) ef_construction: usize,
    /// Threads that build the index, and that compute the truth
    #[arg(long, value_name = "N", help_heading = "Index", default_value_t = 2)]
    #[arg(value_parser = from_1_to(BUILD_THREADS_MAX))]
    pub(super) build_threads: usize,
    /// Rows handed over in one upsert
    #[arg(long, value_name = "N", help_heading = "Index", default_value_t = 4_096)]
    #[arg(value_parser = from_1_to(u32::MAX as usize))]
    pub(super) batch: usize,

    /// Neighbours to find, and to count recall over
    #[arg(long, value_name = "N", help_heading = "Search", default_value_t = 10, value_parser = from_1_to(K_MAX))]
    pub(super) k: usize,
    /// Widths of the beam to measure, separated by commas
    #[arg(long, value_name = "N,..", help_heading = "Search", value_delimiter = ',')]
    #[arg(default_value = "4,8,10,16,24,32,48,64,96,128,192,256,400", value_parser = from_1_to(EF_MAX))]
    pub(super) ef: Vec<usize>,
    /// Threads that search, each with its share of the queries
    #[arg(long, value_name = "N", help_heading = "Search", default_value_t = 1)]
    #[arg(value_parser = from_1_to(BUILD_THREADS_MAX))]
    pub(super) threads: usize,
    /// Timed passes over all queries at each width, of which the best counts
    #[arg(long, value_name = "N", help_heading = "Search", default_value_t = 3, value_parser = from_1_to(1_000))]
    pub(super) rounds: usize,
}

const FILES: [&str; 2] = ["base", "data_dir"];

impl SearchArgs {
    /// The widths in the order that the interpolation needs: rising, each once.
    pub(super) fn widths(&self) -> Vec<usize> {
        let mut widths = self.ef.clone();
        widths.sort_unstable();
        widths.dedup();
        widths
    }
}

/// A filter beside the text it was given as.
#[derive(Clone)]
pub(super) struct FilterArg {
    pub(super) text: String,
    pub(super) filter: Filter,
}

impl FilterArg {
    fn parse(text: &str) -> Result<Self> {
        Ok(Self { text: text.to_owned(), filter: Filter::parse(text)? })
    }
}

pub(super) fn from_0_to(max: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=max as u64)
}

pub(super) fn from_1_to(max: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=max as u64)
}
