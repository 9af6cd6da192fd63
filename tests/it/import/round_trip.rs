//! Goal: what is exported comes back the same: bits of vectors, texts, metadata, digest. Method: rows with everything that is hard to
//! write down, out and in again, in every form.

use super::Home;
use nearfield::{Chunk, Metric, Schema};
use serde_json::json;
use std::fs;

/// Every kind of row: no vector, no text, all fields, awkward letters, extreme and subnormal numbers.
fn awkward() -> Vec<Chunk> {
    let hard = [1.0e-45, -0.0, 1.402_823_5e18, 1.175_494_4e-38, 0.1, 16_777_217.0, -1.0e-10, 0.333_333_34];
    let mut rows = vec![
        Chunk::new("text alone").text("no vector yet"),
        Chunk::new("vector alone").vector(hard),
        Chunk::new("\u{e9}\u{1f600} \"quoted\"\\")
            .vector([1.0; 8])
            .text("line\nbreak\ttab \u{7f}\u{1} \"q\" \\"),
    ];
    for n in 0..300 {
        let vector: Vec<f32> =
            (0..8).map(|k| f32::from_bits(0x3f00_0000 + n * 7_919 + k * 104_729)).collect();
        let metadata =
            json!({"n": n, "deep": {"a": [1, 2.5, null, true, "x"]}, "big": u64::MAX, "tiny": 1e-300});
        let mut chunk = Chunk::new(format!("row-{n}")).vector(vector).text(format!("text {n}"));
        chunk = chunk.document(format!("doc-{}", n % 9), n).metadata(metadata.as_object().unwrap().clone());
        rows.push(chunk.tenant(format!("t{}", n % 3)).embedding_model("m/1"));
    }
    rows
}

fn filled(metric: Metric) -> Home {
    let home = Home::new();
    let docs = home.store().create_collection("docs", Schema::new(8, metric)).unwrap();
    assert_eq!(docs.upsert(awkward()).unwrap().rejected, 0);
    home
}

fn bits(rows: &[Chunk]) -> Vec<Option<Vec<u32>>> {
    rows.iter().map(|row| row.vector.as_ref().map(|v| v.iter().map(|x| x.to_bits()).collect())).collect()
}

#[test]
fn lines_come_back_the_same_in_every_form() {
    for (name, form) in
        [("a.jsonl", "b64"), ("b.jsonl", "json"), ("c.jsonl.zst", "b64"), ("d.jsonl.zst", "json")]
    {
        let home = filled(Metric::L2);
        let (file, rows) = (home.at(name), home.rows("docs").unwrap());
        let out = home.done(&["export", "docs", &file, "--vectors", form]);
        // Rows without a vector come first: the length of vectors is looked for further on.
        let back = home.done(&["import", &file, "--into", "back", "--metric", "l2"]);
        assert_eq!((&out["rows"], &out["digest"]), (&back["rows"], &back["digest"]), "{name}");
        let again = home.rows("back").unwrap();
        assert_eq!(again, rows, "{name}");
        assert_eq!(bits(&again), bits(&rows), "{name}");
        assert_eq!(fs::read(&file).unwrap().starts_with(&[0x28, 0xb5]), name.ends_with(".zst"));
        let twice = home.at(&format!("twice-{name}"));
        home.done(&["export", "back", &twice, "--vectors", form]);
        assert_eq!(fs::read(&twice).unwrap().len(), fs::read(&file).unwrap().len());
    }
}

#[test]
fn a_table_and_its_neighbours_come_back_the_same() {
    let home = filled(Metric::L2);
    home.store().open_collection("docs").unwrap().delete(["text alone"]).unwrap();
    let rows = home.rows("docs").unwrap();
    let (npy, ids, docs) = (home.at("v.npy"), home.at("v.ids"), home.at("v.jsonl"));
    let beside = ["--ids", &ids, "--docs", &docs];
    home.done(&[&["export", "docs", &npy][..], &beside].concat());
    home.done(&[&["import", &npy, "--into", "back", "--metric", "l2"][..], &beside].concat());
    let again = home.rows("back").unwrap();
    assert_eq!(again, rows);
    assert_eq!(bits(&again), bits(&rows));
}

#[test]
fn an_export_is_whole_or_not_there() {
    let home = filled(Metric::L2);
    let file = home.at("out.jsonl");
    let report = home.done(&["export", "docs", &file, "--filter", "{\"n\": {\"$lt\": 10}}"]);
    assert_eq!(report["rows"], 10);
    let before = fs::read(&file).unwrap();
    assert_eq!(before.iter().filter(|b| **b == b'\n').count(), 10);
    let said = home.refused(&["export", "docs", &file]);
    assert!(said.contains("exists") && said.contains("--yes"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), before);
    home.done(&["export", "docs", &file, "--yes"]);
    assert!(fs::read(&file).unwrap().len() > before.len());

    let said = home.refused(&["export", "docs", &home.at("v.npy")]);
    assert!(said.contains("--ids"), "{said}");
    let said = home.refused(&["export", "docs", &home.at("v.npy"), "--ids", &home.at("v.ids")]);
    assert!(said.contains("has no vector") && said.contains(".jsonl"), "{said}");
    for (args, why) in [(["docs", "x.csv"], "exported to .jsonl"), (["none", "x.jsonl"], "no collection")] {
        let said = home.refused(&["export", args[0], &home.at(args[1])]);
        assert!(said.contains(why), "{said}");
    }
    let left: Vec<_> = fs::read_dir(home.at("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the store and one export: {left:?}");
}
