//! Constants of a file of rows that were refused: an envelope whose body is JSON.

pub(super) const MAGIC: [u8; 8] = *b"nfparked";
pub(super) const VERSION: u32 = 1;

/// Rows of a file at most; others are tried again.
pub(super) const ROWS_MAX: usize = 10_000;
/// Letters of a reason that are kept.
pub(super) const WHY_CHARS_MAX: usize = 300;
/// Ids have 512 bytes and reasons 300 letters at most, each letter 6 bytes of JSON at most.
pub(super) const BODY_BYTES_MAX: usize = ROWS_MAX * (6 * (512 + WHY_CHARS_MAX) + 64) + 4_096;
