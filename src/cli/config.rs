//! `nearfield config`: the settings that hold, where each came from, and what each is for.
//!
//! Invariant: no password is told, whatever place it came from.

use super::settings::{EXAMPLE, Entry, Loaded, Place, Settings, TEMPLATE, Unit, entries, is_live, is_secret};
use super::wrap::lines;
use super::{Global, output};
use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

/// What to tell.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Tell what each setting is for, too; with a name or its beginning, of those alone
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    /// Print a commented file with every default, to start from
    #[arg(long, conflicts_with = "explain")]
    template: bool,
}

/// A setting as it is told.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    value: Value,
    default: &'a str,
    unit: Option<&'static str>,
    /// Where the value came from.
    place: String,
    /// Whether a running server takes a change over.
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Tells it to `out`.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    if args.template {
        return out.write_all(TEMPLATE.as_bytes()).map_err(output);
    }
    let loaded = global.settings()?;
    let entries = named(entries(), &loaded, args.explain.is_some());
    let begins = args.explain.as_deref().unwrap_or_default();
    let told: Vec<Told> = entries
        .iter()
        .filter(|entry| entry.key.starts_with(begins))
        .filter_map(|entry| Told::of(entry, &loaded, args.explain.is_some()))
        .collect();
    if told.is_empty() {
        let message = format!("no setting is called {begins:?}; `nearfield config` lists all");
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    if global.json {
        let written = serde_json::to_writer_pretty(&mut *out, &told).map_err(io::Error::from);
        return written.and_then(|()| writeln!(out)).map_err(output);
    }
    text(&told, &loaded, out).map_err(output)
}

/// Settings of what people name, once for each name; where nothing has one, under the example's if they are explained.
fn named(entries: Vec<Entry>, loaded: &Loaded, is_explained: bool) -> Vec<Entry> {
    let mut names: Vec<&str> = loaded.settings.embedding.keys().map(String::as_str).collect();
    if names.is_empty() && is_explained {
        names.push(EXAMPLE);
    }
    let each = |entry: Entry| {
        let keys = Settings::each_named(&entry.key, &names);
        keys.into_iter().map(move |key| Entry { key, ..entry.clone() })
    };
    entries.into_iter().flat_map(each).collect()
}

impl<'a> Told<'a> {
    fn of(entry: &'a Entry, loaded: &Loaded, is_explained: bool) -> Option<Self> {
        let default = || Some((serde_json::from_str(&entry.default).ok()?, Place::Default));
        let (value, place) = loaded.values.get(&entry.key).cloned().or_else(default)?;
        let value = &value;
        Some(Self {
            name: &entry.key,
            value: if is_secret(&entry.key) { masked(value) } else { value.clone() },
            default: &entry.default,
            unit: entry.unit,
            place: place.to_string(),
            live: is_live(&entry.key),
            text: is_explained.then_some(entry.text.as_str()),
        })
    }

    fn section(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(section, _)| section)
    }
}

/// That there is one, and nothing of it.
fn masked(value: &Value) -> Value {
    match value.as_str() {
        Some("") => value.clone(),
        _ => Value::from("***"),
    }
}

fn text(told: &[Told], loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    match &loaded.file {
        Some(file) => {
            writeln!(out, "# settings of {}, the environment and the command line", file.display())?
        }
        None => writeln!(out, "# settings of the environment and the command line; there is no file")?,
    }
    let mut section = "";
    for setting in told {
        if setting.section() != section {
            section = setting.section();
            writeln!(out, "\n[{section}]")?;
        }
        if let Some(text) = setting.text {
            for line in lines(text, 76) {
                writeln!(out, "# {line}")?;
            }
            let unit = setting.unit.map_or(String::new(), |unit| format!("unit: {unit}; "));
            let live =
                if setting.live { "a running server takes it over" } else { "holds from the next start" };
            writeln!(out, "# {unit}default: {}; {live}", setting.default)?;
        }
        let name = setting.name.rsplit('.').next().unwrap_or_default();
        let human = Unit::of(name).zip(setting.value.as_u64()).and_then(|(unit, value)| unit.human(value));
        let human = human.map_or(String::new(), |human| format!(" ({human})"));
        let mark = if setting.place == Place::Default.to_string() { "" } else { "  <- " };
        let place = if mark.is_empty() { "" } else { &setting.place };
        writeln!(out, "{name} = {}{human}{mark}{place}", setting.value)?;
        if setting.text.is_some() {
            writeln!(out)?;
        }
    }
    Ok(())
}
