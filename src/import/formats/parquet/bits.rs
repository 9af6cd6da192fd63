//! Whole numbers in few bits: runs (of one value, or of values side by side), and differences.
//!
//! Invariants: a decoder keeps its place and no values, so that a run of a billion costs nothing until somebody counts it; what is behind the
//! end is an error. Knows nothing of pages.

use super::thrift::{varint, zigzag};
use crate::import::input::Parsed;
use std::ops::Range;

const CUT_OFF: &str = "a page is cut off";
/// Values of one page that are stored as differences; they are kept.
const DELTAS_MAX: u64 = 1 << 24;

/// `RLE` and `BIT_PACKED` mixed, as levels and indexes of dictionaries are stored.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    range: Range<usize>,
    width: u32,
    run: Run,
}

#[derive(Clone, Debug)]
enum Run {
    Same {
        value: u32,
        left: u64,
    },
    /// Counted in bits from the beginning of the page.
    Each {
        bit: usize,
        left: u64,
    },
}

impl Runs {
    pub(super) fn new(range: Range<usize>, width: u32) -> Parsed<Self> {
        if width > 32 {
            return Err(format!("numbers of {width} bits"));
        }
        Ok(Self { range, width, run: Run::Same { value: 0, left: 0 } })
    }

    /// Values that are all 0, and need no bytes.
    pub(super) fn zeros() -> Self {
        Self { range: 0..0, width: 0, run: Run::Same { value: 0, left: u64::MAX } }
    }

    #[inline]
    pub(super) fn next(&mut self, bytes: &[u8]) -> Parsed<u32> {
        loop {
            match &mut self.run {
                Run::Same { value, left } if *left > 0 => {
                    *left -= 1;
                    return Ok(*value);
                }
                Run::Each { bit, left } if *left > 0 => {
                    *left -= 1;
                    let value = bits(&bytes[..self.range.end.min(bytes.len())], *bit, self.width)?;
                    *bit += self.width as usize;
                    return Ok(value);
                }
                _ => self.run = self.begin(bytes)?,
            }
        }
    }

    fn begin(&mut self, bytes: &[u8]) -> Parsed<Run> {
        let bytes = bytes.get(..self.range.end).ok_or(CUT_OFF)?;
        let mut at = self.range.start;
        let head = varint(bytes, &mut at).ok_or(CUT_OFF)?;
        let run = if head & 1 == 0 {
            let size = self.width.div_ceil(8) as usize;
            let from = bytes.get(at..at + size).ok_or(CUT_OFF)?;
            let value = from.iter().rev().fold(0, |value: u32, byte| value << 8 | u32::from(*byte));
            at += size;
            Run::Same { value, left: head >> 1 }
        } else {
            // The last of them may be cut short; whoever asks for a value behind the end is told.
            let groups = usize::try_from(head >> 1).map_err(|_| CUT_OFF)?;
            let size = groups.checked_mul(self.width as usize).ok_or(CUT_OFF)?;
            let bit = at * 8;
            at = at.saturating_add(size).min(bytes.len());
            Run::Each { bit, left: (groups as u64).saturating_mul(8) }
        };
        self.range.start = at;
        Ok(run)
    }
}

/// `width` bits from bit `at` on, at most 32.
#[inline]
fn bits(bytes: &[u8], at: usize, width: u32) -> Parsed<u32> {
    wide_bits(bytes, at, width).map(|value| value as u32)
}

/// The same, at most 64.
fn wide_bits(bytes: &[u8], at: usize, width: u32) -> Parsed<u64> {
    if width == 0 {
        return Ok(0);
    }
    let (first, last) = (at / 8, (at + width as usize - 1) / 8);
    let run = bytes.get(first..=last).ok_or(CUT_OFF)?;
    let mut value = 0u128;
    for (at, byte) in run.iter().enumerate() {
        value |= u128::from(*byte) << (8 * at);
    }
    let mask = u64::MAX >> (64 - width);
    Ok((value >> (at % 8)) as u64 & mask)
}

/// All values of a run of `DELTA_BINARY_PACKED`, and where it ends.
pub(super) fn deltas(bytes: &[u8], mut at: usize) -> Parsed<(Vec<i64>, usize)> {
    let number = |at: &mut usize| varint(bytes, at).ok_or_else(|| CUT_OFF.to_owned());
    let (block, parts, count) = (number(&mut at)?, number(&mut at)?, number(&mut at)?);
    let mut last = zigzag(number(&mut at)?);
    let part = block.checked_div(parts).unwrap_or_default();
    if count > DELTAS_MAX || block > DELTAS_MAX || parts > 512 || part == 0 || !part.is_multiple_of(8) {
        return Err(format!(
            "a page of differences of {count} values, in blocks of {block} and parts of {part}"
        ));
    }
    let (count, part) = (count as usize, part as usize);
    let mut values = Vec::with_capacity(count.min(1 << 16));
    if count > 0 {
        values.push(last);
    }
    while values.len() < count {
        let least = zigzag(number(&mut at)?);
        let widths = bytes.get(at..at + parts as usize).ok_or(CUT_OFF)?;
        at += widths.len();
        for width in widths {
            if values.len() == count {
                break;
            }
            if *width > 64 {
                return Err(format!("differences of {width} bits"));
            }
            for nth in 0..part.min(count - values.len()) {
                let more = wide_bits(bytes, at * 8 + nth * usize::from(*width), u32::from(*width))?;
                last = last.wrapping_add(least).wrapping_add(more as i64);
                values.push(last);
            }
            // A part is written in full, but for some writers' last.
            at = (at + part * usize::from(*width) / 8).min(bytes.len());
        }
    }
    Ok((values, at))
}
