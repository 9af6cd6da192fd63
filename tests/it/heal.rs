//! Goal: after half of the rows died and the graph was led around them, it is as good as one built from the survivors.
//! Method: one data set, one index that is deleted from and healed, one built anew; recall, the checker, and every id seen.

use super::support::data::{K, Recipe, Truth, measure};
use super::support::random::Random;
use nearfield::Metric;

const DATA: Recipe = Recipe {
    name: "heal",
    seed: 8,
    metric: Metric::Cosine,
    dim: 64,
    latent: 32,
    clusters: 60,
    rows: 6_000,
    queries: 100,
    shift: 0.0,
    copies_percent: 10,
};

#[test]
fn after_half_died_recall_is_that_of_the_survivors() {
    let data = DATA.generate();
    let mut random = Random::new(DATA.seed);
    let is_dead: Vec<bool> = (0..DATA.rows).map(|_| random.below(2) == 0).collect();
    let truths: Vec<Truth> = (0..data.queries.len()).map(|q| Truth::of(&data, q, |i| !is_dead[i])).collect();
    let fresh = data.build_of((0..DATA.rows).filter(|i| !is_dead[*i]), 1, |_, chunk| chunk);
    let wanted = measure(&data, &truths, &fresh, 64, None).recall;

    for (threads, step) in [(1, DATA.rows), (2, 97)] {
        let healed = data.build(threads);
        let dead: Vec<String> = (0..DATA.rows).filter(|i| is_dead[*i]).map(|i| i.to_string()).collect();
        // All at once, or in many writes that heal a little each.
        for part in dead.chunks(step) {
            assert_eq!(healed.delete(part.iter().map(String::as_str)).unwrap().0, part.len());
        }
        let told = format!("seed {}, {step} deletes at a time", DATA.seed);
        let answers_are_alive = |when: &str| {
            for query in &data.queries {
                for hit in healed.search(query).k(3 * K).run().unwrap().hits {
                    assert!(
                        !is_dead[hit.id.as_str().parse::<usize>().unwrap()],
                        "{told}: {} is dead {when}",
                        hit.id
                    );
                }
            }
        };
        answers_are_alive("before heal()");
        healed.heal().unwrap();
        assert_eq!(healed.check(), Ok(0), "{told}");
        answers_are_alive("after heal()");
        assert_eq!(healed.stats().dead, 0, "{told}");
        let recall = measure(&data, &truths, &healed, 64, None).recall;
        assert!(recall >= wanted - 0.01, "{told}: recall {recall} healed, {wanted} built anew");
        let (again, other) =
            (measure(&data, &truths, &healed, 64, None), measure(&data, &truths, &fresh, 64, None));
        assert!(
            again.distances <= 1.25 * other.distances,
            "{told}: a search costs {} distances healed, {} built anew",
            again.distances,
            other.distances
        );
    }
}

#[test]
fn healing_an_empty_collection_and_filling_it_again() {
    let data = Recipe { rows: 1_500, queries: 30, ..DATA }.generate();
    let truths: Vec<Truth> = (0..data.queries.len()).map(|q| Truth::of(&data, q, |_| true)).collect();
    let collection = data.build(1);
    collection.heal().unwrap();
    for round in 0..3 {
        let ids: Vec<String> = (0..data.rows.len()).map(|i| i.to_string()).collect();
        assert_eq!(collection.delete(ids.iter().map(String::as_str)).unwrap().0, ids.len());
        assert!(collection.search(&data.queries[0]).run().unwrap().hits.is_empty());
        collection.heal().unwrap();
        assert_eq!((collection.check(), collection.stats().dead), (Ok(0), 0), "round {round}");
        let chunks =
            ids.iter().zip(&data.rows).map(|(id, row)| nearfield::Chunk::new(id).vector(row.clone()));
        collection.upsert(chunks).unwrap();
        let figures = measure(&data, &truths, &collection, 64, None);
        assert!(figures.recall >= 0.97, "round {round}, seed {}: {figures:?}", DATA.seed);
        collection.heal().unwrap();
        assert_eq!(collection.check(), Ok(0), "round {round}");
        let healed = measure(&data, &truths, &collection, 64, None);
        assert!(healed.recall >= 0.97, "round {round}, seed {}: {healed:?}", DATA.seed);
        assert!(
            figures.distances <= 1.5 * healed.distances,
            "round {round}: {} distances over the dead, {} without them",
            figures.distances,
            healed.distances
        );
    }
}
