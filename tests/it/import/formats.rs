//! Goal: each format is read as its maker wrote it: every bit of every vector, ids, texts, metadata, the metric where the file says it.

use super::{DIM, Home, ROWS, expected, made};
use nearfield::Chunk;
use serde_json::{Value, json};
use std::path::Path;

/// What ids are.
#[derive(Clone, Copy, PartialEq)]
enum Ids {
    Rows,
    Keys,
    Names,
}

/// Imports with `args` and compares ids and vectors; the report and the rows, in the order of the file.
fn check(args: &[&str], ids: Ids, near: f32) -> (Value, Vec<Chunk>) {
    let home = Home::new();
    let report = home.done(&[&["import", "--into", "docs"], args].concat());
    assert_eq!(report["rows"], ROWS, "{args:?}");
    assert_eq!(report["dim"], DIM, "{args:?}");
    assert_eq!(report["verified"]["searches"], 16, "{args:?}");
    let (expected, rows) = (expected(), home.rows("docs").unwrap());
    assert_eq!(rows.len(), ROWS);
    let mut found = Vec::new();
    for n in 0..ROWS {
        let id = match ids {
            Ids::Rows => n.to_string(),
            Ids::Keys => expected.keys[n].clone(),
            Ids::Names => format!("id-{n}"),
        };
        let row = rows.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("{args:?}: no {id}"));
        let vector = row.vector.as_ref().unwrap();
        let apart = vector.iter().zip(&expected.vectors[n]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(vector.len() == DIM && apart <= near, "{args:?}: {id} is {apart} away");
        found.push(row.clone());
    }
    (report, found)
}

fn has_payload(rows: &[Chunk]) {
    let expected = expected();
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row.text.as_ref(), Some(&expected.texts[n]));
        assert_eq!(Value::Object(row.metadata.clone()), expected.metadata[n]);
    }
}

#[test]
fn numpy_arrays_of_all_widths_with_what_stands_beside_them() {
    check(&[&made("vectors.f4.npy"), "--metric", "cosine"], Ids::Rows, 0.0);
    check(&[&made("vectors.f8.npy"), "--metric", "l2"], Ids::Rows, 0.0);
    check(&[&made("vectors.f2.npy"), "--metric", "dot"], Ids::Rows, 2e-3);
    let f4 = made("vectors.f4.npy");
    for (file, ids) in [("ids.i8.npy", Ids::Keys), ("ids.ivecs", Ids::Keys), ("ids.txt", Ids::Names)] {
        check(&[&f4, "--metric", "l2", "--ids", &made(file)], ids, 0.0);
    }
    let docs = made("docs.jsonl.zst");
    let (_, rows) = check(&[&f4, "--metric", "l2", "--docs", &docs], Ids::Names, 0.0);
    has_payload(&rows);
    assert_eq!((rows[7].document_id.as_deref(), rows[7].chunk_index), (Some("doc-1"), 2));
    let both = check(&[&f4, "--metric", "l2", "--docs", &docs, "--ids", &made("ids.i8.npy")], Ids::Keys, 0.0);
    has_payload(&both.1);
    let home = Home::new();
    let said = home.refused(&["import", &made("fortran.npy"), "--into", "a", "--metric", "l2"]);
    assert!(said.contains("Fortran order") && said.contains("ascontiguousarray"), "{said}");
}

#[test]
fn texmex_vectors() {
    check(&[&made("vectors.fvecs"), "--metric", "l2", "--ids", &made("ids.ivecs")], Ids::Keys, 0.0);
    let home = Home::new();
    home.done(&["import", &made("vectors.bvecs"), "--into", "bytes", "--metric", "l2"]);
    let expected = expected();
    for row in home.rows("bytes").unwrap() {
        let n: usize = row.id.parse().unwrap();
        let bytes: Vec<f32> = expected.vectors[n].iter().map(|x| (x.abs() * 20.0).floor()).collect();
        assert_eq!(row.vector.unwrap(), bytes);
    }
}

#[test]
fn lines_of_json_and_csv() {
    let (_, rows) = check(&[&made("chunks.jsonl"), "--metric", "l2"], Ids::Names, 0.0);
    has_payload(&rows);
    assert_eq!(rows[3].tenant.as_deref(), Some("t"));
    let (_, rows) = check(&[&made("columns.csv"), "--metric", "l2"], Ids::Names, 0.0);
    has_payload(&rows);
    let csv = made("array.csv");
    let columns = ["--columns", "id=key,vector=embedding"];
    let args = [
        &[csv.as_str(), "--metric", "l2", "--extra", "metadata", "--tenant", "me", "--model", "m"][..],
        &columns,
    ];
    let (_, rows) = check(&args.concat(), Ids::Names, 0.0);
    assert_eq!(rows[1].metadata["lang"], "en");
    assert_eq!((rows[1].tenant.as_deref(), rows[1].embedding_model.as_deref()), (Some("me"), Some("m")));
    let home = Home::new();
    std::fs::write(home.at("two.csv"), "key,id,vector\na,not me,\"[1, 2]\"\n").unwrap();
    for (extra, id) in [("ignore", None), ("metadata", Some("not me"))] {
        let call = ["import", &home.at("two.csv"), "--into", extra, "--metric", "l2", "--columns", "id=key"];
        home.done(&[&call[..], &["--extra", extra]].concat());
        let row = home.rows(extra).unwrap().remove(0);
        assert_eq!((row.id.as_str(), row.metadata.get("id").and_then(Value::as_str)), ("a", id));
    }
    let said =
        Home::new().refused(&[&["import", &csv, "--into", "a", "--metric", "l2"][..], &columns].concat());
    assert!(said.contains("\"lang\"") && said.contains("--extra"), "{said}");
}

#[test]
fn parquet_of_every_encoding_that_is_in_use() {
    let l2 = ["--metric", "l2"];
    for (file, args, ids) in [
        ("lists.parquet", &[][..], Ids::Names),
        ("fixed.parquet", &["--columns", "id=key"], Ids::Keys),
        ("encodings.parquet", &[], Ids::Names),
    ] {
        let (_, rows) = check(&[&[made(file).as_str()], args, &l2].concat(), ids, 0.0);
        has_payload(&rows);
        assert_eq!((rows[7].document_id.as_deref(), rows[7].chunk_index), (Some("doc-1"), 2), "{file}");
        assert_eq!(rows[3].tenant.as_deref(), (file == "encodings.parquet").then_some("t"));
    }
    check(&[&made("halves.parquet"), "--metric", "dot"], Ids::Keys, 2e-3);
    let columns = ["--columns", "id=name,vector=embedding,text=body", "--extra", "metadata"];
    let (_, rows) = check(&[&[made("bytes.parquet").as_str()][..], &columns, &l2].concat(), Ids::Names, 0.0);
    has_payload(&rows);

    let home = Home::new();
    let call = ["import", &made("nulls.parquet"), "--into", "docs", "--metric", "l2"];
    let said = home.refused(&call);
    assert!(said.contains("row 4 (at byte") && said.contains("NaN"), "{said}");
    assert_eq!(home.rows("docs"), None);
    let report = home.done(&[&call[..], &["--max-rejects", "5"]].concat());
    let kept: Vec<String> = home.rows("docs").unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!((&report["rows"], kept), (&json!(2), vec!["all".to_owned(), "holes".to_owned()]));
    let said = home.refused(&["import", &made("brotli.parquet"), "--into", "a", "--metric", "l2"]);
    assert!(said.contains("BROTLI; write it with zstd"), "{said}");
}

#[test]
fn faiss_keeps_ids_and_metric() {
    for (file, ids, metric) in [
        ("flat-l2.faiss", Ids::Rows, "l2"),
        ("flat-ip.faiss", Ids::Rows, "dot"),
        ("hnsw.faiss", Ids::Rows, "l2"),
        ("idmap.faiss", Ids::Keys, "l2"),
        ("idmap2-hnsw.faiss", Ids::Keys, "dot"),
        #[cfg(feature = "hnsw-rs")]
        ("flat-l1.faiss", Ids::Rows, "l1"),
    ] {
        let (report, _) = check(&[&made(file)], ids, 0.0);
        assert_eq!(report["metric"], metric, "{file}");
    }
    has_payload(&check(&[&made("flat-l2.faiss"), "--docs", &made("docs.jsonl.zst")], Ids::Names, 0.0).1);
    for (file, why) in [("sq8.faiss", "IxSQ"), ("ivf.faiss", "inverted file")] {
        let said = Home::new().refused(&["import", &made(file), "--into", "a"]);
        assert!(said.contains(why) && said.contains("rebuild it as Flat"), "{said}");
    }
}

#[test]
fn hnswlib_keeps_labels_and_leaves_the_deleted_out() {
    check(&[&made("ip.hnswlib"), "--metric", "dot"], Ids::Keys, 0.0);
    let home = Home::new();
    let report = home.done(&["import", &made("l2.hnswlib"), "--metric", "l2", "--into", "docs"]);
    assert_eq!(report["rows"], ROWS - 1);
    let (expected, rows) = (expected(), home.rows("docs").unwrap());
    assert!(!rows.iter().any(|row| row.id == expected.keys[4]), "row 4 was marked as deleted");
    let notes = report["notes"].to_string();
    assert!(notes.contains("1 rows are marked as deleted"), "{notes}");

    // Of this space it keeps directions.
    let report = home.done(&["import", &made("cosine.hnswlib"), "--metric", "cosine", "--into", "cosine"]);
    assert_eq!(report["verified"]["recall"], 1.0);
    for row in home.rows("cosine").unwrap() {
        let n = expected.keys.iter().position(|key| *key == row.id).unwrap();
        let length = expected.vectors[n].iter().map(|x| x * x).sum::<f32>().sqrt();
        let apart = row
            .vector
            .unwrap()
            .iter()
            .zip(&expected.vectors[n])
            .map(|(a, b)| (a - b / length).abs())
            .fold(0.0, f32::max);
        assert!(apart < 1e-6, "{apart}");
    }
    let said = home.refused(&["import", &made("l2.hnswlib"), "--into", "b"]);
    assert!(said.contains("--metric"), "{said}");
    let said = home.refused(&["import", &made("l2.hnswlib"), "--metric", "l2", "--dim", "7", "--into", "b"]);
    assert!(said.contains("6 dimensions") && said.contains("--dim says 7"), "{said}");
}

#[test]
fn pickles_of_all_shapes_are_read_and_none_is_run() {
    for name in ["lists", "arrays", "matrix", "matrix5", "dict", "old"] {
        let (report, rows) = check(&[&made(&format!("store-{name}"))], Ids::Names, 0.0);
        assert_eq!(report["metric"], "cosine", "{name}");
        has_payload(&rows);
    }
    check(&[&made("store-named/vectors.pkl")], Ids::Names, 0.0);
    let home = Home::new();
    let said = home.refused(&["import", &made("store-code"), "--into", "a"]);
    assert!(said.contains("builtins.exec") && said.contains("nothing of a pickle is ever run"), "{said}");
    assert!(!Path::new("/tmp/nearfield-pickle-ran").exists(), "the pickle was run");
    let said = home.refused(&["import", &made("store-fortran"), "--into", "a"]);
    assert!(said.contains("C order") && said.contains("numpy.save"), "{said}");
    assert_eq!(home.rows("a"), None);
}

#[cfg(feature = "hnsw-rs")]
#[test]
fn a_dump_of_hnsw_rs_itself() {
    use hnsw_rs::prelude::*;
    let (home, expected) = (Home::new(), expected());
    let graph = Hnsw::<f32, DistL2>::new(8, ROWS, 16, 50, DistL2 {});
    for (n, vector) in expected.vectors.iter().enumerate() {
        graph.insert((vector, expected.keys[n].parse().unwrap()));
    }
    let name = graph.file_dump(Path::new(&home.at("")), "dump").unwrap();
    for file in [name.clone(), format!("{name}.hnsw.data"), format!("{name}.hnsw.graph")] {
        let (report, _) = check(&[&home.at(&file)], Ids::Keys, 0.0);
        assert_eq!(report["metric"], "l2");
    }
    // Every cut of either file, and the crate's own reader would end the process at many of them.
    for kind in ["data", "graph"] {
        let path = home.at(&format!("{name}.hnsw.{kind}"));
        let whole = std::fs::read(&path).unwrap();
        let ends =
            if kind == "data" { (0..whole.len()).step_by(7).collect() } else { (0..90).collect::<Vec<_>>() };
        for end in ends {
            std::fs::write(&path, &whole[..end]).unwrap();
            home.refused(&["import", &home.at(&name), "--into", "cut", "--dry-run"]);
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_dry_run_says_what_would_happen_and_makes_nothing() {
    let home = Home::new();
    let report = home.done(&["import", &made("flat-l2.faiss"), "--into", "docs", "--dry-run"]);
    assert_eq!((&report["rows"], &report["dry_run"]), (&json!(ROWS), &json!(true)));
    assert!(!home.data().exists(), "a store was made");
    home.fill("docs", nearfield::Metric::L2);
    let before = home.rows("docs");
    let said = home.refused(&["import", &made("flat-l2.faiss"), "--into", "docs", "--dry-run"]);
    assert!(said.contains("exists, with 15 rows"), "{said}");
    home.done(&["import", &made("flat-l2.faiss"), "--into", "docs", "--dry-run", "--mode", "replace"]);
    assert_eq!(home.rows("docs"), before);
}
