//! A JSON number, exactly: one total order over `i64`, `u64` and `f64`, one text per value.
//!
//! The pair is the largest `f64` not above the number, in bits that order like it, and what is left, which only an
//! integer beyond 2^53 has and which is below 2^11. So pairs compare exactly as the numbers do, `1.0` is `1`, `-0.0` is
//! `0`, and no integer is rounded.

use serde_json::Number;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Num {
    pub(crate) floor: u64,
    pub(crate) rest: u16,
}

const SIGN: u64 = 1 << 63;
/// Up to here every `f64` without a fraction is written with all its digits anyway.
const PLAIN_MAX: f64 = 9_007_199_254_740_992.0;
/// Below it, digits would be mostly zeros.
const PLAIN_MIN: f64 = 1e-5;

impl Num {
    /// `None` for what only serde_json's `arbitrary_precision`, which a host may switch on, can hold: beyond `f64`.
    pub(crate) fn of(number: &Number) -> Option<Self> {
        if let Some(n) = number.as_i64() {
            return Some(Self::from_int(n.into()));
        }
        if let Some(n) = number.as_u64() {
            return Some(Self::from_int(n.into()));
        }
        number.as_f64().filter(|f| f.is_finite()).map(Self::from_float)
    }

    /// The number again, as an integer if it is one and fits.
    pub(crate) fn to_number(self) -> Number {
        match self.int() {
            Some(int) => match (i64::try_from(int), u64::try_from(int)) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => n.into(),
                _ => self.float_number(),
            },
            None => self.float_number(),
        }
    }

    fn float_number(self) -> Number {
        // Finite by construction, so the default is never taken.
        Number::from_f64(self.float()).unwrap_or_else(|| 0.into())
    }

    fn from_int(int: i128) -> Self {
        let near = int as f64;
        let floor = if near as i128 > int { near.next_down() } else { near };
        Self { rest: (int - floor as i128) as u16, ..Self::from_float(floor) }
    }

    fn from_float(float: f64) -> Self {
        // Adding zero would do, but this says it: the two zeros are one number.
        let bits = if float == 0.0 { 0 } else { float.to_bits() };
        Self { floor: if bits & SIGN == 0 { bits | SIGN } else { !bits }, rest: 0 }
    }

    fn float(self) -> f64 {
        f64::from_bits(if self.floor & SIGN == 0 { !self.floor } else { self.floor ^ SIGN })
    }

    /// The integer that it is, if it is one that a JSON reader keeps exactly.
    fn int(self) -> Option<i128> {
        let float = self.float();
        let range = i64::MIN as f64..=u64::MAX as f64;
        let int = float as i128 + i128::from(self.rest);
        (float.fract() == 0.0 && range.contains(&float) && int <= u64::MAX.into()).then_some(int)
    }
}

/// The canonical text. Own rules rather than a crate's, because digests hash it and lie in databases: integers that fit
/// 64 bits with all their digits; everything else the shortest digits that read back as the same `f64`, with an exponent
/// when it is tiny or huge.
impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let float = self.float();
        match self.int() {
            Some(int) => write!(f, "{int}"),
            None if (PLAIN_MIN..PLAIN_MAX).contains(&float.abs()) => write!(f, "{float}"),
            None => write!(f, "{float:e}"),
        }
    }
}
