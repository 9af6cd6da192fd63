//! What an answer means for the next try. Pure: time and chance are handed in.

use std::time::Duration;

/// What a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Good,
    /// Something in this request: a smaller one may go through.
    Blames,
    /// Ask again later.
    Later,
    /// The key, the model or the address: asking again changes nothing.
    Never,
}

pub(super) fn meaning(status: u16) -> Meaning {
    match status {
        200..=299 => Meaning::Good,
        400 | 413 | 422 => Meaning::Blames,
        408 | 409 | 425 | 429 | 500..=599 => Meaning::Later,
        _ => Meaning::Never,
    }
}

/// The wait before try number `tried + 1`: between half and all of a time that doubles.
pub(super) fn wait(tried: u32, (min_ms, max_ms): (u64, u64), random: u64) -> Duration {
    let full = min_ms.saturating_mul(1 << tried.saturating_sub(1).min(20)).min(max_ms.max(min_ms));
    let half = full / 2;
    Duration::from_millis(half + random % (full - half + 1))
}

/// What the header `Retry-After` asks for: seconds, or a date.
pub(super) fn retry_after(header: &str, now_unix_s: u64) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    // Some services send fractions.
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    unix_s(header).map(|then| Duration::from_secs(then.saturating_sub(now_unix_s)))
}

/// Seconds since 1970 of a date like `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that is still sent.
fn unix_s(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|n| *n <= 60));
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    if parts.next() != Some("GMT") {
        return None;
    }
    // Days from civil, as Howard Hinnant wrote it down: years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}
