//! What is told of a running server, and how.

use serde::{Deserialize, Serialize};

/// Events on stderr.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::cli) struct Log {
    /// How events are written: `human` for people, `json` for programs, one document a line. Default: `human`.
    pub(in crate::cli) format: LogFormat,
    /// Which events are written: `error`, `warn`, `info`, `debug` or `trace`, each with those before it. Default: `info`.
    pub(in crate::cli) level: LogLevel,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document a line.
    Json,
}

/// Which events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum LogLevel {
    /// What failed.
    Error,
    /// What somebody should look at.
    Warn,
    /// What began and ended.
    #[default]
    Info,
    /// Every connection.
    Debug,
    /// Everything.
    Trace,
}
