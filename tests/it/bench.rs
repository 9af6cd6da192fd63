//! Goal: `nearfield bench search` can be believed by a script and by a person.
//! Method: it runs in-process, over generated rows and over files, and its report is checked field by field.

use nearfield::cli;
use serde_json::Value;
use std::process::ExitCode;

fn bench(args: &[&str]) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(["nearfield", "bench", "search", "--quiet"].iter().chain(args), &mut out, &mut err);
    assert_eq!(code, ExitCode::SUCCESS, "{args:?}: {}", String::from_utf8_lossy(&err));
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    String::from_utf8(out).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&bench(&[args, &["--json"]].concat())).unwrap()
}

const SMALL: [&str; 10] =
    ["--rows", "2000", "--dim", "24", "--query-rows", "40", "--ef", "64,10,32", "--rounds", "1"];

#[test]
fn the_json_report_has_every_field() {
    let report = json(&SMALL);
    for (pointer, wanted) in [
        ("/data/rows", 2_000),
        ("/data/dim", 24),
        ("/data/queries", 40),
        ("/index/m", 16),
        ("/index/ef_construction", 200),
        ("/index/build_threads", 2),
        ("/search/k", 10),
        ("/search/threads", 1),
    ] {
        assert_eq!(report.pointer(pointer), Some(&Value::from(wanted)), "{pointer}");
    }
    assert_eq!(report["data"]["metric"], "cosine");
    assert_eq!(report["data"]["truth"], "brute force");
    assert_eq!(report["index"]["graph"], "flat");
    for pointer in ["/machine/cores", "/build/seconds", "/build/rows_per_s", "/memory/bytes_per_row"] {
        assert!(report.pointer(pointer).and_then(Value::as_f64).unwrap() > 0.0, "{pointer}");
    }
    assert!(!report["memory"]["components_bytes_per_row"].as_object().unwrap().is_empty());

    let curve = report["curve"].as_array().unwrap();
    assert_eq!(curve.iter().map(|p| p["ef"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 32, 64]);
    for point in curve {
        let field = |name: &str| point[name].as_f64().unwrap();
        assert!((0.3..=1.0).contains(&field("recall")), "{point}");
        assert!(field("qps") > 0.0 && field("p50_us") > 0.0, "{point}");
        assert!(field("p50_us") <= field("p95_us") && field("p95_us") <= field("p99_us"), "{point}");
        assert!(field("distances") >= 10.0 && field("visited") > 0.0, "{point}");
        assert_eq!(point["short"], 0);
        let plans = point["plans"].as_object().unwrap();
        assert_eq!(plans.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 40);
    }
    let marks = report["qps_at_recall"].as_array().unwrap();
    assert_eq!(
        marks.iter().map(|m| m["recall"].as_f64().unwrap()).collect::<Vec<_>>(),
        [0.95, 0.98, 0.99, 0.995]
    );
}

#[test]
fn several_threads_find_what_one_finds() {
    let recall = |threads| {
        let report = json(&[&SMALL[..], &["--threads", threads, "--build-threads", "1"]].concat());
        report["curve"].as_array().unwrap().iter().map(|p| p["recall"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    // Two builds, whose graphs may differ in a few links.
    for (one, three) in recall("1").iter().zip(recall("3")) {
        assert!((one - three).abs() <= 0.02, "{one} on one thread, {three} on three");
    }
}

#[test]
fn the_text_ends_with_the_marks() {
    let text = bench(&SMALL);
    assert!(text.starts_with("data     2,000 x 24, 40 queries, cosine; generated from seed 42"), "{text}");
    assert!(text.contains("\n== nearfield flat: build "), "{text}");
    assert_eq!(text.lines().filter(|l| l.starts_with("   ef ")).count(), 3);
    let last = text.lines().last().unwrap();
    let marks: Vec<&str> = last.trim().split(' ').map(|mark| mark.split('=').next().unwrap()).collect();
    assert_eq!(marks, ["qps@0.95", "qps@0.98", "qps@0.99", "qps@0.995"], "{last}");
}

#[test]
fn a_folder_of_files_is_searched_under_a_filter() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rows: Vec<[f32; 2]> = (0..40).map(|i| [1.0, i as f32 / 8.0]).collect();
    std::fs::write(path("base.f32.npy"), npy("<f4", 40, 2, &le(rows.as_flattened()))).unwrap();
    std::fs::write(path("queries.f32.npy"), npy("<f4", 2, 2, &le(&[1.0, 0.0, 1.0, 4.9]))).unwrap();
    // Of the rows 0, 10, 20 and 30 all but 30, the nearest of the second query.
    let truth = [0i32, 10, 20, -1, 20, 10, 0, -1].map(i32::to_le_bytes).concat();
    std::fs::write(path("few.npy"), npy("<i4", 2, 4, &truth)).unwrap();
    let lines: String =
        (0..40).map(|i| format!("{{\"metadata\": {{\"tenth\": {}, \"n\": {i}}}}}\n", i % 10 == 0)).collect();
    std::fs::write(path("docs.jsonl"), lines).unwrap();

    let folder = folder.path().to_str().unwrap();
    let common = ["--data-dir", folder, "--ef", "16", "--rounds", "1", "--k", "4"];
    let report = json(&common);
    assert_eq!((&report["data"]["rows"], &report["data"]["truth"]), (&40.into(), &"brute force".into()));
    assert_eq!(report["curve"][0]["short"], 0);

    let filter = ["--filter", r#"{"tenth": true, "n": {"$lt": 30}}"#];
    let report = json(&[&common[..], &filter, &["--truth", &path("few.npy")]].concat());
    assert_eq!(report["data"]["truth"], "from its file");
    assert_eq!((&report["curve"][0]["recall"], &report["curve"][0]["short"]), (&1.0.into(), &0.into()));
    let report = json(&[&common[..], &filter].concat());
    assert_eq!(report["data"]["truth"], "the engine's own exact search");
    assert_eq!(report["curve"][0]["recall"], 1.0);

    // Under a narrower filter than that of the truth, two of three neighbours are missing, and both queries are short.
    let narrow = ["--filter", r#"{"tenth": true, "n": {"$lt": 10}}"#, "--truth", &path("few.npy")];
    let report = json(&[&common[..], &narrow].concat());
    assert_eq!(report["curve"][0]["short"], 2);
    assert!((report["curve"][0]["recall"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn a_truth_that_is_not_of_these_rows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rows: Vec<f32> = (0..20).map(|i| (i + 1) as f32).collect();
    std::fs::write(path("base.f32.npy"), npy("<f4", 20, 1, &le(&rows))).unwrap();
    std::fs::write(path("queries.f32.npy"), npy("<f4", 1, 1, &le(&[1.0]))).unwrap();
    std::fs::write(path("truth.i32.npy"), npy("<i4", 1, 2, &[0i32, 1].map(i32::to_le_bytes).concat()))
        .unwrap();
    let args = ["nearfield", "bench", "search", "--data-dir", folder.path().to_str().unwrap(), "--k", "2"];
    for (metric, wanted) in [("l2", ExitCode::SUCCESS), ("dot", ExitCode::FAILURE)] {
        let mut err = Vec::new();
        let code = cli::run(args.iter().chain(&["--quiet", "--metric", metric]), &mut Vec::new(), &mut err);
        let err = String::from_utf8(err).unwrap();
        assert_eq!(code, wanted, "{err}");
        assert_eq!(
            err.contains("names 0 % of the neighbours that brute force finds under dot"),
            metric == "dot"
        );
    }
}

fn npy(descr: &str, rows: usize, columns: usize, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn http_is_measured_beside_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args =
        ["nearfield", "bench", "serve", "--quiet", "--json", "--data", folder, "--rows", "300", "--dim", "8"];
    let args = args.iter().chain(&["--seconds", "1", "--connections", "2", "--import", "400"]);
    assert_eq!(cli::run(args, &mut out, &mut err), ExitCode::SUCCESS, "{}", String::from_utf8_lossy(&err));
    let report: Value = serde_json::from_slice(&out).unwrap();
    for pointer in [
        "/library/p50_us",
        "/http/p50_us",
        "/http_base64/qps",
        "/library_qps",
        "/http_qps",
        "/import/rows_per_s",
    ] {
        assert!(report.pointer(pointer).and_then(Value::as_f64).unwrap() > 0.0, "{pointer}: {report}");
    }
    assert_eq!(report["import"]["rows"], 400);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "something was left behind");
}
