//! One page of a column: its head, its bytes unpacked, and its values one by one.
//!
//! Invariants: a page takes the memory that its head claims only as far as its bytes bear it out, and never more than a limit; values are
//! decoded when they are asked for, so that what is short on disk is short in memory.

use super::bits::{Runs, deltas};
use super::footer::Physical;
use super::thrift::Thrift;
use crate::import::input::{Input, Parsed};
use std::io::Read;

/// Bytes of a page, unpacked. Writers aim at 1 MiB; some make one page of a group of rows.
const BYTES_MAX: u64 = 256 << 20;
/// The same of a dictionary, whose values are noted one by one.
const DICTIONARY_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a page's head: two values of its statistics, mostly.
const HEAD_BYTES_MAX: u64 = 16 << 20;
const CUT_OFF: &str = "a page is cut off";

/// A value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stored<'a> {
    Bool(bool),
    Int32(i32),
    Int64(i64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
}

#[derive(Debug, Default)]
pub(super) struct Head {
    kind: i64,
    unpacked: i64,
    packed: i64,
    values: i64,
    encoding: i64,
    /// Of the second version, whose levels are not packed: their bytes.
    levels: Option<(i64, i64)>,
    is_packed: bool,
}

/// What a column's dictionary holds.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    /// Of runs of bytes: where each lies.
    places: Vec<(u32, u32)>,
    count: usize,
}

#[derive(Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    rep: Runs,
    def: Runs,
    /// Values that are there, and those that are not.
    pub(super) left: u64,
    values: Values,
    /// Bytes that it takes.
    pub(super) size: usize,
}

#[derive(Debug)]
enum Values {
    Plain(usize),
    Bits {
        from: usize,
        nth: usize,
    },
    Flags(Runs),
    Indexes(Runs),
    Numbers(std::vec::IntoIter<i64>),
    Lengths {
        lengths: std::vec::IntoIter<i64>,
        at: usize,
    },
    Prefixed {
        shared: std::vec::IntoIter<i64>,
        lengths: std::vec::IntoIter<i64>,
        at: usize,
        last: Vec<u8>,
    },
    /// The first bytes of all, then the second ones of all.
    Split {
        from: usize,
        count: usize,
        nth: usize,
        one: [u8; 8],
    },
}

/// What the pages of a column have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) physical: Physical,
    pub(super) codec: i64,
    pub(super) def_max: u16,
    pub(super) rep_max: u16,
}

pub(super) enum Either {
    Dictionary(Dictionary),
    Page(Page),
    Neither,
}

impl Kind {
    /// The page at `*at`, which then is the next one's place. It lies before `end`.
    pub(super) fn read(&self, input: &mut Input, at: &mut u64, end: u64) -> Parsed<Either> {
        let head = head(input, at, end)?;
        let packed = u64::try_from(head.packed).ok().filter(|n| *n <= end - *at);
        let max = if head.kind == 2 { DICTIONARY_BYTES_MAX } else { BYTES_MAX };
        let unpacked = u64::try_from(head.unpacked).ok().filter(|n| *n <= max);
        let (Some(packed), Some(unpacked)) = (packed, unpacked) else {
            return Err(format!(
                "a page claims {} bytes, unpacked {}; {} bytes are left, and {max} are unpacked at most",
                head.packed,
                head.unpacked,
                end - *at
            ));
        };
        input.seek(*at)?;
        let bytes = input.bytes(packed, "a page")?;
        *at += packed;
        match head.kind {
            0 | 3 => self.page(&head, &bytes, unpacked as usize).map(Either::Page),
            2 => self.dictionary(&head, &bytes, unpacked as usize).map(Either::Dictionary),
            _ => Ok(Either::Neither),
        }
    }

    fn page(&self, head: &Head, packed: &[u8], unpacked: usize) -> Parsed<Page> {
        let left = u64::try_from(head.values).map_err(|_| format!("a page claims {} values", head.values))?;
        let width = |max: u16| u32::from(max).checked_ilog2().map_or(0, |log| log + 1);
        let (bytes, rep, def, at) = match head.levels {
            Some((rep, def)) => {
                let size = |n: i64| usize::try_from(n).ok().filter(|n| *n <= packed.len());
                let (rep, def) = size(rep).zip(size(def)).ok_or(CUT_OFF)?;
                let levels = packed.get(..rep + def).ok_or(CUT_OFF)?;
                let rest = unpacked.checked_sub(levels.len()).ok_or(CUT_OFF)?;
                let mut bytes = levels.to_vec();
                let codec = if head.is_packed { self.codec } else { 0 };
                bytes.extend(unpack(codec, &packed[levels.len()..], rest)?);
                (bytes, 0..rep, rep..rep + def, rep + def)
            }
            None => {
                let bytes = unpack(self.codec, packed, unpacked)?;
                let mut at = 0;
                let mut levels = |max: u16| {
                    if max == 0 {
                        return Ok(0..0);
                    }
                    let size = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(CUT_OFF)?;
                    let from = at + 4;
                    at = from + u32::from_le_bytes(*size) as usize;
                    if at > bytes.len() { Err(CUT_OFF) } else { Ok(from..at) }
                };
                let (rep, def) = (levels(self.rep_max)?, levels(self.def_max)?);
                (bytes, rep, def, at)
            }
        };
        let runs = |range, max| if max == 0 { Ok(Runs::zeros()) } else { Runs::new(range, width(max)) };
        let (rep, def) = (runs(rep, self.rep_max)?, runs(def, self.def_max)?);
        let values = self.values(head.encoding, &bytes, at)?;
        let numbers = match &values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Lengths { lengths, .. } => lengths.len(),
            Values::Prefixed { shared, lengths, .. } => shared.len() + lengths.len(),
            _ => 0,
        };
        let size = bytes.len() + numbers * size_of::<i64>();
        Ok(Page { bytes, rep, def, left, values, size })
    }

    fn values(&self, encoding: i64, bytes: &[u8], at: usize) -> Parsed<Values> {
        let end = bytes.len();
        let of = |name: &str| Err(format!("{} encoded as {name}", self.physical));
        Ok(match (encoding, self.physical) {
            (0, Physical::Bool) => Values::Bits { from: at, nth: 0 },
            (0, _) => Values::Plain(at),
            // No value may be there at all.
            (2 | 8, _) if at == end => Values::Indexes(Runs::new(end..end, 0)?),
            (2 | 8, _) => Values::Indexes(Runs::new(at + 1..end, u32::from(bytes[at]))?),
            (3, Physical::Bool) => Values::Flags(Runs::new((at + 4).min(end)..end, 1)?),
            (5, Physical::Int32 | Physical::Int64) => Values::Numbers(deltas(bytes, at)?.0.into_iter()),
            (6, Physical::Bytes) => {
                let (lengths, at) = deltas(bytes, at)?;
                Values::Lengths { lengths: lengths.into_iter(), at }
            }
            (7, Physical::Bytes | Physical::Fixed(_)) => {
                let (shared, at) = deltas(bytes, at)?;
                let (lengths, at) = deltas(bytes, at)?;
                let (shared, lengths) = (shared.into_iter(), lengths.into_iter());
                Values::Prefixed { shared, lengths, at, last: Vec::new() }
            }
            (9, physical) => {
                let size = match physical {
                    Physical::Fixed(size) => size,
                    other => width(other).ok_or_else(|| format!("{other} split into streams"))?,
                };
                if size > 8 {
                    return Err(format!("{physical} split into streams"));
                }
                Values::Split { from: at, count: (end - at) / size, nth: 0, one: [0; 8] }
            }
            (4, _) => return of("BIT_PACKED, which is out of use"),
            (3 | 5..=7, _) => return of("something that is for others"),
            (other, _) => return of(&format!("the unknown {other}")),
        })
    }

    fn dictionary(&self, head: &Head, packed: &[u8], unpacked: usize) -> Parsed<Dictionary> {
        let bytes = unpack(self.codec, packed, unpacked)?;
        let count = usize::try_from(head.values).map_err(|_| CUT_OFF)?;
        let mut places = Vec::new();
        match self.physical {
            Physical::Bytes => {
                let mut at = 0;
                for _ in 0..count {
                    let run = run(&bytes, &mut at)?;
                    places.push(((at - run.len()) as u32, run.len() as u32));
                }
            }
            Physical::Bool => return Err("a dictionary of yes and no".to_owned()),
            other => {
                let size = width(other).ok_or(CUT_OFF)?;
                if count.checked_mul(size).is_none_or(|all| all > bytes.len()) {
                    return Err(format!("a dictionary claims {count} values in {} bytes", bytes.len()));
                }
            }
        }
        Ok(Dictionary { bytes, places, count })
    }
}

fn head(input: &mut Input, at: &mut u64, end: u64) -> Parsed<Head> {
    let mut size = 1 << 10;
    loop {
        let here = (end - *at).min(size);
        input.seek(*at)?;
        let bytes = input.bytes(here, "a page's head")?;
        let mut thrift = Thrift::new(&bytes);
        match parse(&mut thrift) {
            Ok(head) => {
                *at += thrift.at() as u64;
                return Ok(head);
            }
            Err(_) if here == size && size < HEAD_BYTES_MAX => size *= 8,
            Err(what) => return Err(format!("the head of the page at byte {at}: {what}")),
        }
    }
}

fn parse(thrift: &mut Thrift<'_>) -> Parsed<Head> {
    let mut head = Head { is_packed: true, ..Head::default() };
    thrift.fields(|thrift, id, kind| match id {
        1 => thrift.number(kind).map(|n| head.kind = n),
        2 => thrift.number(kind).map(|n| head.unpacked = n),
        3 => thrift.number(kind).map(|n| head.packed = n),
        5 | 7 => thrift.fields(|thrift, id, kind| match id {
            1 => thrift.number(kind).map(|n| head.values = n),
            2 => thrift.number(kind).map(|n| head.encoding = n),
            _ => thrift.skip(kind),
        }),
        8 => {
            let mut levels = (0, 0);
            thrift.fields(|thrift, id, kind| match id {
                1 => thrift.number(kind).map(|n| head.values = n),
                4 => thrift.number(kind).map(|n| head.encoding = n),
                5 => thrift.number(kind).map(|n| levels.1 = n),
                6 => thrift.number(kind).map(|n| levels.0 = n),
                7 => thrift.flag(kind).map(|flag| head.is_packed = flag),
                _ => thrift.skip(kind),
            })?;
            head.levels = Some(levels);
            Ok(())
        }
        _ => thrift.skip(kind),
    })?;
    Ok(head)
}

/// Exactly `size` bytes of what is packed.
fn unpack(codec: i64, packed: &[u8], size: usize) -> Parsed<Vec<u8>> {
    let bytes = match codec {
        _ if packed.is_empty() => Vec::new(),
        0 => packed.to_vec(),
        1 => {
            let claimed = snap::raw::decompress_len(packed).map_err(|e| format!("snappy: {e}"))?;
            if claimed != size {
                return Err(format!(
                    "a page says that it has {size} bytes, and packed that it has {claimed}"
                ));
            }
            snap::raw::Decoder::new().decompress_vec(packed).map_err(|e| format!("snappy: {e}"))?
        }
        2 => all_of(flate2::read::MultiGzDecoder::new(packed), size, "gzip")?,
        6 => all_of(
            zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| e.to_string())?,
            size,
            "zstd",
        )?,
        other => {
            let name = ["", "", "", "LZO", "BROTLI", "LZ4", "", "LZ4_RAW"]
                .get(other as usize)
                .unwrap_or(&"something unknown");
            return Err(format!("is packed with {name}; write it with zstd, snappy, gzip or none"));
        }
    };
    if bytes.len() != size {
        return Err(format!("a page says that it has {size} bytes, and has {}", bytes.len()));
    }
    Ok(bytes)
}

/// What is read, up to a byte more than `size`; memory follows what comes.
fn all_of(from: impl Read, size: usize, name: &str) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(size as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    Ok(bytes)
}

/// Bytes of a value, where all have as many.
fn width(physical: Physical) -> Option<usize> {
    match physical {
        Physical::Int32 | Physical::Float => Some(4),
        Physical::Int64 | Physical::Double => Some(8),
        Physical::Int96 => Some(12),
        Physical::Fixed(size) => Some(size),
        Physical::Bool | Physical::Bytes => None,
    }
}

/// A length and as many bytes.
fn run<'a>(bytes: &'a [u8], at: &mut usize) -> Parsed<&'a [u8]> {
    let size = bytes.get(*at..).and_then(|rest| rest.first_chunk()).ok_or(CUT_OFF)?;
    *at += 4;
    some(bytes, at, u32::from_le_bytes(*size) as usize)
}

fn some<'a>(bytes: &'a [u8], at: &mut usize, size: usize) -> Parsed<&'a [u8]> {
    let run = bytes.get(*at..).and_then(|rest| rest.get(..size)).ok_or(CUT_OFF)?;
    *at += size;
    Ok(run)
}

/// What stands at the beginning of `bytes`, by its kind.
fn stored(physical: Physical, bytes: &[u8]) -> Parsed<Stored<'_>> {
    fn first<const N: usize>(bytes: &[u8]) -> Parsed<[u8; N]> {
        bytes.first_chunk().copied().ok_or_else(|| CUT_OFF.to_owned())
    }
    Ok(match physical {
        Physical::Int32 => Stored::Int32(i32::from_le_bytes(first(bytes)?)),
        Physical::Int64 => Stored::Int64(i64::from_le_bytes(first(bytes)?)),
        Physical::Float => Stored::Float(f32::from_le_bytes(first(bytes)?)),
        Physical::Double => Stored::Double(f64::from_le_bytes(first(bytes)?)),
        other => Stored::Bytes(width(other).and_then(|size| bytes.get(..size)).ok_or(CUT_OFF)?),
    })
}

impl Dictionary {
    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<(u32, u32)>()
    }

    fn get(&self, physical: Physical, nth: u32) -> Parsed<Stored<'_>> {
        let nth = nth as usize;
        if nth >= self.count {
            return Err(format!("value {nth} of a dictionary of {}", self.count));
        }
        match self.places.get(nth) {
            Some((from, size)) => Ok(Stored::Bytes(&self.bytes[*from as usize..][..*size as usize])),
            None => stored(physical, &self.bytes[nth * width(physical).unwrap_or_default()..]),
        }
    }
}

impl Page {
    /// The levels of the next value: whether it begins a row, whether it is there.
    #[inline]
    pub(super) fn levels(&mut self) -> Parsed<(u16, u16)> {
        self.left -= 1;
        let rep = self.rep.next(&self.bytes)?;
        let def = self.def.next(&self.bytes)?;
        Ok((rep as u16, def as u16))
    }

    /// The next value that is there.
    pub(super) fn value<'a>(
        &'a mut self,
        physical: Physical,
        dictionary: &'a Dictionary,
    ) -> Parsed<Stored<'a>> {
        let bytes = &self.bytes;
        match &mut self.values {
            Values::Plain(at) => match physical {
                Physical::Bytes => run(bytes, at).map(Stored::Bytes),
                _ => {
                    let size = width(physical).ok_or(CUT_OFF)?;
                    stored(physical, some(bytes, at, size)?)
                }
            },
            Values::Bits { from, nth } => {
                let byte = bytes.get(*from + *nth / 8).ok_or(CUT_OFF)?;
                let flag = byte >> (*nth % 8) & 1 == 1;
                *nth += 1;
                Ok(Stored::Bool(flag))
            }
            Values::Flags(runs) => Ok(Stored::Bool(runs.next(bytes)? == 1)),
            Values::Indexes(runs) => {
                let nth = runs.next(bytes)?;
                dictionary.get(physical, nth)
            }
            Values::Numbers(numbers) => {
                let number = numbers.next().ok_or(CUT_OFF)?;
                Ok(if physical == Physical::Int32 {
                    Stored::Int32(number as i32)
                } else {
                    Stored::Int64(number)
                })
            }
            Values::Lengths { lengths, at } => some(bytes, at, next(lengths)?).map(Stored::Bytes),
            Values::Prefixed { shared, lengths, at, last } => {
                let (shared, length) = (next(shared)?, next(lengths)?);
                if shared > last.len() {
                    return Err("a value begins as one that is shorter".to_owned());
                }
                last.truncate(shared);
                last.extend_from_slice(some(bytes, at, length)?);
                Ok(Stored::Bytes(last))
            }
            Values::Split { from, count, nth, one } => {
                if nth == count {
                    return Err(CUT_OFF.to_owned());
                }
                let size = width(physical).unwrap_or_default();
                for (stream, byte) in one.iter_mut().take(size).enumerate() {
                    *byte = bytes[*from + stream * *count + *nth];
                }
                *nth += 1;
                stored(physical, &one[..])
            }
        }
    }
}

fn next(numbers: &mut std::vec::IntoIter<i64>) -> Parsed<usize> {
    let number = numbers.next().ok_or(CUT_OFF)?;
    usize::try_from(number).map_err(|_| format!("a length of {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Zeros without an end, counted.
    struct Endless<'c>(&'c Cell<usize>);

    impl Read for Endless<'_> {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            room.fill(0);
            self.0.set(self.0.get() + room.len());
            Ok(room.len())
        }
    }

    #[test]
    fn no_more_is_unpacked_than_a_page_says() {
        let read = Cell::new(0);
        assert_eq!(all_of(Endless(&read), 10_000, "x").unwrap().len(), 10_001);
        assert_eq!(read.get(), 10_001);
        let packed = snap::raw::Encoder::new().compress_vec(&[0; 1_000]).unwrap();
        assert_eq!(unpack(1, &packed, 1_000).unwrap(), [0; 1_000]);
        for size in [0, 10, 999, 1_001] {
            let said = unpack(1, &packed, size).unwrap_err();
            assert!(said.contains("packed that it has 1000"), "refused before it is unpacked: {said}");
        }
    }
}
