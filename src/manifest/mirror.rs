//! `MIRROR`: that the store is attached to a database, and what its mirror remembers. Written anew each time, whole.
//!
//! Does not know what is remembered.

use super::format::{MIRROR_BYTES_MAX, MIRROR_MAGIC, MIRROR_STATE_BYTES_MAX, MIRROR_VERSION};
use super::names::MIRROR;
use crate::disk::{Disk, damaged, fault, read_envelope, write_envelope};
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// What binds a store to its database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bond {
    /// What the mirror remembers, if it does.
    pub(crate) state: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    attached: bool,
    /// Hexadecimal.
    state: Option<String>,
}

impl Bond {
    /// Makes it durable, over the one before.
    pub(crate) fn write(&self, disk: &dyn Disk) -> Result<()> {
        let state = self.state.as_deref().map(to_hex);
        let body = serde_json::to_vec(&Body { attached: true, state }).map_err(|e| {
            Error::new(ErrorKind::Internal, "MIRROR is no JSON; please report this").with_source(e)
        })?;
        write_envelope(disk, MIRROR, MIRROR_MAGIC, MIRROR_VERSION, &body)?;
        disk.sync_dir("").map_err(|e| fault("sync", "the store's folder", e))
    }

    /// Nothing in a store that was never attached.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>> {
        match disk.len(MIRROR) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault("look for", MIRROR, e)),
            Ok(_) => {}
        }
        let (_, body) = read_envelope(disk, MIRROR, MIRROR_MAGIC, MIRROR_VERSION, MIRROR_BYTES_MAX)?;
        let body: Body = serde_json::from_slice(&body)
            .map_err(|e| damaged(MIRROR, 0, "it cannot be read").with_source(e))?;
        let state = body.state.as_deref().map(of_hex);
        match (body.attached, state) {
            (true, None) => Ok(Some(Self { state: None })),
            (true, Some(Some(state))) => Ok(Some(Self { state: Some(state) })),
            _ => Err(damaged(MIRROR, 0, "it makes no sense")),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let is_hex = rest.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    let bytes = pairs.iter().map(|[high, low]| nibble(*high) << 4 | nibble(*low));
    (is_hex && pairs.len() <= MIRROR_STATE_BYTES_MAX).then(|| bytes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn what_was_remembered_last_is_read() {
        let disk = SimDisk::new();
        assert_eq!(Bond::read(&disk).unwrap(), None);
        for state in [None, Some(Vec::new()), Some((0..=255).collect::<Vec<u8>>()), Some(b"{}".to_vec())] {
            let bond = Bond { state };
            bond.write(&disk).unwrap();
            assert_eq!(Bond::read(&disk).unwrap(), Some(bond));
        }
    }

    #[test]
    fn l7_a_body_that_makes_no_sense_is_damage() {
        let disk = SimDisk::new();
        for body in [
            "",
            "{}",
            "[]",
            r#"{"attached":false,"state":null}"#,
            r#"{"attached":true,"state":"0"}"#,
            r#"{"attached":true,"state":"0G"}"#,
            r#"{"attached":true,"state":null,"more":1}"#,
        ] {
            write_envelope(&disk, MIRROR, MIRROR_MAGIC, MIRROR_VERSION, body.as_bytes()).unwrap();
            assert_eq!(Bond::read(&disk).unwrap_err().kind(), ErrorKind::Corrupt, "{body}");
        }
        write_envelope(&disk, MIRROR, MIRROR_MAGIC, MIRROR_VERSION + 1, b"{}").unwrap();
        assert_ne!(Bond::read(&disk).unwrap_err().kind(), ErrorKind::Corrupt, "newer");
    }
}
