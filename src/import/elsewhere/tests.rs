//! Goal: an import into a store of somebody else ends well only where that has what was sent. Method: a store that gives back other rows than it
//! was given, in each of the ways in which rows can differ.

use super::*;
use crate::config::Metric;
use crate::engine::Store;
use crate::import::Spec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, from_slice, json};
use std::io::Write;

const ROWS: usize = 50;

/// What is done to a row on its way back.
type Alter = fn(Chunk) -> Option<Chunk>;

/// A store from afar that alters what it gives back; nothing is a row that went.
struct Other {
    store: Store,
    alter: Alter,
}

impl Elsewhere for Other {
    fn find(&self, collection: &str) -> Result<Option<(Schema, usize)>> {
        Ok(self.store.open_collection(collection).ok().map(|docs| (docs.schema().clone(), docs.stats().rows)))
    }

    fn create(&self, collection: &str, schema: &Schema) -> Result<()> {
        self.store.create_collection(collection, schema.clone()).map(drop)
    }

    fn drop(&self, collection: &str) -> Result<()> {
        self.store.drop_collection(collection)
    }

    fn store(&self, collection: &str, chunks: &[u8]) -> Result<()> {
        let rows: Vec<Value> = from_slice(&[b"[", chunks, b"]"].concat()).unwrap();
        let chunk = |mut row: Value| {
            let bytes = STANDARD.decode(row["vector_b64"].take().as_str().unwrap()).unwrap();
            let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
            row.as_object_mut().unwrap().remove("vector_b64");
            row["vector"] = json!(bytes.chunks_exact(4).map(number).collect::<Vec<_>>());
            serde_json::from_value::<Chunk>(row).unwrap()
        };
        let ack = self.store.open_collection(collection)?.upsert(rows.into_iter().map(chunk))?;
        assert_eq!(ack.rejected, 0);
        Ok(())
    }

    fn fetch(&self, collection: &str, ids: &[&str]) -> Result<Vec<Chunk>> {
        let found = self.store.open_collection(collection)?.get_many(ids.iter().copied())?;
        Ok(found.into_iter().flatten().filter_map(self.alter).collect())
    }

    fn page(&self, _: &str, _: Option<&Filter>, _: Option<&str>) -> Result<Page> {
        unreachable!("an import asks for the rows that it sent")
    }
}

/// What became of an import, and how many rows are there.
fn imported(alter: Alter) -> (Result<Report>, Option<usize>) {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    for n in 0..ROWS {
        let row = json!({"id": format!("row {n}"), "vector": [n, 0.1], "text": format!("text {n}"), "document_id": "d", "chunk_index": n,
            "metadata": {"n": n}, "embedding_model": "m"});
        writeln!(file, "{row}").unwrap();
    }
    let request = Request {
        spec: Spec { path: file.path().to_owned(), ..Spec::default() },
        into: "docs".to_owned(),
        metric: Some(Metric::L2),
        batch_rows: 7,
        ..Request::default()
    };
    let other = Other { store: Store::memory(), alter };
    let report = send(&other, &request, &mut |_, _, _| {});
    (report, other.find("docs").unwrap().map(|(_, rows)| rows))
}

#[test]
fn what_is_there_as_it_was_sent_is_told() {
    let (report, rows) = imported(Some);
    let report = report.unwrap();
    assert_eq!((report.rows, report.rows_after, rows), (ROWS as u64, ROWS as u64, Some(ROWS)));
}

#[test]
fn a_row_that_is_there_otherwise_fails_the_import_and_what_it_made_goes() {
    let other: [(&str, Alter); 6] = [
        ("gone", |row| (row.id != "row 3").then_some(row)),
        ("the last bit of a number", |mut row| {
            if let Some(number) =
                row.vector.as_mut().filter(|_| row.id == "row 3").and_then(|vector| vector.get_mut(1))
            {
                *number = f32::from_bits(number.to_bits() ^ 1);
            }
            Some(row)
        }),
        ("no vector", |row| Some(Chunk { vector: None, ..row })),
        ("another text", |row| Some(Chunk { text: Some("another".into()), ..row })),
        ("other metadata", |row| Some(row.meta("n", "other"))),
        ("another model", |row| Some(row.embedding_model("other"))),
    ];
    for (what, alter) in other {
        let (report, rows) = imported(alter);
        let error = report.expect_err(what);
        assert_eq!((error.kind(), rows), (ErrorKind::Conflict, None), "{what}: {error}");
        assert!(error.to_string().contains("is not there as it was sent"), "{what}: {error}");
    }
}
