//! From the layers to one value for each setting, and the place that it came from.

use super::named;
use super::units::Unit;
use super::{SECRET, Settings};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that is read where no other is named.
pub(in crate::cli) const FILE: &str = "nearfield.toml";
/// What every variable of ours begins with.
const PREFIX: &str = "NEARFIELD_";
/// A file of settings is a page; this is no file of settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "{name} of the environment"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What settings are made from. Plain data, so that a test needs no environment.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Sources {
    /// The file that is named; else [`FILE`] of the current folder, if there is one.
    pub(in crate::cli) file: Option<PathBuf>,
    /// The environment.
    pub(in crate::cli) variables: Vec<(String, String)>,
    /// What flags say: the setting, the value, the flag.
    pub(in crate::cli) flags: Vec<(String, String, String)>,
}

/// Settings that hold, and why.
#[derive(Clone)]
pub(in crate::cli) struct Loaded {
    pub(in crate::cli) settings: Settings,
    /// Every setting by its name, with its value and the place.
    pub(in crate::cli) values: BTreeMap<String, (Value, Place)>,
    /// The file that was read.
    pub(in crate::cli) file: Option<PathBuf>,
}

/// Not derived: a value may be a password.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Sources {
    /// The process's environment, and no flag.
    pub(in crate::cli) fn of_process(file: Option<PathBuf>) -> Self {
        // A variable that is no text is not ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let file = file.or_else(|| std::env::var_os("NEARFIELD_CONFIG").map(PathBuf::from));
        Self { file, variables: std::env::vars_os().filter_map(text).collect(), flags: Vec::new() }
    }

    /// Puts the layers together.
    pub(in crate::cli) fn load(&self) -> Result<Loaded> {
        let mut all = Layers::new()?;
        let file = match &self.file {
            Some(path) => Some(path.clone()),
            None => Some(PathBuf::from(FILE)).filter(|path| path.is_file()),
        };
        if let Some(path) = &file {
            let mut told = BTreeMap::new();
            all.leaves(&Value::Object(read(path)?), "", &mut told);
            for (key, value) in told {
                all.set(&key, value, Place::File(path.clone()))?;
            }
        }
        for (name, value) in &self.variables {
            if let Some(key) = all.key_of(name)? {
                all.set(&key, Value::String(value.clone()), Place::Variable(name.clone()))?;
            }
        }
        for (key, value, flag) in &self.flags {
            all.set(key, Value::String(value.clone()), Place::Flag(flag.clone()))?;
        }
        Ok(Loaded { settings: all.settings, values: all.values, file })
    }
}

/// Values so far, each of them good.
struct Layers {
    settings: Settings,
    tree: Value,
    values: BTreeMap<String, (Value, Place)>,
}

impl Layers {
    fn new() -> Result<Self> {
        let settings = Settings::default();
        let mut tree = serde_json::to_value(&settings).map_err(internal)?;
        if cfg!(feature = "mirror") {
            put(&mut tree, SECRET, Value::String(String::new()));
        }
        let mut values = BTreeMap::new();
        flat(&tree, "", &mut values);
        let values = values.into_iter().map(|(key, value)| (key, (value, Place::Default))).collect();
        Ok(Self { settings, tree, values })
    }

    /// The setting that a variable names. One that looks like a setting and is none is an error, because it was meant to work.
    fn key_of(&self, variable: &str) -> Result<Option<String>> {
        if variable == "DATABASE_URL" {
            return Ok(cfg!(feature = "mirror").then(|| SECRET.to_owned()));
        }
        let Some(rest) = variable.strip_prefix(PREFIX) else { return Ok(None) };
        let spelled = |key: &str| key.replace(['.', '-'], "_").to_ascii_uppercase();
        if let Some(key) = self.values.keys().find(|key| spelled(key) == rest) {
            return Ok(Some(key.clone()));
        }
        if let Some(key) = named::key_of(rest)? {
            return Ok(Some(key));
        }
        let sections = self.values.keys().filter_map(|key| key.split('.').next());
        if !sections
            .into_iter()
            .any(|section| rest.starts_with(&format!("{}_", section.to_ascii_uppercase())))
        {
            return Ok(None);
        }
        let known: Vec<String> = self.values.keys().map(|key| format!("{PREFIX}{}", spelled(key))).collect();
        Err(unknown(
            variable,
            "variable",
            known.iter().map(String::as_str),
            &Place::Variable(variable.into()),
        ))
    }

    fn set(&mut self, key: &str, value: Value, place: Place) -> Result<()> {
        if !self.values.contains_key(key) {
            for (key, value) in named::defaults_of(key).map_err(|e| wrong(key, e.message(), &place))? {
                put(&mut self.tree, &key, value.clone());
                self.values.insert(key, (value, Place::Default));
            }
        }
        let Some((before, _)) = self.values.get(key) else {
            return Err(unknown(key, "setting", self.values.keys().map(String::as_str), &place));
        };
        let typed = typed(key, value, before).map_err(|why| wrong(key, &why, &place))?;
        named::check(key, &typed).map_err(|e| wrong(key, e.message(), &place))?;
        put(&mut self.tree, key, typed.clone());
        self.settings = serde_json::from_value(self.tree.clone()).map_err(|why| {
            let told = if key == SECRET { "it is no text".to_owned() } else { why.to_string() };
            wrong(key, &told, &place)
        })?;
        self.values.insert(key.to_owned(), (typed, place));
        Ok(())
    }

    /// What a file sets, by dotted names. A setting's value may have parts: `database_index = { hnsw = {..} }` is one.
    fn leaves(&self, tree: &Value, prefix: &str, leaves: &mut BTreeMap<String, Value>) {
        match tree {
            Value::Object(map) if !self.values.contains_key(prefix) => {
                for (name, value) in map {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    self.leaves(value, &key, leaves);
                }
            }
            value => {
                leaves.insert(prefix.to_owned(), value.clone());
            }
        }
    }
}

/// Brings a value to the type of the one that it replaces: quantities become numbers, texts of variables and flags what they say.
fn typed(key: &str, value: Value, before: &Value) -> std::result::Result<Value, String> {
    let Value::String(text) = &value else { return Ok(value) };
    match before {
        Value::Number(_) => match Unit::of(key) {
            Some(unit) => unit.parse(text).map(Value::from),
            None => text
                .trim()
                .parse::<serde_json::Number>()
                .map(Value::Number)
                .map_err(|_| format!("{text:?} is no number")),
        },
        Value::Bool(_) => match text.trim() {
            "true" | "1" | "yes" | "on" => Ok(Value::Bool(true)),
            "false" | "0" | "no" | "off" => Ok(Value::Bool(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        // Nothing is the default, and can be said.
        Value::Null if text.is_empty() => Ok(Value::Null),
        _ => Ok(value),
    }
}

/// Leaves of a tree, by their dotted names.
pub(super) fn flat(tree: &Value, prefix: &str, leaves: &mut BTreeMap<String, Value>) {
    let Value::Object(map) = tree else {
        leaves.insert(prefix.to_owned(), tree.clone());
        return;
    };
    for (name, value) in map {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flat(value, &key, leaves);
    }
}

fn put(tree: &mut Value, key: &str, value: Value) {
    let mut at = tree;
    for name in key.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        at = map.entry(name.to_owned()).or_insert(Value::Null);
    }
    *at = value;
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let cannot =
        |why: String| Error::invalid(format!("the settings {} cannot be read: {why}", path.display()));
    let bytes = fs::metadata(path).map_err(|e| cannot(e.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(cannot(format!("it has {bytes} bytes, and a file of settings at most {FILE_BYTES_MAX}")));
    }
    let text = fs::read_to_string(path).map_err(|e| cannot(e.to_string()))?;
    // The parser's own text quotes the line, which may hold a password.
    toml::from_str(&text).map_err(|e| {
        let line =
            e.span().map_or(1, |span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
        cannot(format!("line {line}: {}", e.message()))
    })
}

fn wrong(key: &str, why: &str, place: &Place) -> Error {
    Error::invalid(format!("{key}: {why} ({place})"))
}

fn unknown<'a>(name: &str, what: &str, known: impl Iterator<Item = &'a str>, place: &Place) -> Error {
    let near = known.map(|key| (strsim::jaro_winkler(name, key), key)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near
        .filter(|(likeness, _)| *likeness > 0.8)
        .map_or(String::new(), |(_, key)| format!("; did you mean {key}?"));
    Error::invalid(format!("{name} is no {what} ({place}){hint}; `nearfield config --explain` lists all"))
}

fn internal(cause: serde_json::Error) -> Error {
    Error::new(crate::ErrorKind::Internal, "the default settings cannot be written out").with_source(cause)
}
