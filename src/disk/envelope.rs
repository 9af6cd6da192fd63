//! Small files, read and written whole: magic, version, length, body, checksum.
//!
//! Invariants: a file has its name only after its bytes are durable; a body is handed out only after the checksum over
//! every byte held; nothing is allocated for a length that the file does not have.
//!
//! Knows nothing of bodies.

use super::format::{
    CHECK_BYTES, ENVELOPE_BODY, ENVELOPE_BODY_BYTES, MAGIC, VERSION, check_at, u32_at, u64_at,
};
use super::{Bug, Disk, damaged, fault, newer, planted};
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Where files stand while they are written.
pub(crate) const TMP: &str = "tmp";

/// How a manifest remembers a file: another file of the same name is not it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Bytes of the file.
    pub(crate) len: u64,
    /// Its last 16 bytes, XXH3-128.
    #[serde(with = "check_hex")]
    pub(crate) check: u128,
}

/// A check in JSON, whose numbers do not hold 128 bits.
pub(crate) mod check_hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(check: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{check:032x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| is_hex);
        number.ok_or_else(|| D::Error::custom("a check is 32 hexadecimal digits"))
    }
}

/// A path for a file that will be moved to `path` when it is complete. Makes the folder; skips names that are taken.
/// Several threads write at a time, so the folder is emptied when nobody does: at opening ([`empty_tmp`]).
pub(crate) fn temporary(disk: &dyn Disk, path: &str) -> Result<String> {
    disk.make_dir(TMP).map_err(|e| fault("make", TMP, e))?;
    let name = path.rsplit('/').next().unwrap_or(path);
    loop {
        let tmp = format!("{TMP}/{:x}-{name}", disk.unique());
        match disk.len(&tmp) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(tmp),
            Err(e) => return Err(fault("look for", &tmp, e)),
        }
    }
}

/// Removes what an earlier process did not finish. Best effort: leftovers never prevent opening.
pub(crate) fn empty_tmp(disk: &dyn Disk) {
    for name in disk.list(TMP).unwrap_or_default().iter().filter(|name| !name.ends_with('/')) {
        let _ = disk.remove(&format!("{TMP}/{name}"));
    }
}

/// Moves a complete, synced file to its name; removes it where that fails. The caller syncs the folder.
pub(crate) fn publish(disk: &dyn Disk, tmp: &str, path: &str) -> Result<()> {
    disk.rename(tmp, path).map_err(|e| {
        let _ = disk.remove(tmp);
        fault("move a file to", path, e)
    })
}

/// Writes `body` under `path`, over a file of that name if there is one. The caller syncs the folder.
pub(crate) fn write_envelope(
    disk: &dyn Disk,
    path: &str,
    magic: [u8; 8],
    version: u32,
    body: &[u8],
) -> Result<Named> {
    let mut bytes = Vec::with_capacity(ENVELOPE_BODY + body.len() + CHECK_BYTES);
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    let check = xxh3_128(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());

    let tmp = temporary(disk, path)?;
    let file = disk.create(&tmp).map_err(|e| fault("create", &tmp, e))?;
    let sync = || if planted(Bug::SkipSyncBeforeRename) { Ok(()) } else { file.sync() };
    if let Err(e) = file.write_at(0, &bytes).and_then(|()| sync()) {
        // Its bytes may be what fills the disk.
        let _ = disk.remove(&tmp);
        return Err(fault("write", path, e));
    }
    publish(disk, &tmp, path)?;
    Ok(Named { len: bytes.len() as u64, check })
}

/// Version and body of the file. One with a body of more than `bytes_max` is refused unread.
pub(crate) fn read_envelope(
    disk: &dyn Disk,
    path: &str,
    magic: [u8; 8],
    version_max: u32,
    bytes_max: usize,
) -> Result<(u32, Vec<u8>)> {
    let len = disk.len(path).map_err(|e| fault("read", path, e))?;
    let frame = (ENVELOPE_BODY + CHECK_BYTES) as u64;
    let Some(body_len) = len.checked_sub(frame) else {
        return Err(damaged(
            path,
            0,
            format_args!("it has {len} bytes, fewer than the {frame} around a body"),
        ));
    };
    let body_len = usize::try_from(body_len).unwrap_or(usize::MAX);
    if body_len > bytes_max {
        let what = format_args!("its body has {body_len} bytes; at most {bytes_max} can be");
        return Err(damaged(path, ENVELOPE_BODY_BYTES as u64, what));
    }
    let whole = ENVELOPE_BODY + body_len + CHECK_BYTES;
    let mut bytes = disk.read(path, 0, whole).map_err(|e| fault("read", path, e))?;
    let end = ENVELOPE_BODY + body_len;
    let checked = bytes.get(..end).map(xxh3_128);
    if checked.is_none() || checked != check_at(&bytes, end) {
        return Err(damaged(path, 0, "its checksum does not match"));
    }
    if bytes.get(MAGIC..VERSION) != Some(&magic[..]) {
        return Err(damaged(path, MAGIC as u64, "it is a file of another kind"));
    }
    let version = u32_at(&bytes, VERSION).unwrap_or(0);
    if version > version_max {
        return Err(newer(path, version, version_max));
    }
    if u64_at(&bytes, ENVELOPE_BODY_BYTES) != Some(body_len as u64) {
        let what = format_args!("it claims a body other than its {body_len} bytes");
        return Err(damaged(path, ENVELOPE_BODY_BYTES as u64, what));
    }
    bytes.truncate(end);
    bytes.drain(..ENVELOPE_BODY);
    Ok((version, bytes))
}

/// The same for a file that a manifest names: no other file of that name is accepted.
pub(crate) fn read_named_envelope(
    disk: &dyn Disk,
    path: &str,
    magic: [u8; 8],
    version_max: u32,
    named: &Named,
) -> Result<(u32, Vec<u8>)> {
    let len = disk.len(path).map_err(|e| fault("read", path, e))?;
    if len != named.len {
        let what = format_args!("it has {len} bytes; the manifest names one of {}", named.len);
        return Err(damaged(path, len.min(named.len), what));
    }
    let at = len.saturating_sub(CHECK_BYTES as u64);
    let check = disk.read(path, at, CHECK_BYTES).map_err(|e| fault("read", path, e))?;
    if check_at(&check, 0) != Some(named.check) {
        return Err(damaged(path, at, "it is not the file that the manifest names"));
    }
    let bytes_max = usize::try_from(len).map_err(|_| too_large(path, len))?;
    read_envelope(disk, path, magic, version_max, bytes_max)
}

fn too_large(path: &str, len: u64) -> Error {
    Error::new(ErrorKind::Full, format!("{path} has {len} bytes, more than this machine can address"))
}
