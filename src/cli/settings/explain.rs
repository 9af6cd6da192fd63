//! What each setting is for, in the words of its declaration.
//!
//! `nearfield.toml` beside this file is the commented file that people start from. A test writes it from the declarations'
//! comments and defaults and compares, so nothing here is a second truth.

use super::units::Unit;

/// The commented file of settings, every value its default.
pub(in crate::cli) const TEMPLATE: &str = include_str!("nearfield.toml");

/// One setting as the template has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Entry {
    /// Its dotted name.
    pub(in crate::cli) key: String,
    /// What it is, and when to leave it alone.
    pub(in crate::cli) text: String,
    /// Its default, as TOML.
    pub(in crate::cli) default: String,
    pub(in crate::cli) unit: Option<&'static str>,
}

/// Every setting, in the template's order.
pub(in crate::cli) fn entries() -> Vec<Entry> {
    let (mut section, mut text, mut entries) = (String::new(), Vec::new(), Vec::new());
    for line in TEMPLATE.lines() {
        // A section that would come into being by its name alone is commented out with its settings.
        let header = if line.starts_with("#[") { &line[1..] } else { line };
        if let Some(name) = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            text.clear();
        } else if let Some(comment) = line.strip_prefix("# ") {
            text.push(comment);
        } else if let Some((name, default)) = line.strip_prefix('#').and_then(|rest| rest.split_once(" = ")) {
            let key = format!("{section}.{name}");
            let unit = Unit::of(name).map(Unit::name);
            entries.push(Entry { key, text: text.join(" "), default: default.to_owned(), unit });
            text.clear();
        } else {
            text.clear();
        }
    }
    entries
}
