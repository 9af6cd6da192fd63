//! Every maximum of the library, on one page. A call beyond one is refused with an error that names the value and the limit.

/// Dimensions of a vector. pgvector stores no more than this.
pub const DIM_MAX: usize = 16_000;
/// Bytes of an id, a document id, a tenant or a model name.
pub const ID_BYTES_MAX: usize = 512;
/// Bytes of the text of one chunk: 16 MiB.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Bytes of the metadata of one chunk, as canonical JSON: 64 KiB.
pub const METADATA_BYTES_MAX: usize = 64 << 10;
/// Nesting of metadata.
pub const METADATA_DEPTH_MAX: usize = 32;
/// Place of a chunk in its document. A Postgres `integer` holds no more.
pub const CHUNK_INDEX_MAX: u32 = i32::MAX as u32;
/// Squared length of a vector. With it, the squared distance of any two (at most four times this) is a finite `f32`.
pub const VECTOR_NORM_SQUARED_MAX: f64 = 1e37;
/// The least squared length of a vector under cosine; below it the squares of single elements lose their digits as `f32`.
pub const VECTOR_NORM_SQUARED_MIN: f64 = 1e-30;
/// Bytes of a collection's name.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of the name of a provider of embeddings.
pub const PROVIDER_BYTES_MAX: usize = 64;
/// Neighbours that one search can ask for.
pub const K_MAX: usize = 10_000;
/// Width of the beam that one search can ask for.
pub const EF_MAX: usize = 4_096;
/// Hits that one range search returns.
pub const RANGE_HITS_MAX: usize = 10_000;
/// Searches in one batch.
pub const SEARCH_BATCH_MAX: usize = 10_000;
/// Nesting of a filter.
pub const FILTER_DEPTH_MAX: usize = 8;
/// Conditions and connectives in a filter.
pub const FILTER_NODES_MAX: usize = 64;
/// Values in one `$in` or `$nin`.
pub const FILTER_IN_MAX: usize = 1_024;
/// Bytes of a path in a filter. Metadata under longer paths is stored, but not indexed.
pub const FILTER_PATH_BYTES_MAX: usize = 512;
/// Links of a node on the upper levels (`M`); level 0 has twice as many.
pub const M_MAX: usize = 32;
/// Beam width of an insert.
pub const EF_CONSTRUCTION_MAX: usize = 4_096;
/// Threads that link a batch.
pub const BUILD_THREADS_MAX: usize = 256;
/// Bytes of full-precision rows in one block: 256 MiB. Wide vectors get blocks of fewer than 65,536 slots.
pub const BLOCK_BYTES_MAX: usize = 256 << 20;
/// Rows that may wait to be linked.
pub const TAIL_ROWS_MAX: usize = 65_536;
/// Bytes of a text that is searched for; what comes after is not looked at.
pub const TEXT_QUERY_BYTES_MAX: usize = 16 << 10;
/// Different words of a text that is searched for, those in phrases among them; what comes after is not looked at.
pub const TEXT_QUERY_TERMS_MAX: usize = 64;
/// Bytes of a word; longer ones are not indexed.
pub const TEXT_TERM_BYTES_MAX: usize = 128;
/// Bytes of a snippet.
pub const SNIPPET_BYTES_MAX: usize = 240;
/// The start of a text that snippets are looked for in: 64 KiB.
pub const SNIPPET_SCAN_BYTES_MAX: usize = 64 << 10;
