//! What a Parquet file says of itself at its end: the tree of its columns, and where each column's bytes lie.
//!
//! Invariants: a column chunk lies within the file; every group has children; the tree is no deeper than a limit.

use super::thrift::Thrift;
use crate::import::input::{Input, Parsed};

/// Bytes of the description.
const BYTES_MAX: u64 = 16 << 20;
/// Columns within columns.
const DEPTH_MAX: usize = 32;
const ELEMENTS_MAX: usize = 10_000;
const MAGIC: &[u8; 4] = b"PAR1";

/// Whether and how often a value is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    Optional,
    Repeated,
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Bool,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    /// Of so many bytes each.
    Fixed(usize),
}

/// What is meant by what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    Text,
    Json,
    Unsigned,
    Half,
    List,
    Map,
    /// A date, a decimal number and what else there is, by its number.
    Other(i64),
}

/// A column, or a group of them.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) times: Times,
    pub(super) meaning: Meaning,
    /// From which level on it is there.
    pub(super) def: u16,
    /// At which level it is there again.
    pub(super) rep: u16,
    /// Nothing of a group.
    pub(super) physical: Option<Physical>,
    pub(super) children: Vec<Node>,
    /// Which of the file's leaves are below it, or itself.
    pub(super) leaves: std::ops::Range<usize>,
}

/// The bytes of a column in one group of rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    pub(super) codec: i64,
    pub(super) values: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

#[derive(Debug)]
pub(super) struct Rows {
    pub(super) count: u64,
    /// One for each leaf.
    pub(super) pieces: Vec<Piece>,
}

#[derive(Debug)]
pub(super) struct Footer {
    pub(super) columns: Vec<Node>,
    pub(super) leaves: usize,
    pub(super) groups: Vec<Rows>,
    pub(super) rows: u64,
}

/// A line of the list that the tree is stored as.
#[derive(Default)]
struct Element {
    kind: Option<i64>,
    length: i64,
    times: i64,
    name: String,
    children: Option<i64>,
    converted: Option<i64>,
    logical: Option<i64>,
    signed: bool,
}

impl Footer {
    pub(super) fn read(input: &mut Input) -> Parsed<Self> {
        let len = input.len();
        if len < 12 {
            return Err(format!("has {len} bytes, too few for a Parquet file"));
        }
        input.seek(0)?;
        let start = input.take::<4>()?;
        input.seek(len - 8)?;
        let (size, end) = (u64::from(input.u32()?), input.take::<4>()?);
        if &end == b"PARE" {
            return Err("is encrypted".to_owned());
        }
        if &start != MAGIC || &end != MAGIC {
            return Err("does not begin and end as a Parquet file does: is it cut off?".to_owned());
        }
        if size > BYTES_MAX || size + 12 > len {
            return Err(format!(
                "claims {size} bytes of description; the file has {len}, {BYTES_MAX} are read"
            ));
        }
        let numbers_end = len - 8 - size;
        input.seek(numbers_end)?;
        let bytes = input.bytes(size, "description")?;
        Self::parse(&bytes, numbers_end)
    }

    pub(super) fn parse(bytes: &[u8], end: u64) -> Parsed<Self> {
        let (mut elements, mut groups, mut rows) = (Vec::new(), Vec::new(), 0);
        Thrift::new(bytes).fields(|thrift, id, kind| match id {
            2 => thrift.list(kind, |thrift, _| {
                if elements.len() == ELEMENTS_MAX {
                    return Err(format!("has more than {ELEMENTS_MAX} columns"));
                }
                elements.push(element(thrift)?);
                Ok(())
            }),
            3 => thrift.number(kind).map(|n| rows = n),
            4 => thrift.list(kind, |thrift, _| {
                groups.push(group(thrift, end)?);
                Ok(())
            }),
            8 => Err("is encrypted".to_owned()),
            _ => thrift.skip(kind),
        })?;
        let mut elements = elements.into_iter();
        let root = elements.next().ok_or("describes no columns")?;
        let mut leaves = 0;
        let columns = (0..root.children.unwrap_or_default())
            .map(|_| node(&mut elements, (0, 0), &mut leaves, 0))
            .collect::<Parsed<Vec<_>>>()?;
        if elements.next().is_some() || columns.is_empty() {
            return Err("its tree of columns is damaged".to_owned());
        }
        if let Some(odd) = groups.iter().position(|group| group.pieces.len() != leaves) {
            return Err(format!("row group {odd} has {} columns, not {leaves}", groups[odd].pieces.len()));
        }
        let all = groups.iter().try_fold(0u64, |sum, group| sum.checked_add(group.count));
        match (all, u64::try_from(rows)) {
            (Some(all), Ok(rows)) if all == rows => Ok(Self { columns, leaves, groups, rows }),
            _ => Err(format!("says that it has {rows} rows, and its row groups have others")),
        }
    }
}

fn element(thrift: &mut Thrift<'_>) -> Parsed<Element> {
    let mut found = Element { signed: true, ..Element::default() };
    thrift.fields(|thrift, id, kind| {
        match id {
            1 => found.kind = Some(thrift.number(kind)?),
            2 => found.length = thrift.number(kind)?,
            3 => found.times = thrift.number(kind)?,
            4 => found.name = thrift.text(kind)?,
            5 => found.children = Some(thrift.number(kind)?),
            6 => found.converted = Some(thrift.number(kind)?),
            10 => thrift.fields(|thrift, id, kind| {
                found.logical = Some(i64::from(id));
                match id {
                    // A whole number says of itself whether it has a sign.
                    10 => thrift.fields(|thrift, id, kind| match id {
                        2 => thrift.flag(kind).map(|signed| found.signed = signed),
                        _ => thrift.skip(kind),
                    }),
                    _ => thrift.skip(kind),
                }
            })?,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(found)
}

impl Element {
    fn times(&self) -> Parsed<Times> {
        match self.times {
            0 => Ok(Times::Once),
            1 => Ok(Times::Optional),
            2 => Ok(Times::Repeated),
            other => Err(format!("the column {:?} is there {other}, which is nothing known", self.name)),
        }
    }

    fn physical(&self) -> Parsed<Physical> {
        Ok(match self.kind {
            Some(0) => Physical::Bool,
            Some(1) => Physical::Int32,
            Some(2) => Physical::Int64,
            Some(3) => Physical::Int96,
            Some(4) => Physical::Float,
            Some(5) => Physical::Double,
            Some(6) => Physical::Bytes,
            Some(7) if (1..=1 << 20).contains(&self.length) => Physical::Fixed(self.length as usize),
            other => return Err(format!("the column {:?} is of the unknown kind {other:?}", self.name)),
        })
    }

    /// The newer way to say it, and the older one.
    fn meaning(&self) -> Meaning {
        match (self.logical, self.converted) {
            (Some(1 | 4), _) => Meaning::Text,
            (Some(2), _) => Meaning::Map,
            (Some(3), _) => Meaning::List,
            (Some(10), _) if self.signed => Meaning::Plain,
            (Some(10), _) => Meaning::Unsigned,
            (Some(12), _) => Meaning::Json,
            (Some(15), _) => Meaning::Half,
            // Of unknown kind are columns that hold nothing.
            (Some(11 | 13), _) => Meaning::Plain,
            (Some(other), _) => Meaning::Other(other),
            (None, Some(0 | 4)) => Meaning::Text,
            (None, Some(1 | 2)) => Meaning::Map,
            (None, Some(3)) => Meaning::List,
            (None, Some(11..=14)) => Meaning::Unsigned,
            (None, Some(15..=18) | None) => Meaning::Plain,
            (None, Some(19)) => Meaning::Json,
            (None, Some(other)) => Meaning::Other(other),
        }
    }
}

/// The tree below the next element.
fn node(
    elements: &mut std::vec::IntoIter<Element>,
    above: (u16, u16),
    leaves: &mut usize,
    depth: usize,
) -> Parsed<Node> {
    if depth > DEPTH_MAX {
        return Err(format!("its columns are nested deeper than {DEPTH_MAX}"));
    }
    let element = elements.next().ok_or("its tree of columns is damaged")?;
    let times = element.times()?;
    let (def, rep) = match times {
        Times::Once => above,
        Times::Optional => (above.0 + 1, above.1),
        Times::Repeated => (above.0 + 1, above.1 + 1),
    };
    let (first, meaning) = (*leaves, element.meaning());
    let (physical, children) = match element.children {
        // Some writers give leaves none.
        None | Some(0) if element.kind.is_some() => {
            *leaves += 1;
            (Some(element.physical()?), Vec::new())
        }
        Some(count) if count > 0 => {
            let child = |_| node(elements, (def, rep), leaves, depth + 1);
            (None, (0..count).map(child).collect::<Parsed<_>>()?)
        }
        _ => return Err(format!("the group {:?} has no columns", element.name)),
    };
    Ok(Node { name: element.name, times, meaning, def, rep, physical, children, leaves: first..*leaves })
}

fn group(thrift: &mut Thrift<'_>, end: u64) -> Parsed<Rows> {
    let mut rows = Rows { count: 0, pieces: Vec::new() };
    thrift.fields(|thrift, id, kind| match id {
        1 => thrift.list(kind, |thrift, _| {
            rows.pieces.push(piece(thrift, end)?);
            Ok(())
        }),
        3 => {
            let count = thrift.number(kind)?;
            rows.count = u64::try_from(count).map_err(|_| format!("a row group claims {count} rows"))?;
            Ok(())
        }
        _ => thrift.skip(kind),
    })?;
    Ok(rows)
}

fn piece(thrift: &mut Thrift<'_>, end: u64) -> Parsed<Piece> {
    let (mut codec, mut values, mut len, mut data, mut dictionary) = (0, 0, None, 0, 0);
    thrift.fields(|thrift, id, kind| match id {
        1 => Err("its columns lie in files of their own".to_owned()),
        3 => thrift.fields(|thrift, id, kind| {
            match id {
                4 => codec = thrift.number(kind)?,
                5 => values = thrift.number(kind)?,
                7 => len = Some(thrift.number(kind)?),
                9 => data = thrift.number(kind)?,
                11 => dictionary = thrift.number(kind)?,
                _ => thrift.skip(kind)?,
            }
            Ok(())
        }),
        8 => Err("is encrypted".to_owned()),
        _ => thrift.skip(kind),
    })?;
    // Some writers set the dictionary's place to 0 where there is none.
    let from = if dictionary > 0 { data.min(dictionary) } else { data };
    let to = len.and_then(|len| from.checked_add(len));
    match (u64::try_from(from), to.map(u64::try_from), u64::try_from(values)) {
        (Ok(from), Some(Ok(to)), Ok(values)) if 4 <= from && from <= to && to <= end => {
            Ok(Piece { codec, values, from, to })
        }
        _ => Err(format!(
            "a column claims {values} values at byte {from}, {len:?} bytes of {end}: the file is damaged"
        )),
    }
}

/// For messages.
impl std::fmt::Display for Physical {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "runs of {n} bytes"),
            other => f.write_str(&format!("{other:?}").to_lowercase()),
        }
    }
}
