//! Constants of `IDENT`, `MIRROR`, manifests and sets: all are envelopes. All but the last have JSON bodies, described by their
//! structs.

/// Of the store as a whole; also the version of manifests.
pub(crate) const FORMAT: u32 = 1;

pub(super) const IDENT_MAGIC: [u8; 8] = *b"NFident\n";
pub(super) const IDENT_BYTES_MAX: usize = 4_096;

pub(super) const MIRROR_MAGIC: [u8; 8] = *b"NFmirror";
pub(super) const MIRROR_VERSION: u32 = 1;
/// What a mirror may have remembered.
pub(crate) const MIRROR_STATE_BYTES_MAX: usize = 1 << 20;
/// Two digits for each of them, and what stands around.
pub(super) const MIRROR_BYTES_MAX: usize = 2 * MIRROR_STATE_BYTES_MAX + 4_096;

pub(super) const MANIFEST_MAGIC: [u8; 8] = *b"NFmanif\n";
pub(super) const MANIFEST_BYTES_MAX: usize = 64 << 20;
/// Missing slots of one collection.
pub(super) const MISSING_MAX: usize = 1 << 20;
/// Ranges of seq that were lost.
pub(super) const HOLES_MAX: usize = 1 << 16;

pub(super) const SETS_MAGIC: [u8; 8] = *b"NFsets\r\n";
/// Of a store that was never attached to a database.
pub(super) const SETS_VERSION: u32 = 1;
/// Of one that was: with what the database does not know yet.
pub(super) const SETS_MIRRORED_VERSION: u32 = 2;

/// Body of sets: number of blocks, zero, then the bits of each block: live, with a vector, and from version 2 on dirty; then
/// number of graves, zero, and the graves.
pub(super) const SETS_BLOCKS: usize = 0;
pub(super) const SETS_ZERO: usize = SETS_BLOCKS + 4;
pub(super) const SETS_BITS: usize = SETS_ZERO + 4;
pub(super) const WORD_BYTES: usize = size_of::<u64>();
pub(super) const BLOCK_BYTES: usize = crate::ids::BLOCK_SLOTS / 8;
/// Number of graves, zero.
pub(super) const GRAVES_HEAD_BYTES: usize = 8;
const _: () = assert!(BLOCK_BYTES == 8_192 && BLOCK_BYTES == crate::sets::WORDS * WORD_BYTES);
