//! Whether a file that a manifest names is there, whole, and every byte of it as it was written.
//!
//! It reads and never maps: a disk that fails under it is an error, not a signal. Knows nothing of what the bytes mean.

use super::format::{
    CHECK_BYTES, PIECE_BYTES, TABLE_ENTRY_BYTES, TRAILER_BYTES, TRAILER_CHECK, TRAILER_LEN, TRAILER_PIECES,
    TRAILER_TABLE, check_at, u64_at,
};
use super::{Disk, Named, damaged, fault};
use crate::error::Result;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * PIECE_BYTES;

/// Reads an envelope whole. `pace` hears of the bytes that were read.
pub(crate) fn verify_envelope(
    disk: &dyn Disk,
    path: &str,
    named: &Named,
    pace: &dyn Fn(usize),
) -> Result<()> {
    let end = expect_len(disk, path, named)?.saturating_sub(CHECK_BYTES as u64);
    let check = expect_check(disk, path, named, end)?;
    let mut hash = Xxh3::new();
    read_all(disk, path, 0, end, &mut |_, bytes| {
        hash.update(bytes);
        pace(bytes.len());
        Ok(())
    })?;
    if hash.digest128() == check { Ok(()) } else { Err(damaged(path, 0, "its checksum does not match")) }
}

/// Reads a file of sections whole; the error names the first piece that is bad.
pub(crate) fn verify_sections(
    disk: &dyn Disk,
    path: &str,
    named: &Named,
    pace: &dyn Fn(usize),
) -> Result<()> {
    let len = expect_len(disk, path, named)?;
    let at = len.saturating_sub(TRAILER_BYTES as u64);
    let check = expect_check(disk, path, named, at + TRAILER_CHECK as u64)?;
    let trailer = disk.read(path, at, TRAILER_CHECK).map_err(|e| fault("read", path, e))?;
    let field = |field| u64_at(&trailer, field).unwrap_or(u64::MAX);
    let (table, pieces) = (field(TRAILER_TABLE), field(TRAILER_PIECES));
    let table_bytes = pieces.checked_mul(TABLE_ENTRY_BYTES as u64);
    let fits = field(TRAILER_LEN) == len
        && pieces == table.div_ceil(PIECE_BYTES as u64)
        && table_bytes.and_then(|bytes| bytes.checked_add(table)) == Some(at);
    if !fits {
        return Err(damaged(path, at, "its end is not that of a complete file"));
    }
    let mut sums = Vec::new();
    read_all(disk, path, table, at, &mut |_, bytes| {
        sums.extend_from_slice(bytes);
        Ok(())
    })?;
    let mut hash = Xxh3::new();
    hash.update(&sums);
    hash.update(&trailer);
    if hash.digest128() != check {
        return Err(damaged(path, table, "the checksum of its checksums does not match"));
    }
    read_all(disk, path, 0, table, &mut |offset, bytes| {
        let first = offset / PIECE_BYTES as u64;
        for (piece, bytes) in (first..).zip(bytes.chunks(PIECE_BYTES)) {
            let sum = usize::try_from(piece).ok().and_then(|p| u64_at(&sums, p * TABLE_ENTRY_BYTES));
            if Some(xxh3_64_with_seed(bytes, piece)) != sum {
                let at = piece * PIECE_BYTES as u64;
                return Err(damaged(path, at, "the checksum of a piece does not match"));
            }
        }
        pace(bytes.len());
        Ok(())
    })
}

fn expect_len(disk: &dyn Disk, path: &str, named: &Named) -> Result<u64> {
    let len = disk.len(path).map_err(|e| fault("read", path, e))?;
    if len == named.len {
        return Ok(len);
    }
    let what = format_args!("it has {len} bytes; the manifest names one of {}", named.len);
    Err(damaged(path, len.min(named.len), what))
}

/// The checksum at `at`, if it is the one that the manifest names.
fn expect_check(disk: &dyn Disk, path: &str, named: &Named, at: u64) -> Result<u128> {
    let check = disk.read(path, at, CHECK_BYTES).map_err(|e| fault("read", path, e))?;
    if check_at(&check, 0) == Some(named.check) {
        return Ok(named.check);
    }
    Err(damaged(path, at, "it is not the file that the manifest names"))
}

/// Hands out the bytes from `at` to `end`, each part from a multiple of [`READ_BYTES`] after `at` on.
fn read_all(
    disk: &dyn Disk,
    path: &str,
    mut at: u64,
    end: u64,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    while at < end {
        let len = (end - at).min(READ_BYTES as u64) as usize;
        let bytes = disk.read(path, at, len).map_err(|e| fault("read", path, e))?;
        if bytes.len() < len {
            return Err(damaged(path, at + bytes.len() as u64, "it ends here, within its data"));
        }
        visit(at, &bytes)?;
        at += len as u64;
    }
    Ok(())
}
