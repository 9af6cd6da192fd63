//! The words and numbers of the report.

use super::*;

#[test]
fn numbers_are_told_for_people() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(
        [plural(1, "pass"), plural(3, "pass"), plural(2, "thread")],
        ["1 pass", "3 passes", "2 threads"]
    );
}

#[test]
fn a_line_begins_like_those_of_the_peers() {
    let plans = [("graph".to_owned(), 9), ("exact".to_owned(), 1)].into();
    let (p50_us, p95_us, p99_us) = (20.0, 31.25, 40.0);
    let qps = 12_345.6;
    let point = Point {
        ef: 64,
        recall: 0.98765,
        qps,
        p50_us,
        p95_us,
        p99_us,
        visited: 70.0,
        distances: 900.0,
        short: 2,
        plans,
    };
    let mut out = Vec::new();
    line(&point, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("   ef   64  recall 0.9877  qps     12346  p50    20.0"), "{text}");
    assert!(text.ends_with("  short 2  exact 1 graph 9\n"), "{text}");
}
