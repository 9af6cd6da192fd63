//! Every file name of a store but the log's, made and parsed in one place.
//!
//! Invariant: a name is ours only if making it from what was parsed gives the same name; all others are left alone.

use crate::ids::BlockId;

/// Written once, when the store is made.
pub(crate) const IDENT: &str = "IDENT";

/// Says that the store has a mirror, and what that remembers.
pub(crate) const MIRROR: &str = "MIRROR";

/// Stands in a folder that a store is being copied into, until all of it is there.
pub(crate) const PARTIAL: &str = "PARTIAL";

/// Where the log stands; its owner names and removes what is in it.
pub(crate) const WAL: &str = "wal";

/// The manifest of number `number`.
pub(crate) fn manifest_name(number: u64) -> String {
    format!("manifest-{number:016x}")
}

/// No store counts so far: a name beyond is none of ours, and never in the way of the next number.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// The number of a manifest; `None` for any other name.
pub(crate) fn manifest_number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_prefix("manifest-")?, 16).ok()?;
    (number <= NUMBER_MAX && manifest_name(number) == name).then_some(number)
}

/// The folder of a collection. Names are reused after a drop; numbers are not.
pub(crate) fn collection_folder(number: u32) -> String {
    format!("c{number:08x}")
}

/// The number of a collection's folder, which ends with `/` in a list; `None` for any other name.
pub(crate) fn collection_number(name: &str) -> Option<u32> {
    let name = name.strip_suffix('/')?;
    let number = u32::from_str_radix(name.strip_prefix('c')?, 16).ok()?;
    (collection_folder(number) == name).then_some(number)
}

/// A file in the folder of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The rows of a sealed block.
    Rows(BlockId),
    /// Its codes, by the codec of this generation.
    Codes(BlockId, u32),
    /// The rows of the block that was growing; the number is that of the manifest that names the file first, as below.
    HeadRows(u64),
    HeadCodes(u64),
    Links(u64),
    Sets(u64),
    /// The words of some slots of a block; the number tells such files of one block from each other.
    Text(BlockId, u32),
}

impl Name {
    /// `None` for a name that is not ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stem, extension) = text.split_once('.').unwrap_or((text, ""));
        let mut parts = stem.split('-');
        let kind = parts.next()?;
        let number = u64::from_str_radix(parts.next()?, 16).ok()?;
        let codec = parts.next().map(|digits| u32::from_str_radix(digits, 16));
        let block = || u16::try_from(number).ok().map(BlockId);
        let name = match (kind, extension, codec) {
            ("block", "rows", None) => Self::Rows(block()?),
            ("block", "codes", Some(codec)) => Self::Codes(block()?, codec.ok()?),
            ("head", "rows", None) => Self::HeadRows(number),
            ("head", "codes", None) => Self::HeadCodes(number),
            ("text", "", Some(number)) => Self::Text(block()?, number.ok()?),
            ("links", "", None) => Self::Links(number),
            ("sets", "", None) => Self::Sets(number),
            _ => return None,
        };
        (name.to_string() == text).then_some(name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows(BlockId(block)) => write!(f, "block-{block:04x}.rows"),
            Self::Codes(BlockId(block), codec) => write!(f, "block-{block:04x}-{codec:08x}.codes"),
            Self::HeadRows(number) => write!(f, "head-{number:016x}.rows"),
            Self::HeadCodes(number) => write!(f, "head-{number:016x}.codes"),
            Self::Text(BlockId(block), number) => write!(f, "text-{block:04x}-{number:08x}"),
            Self::Links(number) => write!(f, "links-{number:016x}"),
            Self::Sets(number) => write!(f, "sets-{number:016x}"),
        }
    }
}
