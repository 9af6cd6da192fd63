//! Settings of things that people name: providers of embeddings.
//!
//! A name comes into being with its first setting; all others of it have their defaults then.

use super::layers::flat;
use super::{EMBEDDING, Settings};
use crate::{Error, ErrorKind, ProviderOptions, Providers, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every setting of the provider that `key` is a setting of, with its default; nothing if it is of none.
pub(super) fn defaults_of(key: &str) -> Result<BTreeMap<String, Value>> {
    let Some((name, _)) = of_provider(key) else { return Ok(BTreeMap::new()) };
    Providers::check_name(name)?;
    Ok(fields()?.into_iter().map(|(field, value)| (format!("{EMBEDDING}.{name}.{field}"), value)).collect())
}

/// Refuses what must not stand in a setting; it is not repeated.
pub(super) fn check(key: &str, value: &Value) -> Result<()> {
    match (of_provider(key), value) {
        (Some((_, "url")), Value::String(url)) => ProviderOptions::check_url(url),
        _ => Ok(()),
    }
}

/// The setting of a provider that a variable names, without `NEARFIELD_`.
pub(super) fn key_of(variable: &str) -> Result<Option<String>> {
    let Some(rest) = variable.strip_prefix("EMBEDDING_") else { return Ok(None) };
    let fields = fields()?;
    let found = fields.keys().filter_map(|field| {
        let name = rest.strip_suffix(&field.to_ascii_uppercase())?.strip_suffix('_')?;
        Some((field, name)).filter(|(_, name)| !name.is_empty())
    });
    // The longest: a name may end as a setting begins.
    if let Some((field, name)) = found.max_by_key(|(field, _)| field.len()) {
        return Ok(Some(format!("{EMBEDDING}.{}.{field}", name.to_ascii_lowercase())));
    }
    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
    Err(Error::invalid(format!(
        "NEARFIELD_{variable} is no variable of ours: it would be NEARFIELD_EMBEDDING_NAME_ and one of {}; call one that is \
         yours something else",
        known.join(", ").to_ascii_uppercase()
    )))
}

/// The settings of a provider with their defaults, by the fields' names.
pub(super) fn fields() -> Result<BTreeMap<String, Value>> {
    let tree = serde_json::to_value(ProviderOptions::default()).map_err(|e| {
        Error::new(ErrorKind::Internal, "the default settings cannot be written out").with_source(e)
    })?;
    let mut fields = BTreeMap::new();
    flat(&tree, "", &mut fields);
    Ok(fields)
}

/// A provider's name and the name of the setting.
fn of_provider(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(EMBEDDING)?.strip_prefix('.')?.split_once('.')
}

impl Settings {
    /// The names in a setting of somebody that people name, as `names` has them, in place of the example.
    pub(in crate::cli) fn each_named(key: &str, names: &[&str]) -> Vec<String> {
        match of_provider(key) {
            Some((_, field)) => names.iter().map(|name| format!("{EMBEDDING}.{name}.{field}")).collect(),
            None => vec![key.to_owned()],
        }
    }
}
