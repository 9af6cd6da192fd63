//! In place of `side.rs` where the crate is built without the feature `mirror`: there is none, and every call says so.

use super::metrics::text::Text;
use super::problem::{Code, Problem};
use super::wire::Trust;
use crate::{Result, Token};
use serde_json::{Value, json};
use std::time::Duration;

/// Nobody can make one: this build has no mirror.
#[derive(Clone, Debug)]
pub enum Mirror {}

pub(crate) struct Side;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) waiting: u64,
    pub(crate) pushed: u64,
    pub(crate) pulled: u64,
    pub(crate) refused: u64,
    pub(crate) filled: Option<(u64, u64)>,
}

impl Side {
    pub(crate) fn new(mirror: Option<Mirror>) -> Self {
        match mirror {
            None => Self,
            Some(mirror) => match mirror {},
        }
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        Err(absent())
    }

    pub(crate) fn state(&self) -> String {
        "disabled".to_owned()
    }

    pub(crate) fn status(&self) -> Value {
        json!({"state": "disabled"})
    }

    pub(crate) fn filling(&self) -> Vec<String> {
        Vec::new()
    }

    pub(crate) fn ignores(&self, _collection: &str) -> bool {
        false
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts::default()
    }

    pub(crate) fn dead_letters(&self) -> Result<Vec<Value>, Problem> {
        Err(absent())
    }

    pub(crate) fn connect(&self) -> Result<(), Problem> {
        Err(absent())
    }

    pub(crate) fn push(&self) -> Result<usize, Problem> {
        Err(absent())
    }

    pub(crate) fn pull(&self) -> Result<(), Problem> {
        Err(absent())
    }

    pub(crate) fn rebuild(&self, _collection: &str) -> Result<(), Problem> {
        Err(absent())
    }

    pub(crate) fn audit(&self, _collection: &str, _deep: bool) -> Result<Value, Problem> {
        Err(absent())
    }

    pub(crate) fn repair(
        &self,
        _collection: &str,
        _trust: Trust,
        _deep: bool,
        _dry_run: bool,
    ) -> Result<Value, Problem> {
        Err(absent())
    }

    pub(crate) fn resolve(&self, _trust: Trust) -> Result<String, Problem> {
        Err(absent())
    }

    pub(crate) fn wait(&self, _token: Token, _patience: Duration) -> Result<(), Problem> {
        Err(absent())
    }

    pub(crate) fn metrics(&self, out: &mut Text) {
        out.gauge("nearfield_mirror_configured", "1 if the server has a mirror", 0u8);
    }
}

fn absent() -> Problem {
    Problem::new(Code::Unavailable, "no mirror is configured: this build has none")
}
