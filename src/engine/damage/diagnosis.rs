//! What is found wrong with a store, in words and in numbers: the report of `nearfield doctor` and `nearfield verify`.

use serde::{Deserialize, Serialize};

/// Ids that one finding names, at most.
pub(crate) const IDS_MAX: usize = 1_000;

/// The state of a store, as far as its bytes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The folder.
    pub place: String,
    /// Nothing is wrong.
    pub healthy: bool,
    /// The store's random number, if IDENT can be read.
    pub store: Option<u64>,
    /// The manifest that holds.
    pub manifest: Option<u64>,
    /// Its commit.
    pub seq: Option<u64>,
    /// Files that were read.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that exist, as far as that can be told.
    pub rows: usize,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The file, from the store's folder on.
    pub file: String,
    /// The first byte that is wrong, where there is one.
    pub offset: Option<u64>,
    /// What it means.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Chunks that are lost with it.
    pub lost_rows: usize,
    /// Their ids, those that can be read; at most 1,000.
    pub lost_ids: Vec<String>,
}

impl Diagnosis {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Sums up.
    pub(crate) fn done(mut self) -> Self {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.lost_rows));
        self.healthy = self.findings.is_empty();
        self
    }
}

impl Finding {
    pub(crate) fn new(file: &str, what: impl Into<String>, remedy: &str) -> Self {
        Self { file: file.to_owned(), what: what.into(), remedy: remedy.to_owned(), ..Self::default() }
    }

    /// From an error: its message without the advice to run the doctor, who is here already.
    pub(crate) fn of(file: &str, error: &crate::error::Error, remedy: &str) -> Self {
        let what = error.to_string().replace("; run `nearfield doctor`", "");
        let offset = what.split_once("at byte ").and_then(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        Self { offset, ..Self::new(file, what, remedy) }
    }

    pub(crate) fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    pub(crate) fn losing(mut self, rows: usize, mut ids: Vec<String>) -> Self {
        ids.truncate(IDS_MAX);
        (self.lost_rows, self.lost_ids) = (rows, ids);
        self
    }
}
