//! Goal: recall and the work it takes do not get worse unseen, on data of every kind.
//! Method: generated data with fixed seeds, one builder thread, tie-aware recall against brute force; figures are compared
//! with `tests/baselines/recall-*.json`. `NEARFIELD_BASELINE=overwrite` writes them anew; the difference is for review.

use super::support::data::{Data, Figures, Recipe, Truth, measure};
use nearfield::Metric;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const EFS: [usize; 3] = [16, 64, 128];
/// Recall may be this much lower than the baseline.
const RECALL_SLACK: f64 = 0.005;
/// Counters of work may differ by this share: the last bit of a code differs between instruction sets.
const WORK_SLACK: f64 = 0.10;

/// Like `deb384`: real text embeddings.
const COSINE: Recipe = Recipe {
    name: "cosine-384",
    seed: 1,
    metric: Metric::Cosine,
    dim: 384,
    latent: 32,
    clusters: 100,
    rows: 6_000,
    queries: 100,
    shift: 0.0,
    copies_percent: 0,
};
const SHIFTED: Recipe =
    Recipe { name: "l2-shifted-96", seed: 2, metric: Metric::L2, dim: 96, rows: 4_000, shift: 3.0, ..COSINE };
const DOT: Recipe = Recipe { name: "dot-100", seed: 3, metric: Metric::Dot, dim: 100, rows: 4_000, ..COSINE };
const COPIES: Recipe =
    Recipe { name: "copies-64", seed: 4, dim: 64, rows: 4_000, copies_percent: 30, ..COSINE };
const PLANE: Recipe =
    Recipe { name: "plane-2", seed: 5, metric: Metric::L2, dim: 2, latent: 2, rows: 4_000, ..COSINE };
const LOW: Recipe =
    Recipe { name: "low-8", seed: 6, metric: Metric::L2, dim: 8, latent: 8, rows: 4_000, ..COSINE };

#[derive(Debug, Serialize, Deserialize)]
struct Baseline {
    seed: u64,
    rows: usize,
    dim: usize,
    metric: Metric,
    curve: Vec<Point>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Point {
    ef: usize,
    recall: f64,
    visited: f64,
    distances: f64,
}

/// Measures, compares with the baseline and with the absolute floors of recall at each of [`EFS`].
fn gate(recipe: Recipe, floors: [f64; 3]) {
    let data = recipe.generate();
    let truths = truths(&data);
    let collection = data.build(1);
    let round = |x: f64, digits: f64| (x * digits).round() / digits;
    let point = |ef: usize| {
        let Figures { recall, visited, distances } = measure(&data, &truths, &collection, ef, None);
        Point {
            ef,
            recall: round(recall, 1e4),
            visited: round(visited, 10.0),
            distances: round(distances, 10.0),
        }
    };
    let curve: Vec<Point> = EFS.into_iter().map(point).collect();
    let measured =
        Baseline { seed: recipe.seed, rows: recipe.rows, dim: recipe.dim, metric: recipe.metric, curve };
    for (point, floor) in measured.curve.iter().zip(floors) {
        assert!(point.recall >= floor, "{} (seed {}): {point:?}, wanted {floor}", recipe.name, recipe.seed);
    }
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "baselines", &format!("recall-{}.json", recipe.name)]
            .iter()
            .collect();
    if std::env::var("NEARFIELD_BASELINE").is_ok_and(|v| v == "overwrite") {
        let text = serde_json::to_string_pretty(&measured).unwrap();
        return std::fs::write(path, text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let violations = compare(&measured, &serde_json::from_str(&text).unwrap());
    assert!(
        violations.is_empty(),
        "{}, seed {}: {violations:#?}\nmeasured {measured:#?}\nWith a reason: NEARFIELD_BASELINE=overwrite",
        recipe.name,
        recipe.seed
    );
}

fn truths(data: &Data) -> Vec<Truth> {
    (0..data.queries.len()).map(|q| Truth::of(data, q, |_| true)).collect()
}

fn compare(measured: &Baseline, baseline: &Baseline) -> Vec<String> {
    let mut violations = Vec::new();
    let about =
        |b: &Baseline| (b.seed, b.rows, b.dim, b.metric, b.curve.iter().map(|p| p.ef).collect::<Vec<_>>());
    if about(measured) != about(baseline) {
        violations.push(format!("the baseline is of {:?}, not {:?}", about(baseline), about(measured)));
    }
    for (now, then) in measured.curve.iter().zip(&baseline.curve) {
        if now.recall < then.recall - RECALL_SLACK {
            violations.push(format!("ef {}: recall {} was {}", now.ef, now.recall, then.recall));
        }
        for (what, now_work, then_work) in
            [("visited", now.visited, then.visited), ("distances", now.distances, then.distances)]
        {
            if (now_work - then_work).abs() > WORK_SLACK * then_work {
                violations.push(format!("ef {}: {what} {now_work} was {then_work}", now.ef));
            }
        }
    }
    violations
}

#[test]
fn cosine_like_text_embeddings() {
    gate(COSINE, [0.88, 0.985, 0.995]);
}

#[test]
fn l2_far_from_the_origin() {
    gate(SHIFTED, [0.91, 0.985, 0.995]);
}

#[test]
fn dot_of_unnormalised_rows() {
    gate(DOT, [0.92, 0.985, 0.995]);
}

#[test]
fn a_third_of_the_rows_are_copies() {
    gate(COPIES, [0.94, 0.99, 0.995]);
}

#[test]
fn two_dimensions_and_eight() {
    gate(PLANE, [0.99, 0.999, 0.999]);
    gate(LOW, [0.99, 0.999, 0.999]);
}

#[test]
fn one_builder_thread_makes_the_same_graph_every_time() {
    let data = Recipe { rows: 2_000, queries: 40, dim: 48, ..COPIES }.generate();
    let truths = truths(&data);
    let mut seen: Option<Vec<Figures>> = None;
    for _ in 0..3 {
        let collection = data.build(1);
        let figures: Vec<Figures> =
            EFS.iter().map(|ef| measure(&data, &truths, &collection, *ef, None)).collect();
        if let Some(first) = &seen {
            assert_eq!(&figures, first, "seed {}", data.recipe.seed);
        }
        seen = Some(figures);
    }
}

#[test]
fn one_two_and_eight_builder_threads_reach_the_same_ceiling() {
    // Hard rows: a ceiling below 1 would show at ef 200 of 5,000.
    let data = Recipe { name: "ceiling", seed: 7, latent: 48, dim: 64, rows: 5_000, clusters: 20, ..SHIFTED }
        .generate();
    let truths = truths(&data);
    let ceiling = |threads: usize| {
        let collection = data.build(threads);
        let lost = collection.check().unwrap();
        (measure(&data, &truths, &collection, 200, None).recall, lost)
    };
    let (one, _) = ceiling(1);
    for threads in [2, 8] {
        let (recall, lost) = ceiling(threads);
        assert!(
            (recall - one).abs() <= 0.003,
            "seed {}: {threads} builders reach {recall} with {lost} rows lost, one reaches {one}",
            data.recipe.seed
        );
        assert_eq!(lost, 0, "rows that no walk reaches after a build by {threads} threads");
    }
}

#[test]
fn a_worse_figure_fails_and_a_better_one_does_not() {
    let of = |recall, visited, distances| Baseline {
        seed: 1,
        rows: 2,
        dim: 3,
        metric: Metric::L2,
        curve: vec![Point { ef: 16, recall, visited, distances }],
    };
    let then = of(0.9, 100.0, 1_000.0);
    for (now, violations) in [
        (of(0.9, 100.0, 1_000.0), 0),
        (of(1.0, 91.0, 1_099.0), 0),
        (of(0.894, 100.0, 1_000.0), 1),
        (of(0.9, 111.0, 1_000.0), 1),
        (of(0.8, 89.0, 1_101.0), 3),
        (Baseline { seed: 2, ..of(0.9, 100.0, 1_000.0) }, 1),
    ] {
        assert_eq!(compare(&now, &then).len(), violations, "{now:?}");
    }
}
