//! Constants of the two frames that every file stands in: the envelope of small files, the sections of large ones.
//!
//! What no later version may change, so that every build can refuse a newer file by name: magic and version at the start, the
//! envelope's checksum at the end, and the table and trailer of sections.

/// Rows, codes and links are used in place.
const _: () = assert!(cfg!(target_endian = "little"), "files are little-endian and mapped as they are");

pub(super) const MAGIC: usize = 0;
pub(super) const VERSION: usize = MAGIC + 8;

/// Envelope: zero, bytes of the body, the body, then XXH3-128 of everything before.
pub(super) const ENVELOPE_ZERO: usize = VERSION + 4;
pub(super) const ENVELOPE_BODY_BYTES: usize = ENVELOPE_ZERO + 4;
pub(super) const ENVELOPE_BODY: usize = ENVELOPE_BODY_BYTES + 8;
pub(super) const CHECK_BYTES: usize = 16;
const _: () = assert!(ENVELOPE_BODY == 24);

/// Head of sections: bytes of the description, number of sections, zero, an entry for each section, the description.
pub(super) const DESCRIPTION_BYTES: usize = VERSION + 4;
pub(super) const SECTIONS: usize = DESCRIPTION_BYTES + 4;
pub(super) const HEAD_ZERO: usize = SECTIONS + 4;
pub(super) const ENTRIES: usize = HEAD_ZERO + 4;
const _: () = assert!(ENTRIES == 24);

pub(super) const ENTRY_OFFSET: usize = 0;
pub(super) const ENTRY_LEN: usize = ENTRY_OFFSET + 8;
pub(super) const ENTRY_BYTES: usize = ENTRY_LEN + 8;
const _: () = assert!(ENTRY_BYTES == 16);

/// The head and every section end with zeros to a multiple of this: a page.
pub(super) const ALIGN: usize = 4_096;
/// A head is no larger: a reader may allocate this much.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 20;

/// What one checksum of the table covers.
pub(super) const PIECE_BYTES: usize = 65_536;
const _: () = assert!(PIECE_BYTES.is_multiple_of(ALIGN));
pub(super) const TABLE_ENTRY_BYTES: usize = 8;

/// Trailer: offset of the table, number of pieces, length of the file, XXH3-128 of the table and these three.
pub(super) const TRAILER_TABLE: usize = 0;
pub(super) const TRAILER_PIECES: usize = TRAILER_TABLE + 8;
pub(super) const TRAILER_LEN: usize = TRAILER_PIECES + 8;
pub(super) const TRAILER_CHECK: usize = TRAILER_LEN + 8;
pub(super) const TRAILER_BYTES: usize = TRAILER_CHECK + CHECK_BYTES;
const _: () = assert!(TRAILER_BYTES == 40);

/// Bytes before the description of a file with `sections` sections.
pub(super) const fn description_at(sections: usize) -> Option<usize> {
    match sections.checked_mul(ENTRY_BYTES) {
        Some(bytes) => bytes.checked_add(ENTRIES),
        None => None,
    }
}

/// The `u32` at `at`; `None` beyond the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// The `u64` at `at`; `None` beyond the end.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

/// The checksum at `at`; `None` beyond the end.
pub(super) fn check_at(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..)?.first_chunk().map(|b| u128::from_le_bytes(*b))
}
