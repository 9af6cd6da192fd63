//! Quantities as people write them: `30s`, `512MiB`. A setting's name says the unit that its number is in.
//!
//! Invariant: nothing is rounded. What is no whole number of a setting's unit is refused.

/// What a setting is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Unit {
    Milliseconds,
    Seconds,
    Days,
    Bytes,
}

/// A suffix and how many thousandths of a second, or bytes, it stands for.
const TIMES: [(&str, u64); 8] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("days", 86_400_000),
];
const BYTES: [(&str, u64); 8] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

impl Unit {
    /// The unit that a setting's name ends in: `flush_ms`, `batch_bytes_max`.
    pub(in crate::cli) fn of(name: &str) -> Option<Self> {
        let word = name.trim_end_matches("_max").trim_end_matches("_min").rsplit(['_', '.']).next()?;
        match word {
            "ms" => Some(Self::Milliseconds),
            "seconds" => Some(Self::Seconds),
            "days" => Some(Self::Days),
            "bytes" => Some(Self::Bytes),
            _ => None,
        }
    }

    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Days => "days",
            Self::Bytes => "bytes",
        }
    }

    fn base(self) -> u64 {
        match self {
            Self::Milliseconds | Self::Bytes => 1,
            Self::Seconds => 1_000,
            Self::Days => 86_400_000,
        }
    }

    fn suffixes(self) -> &'static [(&'static str, u64)] {
        if self == Self::Bytes { &BYTES } else { &TIMES }
    }

    /// The number of this unit that a text says; one without a suffix is in this unit.
    pub(in crate::cli) fn parse(self, text: &str) -> Result<u64, String> {
        let text = text.trim();
        let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_');
        let (number, suffix) = text.split_at(text.len() - digits.len());
        let suffix = suffix.trim().to_ascii_lowercase();
        let wrong = || {
            let known: Vec<&str> = self.suffixes().iter().map(|(name, _)| *name).collect();
            format!(
                "{text:?} is no number of {}; write it like 10 or 10{}, with one of {}",
                self.name(),
                known[1],
                known.join(", ")
            )
        };
        let factor = if suffix.is_empty() {
            self.base()
        } else {
            self.suffixes().iter().find(|(name, _)| *name == suffix).ok_or_else(wrong)?.1
        };
        let total = scaled(&number.replace('_', ""), factor).ok_or_else(wrong)?;
        if total.is_multiple_of(self.base()) {
            Ok(total / self.base())
        } else {
            Err(format!("{text:?} is no whole number of {}", self.name()))
        }
    }

    /// The same for people, where that is shorter than the number.
    pub(in crate::cli) fn human(self, value: u64) -> Option<String> {
        let total = value.checked_mul(self.base()).filter(|total| *total > 0)?;
        let shown = if self == Self::Bytes {
            ["tib", "gib", "mib", "kib"].as_slice()
        } else {
            ["d", "h", "min", "s"].as_slice()
        };
        let factor =
            |name: &str| self.suffixes().iter().find(|(known, _)| *known == name).map_or(1, |(_, f)| *f);
        let name = shown.iter().find(|name| total.is_multiple_of(factor(name)))?;
        let spelled = match *name {
            "tib" => "TiB",
            "gib" => "GiB",
            "mib" => "MiB",
            "kib" => "KiB",
            time => time,
        };
        Some(format!("{} {spelled}", total / factor(name)))
    }
}

/// `number`, which may have a fraction, times `factor`; none if that is no whole number or too large.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= 9)?;
    let scale = 10u128.pow(digits);
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let value = whole.parse::<u64>().ok()? as u128 * scale;
    let value = value + if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let total = value.checked_mul(u128::from(factor))?;
    if !total.is_multiple_of(scale) {
        return None;
    }
    u64::try_from(total / scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_as_it_is_written() {
        use Unit::{Bytes, Days, Milliseconds, Seconds};
        for (unit, text, value) in [
            (Milliseconds, "250", 250),
            (Milliseconds, "30s", 30_000),
            (Milliseconds, "1.5 s", 1_500),
            (Milliseconds, "2min", 120_000),
            (Seconds, "2h", 7_200),
            (Seconds, "0", 0),
            (Seconds, "3000ms", 3),
            (Days, "30 days", 30),
            (Days, "48h", 2),
            (Bytes, "512MiB", 512 << 20),
            (Bytes, "1_000", 1_000),
            (Bytes, "1.5kb", 1_500),
            (Bytes, "2 GiB", 2 << 30),
        ] {
            assert_eq!(unit.parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_the_reason() {
        for (unit, text) in [
            (Unit::Seconds, "1500ms"),
            (Unit::Seconds, ""),
            (Unit::Seconds, "s"),
            (Unit::Seconds, "-3"),
            (Unit::Seconds, "3 parsecs"),
            (Unit::Seconds, "1.2.3"),
            (Unit::Seconds, "."),
            (Unit::Bytes, "1.5"),
            (Unit::Bytes, "99999999999999999999"),
            (Unit::Bytes, "99999999 TiB"),
            (Unit::Days, "1h"),
            (Unit::Milliseconds, "1MiB"),
        ] {
            let why = unit.parse(text).unwrap_err();
            assert!(why.contains(unit.name()) && why.contains(&format!("{text:?}")), "{why}");
        }
    }

    #[test]
    fn a_name_says_its_unit_and_numbers_are_told_for_people() {
        let unit = |name: &str| Unit::of(name);
        assert_eq!(unit("store.flush_ms"), Some(Unit::Milliseconds));
        assert_eq!(unit("mirror.batch_bytes_max"), Some(Unit::Bytes));
        assert_eq!(unit("mirror.poll_ms_min"), Some(Unit::Milliseconds));
        assert_eq!(unit("store.background_cpu"), None);
        assert_eq!(Unit::Bytes.human(256 << 20).as_deref(), Some("256 MiB"));
        assert_eq!(Unit::Milliseconds.human(300_000).as_deref(), Some("5 min"));
        assert_eq!(Unit::Days.human(30).as_deref(), Some("30 d"));
        assert_eq!((Unit::Milliseconds.human(250), Unit::Bytes.human(0)), (None, None));
    }
}
