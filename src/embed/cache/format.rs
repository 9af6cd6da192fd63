//! Constants and offsets of a file of vectors: a head, then records, each from a multiple of 8 on.

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(super) const MAGIC: [u8; 8] = *b"nfembed\0";
pub(super) const FORMAT: u32 = 1;

/// Head: magic, version, zero, XXH3-64 of the 16 bytes before.
pub(super) const VERSION: usize = 8;
const HEAD_CHECK: usize = VERSION + 4 + 4;
pub(super) const HEAD_BYTES: usize = HEAD_CHECK + 8;
const _: () = assert!(HEAD_BYTES == 24);

/// Record: numbers of the vector, header check, key, check of all, vector, zeros to a multiple of 8.
const DIM: usize = 0;
const HEADER_CHECK: usize = DIM + 4;
const KEY: usize = HEADER_CHECK + 4;
const CHECK: usize = KEY + 32;
pub(super) const HEADER_BYTES: usize = CHECK + 8;
const _: () = assert!(HEADER_BYTES == 48);
pub(super) const ALIGN: usize = 8;
const _: () = assert!(HEAD_BYTES.is_multiple_of(ALIGN) && HEADER_BYTES.is_multiple_of(ALIGN));

/// What a vector is found by: SHA-256 of the model's bytes (their number as 8 bytes before), the width (8) and the text.
pub(super) type Key = [u8; 32];

pub(super) fn key(model: &str, dim: usize, text: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((model.len() as u64).to_le_bytes());
    hash.update(model);
    hash.update((dim as u64).to_le_bytes());
    hash.update(text);
    hash.finalize().into()
}

pub(super) fn head() -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(FORMAT.to_le_bytes());
    head.extend([0; 4]);
    head.extend(xxh3_64(&head).to_le_bytes());
    head
}

/// The version of a head that is whole.
pub(super) fn parse_head(bytes: &[u8]) -> Option<u32> {
    let (magic, version) = (bytes.get(..VERSION)?, u32_at(bytes, VERSION)?);
    let check = u64_at(bytes, HEAD_CHECK)?;
    (magic == MAGIC && check == xxh3_64(&bytes[..HEAD_CHECK])).then_some(version)
}

pub(super) fn record_bytes(dim: usize) -> usize {
    (HEADER_BYTES + dim * size_of::<f32>()).next_multiple_of(ALIGN)
}

/// Appends the record that stands at `offset` of its file.
pub(super) fn encode(key: &Key, vector: &[f32], offset: u64, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend((vector.len() as u32).to_le_bytes());
    out.extend([0; 4]);
    out.extend(key);
    out.extend([0; 8]);
    out.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
    out.resize(from + record_bytes(vector.len()), 0);
    let record = &mut out[from..];
    let short = header_check(record, offset);
    record[HEADER_CHECK..KEY].copy_from_slice(&short.to_le_bytes());
    let check = check(record, offset);
    record[CHECK..HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
}

/// The key of a record and its width, if its first 48 bytes are a header that belongs at `offset`.
pub(super) fn parse_header(bytes: &[u8], offset: u64) -> Option<(Key, usize)> {
    let header = bytes.get(..HEADER_BYTES)?;
    let dim = u32_at(header, DIM)? as usize;
    let holds = (1..=crate::limits::DIM_MAX).contains(&dim)
        && u32_at(header, HEADER_CHECK)? == header_check(header, offset);
    Some((header[KEY..CHECK].try_into().ok()?, dim)).filter(|_| holds)
}

/// The key and the vector of a whole record.
pub(super) fn parse(record: &[u8], offset: u64) -> Option<(Key, Vec<f32>)> {
    let (key, dim) = parse_header(record, offset)?;
    let record = record.get(..record_bytes(dim))?;
    if u64_at(record, CHECK)? != check(record, offset) {
        return None;
    }
    let (numbers, _) = record[HEADER_BYTES..HEADER_BYTES + dim * size_of::<f32>()].as_chunks::<4>();
    Some((key, numbers.iter().map(|four| f32::from_le_bytes(*four)).collect()))
}

/// The offset keeps a record from validating in another place.
fn header_check(record: &[u8], offset: u64) -> u32 {
    let seed = xxh3_64_with_seed(&record[DIM..HEADER_CHECK], offset);
    xxh3_64_with_seed(&record[KEY..CHECK], seed) as u32
}

fn check(record: &[u8], offset: u64) -> u64 {
    let seed = xxh3_64_with_seed(&record[..CHECK], offset);
    xxh3_64_with_seed(&record[HEADER_BYTES..], seed)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}
