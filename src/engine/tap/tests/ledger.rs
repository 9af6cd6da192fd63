//! The ledger against a computation by brute force, and what it costs.

use super::*;
use crate::disk::sim::Random;

fn brute(side: &Side, from: &str, until: &str) -> (u64, u64, u64) {
    let dirty: Vec<String> = side.out().into_iter().map(|o| o.edition.id.to_string()).collect();
    let docs = side.store.open_collection("docs").unwrap();
    let rows = docs.scroll(None, None, usize::MAX).unwrap().chunks;
    rows.iter()
        .filter(|c| !dirty.contains(&c.id) && c.id.as_str() >= from && c.id.as_str() < until)
        .map(|c| {
            let digest = digest(&admit(c.clone(), 2, false).unwrap(), SEED);
            (digest, side.stamp(&c.id).unwrap().0.0 as u64)
        })
        .fold((0, 0, 0u64), |(n, xor, sum), (digest, ver)| {
            (n + 1, xor ^ digest ^ ver, sum.wrapping_add(digest))
        })
}

#[test]
fn the_ledger_is_what_brute_force_computes() {
    let (side, mut random) = (side(), Random::new(3));
    let letters = ["a", "b", "\u{e9}", "-"];
    let id = |random: &mut Random| -> String {
        (0..1 + random.below(20)).map(|_| letters[random.below(letters.len())]).collect()
    };
    for round in 0..30 {
        for _ in 0..20 {
            let (name, n) = (id(&mut random), random.next() % 9);
            side.put(&name, n);
        }
        for Outgoing { ticket, edition } in side.out() {
            if !random.eighths(1) {
                side.docs.acknowledge(&[ticket]);
            } else if random.eighths(2) {
                side.delete(&edition.id);
            }
        }
        if round == 9 {
            side.tap.set_seed(SEED + 1);
            side.docs.ledger().unwrap();
            side.tap.set_seed(SEED);
        }
        let ledger = side.docs.ledger().unwrap();
        let dirty: Vec<ChunkId> = side.out().into_iter().map(|o| o.edition.id).collect();
        assert_eq!(ledger.dirty(), dirty);
        let heads: Vec<Head> = (0..ledger.len()).map(|place| ledger.head(place).unwrap()).collect();
        assert!(heads.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!((0..ledger.len()).all(|place| ledger.digest_again(place) == heads[place].digest));
        assert_eq!(ledger.head(ledger.len()), None);
        for _ in 0..10 {
            let mut ends = [id(&mut random), id(&mut random)];
            ends.sort();
            let places = ledger.place(&ends[0])..ledger.place(&ends[1]);
            assert_eq!(ledger.fingerprint(places), brute(&side, &ends[0], &ends[1]), "{ends:?}");
        }
        assert_eq!(ledger.fingerprint(0..usize::MAX), brute(&side, "", "\u{10ffff}"));
    }
}

/// Prints what an audit of as many rows as deb384 has costs.
#[test]
fn a_ledger_of_59_116_rows_is_made_in_a_moment() {
    let store = Store::memory();
    let tap = store.tap();
    tap.attach().unwrap();
    let docs = tap.collection("docs", &Schema::new(384, Metric::L2)).unwrap();
    let mut random = Random::new(5);
    let editions: Vec<Edition> = (0..59_116)
        .map(|id| {
            let id = format!("document-{:05}-{}", id * 7_919 % 59_116, id % 10);
            let vector: Vec<f32> = (0..384).map(|_| random.below(1_000) as f32).collect();
            let chunk = Chunk::new(&*id).vector(vector).text("lorem ipsum ".repeat(60)).meta("n", 1);
            let row = admit(chunk, 384, false).unwrap();
            Edition {
                id: row.id.clone(),
                stamp: Stamp { ver: Ver(1), node: OTHER, digest: 0 },
                row: Some(row),
            }
        })
        .collect();
    let rows: Vec<(usize, Row)> = editions.into_iter().filter_map(|e| e.row).enumerate().collect();
    // Not linked: only its rows are looked at.
    let change = crate::engine::write::draft::Change::Upsert(rows);
    docs.inner.line.commit(docs.inner.order(change, None)).unwrap();
    docs.inner.marks().attach(Default::default(), Seq(0));
    let time = || {
        let started = Instant::now();
        let ledger = docs.ledger().unwrap();
        assert_eq!(ledger.len(), 59_116);
        started.elapsed()
    };
    let (cold, warm) = (time(), (0..5).map(|_| time()).min().unwrap());
    println!("ledger of 59,116 rows: {cold:.1?} cold, {warm:.1?} warm");
}
