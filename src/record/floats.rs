//! A vector as JSON, read without serde's detour: most of what is sent to a server is digits.
//!
//! Invariant: what is read is what `Vec<f32>` would read, to the bit, and refused where that refuses. One way is exact by itself for numbers
//! of up to 2^53 with up to 22 places (Clinger, 1990), which every `f32` in its shortest form is. Longer ones, which an `f32` is that went through an
//! `f64` on its way, are left to the standard library; what is no list of finite numbers is left to serde.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// The numbers of a vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Floats(pub(crate) Vec<f32>);

/// Powers of ten that an `f64` holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Those that a few digits need.
const WHOLE_TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
const MANTISSA_MAX: u64 = 1 << 53;
/// Digits that a `u64` holds, whatever they are.
const DIGITS_MAX: u32 = 19;
/// Digits of an exponent that is worth looking at.
const EXPONENT_DIGITS_MAX: u32 = 4;
/// Bytes that a number has at least, with its comma.
const NUMBER_BYTES_MIN: usize = 2;
/// Numbers that room is made for before any was read.
const ROOM_MAX: usize = crate::limits::DIM_MAX;

impl<'de> Deserialize<'de> for Floats {
    /// Only from JSON text that is borrowed: `serde_json::from_slice` and `from_str`.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(from)?.get();
        if let Some(numbers) = exactly(text.as_bytes()) {
            return Ok(Self(numbers));
        }
        serde_json::from_str(text).map(Self).map_err(|e| {
            // Its place in the vector is none in the body.
            let why = e.to_string();
            D::Error::custom(why.split(" at line ").next().unwrap_or_default())
        })
    }
}

/// For a field that may be missing or null.
pub(crate) fn maybe_floats<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<f32>>, D::Error> {
    Ok(Option::<Floats>::deserialize(from)?.map(|floats| floats.0))
}

/// The numbers of a list that is all there is, if all can be read exactly here.
fn exactly(text: &[u8]) -> Option<Vec<f32>> {
    let mut rest = text;
    list(&mut rest).filter(|_| rest.is_empty())
}

/// The same of a list that something may follow.
pub(super) fn list(rest: &mut &[u8]) -> Option<Vec<f32>> {
    let room = (rest.len() / NUMBER_BYTES_MIN).min(ROOM_MAX);
    *rest = rest.strip_prefix(b"[")?;
    let mut numbers = Vec::with_capacity(room);
    skip_space(rest);
    if take(rest, b']') {
        return Some(numbers);
    }
    loop {
        skip_space(rest);
        numbers.push(number(rest)?);
        skip_space(rest);
        match *rest {
            [b',', after @ ..] => *rest = after,
            [b']', after @ ..] => {
                *rest = after;
                return Some(numbers);
            }
            _ => return None,
        }
    }
}

fn number(rest: &mut &[u8]) -> Option<f32> {
    let from = *rest;
    let is_negative = take(rest, b'-');
    let starts_with_zero = rest.first() == Some(&b'0');
    let mut mantissa = 0;
    let whole = digits(rest, &mut mantissa);
    if whole == 0 || (starts_with_zero && whole > 1) {
        return None;
    }
    let mut places = 0;
    if take(rest, b'.') {
        places = digits(rest, &mut mantissa);
        if places == 0 {
            return None;
        }
    }
    let mut exponent = -i64::from(places);
    if take(rest, b'e') || take(rest, b'E') {
        let is_small = take(rest, b'-');
        let _ = !is_small && take(rest, b'+');
        let mut value = 0;
        if !(1..=EXPONENT_DIGITS_MAX).contains(&digits(rest, &mut value)) {
            return None;
        }
        let value = i64::try_from(value).ok()?;
        exponent += if is_small { -value } else { value };
    }
    let is_exact = whole + places <= DIGITS_MAX && mantissa <= MANTISSA_MAX;
    let ten = usize::try_from(exponent.unsigned_abs()).ok().and_then(|power| TENS.get(power));
    let Some(ten) = ten.filter(|_| is_exact) else { return rounded(&from[..from.len() - rest.len()]) };
    let value = if exponent < 0 { mantissa as f64 / ten } else { mantissa as f64 * ten };
    Some(if is_negative { -value } else { value } as f32)
}

/// A number of any length, rounded to the nearest `f64` first, as serde does. Nothing beyond the largest `f32`.
fn rounded(text: &[u8]) -> Option<f32> {
    let value = std::str::from_utf8(text).ok()?.parse::<f64>().ok()? as f32;
    value.is_finite().then_some(value)
}

/// Takes digits, and says how many there were. What does not fit in `value` is lost: more than [`DIGITS_MAX`] are not read here.
fn digits(rest: &mut &[u8], value: &mut u64) -> u32 {
    let mut count = 0;
    while let Some(bytes) = rest.first_chunk() {
        let (some, number) = eight_digits(u64::from_le_bytes(*bytes));
        *value = value.wrapping_mul(WHOLE_TENS[some]).wrapping_add(number);
        *rest = &rest[some..];
        count += some as u32;
        if some < 8 {
            return count;
        }
    }
    while let [digit @ b'0'..=b'9', after @ ..] = *rest {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        *rest = after;
        count += 1;
    }
    count
}

/// How many of eight bytes are digits before the first that is none, and the number that they spell; the lowest byte stands first. Two, four,
/// then eight at a time.
fn eight_digits(bytes: u64) -> (usize, u64) {
    let all = |byte: u64| byte * 0x0101_0101_0101_0101;
    // Of a digit, neither reaches the highest bit. What the first that is none takes from those behind it, or gives them, is not looked at.
    let (low, high) = (bytes.wrapping_sub(all(0x30)), bytes.wrapping_add(all(0x46)));
    let some = ((low | high) & all(0x80)).trailing_zeros() / 8;
    // Zeros stand before fewer.
    let ones = low.checked_shl(64 - 8 * some).unwrap_or(0);
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    (some as usize, (fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

fn take(rest: &mut &[u8], byte: u8) -> bool {
    let after = rest.strip_prefix(&[byte]);
    *rest = after.unwrap_or(rest);
    after.is_some()
}

fn skip_space(rest: &mut &[u8]) {
    while let [b' ' | b'\n' | b'\t' | b'\r', after @ ..] = *rest {
        *rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By serde, and by us: the same bits, or both refuse.
    fn both(text: &str) -> (Option<Vec<u32>>, Option<Vec<u32>>) {
        let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect();
        let serde = serde_json::from_str::<Vec<f32>>(text).ok().map(bits);
        (serde, serde_json::from_str::<Floats>(text).ok().map(|floats| bits(floats.0)))
    }

    #[test]
    fn what_serde_reads_is_read_and_what_it_refuses_is_refused() {
        let good = [
            "[]",
            "[ ]",
            "[0]",
            "[-0]",
            "[-0.0, 0e5]",
            " [1 ,\t2\n,\r3 ] ",
            "[1e5,1E-5,1e+5,0.5e1]",
            "[1e22,1e23,1e-22,1e-23]",
            "[9007199254740992,9007199254740993]",
            "[0.1234567890123456789,12345678901234567890,123456789012345678901]",
            "[3.4028234e38]",
            "[1e-45,1.1754942e-38]",
            "[0.000000000000000000000000000000000000001]",
            "[16777217,33554433.0]",
            "[1e00005]",
            "[5e-324]",
        ];
        for text in good {
            let (serde, ours) = both(text);
            assert!(serde.is_some() && serde == ours, "{text}: {serde:?}, {ours:?}");
        }
        let bad = [
            "",
            "[",
            "]",
            "[1",
            "[1,]",
            "[,1]",
            "[01]",
            "[-]",
            "[1.]",
            "[.5]",
            "[1e]",
            "[1e+]",
            "[+1]",
            "[1 2]",
            "[NaN]",
            "[null]",
            "[\"1\"]",
            "[[1]]",
            "{}",
            "1",
            "[1]x",
            "[--1]",
            "[1e-+5]",
            "[0x1]",
            "[1,,2]",
            "[1e400]",
            "[3.4028236e38]",
        ];
        for text in bad {
            assert_eq!(both(text), (None, None), "{text}");
        }
    }

    #[test]
    fn an_error_says_what_stands_there() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[serde(default, deserialize_with = "maybe_floats")]
            vector: Option<Vec<f32>>,
        }
        let read = |text: &str| serde_json::from_str::<Body>(text);
        let said = read("{\"vector\": [1, \"two\"], \"k\": 3}").unwrap_err().to_string();
        assert!(said.starts_with("invalid type: string \"two\", expected f32"), "{said}");
        assert_eq!(said.matches(" at line ").count(), 1, "its place in the body: {said}");
        assert_eq!(read("{\"vector\": null}").unwrap().vector, None);
        assert_eq!(read("{}").unwrap().vector, None);
        assert_eq!(read("{\"vector\": [2]}").unwrap().vector, Some(vec![2.0]));
    }

    proptest! {
        #[test]
        fn shortest_forms_come_back_to_the_bit(bits in proptest::collection::vec(any::<u32>(), 0..40)) {
            let numbers: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).filter(|x| x.is_finite()).collect();
            let text = serde_json::to_string(&numbers).unwrap();
            let read = serde_json::from_str::<Floats>(&text).unwrap().0;
            let same = read.iter().map(|x| x.to_bits()).eq(numbers.iter().map(|x| x.to_bits()));
            prop_assert!(same, "{}", text);
        }

        #[test]
        fn numbers_that_went_through_a_double_come_back_to_the_bit(bits in proptest::collection::vec(any::<u32>(), 0..40)) {
            let numbers = bits.iter().map(|bits| f64::from(f32::from_bits(*bits))).filter(|x| x.is_finite());
            let text = serde_json::to_string(&numbers.collect::<Vec<f64>>()).unwrap();
            let (serde, ours) = both(&text);
            prop_assert_eq!(&serde, &ours, "{}", text);
            prop_assert!(exactly(text.as_bytes()).is_some(), "left to serde: {}", text);
        }

        #[test]
        fn any_digits_are_read_as_serde_reads_them(
            parts in proptest::collection::vec(("-?(0|[1-9][0-9]{0,24})", "(\\.[0-9]{1,24})?", "([eE][+-]?[0-9]{1,3})?"), 1..5),
        ) {
            let numbers: Vec<String> = parts.iter().map(|(whole, part, e)| format!("{whole}{part}{e}")).collect();
            let text = format!("[{}]", numbers.join(", "));
            let (serde, ours) = both(&text);
            prop_assert_eq!(serde, ours, "{}", text);
        }
    }
}
