//! What the mirror remembers between runs, as JSON.
//!
//! Invariant: it never says more than what is durable in the store, and may say less: a cursor that is too old reads again what is
//! here already. What cannot be read is as good as nothing: everything is then compared anew.

use super::cursor::Cursor;
use super::letters::Kept;
use super::rebuild::Fill;
use super::remote::{Identity, NodeMark};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FORMAT: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    format: u32,
    /// The database that it speaks of.
    pub(super) identity: Option<Identity>,
    /// The last push that the database answered.
    pub(super) acked: Option<NodeMark>,
    /// The last push that was tried.
    pub(super) sent: NodeMark,
    pub(super) cursor: Option<Cursor>,
    pub(super) collections: BTreeMap<String, Known>,
    /// Rows that a side refuses.
    #[serde(default)]
    pub(super) letters: Vec<Kept>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// It equals the database up to the cursor.
    pub(super) is_verified: bool,
    /// Why it is left alone.
    pub(super) ignored: Option<Ignored>,
    /// How far filling it has come.
    pub(super) fill: Option<Fill>,
    /// Rows of the database may be missing here: it is not compared yet, or had nothing when filling began.
    #[serde(default)]
    pub(super) lacks: bool,
    /// The number of the collection here that all this is about.
    #[serde(default)]
    pub(super) number: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ignored {
    /// It is of another shape here than there.
    Mismatch(String),
    /// It was dropped here.
    Dropped,
}

impl Memory {
    pub(super) fn read(bytes: Option<&[u8]>) -> Self {
        let read = bytes.and_then(|bytes| serde_json::from_slice::<Self>(bytes).ok());
        read.filter(|memory| memory.format == FORMAT)
            .unwrap_or_else(|| Self { format: FORMAT, ..Self::default() })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        // Strings and numbers: there is nothing in it that JSON does not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Nothing of what is here is known to be there, or the other way round.
    pub(super) fn distrust(&mut self) {
        self.cursor = None;
        for known in self.collections.values_mut() {
            (known.is_verified, known.fill) = (false, None);
        }
    }

    /// The database may have rows that never came here.
    pub(super) fn lack(&mut self) {
        self.collections.values_mut().for_each(|known| known.lacks = true);
    }

    /// A collection that takes part.
    pub(super) fn takes_part(&self, collection: &str) -> bool {
        self.collections.get(collection).is_some_and(|known| known.ignored.is_none())
    }

    /// The first collection that is not known to equal the database.
    pub(super) fn unverified(&self) -> Option<&str> {
        let open = |known: &Known| !known.is_verified && known.ignored.is_none();
        self.collections.iter().find(|(_, known)| open(known)).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::remote::Snapshot;

    #[test]
    fn what_is_written_reads_back_and_garbage_is_nothing() {
        let mut memory = Memory::read(None);
        memory.cursor = Some(Cursor::at(Snapshot("1:1:".into())));
        memory.sent = NodeMark { node: u64::MAX >> 1, incarnation: 2, pushes: 3 };
        memory.collections.insert("a".into(), Known { is_verified: true, ..Known::default() });
        let dropped = Known { ignored: Some(Ignored::Dropped), ..Known::default() };
        memory.collections.insert("b".into(), dropped);
        assert_eq!(Memory::read(Some(&memory.write())), memory);
        for bytes in ["", "{}", "[1]", "{\"format\": 2}", "\u{0}"] {
            assert_eq!(Memory::read(Some(bytes.as_bytes())), Memory::read(None), "{bytes:?}");
        }
        assert_eq!(memory.unverified(), None);
        memory.distrust();
        assert_eq!((memory.unverified(), &memory.cursor), (Some("a"), &None));
    }
}
