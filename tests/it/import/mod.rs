//! Goal: what other stores have written comes in whole or not at all, and goes out as it came. Method: files that NumPy, FAISS,
//! hnswlib, pickle and `hnsw_rs` itself made (`make_files.py`), the commands in-process, and the collections they leave.

mod damage;
mod formats;
mod killed;
#[cfg(feature = "mirror")]
mod mirrored;
mod modes;
mod round_trip;

use nearfield::{Chunk, Metric, Options, Schema, Store, cli};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;

pub(super) const ROWS: usize = 20;
pub(super) const DIM: usize = 6;

/// A folder of a test's own, with a store in it as soon as somebody makes one.
pub(super) struct Home(TempDir);

impl Home {
    pub(super) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(super) fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// What a command says and ends with.
    pub(super) fn called(&self, args: &[&str]) -> (ExitCode, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let data = self.at("data");
        let common = ["nearfield", "--quiet", "--json", "--data", &data];
        let code = cli::run(common.iter().chain(args), &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// The report of a command that must succeed.
    pub(super) fn done(&self, args: &[&str]) -> Value {
        let (code, out, err) = self.called(args);
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}");
        serde_json::from_str(&out).unwrap()
    }

    /// What a command says that must fail with 1.
    pub(super) fn refused(&self, args: &[&str]) -> String {
        let (code, out, err) = self.called(args);
        assert_eq!((code, out.as_str()), (ExitCode::from(1), ""), "{args:?}: {err}");
        assert!(err.starts_with("error: "), "{err}");
        err
    }

    pub(super) fn store(&self) -> Store {
        Store::open(self.data(), Options::default()).unwrap()
    }

    /// All rows of a collection, by id; nothing if there is none.
    pub(super) fn rows(&self, name: &str) -> Option<Vec<Chunk>> {
        if !self.data().exists() {
            return None;
        }
        let store = self.store();
        let docs = store.open_collection(name).ok()?;
        let mut chunks = docs.scroll(None, None, usize::MAX).unwrap().chunks;
        chunks.sort_by(|a, b| a.id.cmp(&b.id));
        Some(chunks)
    }

    /// A collection with some rows of its own.
    pub(super) fn fill(&self, name: &str, metric: Metric) -> Vec<Chunk> {
        let store = self.store();
        let docs = store.create_collection(name, Schema::new(DIM, metric)).unwrap();
        let row = |n: usize| {
            let vector: Vec<f32> = (0..DIM).map(|k| (n * 7 + k) as f32 - 3.5).collect();
            Chunk::new(format!("id-{n}")).vector(vector).text(format!("old {n}")).meta("old", true)
        };
        docs.upsert((15..30).map(row)).unwrap();
        drop((docs, store));
        self.rows(name).unwrap()
    }

    /// The collections that a caller sees, and whether anything of an import is left in the folder's journal of names.
    pub(super) fn names(&self) -> Vec<String> {
        self.store().collections().iter().map(|c| c.name().to_owned()).collect()
    }
}

/// A file that another library made.
pub(super) fn made(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/import/files").join(name);
    path.to_str().unwrap().to_owned()
}

/// What the files hold: the makers' own account.
pub(super) struct Expected {
    pub(super) keys: Vec<String>,
    pub(super) vectors: Vec<Vec<f32>>,
    pub(super) texts: Vec<String>,
    pub(super) metadata: Vec<Value>,
}

pub(super) fn expected() -> Expected {
    let text = std::fs::read_to_string(made("expected.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let rows = value["rows"].as_array().unwrap();
    let bits = |row: &Value| {
        let bits = row["vector"].as_array().unwrap().iter();
        bits.map(|b| f32::from_bits(u32::try_from(b.as_u64().unwrap()).unwrap())).collect()
    };
    assert_eq!(rows.len(), ROWS);
    Expected {
        keys: rows.iter().map(|row| row["key"].to_string()).collect(),
        vectors: rows.iter().map(bits).collect(),
        texts: rows.iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect(),
        metadata: rows.iter().map(|row| row["metadata"].clone()).collect(),
    }
}
