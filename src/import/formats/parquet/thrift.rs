//! The compact protocol of Thrift, in which a Parquet file describes itself; only reading, and only forwards.
//!
//! Invariants: no count is believed, what is nested has a limit, and nothing is kept but what the caller asks for. Knows no field's meaning.

use crate::import::input::Parsed;

/// Structures within structures.
const DEPTH_MAX: usize = 24;
const CUT_OFF: &str = "its description is cut off";

/// What a field holds, by the protocol's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    const TRUE: Self = Self(1);
    const FALSE: Self = Self(2);
}

pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Bytes that were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Hands each field of a structure to `each`, which reads or skips what it holds.
    pub(super) fn fields(&mut self, mut each: impl FnMut(&mut Self, i16, Kind) -> Parsed<()>) -> Parsed<()> {
        self.deeper(|this| {
            let mut id = 0i16;
            loop {
                let head = this.byte()?;
                if head == 0 {
                    return Ok(());
                }
                id = match head >> 4 {
                    0 => i16::try_from(this.integer()?).map_err(|_| "a field has no such number")?,
                    by => id.checked_add(i16::from(by)).ok_or("a field has no such number")?,
                };
                each(this, id, Kind(head & 15))?;
            }
        })
    }

    /// Hands out each element of a list of structures, or of whatever else.
    pub(super) fn list(
        &mut self,
        kind: Kind,
        mut each: impl FnMut(&mut Self, Kind) -> Parsed<()>,
    ) -> Parsed<()> {
        if kind != Kind(9) && kind != Kind(10) {
            return Err("a list was expected where something else stands".to_owned());
        }
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        // Of every kind an element is a byte at least.
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(CUT_OFF.to_owned());
        }
        (0..count).try_for_each(|_| each(self, Kind(head & 15)))
    }

    pub(super) fn number(&mut self, kind: Kind) -> Parsed<i64> {
        match kind.0 {
            3 => self.byte().map(|byte| i64::from(byte as i8)),
            4..=6 => self.integer(),
            _ => Err("a number was expected where something else stands".to_owned()),
        }
    }

    pub(super) fn flag(&mut self, kind: Kind) -> Parsed<bool> {
        match kind {
            Kind::TRUE => Ok(true),
            Kind::FALSE => Ok(false),
            _ => Err("yes or no was expected where something else stands".to_owned()),
        }
    }

    pub(super) fn text(&mut self, kind: Kind) -> Parsed<String> {
        if kind.0 != 8 {
            return Err("a text was expected where something else stands".to_owned());
        }
        String::from_utf8(self.run()?.to_vec()).map_err(|_| "a name is not UTF-8".to_owned())
    }

    pub(super) fn skip(&mut self, kind: Kind) -> Parsed<()> {
        match kind.0 {
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.integer().map(drop),
            7 => self.take(8).map(drop),
            8 => self.run().map(drop),
            9 | 10 => self.deeper(|this| {
                this.list(kind, |this, kind| match kind.0 {
                    // In lists, and only there, yes and no are bytes of their own.
                    1 | 2 => this.byte().map(drop),
                    _ => this.skip(kind),
                })
            }),
            12 => self.fields(Self::skip_field),
            _ => Err(format!("its description has a field of the unknown kind {}", kind.0)),
        }
    }

    fn skip_field(&mut self, _: i16, kind: Kind) -> Parsed<()> {
        self.skip(kind)
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Parsed<()>) -> Parsed<()> {
        if self.depth == DEPTH_MAX {
            return Err(format!("its description is nested deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    fn run(&mut self) -> Parsed<&'a [u8]> {
        let n = self.varint()?;
        self.take(usize::try_from(n).map_err(|_| CUT_OFF)?)
    }

    fn take(&mut self, n: usize) -> Parsed<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..n)).ok_or(CUT_OFF)?;
        self.at += n;
        Ok(taken)
    }

    fn byte(&mut self) -> Parsed<u8> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Parsed<u64> {
        varint(self.bytes, &mut self.at).ok_or_else(|| CUT_OFF.to_owned())
    }

    fn integer(&mut self) -> Parsed<i64> {
        self.varint().map(zigzag)
    }
}

/// A number of seven bits a byte, the low ones first; nothing if it does not end, or is too long.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small numbers of both signs are small ones without.
pub(super) fn zigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}
