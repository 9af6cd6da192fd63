//! Settings as plain data: what a collection is, and how the store may use the machine.

mod embedding;

pub use embedding::EmbeddingProfile;
#[cfg(feature = "embed")]
pub(crate) use embedding::check_provider;

use crate::error::{Error, Result};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How two vectors are compared. `distance` in every answer is what pgvector returns for the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// `1 - cos`, 0 to 2; pgvector's `<=>`. Zero vectors are refused. `score = 1 - distance / 2`.
    Cosine,
    /// Euclidean distance (not squared); pgvector's `<->`. `score = 1 / (1 + distance)`.
    L2,
    /// Negative inner product; pgvector's `<#>`. `score` is the inner product.
    Dot,
    /// Sum of absolute differences; pgvector's `<+>`. Served by the `hnsw_rs` graph. `score = 1 / (1 + distance)`.
    L1,
}

impl Metric {
    const NAMES: [(Self, &str); 4] =
        [(Self::Cosine, "cosine"), (Self::L2, "l2"), (Self::Dot, "dot"), (Self::L1, "l1")];

    /// Higher is better; in 0..1 for all but `dot`. The formulas stand beside the metrics.
    pub fn score(self, distance: f32) -> f32 {
        match self {
            Self::Cosine => 1.0 - distance / 2.0,
            Self::L2 | Self::L1 => 1.0 / (1.0 + distance),
            Self::Dot => -distance,
        }
    }
}

/// Which graph finds the neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphKind {
    /// Our own: flat lists over int8 codes.
    Flat,
    /// The `hnsw_rs` crate (feature `hnsw-rs`): slower, serves `l1`.
    HnswRs,
}

impl GraphKind {
    const NAMES: [(Self, &str); 2] = [(Self::Flat, "flat"), (Self::HnswRs, "hnsw_rs")];
}

/// How texts are cut into words for full-text search (feature `text`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Texts are not indexed; a search for words is refused.
    Off,
    /// Words as they stand, but for case and accents.
    None,
    /// Words by their stems, as in all that follow.
    #[default]
    English,
    /// Stems.
    Arabic,
    /// Stems.
    Danish,
    /// Stems.
    Dutch,
    /// Stems.
    Finnish,
    /// Stems.
    French,
    /// Stems.
    German,
    /// Stems.
    Greek,
    /// Stems.
    Hungarian,
    /// Stems.
    Italian,
    /// Stems.
    Norwegian,
    /// Stems.
    Portuguese,
    /// Stems.
    Romanian,
    /// Stems.
    Russian,
    /// Stems.
    Spanish,
    /// Stems.
    Swedish,
    /// Stems.
    Tamil,
    /// Stems.
    Turkish,
}

impl Language {
    const NAMES: [(Self, &str); 20] = [
        (Self::Off, "off"),
        (Self::None, "none"),
        (Self::English, "english"),
        (Self::Arabic, "arabic"),
        (Self::Danish, "danish"),
        (Self::Dutch, "dutch"),
        (Self::Finnish, "finnish"),
        (Self::French, "french"),
        (Self::German, "german"),
        (Self::Greek, "greek"),
        (Self::Hungarian, "hungarian"),
        (Self::Italian, "italian"),
        (Self::Norwegian, "norwegian"),
        (Self::Portuguese, "portuguese"),
        (Self::Romanian, "romanian"),
        (Self::Russian, "russian"),
        (Self::Spanish, "spanish"),
        (Self::Swedish, "swedish"),
        (Self::Tamil, "tamil"),
        (Self::Turkish, "turkish"),
    ];

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

macro_rules! named {
    ($($type:ident $what:literal),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let name = Self::NAMES.iter().find(|(value, _)| value == self).map_or("", |(_, name)| name);
                f.pad(name)
            }
        }
        impl FromStr for $type {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                let found = Self::NAMES.iter().find(|(_, name)| *name == s);
                found.map(|(value, _)| *value).ok_or_else(|| {
                    let known: Vec<_> = Self::NAMES.iter().map(|(_, name)| *name).collect();
                    Error::invalid(format!(concat!($what, " {:?} is not known; use one of {}"), s, known.join(", ")))
                })
            }
        }
    )*};
}
named!(Metric "metric", GraphKind "graph", Language "language", Durability "durability", Io "io");

/// What a collection is. Fixed when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Dimensions of every vector, 1 to 16,000. Default: none, it must be given.
    pub dim: usize,
    /// How vectors are compared. Default: none, it must be given.
    pub metric: Metric,
    /// Which graph is built. Default: `flat`, and `hnsw_rs` for `l1`.
    pub graph: GraphKind,
    /// `M`: links of a node on the upper levels, twice as many on level 0. Default: 16, as hnswlib and pgvector; FAISS
    /// has 32. More costs memory (8 bytes each a row) and build time, and helps recall above .99.
    pub m: usize,
    /// `efConstruction`: beam width of an insert. Default: 200, as hnswlib; pgvector has 64, FAISS 40. More costs
    /// build time only.
    pub ef_construction: usize,
    /// A call without a tenant is refused. Default: false.
    pub tenant_required: bool,
    /// The language of texts, for full-text search. Default: `english`. `off` saves the work and the room of the words; `none` is
    /// for texts of many languages.
    #[serde(default, skip_serializing_if = "Language::is_default")]
    pub language: Language,
    /// Who makes the vectors of texts. Default: none, and vectors are given. Whoever has it at hand (a server, the command line) embeds
    /// what comes without a vector; the store itself embeds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingProfile>,
}

impl Schema {
    /// A collection of `dim`-dimensional vectors under `metric`, all else at its default.
    pub fn new(dim: usize, metric: Metric) -> Self {
        let graph = if metric == Metric::L1 { GraphKind::HnswRs } else { GraphKind::Flat };
        Self {
            dim,
            metric,
            graph,
            m: 16,
            ef_construction: 200,
            tenant_required: false,
            language: Language::English,
            embedding: None,
        }
    }

    /// Sets [`Schema::m`].
    #[must_use]
    pub fn m(mut self, m: usize) -> Self {
        self.m = m;
        self
    }

    /// Sets [`Schema::ef_construction`].
    #[must_use]
    pub fn ef_construction(mut self, ef_construction: usize) -> Self {
        self.ef_construction = ef_construction;
        self
    }

    /// Sets [`Schema::graph`].
    #[must_use]
    pub fn graph(mut self, graph: GraphKind) -> Self {
        self.graph = graph;
        self
    }

    /// Sets [`Schema::tenant_required`].
    #[must_use]
    pub fn tenant_required(mut self, required: bool) -> Self {
        self.tenant_required = required;
        self
    }

    /// Sets [`Schema::language`].
    #[must_use]
    pub fn language(mut self, language: Language) -> Self {
        self.language = language;
        self
    }

    /// Sets [`Schema::embedding`].
    #[must_use]
    pub fn embedding(mut self, profile: EmbeddingProfile) -> Self {
        self.embedding = Some(profile);
        self
    }

    /// Refuses what cannot work, with the reason.
    pub(crate) fn validate(&self) -> Result<()> {
        within("dim", self.dim, 1, limits::DIM_MAX, "shorten the vectors")?;
        // Below 2 the graph degenerates into a rope.
        within("m", self.m, 2, limits::M_MAX, "use 16 unless a bench on your data says otherwise")?;
        within(
            "ef_construction",
            self.ef_construction,
            self.m,
            limits::EF_CONSTRUCTION_MAX,
            "it must be at least m",
        )?;
        if self.metric == Metric::L1 && self.graph == GraphKind::Flat {
            return Err(Error::invalid("graph flat does not serve metric l1; use graph hnsw_rs"));
        }
        if self.graph == GraphKind::HnswRs && !cfg!(feature = "hnsw-rs") {
            return Err(Error::invalid(format!(
                "graph hnsw_rs (metric {}) needs the feature `hnsw-rs`, which this build lacks",
                self.metric
            )));
        }
        self.embedding.as_ref().map_or(Ok(()), EmbeddingProfile::validate)
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// When the operating system has it: a killed process loses nothing, a power loss what came in the last
    /// [`Options::flush_ms`].
    Buffered,
    /// When the disk has it.
    Durable,
    /// When the disk has it and the mirror's database too, or a later version of it. A write that the database does not
    /// acknowledge in [`Options::mirrored_timeout_ms`] is an error of kind [`ErrorKind::Unavailable`](crate::ErrorKind): it is
    /// stored on this disk, and will be sent.
    Mirrored,
}

impl Durability {
    const NAMES: [(Self, &str); 3] =
        [(Self::Buffered, "buffered"), (Self::Durable, "durable"), (Self::Mirrored, "mirrored")];
}

/// How sealed files are brought into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Io {
    /// As pages of the files: opening takes milliseconds, and the operating system gives memory back under pressure. A
    /// disk that fails under a page, or another program that truncates a file, ends the process with SIGBUS.
    Mmap,
    /// Read in whole: opening takes the time of reading, and nothing that happens to the files later can do harm.
    Heap,
}

impl Io {
    const NAMES: [(Self, &str); 2] = [(Self::Mmap, "mmap"), (Self::Heap, "heap")];
}

/// How the store may use the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Threads that link one upsert of many rows, the caller's among them. Default: 1, because the threads are the
    /// host's; set it to the number of cores for a bulk load.
    pub build_threads: usize,
    /// Memory for evaluated filters of one collection, in bytes. Default: 32 MiB.
    pub filter_cache_bytes: usize,
    /// When a write is acknowledged. Default: `durable`. `buffered` is for rows that can be had again.
    pub durability: Durability,
    /// How long a `buffered` write may wait for the disk, in milliseconds. Default: 100.
    pub flush_ms: u64,
    /// How long a `mirrored` write waits for the database, in milliseconds. Default: 10,000.
    pub mirrored_timeout_ms: u64,
    /// How files are brought into memory. Default: `mmap`. `heap` where others can write to the folder.
    pub io: Io,
    /// Share of one core that background work may take, 0.01 to 1. Default: 0.5. Linking new rows does not count:
    /// writes wait for it.
    pub background_cpu: f64,
    /// Rows that may wait to be linked before writers help with it. Every search compares them. Default: 1,024.
    pub tail_rows_max: usize,
    /// Rows after which links are written anew, so that a start after a kill need not link them again. Default: 65,536.
    pub checkpoint_rows: usize,
    /// The same in seconds, if anything has changed. Default: 300.
    pub checkpoint_seconds: u64,
    /// Bytes that stay free on the disk: below, upserts fail and everything else goes on. Default: 256 MiB.
    pub disk_reserve_bytes: u64,
    /// Bytes that opening verifies at most; what is beyond is verified when it is first used, or in the background.
    /// Default: 16 MiB.
    pub verify_open_bytes: u64,
    /// Share of the blocks of a store that may be bad at opening, 0 to 1, before repair stops: then nothing is written off,
    /// because files may come back. Fewer than three bad blocks are always repaired. Default: 0.2.
    pub repair_share_max: f64,
    /// What tests make small, to see many of it. Default: nothing.
    #[cfg(test)]
    #[serde(skip)]
    pub(crate) tiny: Option<Tiny>,
}

/// Sizes that are constants outside of tests.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tiny {
    pub(crate) block_slots: usize,
    pub(crate) log_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            build_threads: 1,
            filter_cache_bytes: 32 << 20,
            durability: Durability::Durable,
            flush_ms: 100,
            mirrored_timeout_ms: 10_000,
            io: Io::Mmap,
            background_cpu: 0.5,
            tail_rows_max: 1_024,
            checkpoint_rows: 65_536,
            checkpoint_seconds: 300,
            disk_reserve_bytes: 256 << 20,
            verify_open_bytes: 16 << 20,
            repair_share_max: 0.2,
            #[cfg(test)]
            tiny: None,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),*) => {$(
        #[doc = concat!("Sets [`Options::", stringify!($name), "`].")]
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )*};
}

impl Options {
    setters! {
        build_threads: usize,
        filter_cache_bytes: usize,
        durability: Durability,
        flush_ms: u64,
        mirrored_timeout_ms: u64,
        io: Io,
        background_cpu: f64,
        tail_rows_max: usize,
        checkpoint_rows: usize,
        checkpoint_seconds: u64,
        disk_reserve_bytes: u64,
        verify_open_bytes: u64,
        repair_share_max: f64
    }

    /// Refuses what cannot work, with the reason.
    pub(crate) fn validate(&self) -> Result<()> {
        within("build_threads", self.build_threads, 1, limits::BUILD_THREADS_MAX, "use the number of cores")?;
        within(
            "tail_rows_max",
            self.tail_rows_max,
            1,
            limits::TAIL_ROWS_MAX,
            "1,024 costs a search microseconds",
        )?;
        within("checkpoint_rows", self.checkpoint_rows, 1, usize::MAX, "65,536 is the default")?;
        if !(0.01..=1.0).contains(&self.background_cpu) {
            return Err(Error::invalid(format!(
                "background_cpu is {}; it must be 0.01 to 1: it is a share of one core",
                self.background_cpu
            )));
        }
        if !(0.0..=1.0).contains(&self.repair_share_max) {
            return Err(Error::invalid(format!(
                "repair_share_max is {}; it must be 0 to 1: it is a share of all blocks",
                self.repair_share_max
            )));
        }
        Ok(())
    }
}

/// Refuses a value outside of its limits, with all three and what helps.
pub(crate) fn within<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    min: T,
    max: T,
    remedy: &str,
) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {value}; it must be {min} to {max}: {remedy}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_list_the_known() {
        for (metric, name) in Metric::NAMES {
            assert_eq!((metric.to_string().as_str(), name.parse::<Metric>().unwrap()), (name, metric));
        }
        let error = "hamming".parse::<Metric>().unwrap_err().to_string();
        assert!(error.contains("hamming") && error.contains("cosine, l2, dot, l1"), "{error}");
    }

    /// What stores and databases hold that were written before there were profiles, and what those programs read.
    #[test]
    fn a_schema_without_a_profile_is_written_as_it_always_was() {
        let plain = Schema::new(4, Metric::L2);
        let text = serde_json::to_string(&plain).unwrap();
        assert!(!text.contains("embedding"), "{text}");
        assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), plain);
        let with = plain.clone().embedding(EmbeddingProfile::new("hashed", "nearfield-hashed-4"));
        let text = serde_json::to_string(&with).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), with);
        assert_ne!(with, plain, "it is another schema");
    }

    #[test]
    fn impossible_schemas_name_the_value_and_the_limit() {
        for (schema, value, limit) in [
            (Schema::new(0, Metric::L2), "dim is 0", "1 to 16000"),
            (Schema::new(16_001, Metric::L2), "dim is 16001", "1 to 16000"),
            (Schema::new(4, Metric::L2).m(1), "m is 1", "2 to 32"),
            (Schema::new(4, Metric::L2).m(16).ef_construction(8), "ef_construction is 8", "16 to 4096"),
        ] {
            let error = schema.validate().unwrap_err().to_string();
            assert!(error.contains(value) && error.contains(limit), "{error}");
        }
        for (provider, model, told) in [
            ("", "m", "\"\" is no provider's name"),
            ("Open", "m", "lower-case"),
            ("1st", "m", "lower-case"),
            ("a.b", "m", "lower-case"),
            (&"p".repeat(65), "m", "1 to 64 bytes"),
            ("p", "", "is 0; it must be 1 to 512"),
            ("p", &"m".repeat(513), "is 513"),
            ("p", "a\nb", "cannot be seen"),
            ("p", " m", "spaces around"),
        ] {
            let schema = Schema::new(4, Metric::L2).embedding(EmbeddingProfile::new(provider, model));
            let error = schema.validate().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let good = EmbeddingProfile::new(format!("a-b_1{}", "p".repeat(59)), "org/Model 1:latest");
        Schema::new(4, Metric::L2).embedding(good).validate().unwrap();
        assert!(Schema::new(4, Metric::L1).graph(GraphKind::Flat).validate().is_err());
        assert!(Options::default().build_threads(0).validate().is_err());
    }
}
