//! The bytes of the log: heads of files and of records. `FORMAT.md`, section Write-ahead log, is the law.
//!
//! Invariants: each offset follows from the field before; encoding and decoding are pure; a length is believed only after
//! the header's check held. Does not know files, nor what a payload says.

use crate::disk::{Bug, planted};
use crate::ids::Seq;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

const MAGIC: [u8; 8] = *b"NFWAL\r\n\0";
pub(super) const VERSION: u32 = 1;

const HEAD_MAGIC: usize = 0;
const HEAD_VERSION: usize = HEAD_MAGIC + 8;
const HEAD_ZERO: usize = HEAD_VERSION + 4;
const HEAD_SALT: usize = HEAD_ZERO + 4;
const HEAD_FIRST_SEQ: usize = HEAD_SALT + 8;
const HEAD_STORE: usize = HEAD_FIRST_SEQ + 8;
const HEAD_NUMBER: usize = HEAD_STORE + 8;
const HEAD_ZERO_2: usize = HEAD_NUMBER + 8;
const HEAD_CHECKSUM: usize = HEAD_ZERO_2 + 8;
/// Where the first record starts.
pub(super) const HEAD_BYTES: usize = HEAD_CHECKSUM + 8;

const PAYLOAD_BYTES: usize = 0;
const KIND: usize = PAYLOAD_BYTES + 4;
const FLAGS: usize = KIND + 1;
const CHECK: usize = FLAGS + 1;
const SEQ: usize = CHECK + 2;
const PROVEN: usize = SEQ + 8;
const CHECKSUM: usize = PROVEN + 8;
pub(super) const RECORD_HEAD_BYTES: usize = CHECKSUM + 8;

const _: () = assert!(HEAD_BYTES == 64 && RECORD_HEAD_BYTES == 32);
const _: () = assert!(HEAD_BYTES.is_multiple_of(ALIGN) && RECORD_HEAD_BYTES.is_multiple_of(ALIGN));

/// Records start at multiples of it.
pub(super) const ALIGN: usize = 8;
/// Payload of one record. A commit with more is written in parts.
pub(super) const PART_BYTES_MAX: usize = 16 << 20;

/// More parts of this commit follow.
pub(super) const MORE: u8 = 1;
/// Parts of this commit went before.
pub(super) const CONTINUED: u8 = 2;

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) salt: u64,
    pub(super) first: Seq,
    pub(super) store: u64,
    pub(super) number: u32,
}

/// Why the first bytes of a file are no head of this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadFlaw {
    /// Never written: the file was being made.
    Blank,
    Damaged,
    /// A later version wrote it.
    Newer(u32),
}

impl FileHead {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        put(&mut bytes, HEAD_MAGIC, MAGIC);
        put(&mut bytes, HEAD_VERSION, VERSION.to_le_bytes());
        put(&mut bytes, HEAD_SALT, self.salt.to_le_bytes());
        put(&mut bytes, HEAD_FIRST_SEQ, self.first.0.to_le_bytes());
        put(&mut bytes, HEAD_STORE, self.store.to_le_bytes());
        put(&mut bytes, HEAD_NUMBER, u64::from(self.number).to_le_bytes());
        let checksum = xxh3_64(&bytes[..HEAD_CHECKSUM]);
        put(&mut bytes, HEAD_CHECKSUM, checksum.to_le_bytes());
        bytes
    }

    /// Whether `bytes` are the beginning of a head and zeros: it was being written when the power went. `self` is what the
    /// file's name says; the salt is what stands there.
    pub(super) fn is_torn(self, bytes: &[u8]) -> bool {
        let Some(bytes) = bytes.first_chunk::<HEAD_BYTES>() else { return false };
        let whole = Self { salt: u64_at(bytes, HEAD_SALT), ..self }.encode();
        let written = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        written < HEAD_BYTES && bytes[..written] == whole[..written]
    }

    /// From the first bytes of a file, however few they are.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeadFlaw> {
        let Some(bytes) = bytes.first_chunk::<HEAD_BYTES>() else { return Err(HeadFlaw::Blank) };
        if *bytes == [0; HEAD_BYTES] {
            return Err(HeadFlaw::Blank);
        }
        let is_whole = xxh3_64(&bytes[..HEAD_CHECKSUM]) == u64_at(bytes, HEAD_CHECKSUM);
        if !is_whole || !bytes.starts_with(&MAGIC) {
            return Err(HeadFlaw::Damaged);
        }
        match u32_at(bytes, HEAD_VERSION) {
            VERSION => {}
            newer => return Err(HeadFlaw::Newer(newer)),
        }
        Ok(Self {
            salt: u64_at(bytes, HEAD_SALT),
            first: Seq(u64_at(bytes, HEAD_FIRST_SEQ)),
            store: u64_at(bytes, HEAD_STORE),
            number: u32::try_from(u64_at(bytes, HEAD_NUMBER)).map_err(|_| HeadFlaw::Damaged)?,
        })
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) payload_bytes: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) seq: Seq,
    pub(super) proven: Seq,
    checksum: u64,
}

impl RecordHead {
    /// Bytes from this record to the next.
    pub(super) fn stride(&self) -> usize {
        RECORD_HEAD_BYTES + self.payload_bytes.next_multiple_of(ALIGN)
    }

    /// The head in these bytes, if its check holds. The payload is still to be checked.
    pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<RECORD_HEAD_BYTES>()?;
        let payload_bytes = usize::try_from(u32_at(bytes, PAYLOAD_BYTES)).ok()?;
        let is_sane =
            (1..=PART_BYTES_MAX).contains(&payload_bytes) && bytes[FLAGS] & !(MORE | CONTINUED) == 0;
        let is_checked = header_check(bytes, salt).to_le_bytes() == bytes[CHECK..SEQ];
        if !is_sane || !(is_checked || planted(Bug::IgnoreHeaderCheck)) {
            return None;
        }
        Some(Self {
            payload_bytes,
            kind: bytes[KIND],
            flags: bytes[FLAGS],
            seq: Seq(u64_at(bytes, SEQ)),
            proven: Seq(u64_at(bytes, PROVEN)),
            checksum: u64_at(bytes, CHECKSUM),
        })
    }

    /// Whether `record`, which this is the head of, is as it was written.
    pub(super) fn holds(&self, record: &[u8], salt: u64) -> bool {
        let end = RECORD_HEAD_BYTES + self.payload_bytes;
        let matches = |record| checksum(record, salt) == self.checksum || planted(Bug::IgnorePayloadCheck);
        record.get(..end).is_some_and(matches)
    }
}

/// Appends one record.
pub(super) fn encode_record(
    out: &mut Vec<u8>,
    salt: u64,
    (kind, flags): (u8, u8),
    (seq, proven): (Seq, Seq),
    payload: [&[u8]; 2],
) {
    let start = out.len();
    let payload_bytes = payload[0].len() + payload[1].len();
    out.extend((payload_bytes as u32).to_le_bytes());
    out.extend([kind, flags, 0, 0]);
    out.extend(seq.0.to_le_bytes());
    out.extend(proven.0.to_le_bytes());
    out.extend([0; 8]);
    payload.iter().for_each(|piece| out.extend_from_slice(piece));
    seal(&mut out[start..], salt);
    out.resize(start + RECORD_HEAD_BYTES + payload_bytes.next_multiple_of(ALIGN), 0);
}

/// Writes both checks into a record: its head and its payload, without the zeros after it.
pub(super) fn seal(record: &mut [u8], salt: u64) {
    let checksum = checksum(record, salt);
    put(record, CHECKSUM, checksum.to_le_bytes());
    let check = header_check(record, salt);
    put(record, CHECK, check.to_le_bytes());
}

/// Of everything but the two checks.
fn checksum(record: &[u8], salt: u64) -> u64 {
    let mut hash = Xxh3::with_seed(salt ^ u64_at(record, SEQ));
    hash.update(&record[..CHECK]);
    hash.update(&record[SEQ..CHECKSUM]);
    hash.update(&record[RECORD_HEAD_BYTES..]);
    hash.digest()
}

fn header_check(record: &[u8], salt: u64) -> u16 {
    let mut bytes = [0; RECORD_HEAD_BYTES - 2];
    bytes[..CHECK].copy_from_slice(&record[..CHECK]);
    bytes[CHECK..].copy_from_slice(&record[SEQ..RECORD_HEAD_BYTES]);
    xxh3_64_with_seed(&bytes, salt) as u16
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}
