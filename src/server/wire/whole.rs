//! Whole numbers as JSON has them: `3.0` is one, too.

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Up to 2^53 a float is one integer.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number that must be there.
pub(crate) fn given<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Number(PhantomData))
}

/// A number, or null.
pub(crate) fn maybe<'de, D: Deserializer<'de>, T: TryFrom<i128>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(Maybe(PhantomData))
}

struct Number<T>(PhantomData<T>);

impl<T: TryFrom<i128>> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number in its range")
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<T, E> {
        T::try_from(n.into()).map_err(|_| E::invalid_value(Unexpected::Unsigned(n), &self))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<T, E> {
        T::try_from(n.into()).map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<T, E> {
        // A float beyond that stands for several integers.
        let is_one = n.fract() == 0.0 && n.abs() <= FLOAT_MAX;
        let whole = is_one.then(|| T::try_from(n as i128).ok()).flatten();
        whole.ok_or_else(|| E::invalid_value(Unexpected::Float(n), &self))
    }
}

struct Maybe<T>(PhantomData<T>);

impl<'de, T: TryFrom<i128>> Visitor<'de> for Maybe<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number in its range, or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        given(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let read = |text: &str| given::<_, u32>(&mut serde_json::Deserializer::from_str(text)).ok();
        for (text, number) in
            [("3", Some(3)), ("3.0", Some(3)), ("3e2", Some(300)), ("4294967295", Some(u32::MAX))]
        {
            assert_eq!(read(text), number, "{text}");
        }
        for text in ["3.5", "-1", "-1.0", "4294967296", "1e300", "\"3\"", "null", "true", "[3]"] {
            assert_eq!(read(text), None, "{text}");
        }
        let signed = |text: &str| given::<_, i64>(&mut serde_json::Deserializer::from_str(text)).ok();
        assert_eq!((signed("-9223372036854775808"), signed("-9223372036854775809")), (Some(i64::MIN), None));
        let maybe = |text: &str| maybe::<_, u32>(&mut serde_json::Deserializer::from_str(text)).ok();
        assert_eq!((maybe("null"), maybe("7"), maybe("x")), (Some(None), Some(Some(7)), None));
    }
}
