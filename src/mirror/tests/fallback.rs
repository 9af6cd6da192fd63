//! Searches of a store that is being filled, on a twin. A mirror that does nothing by itself has met the database and brought no row: so
//! it stays until the test fills it.

use super::*;
use crate::engine::{Include, Response, Source, Turns};
use crate::filter::Filter;
use crate::mirror::options::{Fallback, RebuildPolicy};
use crate::mirror::remote::FaultClass;
use crate::mirror::twin::{Upset, edition};
use crate::mirror::{FallbackStatus, Mirror};
use serde_json::json;

/// Long enough for any machine.
const LONG_MS: u64 = 30_000;

struct Node {
    store: Store,
    docs: Collection,
    line: Twin,
    mirror: Mirror,
}

fn options() -> MirrorOptions {
    MirrorOptions::default().manual(true).fallback(Fallback::Database).fallback_ms(LONG_MS)
}

impl Node {
    /// A store that has met the database.
    fn met(world: &Arc<Mutex<World>>, schema: Schema, options: MirrorOptions) -> Self {
        let (store, line) = (Store::memory(), Twin::new(world.clone()));
        let docs = store.create_collection(DOCS, schema).unwrap();
        let mirror = Mirror::start_on(&store, line.clone(), options).unwrap();
        mirror.connect().unwrap();
        Self { store, docs, line, mirror }
    }

    fn fallback(&self) -> FallbackStatus {
        self.mirror.status().fallback.unwrap()
    }

    fn nearest(&self, x: f32) -> (Vec<String>, Source) {
        told(&self.docs.search(&[x, 1.0]).k(3).run().unwrap())
    }
}

fn told(response: &Response) -> (Vec<String>, Source) {
    (response.hits.iter().map(|hit| hit.id.to_string()).collect(), response.source)
}

/// A database with rows that somebody else wrote, `r000` and on.
fn filled(schema: &Schema, rows: usize) -> Arc<Mutex<World>> {
    let world = world();
    let mut other = Replica::of(&world, schema.clone(), MirrorOptions::default());
    let chunk = |n: usize| {
        let angle = n as f32 * 0.37;
        let x = angle.cos() * n as f32 + 0.1;
        // More of one document are near than are fetched at first.
        let document = if (x - 3.0).abs() < 8.0 { 0 } else { n % 7 };
        let chunk = Chunk::new(format!("r{n:03}")).vector([x, angle.sin() + 0.2]);
        let chunk = chunk
            .text(format!("text {n}"))
            .meta("n", n as f64)
            .meta("name", format!("n{n:03}"))
            .tenant(["acme", "bee"][n % 2]);
        chunk.document(format!("d{document}"), n as u32).meta("tags", json!(["all", format!("t{}", n % 5)]))
    };
    other.docs.upsert((0..rows).map(chunk)).unwrap();
    other.settle();
    world
}

type Ask = Box<dyn Fn(&Collection) -> Response>;

/// Searches of every kind.
fn questions() -> Vec<(&'static str, Ask)> {
    const Q: [f32; 2] = [3.0, 0.5];
    fn ask(call: impl Fn(&Collection) -> Response + 'static) -> Ask {
        Box::new(call)
    }
    fn filtered(filter: serde_json::Value) -> Ask {
        ask(move |docs| {
            let filter = Filter::parse(&filter.to_string()).unwrap();
            docs.search(&Q).exact(true).k(7).filter(filter).run().unwrap()
        })
    }
    vec![
        ("plain", ask(|docs| docs.search(&Q).exact(true).run().unwrap())),
        (
            "exact, with all",
            ask(|docs| docs.search(&Q).exact(true).k(20).include(Include::ALL).run().unwrap()),
        ),
        ("more than there are", ask(|docs| docs.search(&Q).exact(true).k(5_000).run().unwrap())),
        ("near", ask(|docs| docs.search(&Q).exact(true).k(50).max_distance(4.0).run().unwrap())),
        ("alike", ask(|docs| docs.search(&Q).exact(true).k(50).min_score(0.3).run().unwrap())),
        ("of a tenant", ask(|docs| docs.tenant("bee").search(&Q).exact(true).run().unwrap())),
        ("of nobody", ask(|docs| docs.tenant("nobody").search(&Q).exact(true).run().unwrap())),
        ("by document", ask(|docs| docs.search(&Q).exact(true).k(5).group_by_document(true).run().unwrap())),
        (
            "more documents than there are",
            ask(|docs| docs.search(&Q).exact(true).k(9).group_by_document(true).run().unwrap()),
        ),
        (
            "various",
            ask(|docs| docs.search(&Q).exact(true).k(6).mmr(0.4).include(Include::ALL).run().unwrap()),
        ),
        ("range", ask(|docs| docs.range(&Q, 9.0).run().unwrap())),
        (
            "range with a limit",
            ask(|docs| docs.range(&Q, 9.0).limit(4).filter(Filter::gt("n", 5)).run().unwrap()),
        ),
        (
            "batch",
            ask(|docs| {
                docs.search_batch(&[docs.search(&Q).exact(true).k(1), docs.search(&Q).exact(true).k(4)], 2)
                    .unwrap()
                    .remove(1)
            }),
        ),
        ("by a value", filtered(json!({"tags": "t3"}))),
        ("by numbers", filtered(json!({"n": {"$gte": 100, "$lt": 103.5}}))),
        ("by a number", filtered(json!({"n": 17}))),
        ("far ones only", filtered(json!({"name": {"$gte": "n590"}}))),
        (
            "far ones that are near enough",
            ask(|docs| {
                let search = docs.search(&Q).exact(true).k(50).filter(Filter::gte("name", "n500"));
                search.max_distance(180.0).run().unwrap()
            }),
        ),
        (
            "by what is not",
            filtered(json!({"$not": {"tags": {"$in": ["t1", "t2", "t3"]}}, "gone": {"$exists": false}})),
        ),
        ("by one or the other", filtered(json!({"$or": [{"tags": "t4"}, {"n": {"$lt": 3}}]}))),
        ("by nothing", filtered(json!({"tags": "never"}))),
    ]
}

#[test]
fn the_database_answers_as_this_store_does_once_it_is_filled() {
    let mut schemas = vec![Schema::new(2, Metric::Cosine), schema(), Schema::new(2, Metric::Dot)];
    if cfg!(feature = "hnsw-rs") {
        schemas.push(Schema::new(2, Metric::L1).graph(crate::GraphKind::HnswRs));
    }
    for schema in schemas {
        let world = filled(&schema, 600);
        let node = Node::met(&world, schema.clone(), options());
        let ask = || questions().into_iter().map(|(name, ask)| (name, ask(&node.docs))).collect::<Vec<_>>();
        assert_eq!(node.mirror.status().filling, [DOCS]);
        let during = ask();
        node.mirror.rebuild(DOCS).unwrap();
        assert_eq!(node.mirror.status().filling, [""; 0]);
        for ((name, during), (_, after)) in during.into_iter().zip(ask()) {
            assert_eq!((during.source, after.source), (Source::Database, Source::Local), "{name}");
            assert_eq!(during.hits, after.hits, "{name}, {:?}", schema.metric);
            assert!(during.exact && after.exact && !during.degraded, "{name}");
        }
        assert_eq!((node.fallback().failed, node.fallback().last_error), (0, None));
    }
}

#[test]
fn a_collection_that_gave_its_name_away_is_asked_for_by_the_databases() {
    let world = filled(&schema(), 50);
    let node = Node::met(&world, schema(), options());
    let spare = node.store.create_collection("spare", Schema::new(3, Metric::L2)).unwrap();
    Turns::of(&node.docs, &spare).unwrap().rename(["docs.old", DOCS]).unwrap();
    let old = node.store.open_collection("docs.old").unwrap();
    let found = told(&old.search(&[3.0, 1.0]).k(3).run().unwrap());
    assert_eq!((found.0.len(), found.1), (3, Source::Database));
    assert_eq!(found, node.nearest(3.0));
}

#[test]
fn nobody_is_asked_by_default_or_when_nothing_is_missing() {
    let world = filled(&schema(), 5);
    for options in [MirrorOptions::default().manual(true), options()] {
        let asks = options.fallback == Fallback::Database;
        let node = Node::met(&world, schema(), options);
        let before = node.line.statements();
        let source = node.nearest(0.0).1;
        assert_eq!(node.line.statements() > before, asks);
        assert_eq!(source, if asks { Source::Database } else { Source::Partial });
        node.mirror.pull_now().unwrap();
        let before = node.line.statements();
        assert_eq!(node.nearest(0.0).1, Source::Local);
        assert_eq!(node.line.statements(), before);
        assert_eq!(node.mirror.status().fallback.map(|fallback| fallback.answered), asks.then_some(1));
    }
}

#[test]
fn what_was_written_here_counts_before_the_database_knows() {
    let world = filled(&schema(), 0);
    {
        let mut world = world.lock();
        for n in 0..6 {
            world.edit(DOCS, &format!("r{n}"), Some(&[n as f32, 1.0]));
        }
    }
    let node = Node::met(&world, schema(), options());
    let put = |id: &str, x: f32| _ = node.docs.upsert([Chunk::new(id).vector([x, 1.0])]).unwrap();
    assert_eq!(node.nearest(0.0).0, ["r0", "r1", "r2"]);
    put("new", 0.5);
    assert_eq!(node.nearest(0.0).0, ["r0", "new", "r1"], "a row that is only here");
    put("r0", 100.0);
    assert_eq!(node.nearest(0.0).0, ["new", "r1", "r2"], "a newer version here is far");
    assert_eq!(node.nearest(100.0).0[0], "r0", "and is near there");
    put("r1", 1.0);
    node.docs.delete(["r1"]).unwrap();
    assert_eq!(node.nearest(0.0).0, ["new", "r2", "r3"], "a deletion here");
    for id in ["r2", "r3", "r4"] {
        put(id, 1.0);
    }
    node.docs.delete(["r2", "r3", "r4", "new"]).unwrap();
    assert_eq!(node.nearest(0.0), (vec!["r5".into(), "r0".into()], Source::Database), "many of them");

    put("late", 0.0);
    node.mirror.push_now().unwrap();
    put("late", 0.25);
    assert_eq!(node.nearest(0.0).0, ["late", "r5", "r0"]);
    node.mirror.push_now().unwrap();
    assert_eq!(node.nearest(0.0).0, ["late", "r5", "r0"]);
    assert_eq!(node.fallback().failed, 0);
}

#[test]
fn what_is_sent_while_the_database_is_asked_is_found_once() {
    let world = filled(&schema(), 0);
    world.lock().edit(DOCS, "r5", Some(&[5.0, 1.0]));
    let node = Node::met(&world, schema(), options());
    node.docs.upsert([Chunk::new("late").vector([0.0, 1.0])]).unwrap();
    let docs = node.store.tap().collections().unwrap().remove(0);
    let there = world.clone();
    node.line.surprise(Box::new(move || {
        let sent = docs.outgoing(10, 1_000, &|_| false).unwrap();
        let editions: Vec<_> = sent.iter().map(|sent| sent.edition.clone()).collect();
        there.lock().push(DOCS, &editions, None);
        docs.acknowledge(&sent.into_iter().map(|sent| sent.ticket).collect::<Vec<_>>());
    }));
    assert_eq!(node.nearest(0.0), (vec!["late".into(), "r5".into()], Source::Database));
    assert_eq!(node.mirror.status().fallback.unwrap().answered, 1);
    assert_eq!(x_there(&world, "late"), Some(0.0));
}

#[test]
fn of_two_versions_the_later_counts_wherever_it_stands() {
    let world = filled(&schema(), 0);
    let node = Node::met(&world, schema(), options());
    for (id, x) in [("far", 1.0), ("gone", 2.0), ("old", 3.0)] {
        node.docs.upsert([Chunk::new(id).vector([x, 1.0])]).unwrap();
    }
    let later = (now_ms() as i64 + 60_000) << 16;
    let seed = world.lock().seed;
    let theirs = [
        edition("far", later, 9, seed, Some(&[50.0, 1.0])),
        edition("gone", later, 9, seed, None),
        edition("old", 1, 9, seed, Some(&[0.0, 1.0])),
    ];
    world.lock().push(DOCS, &theirs, None);
    assert_eq!(node.nearest(0.0), (vec!["old".into(), "far".into()], Source::Database));
    let old = node.docs.search(&[0.0, 1.0]).k(1).run().unwrap();
    assert_eq!(old.hits[0].distance, 3.0);
}

#[test]
fn a_database_that_does_not_answer_is_done_without() {
    let world = filled(&schema(), 5);
    let node = Node::met(&world, schema(), options().fallback_ms(20));
    node.docs.upsert([Chunk::new("here").vector([9.0, 1.0])]).unwrap();
    node.line.upset(Upset::Hang);
    assert_eq!(node.nearest(0.0), (vec!["here".into()], Source::Partial));
    let status = node.fallback();
    assert_eq!((status.answered, status.failed), (0, 1));
    assert!(status.last_error.unwrap().contains("in time"));
    assert_eq!(node.mirror.status().reason, None, "the mirror goes on");
}

#[test]
fn a_fault_is_told_and_the_database_left_alone_for_a_while() {
    let world = filled(&schema(), 5);
    let node = Node::met(&world, schema(), options());
    node.line.upset(Upset::Fails(FaultClass::Permission, "42501"));
    assert_eq!(node.nearest(0.0), (vec![], Source::Partial));
    let before = node.line.statements();
    assert_eq!(node.nearest(0.0), (vec![], Source::Partial));
    assert_eq!(node.line.statements(), before, "for a minute");
    let status = node.fallback();
    assert_eq!((status.answered, status.failed), (0, 1));
    assert!(status.last_error.unwrap().contains("42501"));
    // Filling is not held up by it.
    node.mirror.rebuild(DOCS).unwrap();
    assert_eq!(node.nearest(0.0).1, Source::Local);
}

#[test]
fn a_filter_that_leaves_too_few_is_answered_here() {
    let world = filled(&schema(), 0);
    let seed = world.lock().seed;
    let rows: Vec<_> =
        (0..20_500).map(|n| edition(&format!("r{n:05}"), 1, 9, seed, Some(&[n as f32, 1.0]))).collect();
    world.lock().push(DOCS, &rows, None);
    let node = Node::met(&world, schema(), options());
    let none = node.docs.search(&[0.0, 1.0]).filter(Filter::exists("n", true)).run().unwrap();
    assert_eq!(told(&none), (vec![], Source::Partial));
    assert!(node.fallback().last_error.unwrap().contains("rows match"));
    // The question is at fault, not the database.
    assert_eq!(node.nearest(0.0).1, Source::Database);
}

#[test]
fn a_search_in_an_async_thread_waits_and_goes_on() {
    let world = filled(&schema(), 5);
    let node = Node::met(&world, schema(), options());
    let found = crate::mirror::conformance::block_on(async { node.nearest(0.0) });
    assert_eq!((found.0.len(), found.1), (3, Source::Database));
}

#[test]
fn a_mirror_that_is_not_on_good_terms_is_not_asked() {
    let world = filled(&schema(), 5);
    let node = Node::met(&world, schema(), options());
    node.line.upset(Upset::Fails(FaultClass::Transient, "57P01"));
    node.mirror.audit(DOCS, false).unwrap_err();
    let before = node.line.statements();
    assert_eq!((node.nearest(0.0).1, node.line.statements()), (Source::Partial, before));
    node.mirror.connect().unwrap();
    assert_eq!(node.nearest(0.0).1, Source::Database);
    node.mirror.stop(std::time::Duration::from_millis(LONG_MS)).unwrap();
    let before = node.line.statements();
    assert_eq!((node.nearest(0.0).1, node.line.statements()), (Source::Partial, before));
    assert_eq!(node.fallback().failed, 0, "nobody tried");
}

fn is_filling(replica: &Replica) -> bool {
    replica.tap.collections().unwrap()[0].is_filling()
}

#[test]
fn filling_lasts_from_the_first_meeting_until_both_sides_were_compared() {
    let world = filled(&schema(), 30);
    let mut a = Replica::new(&world, MirrorOptions::default());
    a.sides.tell_filling().unwrap();
    assert!(is_filling(&a), "nobody knows yet what the database has");
    a.run(async |sides| sides.greet().await).unwrap().unwrap();
    // Rows that are here before it begins do not end it.
    a.put("mine", 1.0);
    a.line.upset(Upset::Ok);
    a.line.upset(Upset::LostBefore);
    a.run(async |sides| sides.verify(DOCS).await).unwrap().unwrap_err();
    a.crash();
    a.sides.tell_filling().unwrap();
    assert!(is_filling(&a), "after a crash in the middle");
    a.settle();
    assert!(!is_filling(&a));
    a.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
    a.sides.memory.collections.get_mut(DOCS).unwrap().is_verified = false;
    a.run(async |sides| sides.start_fill(DOCS)).unwrap().unwrap();
    let docs = a.sides.find(DOCS).unwrap().unwrap();
    a.run(async |sides| sides.fill(&docs).await).unwrap().unwrap();
    assert!(!is_filling(&a), "a rebuild of a collection that has its rows");
}

#[test]
fn what_the_database_does_not_know_or_may_not_fill_is_not_filling() {
    let world = world();
    let mut a = Replica::new(&world, MirrorOptions::default());
    a.put("x", 1.0);
    a.run(async |sides| sides.greet().await).unwrap().unwrap();
    assert!(!is_filling(&a), "it has no row of it");
    a.settle();
    let mut b = Replica::new(&world, MirrorOptions::default().rebuild(RebuildPolicy::Never));
    b.run(async |sides| sides.greet().await).unwrap().unwrap();
    assert!(!is_filling(&b), "it stays empty by its owner's will");
    let mut c = Replica::new(&world, MirrorOptions::default().collections(vec!["other".into()]));
    c.run(async |sides| sides.greet().await).unwrap().unwrap();
    assert!(!is_filling(&c), "it is not mirrored");
}
