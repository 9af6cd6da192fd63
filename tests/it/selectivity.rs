//! Goal: whatever share of the rows a filter leaves, the planner's answer is good and whole.
//! Method: 20,000 generated rows with a number from 0 to 9,999 each; ranges of it leave 50 % to one row in a thousand.

use super::support::data::{K, Recipe, Truth, measure};
use super::support::random::Random;
use nearfield::{Filter, Metric};
use std::collections::BTreeMap;

const DATA: Recipe = Recipe {
    name: "selectivity",
    seed: 9,
    metric: Metric::Cosine,
    dim: 48,
    latent: 24,
    clusters: 100,
    rows: 20_000,
    queries: 40,
    shift: 0.0,
    copies_percent: 5,
};

#[test]
fn the_planner_answers_well_at_every_selectivity() {
    let data = DATA.generate();
    let mut random = Random::new(DATA.seed);
    let numbers: Vec<usize> = (0..DATA.rows).map(|_| random.below(10_000)).collect();
    let collection = data.build_of(0..DATA.rows, 2, |i, chunk| chunk.meta("number", numbers[i]));
    for below in [10_000, 5_000, 2_000, 500, 100, 10] {
        let filter = Filter::from_json(&serde_json::json!({"number": {"$lt": below}})).unwrap();
        let truths: Vec<Truth> =
            (0..data.queries.len()).map(|q| Truth::of(&data, q, |i| numbers[i] < below)).collect();
        let mut plans = BTreeMap::new();
        for query in &data.queries {
            let response = collection.search(query).k(K).filter(filter.clone()).run().unwrap();
            for hit in &response.hits {
                assert!(
                    numbers[hit.id.as_str().parse::<usize>().unwrap()] < below,
                    "{} does not match",
                    hit.id
                );
            }
            *plans.entry(response.explain.plan.to_string()).or_insert(0) += 1;
        }
        let figures = measure(&data, &truths, &collection, 64, Some(&filter));
        println!("below {below}: {figures:?}, {plans:?}");
        assert!(figures.recall >= 0.95, "below {below}, seed {}: {figures:?}, {plans:?}", DATA.seed);
    }
}
