//! Searches of a store that is being filled, which the database answers if it is asked to. A mirror that does nothing by itself has met
//! the database and brought no row: so it stays until the test fills it.

use super::*;
use crate::support::postgres::Cluster;
use crate::support::proxy::{Proxy, Way};
use nearfield::{Fallback, Filter, Include, Response, Source};
use serde_json::json;

const LONG_MS: u64 = 30_000;
const QUERY: [f32; 3] = [40.0, 0.5, -1.0];

fn asking(url: &str) -> MirrorOptions {
    options(url).fallback(Fallback::Database).fallback_ms(LONG_MS)
}

/// A database with rows that somebody else wrote.
fn fill(url: &str, rows: usize) {
    let other = Bed::settled(options(url), 1);
    let row = |n: usize| {
        let row = Chunk::new(format!("r{n:04}")).vector([n as f32, (n % 3) as f32, 1.0]);
        let row = row
            .text(format!("text {n}"))
            .tenant(["acme", "it's"][n % 2])
            .document(format!("d{}", n % 9), n as u32);
        let row = row.meta("name", format!("n{n:03}"));
        row.meta("n", n as f64)
            .meta("tags", json!(["all", format!("t{}", n % 5)]))
            .meta("even", n.is_multiple_of(2))
    };
    other.docs.upsert((0..rows).map(row)).unwrap();
    other.docs.delete(["row-0000"]).unwrap();
    other.mirror.wait_mirrored(other.store.token(), LONG).unwrap();
}

/// An empty store that has met it.
fn met(options: MirrorOptions) -> Bed {
    let bed = Bed::with(Store::memory(), options.manual(true));
    bed.mirror.connect().unwrap();
    bed
}

fn nearest(bed: &Bed) -> (Vec<String>, Source) {
    let found = bed.docs.search(&QUERY).k(3).run().unwrap();
    (found.hits.iter().map(|hit| hit.id.to_string()).collect(), found.source)
}

/// Searches of every kind.
fn ask(docs: &Collection) -> Vec<(String, Response)> {
    let search = || docs.search(&QUERY).exact(true).k(12);
    let mut answers = vec![
        ("plain".to_owned(), search().include(Include::ALL).run().unwrap()),
        ("more than there are".to_owned(), search().k(3_000).run().unwrap()),
        ("of a tenant".to_owned(), docs.tenant("it's").search(&QUERY).exact(true).run().unwrap()),
        ("by document".to_owned(), search().k(5).group_by_document(true).run().unwrap()),
        ("various".to_owned(), search().mmr(0.5).run().unwrap()),
        ("near".to_owned(), search().k(100).max_distance(6.0).run().unwrap()),
        ("range".to_owned(), docs.range(&QUERY, 9.0).limit(15).run().unwrap()),
    ];
    for filter in [
        json!({"tags": "t3"}),
        json!({"even": true, "tags": {"$in": ["t1", "t2"]}}),
        json!({"n": {"$gte": 690}}),
        json!({"name": {"$prefix": "n69"}}),
        json!({"n": 17}),
        json!({"$not": {"tags": "t0"}, "text": {"$exists": false}}),
        json!({"tags": {"$prefix": "t4"}}),
        json!({"tags": "it's $1 \"\\ ' OR true --\u{0}"}),
    ] {
        let read = Filter::parse(&filter.to_string()).unwrap();
        answers.push((filter.to_string(), search().filter(read).run().unwrap()));
    }
    answers
}

#[test]
fn the_database_answers_as_the_store_does_once_it_is_filled() {
    let database = Cluster::shared().database();
    fill(&database.url, 700);
    let bed = met(asking(&database.url));
    assert_eq!(bed.status().filling, ["docs"]);
    let during = ask(&bed.docs);
    bed.mirror.rebuild("docs").unwrap();
    for ((name, during), (_, after)) in during.into_iter().zip(ask(&bed.docs)) {
        assert_eq!((during.source, after.source), (Source::Database, Source::Local), "{name}");
        assert_eq!((during.hits, during.exact), (after.hits, true), "{name}");
    }
    let status = bed.status();
    let fallback = status.fallback.unwrap();
    assert_eq!((fallback.answered, fallback.failed, status.filling.len()), (15, 0, 0), "{fallback:?}");
}

#[test]
fn what_was_written_here_counts_and_what_was_deleted_does_not() {
    let database = Cluster::shared().database();
    fill(&database.url, 100);
    let bed = met(asking(&database.url));
    assert_eq!(nearest(&bed).0, ["r0040", "r0039", "r0041"]);
    bed.docs.upsert([chunk("mine", 40.0), chunk("r0041", 500.0), chunk("r0039", 1.0)]).unwrap();
    bed.docs.delete(["r0039"]).unwrap();
    assert_eq!(nearest(&bed), (vec!["mine".into(), "r0040".into(), "r0042".into()], Source::Database));
    bed.mirror.push_now().unwrap();
    let pushed = nearest(&bed);
    assert_eq!(pushed, (vec!["mine".into(), "r0040".into(), "r0042".into()], Source::Database));
    bed.mirror.rebuild("docs").unwrap();
    assert_eq!(nearest(&bed), (pushed.0, Source::Local));
}

#[test]
fn nobody_is_asked_by_default_or_when_nothing_is_missing() {
    let database = Cluster::shared().database();
    fill(&database.url, 100);
    let proxy = Proxy::before(&database.url);
    let url = proxy.url(&database.url);
    let sent = |bed: &Bed| {
        let before = proxy.counts().to_server;
        let source = nearest(bed).1;
        (source, proxy.counts().to_server > before)
    };
    let bed = met(options(&url));
    assert_eq!(sent(&bed), (Source::Partial, false));
    assert_eq!(bed.status().fallback, None);
    let bed = met(asking(&url));
    assert_eq!(sent(&bed), (Source::Database, true));
    bed.mirror.pull_now().unwrap();
    assert_eq!(sent(&bed), (Source::Local, false));
}

#[test]
fn a_database_that_hangs_is_done_without() {
    let database = Cluster::shared().database();
    fill(&database.url, 100);
    let proxy = Proxy::before(&database.url);
    let bed = met(asking(&proxy.url(&database.url)).fallback_ms(50));
    bed.docs.upsert([chunk("mine", 1.0)]).unwrap();
    for way in [Way::ToServer, Way::ToClient] {
        wait::until("an answer of the database", || nearest(&bed).1 == Source::Database);
        let before = bed.status().fallback.unwrap();
        proxy.black_hole(way, true);
        assert_eq!(nearest(&bed), (vec!["mine".into()], Source::Partial));
        let after = bed.status().fallback.unwrap();
        assert_eq!((after.answered, after.failed), (before.answered, before.failed + 1), "{after:?}");
        assert!(after.last_error.unwrap().contains("in time"));
        bed.works_alone();
        bed.docs.delete(["alone-0000"]).unwrap();
        bed.written.lock().unwrap().clear();
        proxy.black_hole(way, false);
        proxy.reset();
    }
    // A server that nobody listens at.
    proxy.refuse();
    proxy.reset();
    assert_eq!(nearest(&bed), (vec!["mine".into()], Source::Partial));
    proxy.listen();
    bed.mirror.rebuild("docs").unwrap();
    assert_eq!(nearest(&bed).1, Source::Local);
}

#[test]
fn the_server_gives_up_when_the_search_does() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    fill(&database.url, 10);
    // What people did to the table makes every comparison slow.
    sql(
        &database.url,
        "CREATE FUNCTION nearfield.slow(l public.vector, r public.vector) RETURNS float8 LANGUAGE sql VOLATILE \
         AS 'SELECT 1.0::float8 FROM pg_sleep(60)'; \
         CREATE OPERATOR nearfield.<-> (LEFTARG = public.vector, RIGHTARG = public.vector, FUNCTION = nearfield.slow)",
    );
    // The mirror's own deadline is far away.
    let patient = within(&database.url, 120_000).fallback(Fallback::Database);
    let bed = met(patient.fallback_ms(300));
    assert_eq!(nearest(&bed), (vec![], Source::Partial));
    let running = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%c.embedding%' \
         AND state = 'active' AND pid <> pg_backend_pid()",
        database_name(&database.url)
    );
    wait::until("the server has given up", || crate::support::sql::one(cluster.url(), &running) == "0");
    assert_eq!(bed.status().fallback.unwrap().failed, 1);
}

#[test]
fn no_answer_that_is_not_marked_lacks_a_row() {
    let database = Cluster::shared().database();
    fill(&database.url, 3_000);
    let bed = Bed::with(Store::memory(), asking(&database.url));
    let expected = ["r0040", "r0039", "r0041"].map(str::to_owned);
    let mut last = Source::Partial;
    wait::until("all rows", || {
        let (ids, source) = nearest(&bed);
        assert!(source == Source::Partial || ids == expected, "{source:?}: {ids:?}");
        last = source;
        source == Source::Local && bed.status().state.to_string() == "in_sync"
    });
    assert_eq!((last, bed.status().filling.len()), (Source::Local, 0));
}
