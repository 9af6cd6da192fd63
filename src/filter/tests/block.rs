//! A full block: the large cases of every form, which random rows are too few to reach; and what an answer costs.

use super::*;
use std::hint::black_box;

/// A block of plausible rows.
fn block() -> Vec<(u16, Map)> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let row = |row: u16| {
        let metadata = json!({
            "lang": (["en", "de", "fr", "it"][(random() % 4) as usize]),
            "section": format!("section {}", random() % 500),
            "url": format!("https://example.org/docs/{}/{}.html", random() % 1000, random()),
            "year": 1990 + random() % 30,
            "score": random() as f64 / 1e6,
            "stamp": 9_007_199_254_740_993u64 + random() % 100_000,
            "tags": [format!("t{}", random() % 50), format!("t{}", random() % 50)],
            "draft": random() % 10 == 0,
        });
        (row, map(metadata))
    };
    (0..60_000).map(row).collect()
}

fn typical() -> Vec<(&'static str, Filter)> {
    vec![
        ("range of half the distinct numbers", Filter::lt("score", 1073.741824)),
        ("range of half of 30 numbers", Filter::between("year", 1990, 2004)),
        ("range beyond 2^53", Filter::gte("stamp", 9_007_199_254_790_993u64)),
        ("number equal, 1 row", Filter::eq("score", 1.5)),
        ("number equal, 2,000 rows", Filter::eq("year", 2000)),
        ("string equal, 15,000 rows", Filter::eq("lang", "en")),
        ("string equal, 120 rows", Filter::eq("section", "section 77")),
        ("string equal, no row", Filter::eq("url", "https://example.org/docs/7/7.html")),
        ("string not equal", Filter::ne("lang", "en")),
        ("in 100 of 500 strings", Filter::is_in("section", (0..100).map(|i| format!("section {i}")))),
        ("range of half the distinct strings", Filter::lt("url", "https://example.org/docs/5")),
        ("prefix, 60 rows", Filter::prefix("url", "https://example.org/docs/77/")),
        ("contains in 60,000 distinct strings", Filter::contains("url", "/777")),
        ("contains in 500 distinct strings", Filter::contains("section", "77")),
        ("array element", Filter::eq("tags", "t7")),
        ("boolean", Filter::eq("draft", true)),
        (
            "three conditions",
            Filter::eq("lang", "en") & Filter::gte("year", 2010) & !Filter::eq("draft", true),
        ),
    ]
}

#[test]
fn a_full_block_answers_as_the_oracle() {
    let rows = block();
    let open = index_of(&rows);
    let mut frozen = index_of(&rows);
    frozen.freeze();
    assert!(frozen.heap_bytes() < open.heap_bytes());
    // One more row opens every field of a frozen index again.
    let mut thawed = index_of(&rows[1..]);
    thawed.freeze();
    thawed.insert(rows[0].0, &rows[0].1);
    for (name, filter) in typical() {
        let expected: Vec<u32> =
            rows.iter().filter(|(_, m)| matches(&filter, m)).map(|(r, _)| u32::from(*r)).collect();
        for (form, index) in [("open", &open), ("frozen", &frozen), ("thawed", &thawed)] {
            assert_eq!(index.eval(&filter).iter().collect::<Vec<_>>(), expected, "{name}, {form}");
        }
    }
}

/// `cargo test --release --lib what_an_answer_costs -- --ignored --nocapture`
#[test]
#[ignore = "prints times; asserts nothing"]
fn what_an_answer_costs() {
    let rows = block();
    let mut index = FieldIndex::default();
    // Medians, because other work on the machine comes in bursts.
    let mut inserts: Vec<_> = rows
        .chunks(100)
        .map(|chunk| {
            let start = Instant::now();
            chunk.iter().for_each(|(row, metadata)| index.insert(*row, metadata));
            start.elapsed() / 100
        })
        .collect();
    inserts.sort_unstable();
    let bytes = index.heap_bytes() / rows.len();
    println!("insert: {:?} per row of 8 fields; open: {bytes} bytes per row", inserts[inserts.len() / 2]);
    let mut out: BlockMask = [0; 1024];
    for frozen in [false, true] {
        if frozen {
            let start = Instant::now();
            index.freeze();
            println!("freeze: {:?}; {} bytes per row", start.elapsed(), index.heap_bytes() / rows.len());
        }
        for (name, filter) in typical() {
            let mut times: Vec<_> = (0..200)
                .map(|_| {
                    let start = Instant::now();
                    index.eval_mask(black_box(&filter), black_box(&mut out));
                    start.elapsed()
                })
                .collect();
            times.sort_unstable();
            let count = to_roaring(&out).len();
            println!("{:>10.2?}  {name} ({count} rows, frozen: {frozen})", times[100]);
        }
    }
}
