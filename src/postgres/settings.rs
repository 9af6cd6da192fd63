//! Settings that cannot work are refused before anything is asked.

use super::Settings;
use super::fault::{fault, with_remedy};
use crate::mirror::remote::{Fault, FaultClass};

pub(super) fn validate(settings: &Settings) -> Result<(), Fault> {
    let refuse = |message: String, remedy| Err(with_remedy(fault(FaultClass::Schema, message), remedy));
    let name = &settings.schema;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    // It stands in statements that take no parameters, so nothing that needs quoting is let in.
    if !starts || name.len() > 63 || name.starts_with("pg_") || !name.bytes().all(is_plain) {
        return refuse(
            format!("schema {name:?} is no name for a Postgres schema of ours"),
            "use 1 to 63 letters a-z, digits and underscores, not starting with a digit or pg_",
        );
    }
    if settings.writers_max == 0 || settings.readers_max == 0 {
        return refuse(
            "writers_max and readers_max must be at least 1".to_owned(),
            "2 and 4 are the defaults",
        );
    }
    for (setting, ms) in
        [("connect_ms_max", settings.connect_ms_max), ("statement_ms_max", settings.statement_ms_max)]
    {
        if !(100..=600_000).contains(&ms) {
            return refuse(
                format!("{setting} is {ms}; it must be 100 to 600000"),
                "the defaults are 10,000 and 30,000",
            );
        }
    }
    Ok(())
}
