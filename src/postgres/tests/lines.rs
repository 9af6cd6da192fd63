//! Lines: what is left of them after faults, deadlines and dropped calls.

use super::server::{Server, Site, connect, rig};
use crate::config::{Metric, Schema as Shape};
use crate::ids::{ChunkId, Ver};
use crate::mirror::conformance::{DOCS, Rig, block_on};
use crate::mirror::remote::*;
use crate::postgres::line::Purpose;
use crate::postgres::{Postgres, Settings};
use crate::record::{Chunk, Edition, Stamp, admit};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use std::time::Duration;

const NODE: NodeId = NodeId(5);

async fn site() -> Site {
    let site = rig().await;
    site.postgres.look(NODE).await.unwrap();
    let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(2, Metric::L2) };
    site.postgres.declare(&shape).await.unwrap();
    site
}

fn edition(id: &str, ver: i64) -> Edition {
    let row = admit(Chunk::new(id).text("x"), 2, false).unwrap();
    Edition { id: ChunkId::from(id), stamp: Stamp { ver: Ver(ver), node: 5, digest: 1 }, row: Some(row) }
}

async fn push(site: &Site, ids: &[&str]) -> Done<Vec<Pushed>> {
    let batch: Vec<Edition> = ids.iter().map(|id| edition(id, 1)).collect();
    site.postgres.push(DOCS, &batch, NodeMark { node: 5, incarnation: 1, pushes: 1 }).await
}

/// The server's processes that work for this schema's mirror.
async fn backends(site: &Site, person: &mut PgConnection) -> Vec<i32> {
    let query = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid";
    let rows = sqlx::query(query).bind(&site.schema).fetch_all(person).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A site whose connections can be told from those of other tests.
async fn named() -> Site {
    let mut site = site().await;
    let mark = if Server::url().contains('?') { '&' } else { '?' };
    let url = format!("{}{mark}application_name={}", Server::url(), site.schema);
    site.postgres =
        Postgres::new(Settings { url, schema: site.schema.clone(), ..Settings::default() }).unwrap();
    site
}

#[test]
fn lines_are_used_again_and_hanging_up_closes_them() {
    block_on(async {
        let site = named().await;
        let mut person = connect(Server::url()).await;
        for _ in 0..5 {
            push(&site, &["a"]).await.unwrap();
        }
        let first = backends(&site, &mut person).await;
        assert_eq!(first.len(), 1);
        site.postgres.hang_up();
        push(&site, &["a"]).await.unwrap();
        assert!(!backends(&site, &mut person).await.iter().all(|pid| first.contains(pid)));
        // A line that the server closed while it lay idle is replaced, unnoticed.
        for pid in backends(&site, &mut person).await {
            let end = sqlx::query("SELECT pg_terminate_backend($1, 10000)").bind(pid);
            end.execute(&mut person).await.unwrap();
        }
        push(&site, &["b"]).await.unwrap();
    });
}

#[test]
fn a_row_that_somebody_holds_is_a_transient_fault_by_the_lock_timeout() {
    block_on(async {
        let site = named().await;
        push(&site, &["a"]).await.unwrap();
        let open = site.open(DOCS, "a", Some("theirs")).await;
        let fault = push(&site, &["a"]).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_deref()), (FaultClass::Transient, Some("55P03")), "{fault:?}");
        push(&site, &["b"]).await.unwrap();
        site.commit(open).await;
        push(&site, &["a"]).await.unwrap();
    });
}

#[test]
fn a_dropped_call_leaves_nothing_stored_and_no_line() {
    block_on(async {
        let site = named().await;
        push(&site, &["a"]).await.unwrap();
        let mut person = connect(Server::url()).await;
        let before = backends(&site, &mut person).await;
        let open = site.open(DOCS, "a", Some("theirs")).await;
        // It waits for the lock, and is given up.
        let waiting = tokio::time::timeout(Duration::from_millis(200), push(&site, &["a", "z"])).await;
        assert!(waiting.is_err());
        site.commit(open).await;
        push(&site, &["b"]).await.unwrap();
        let mut reading = site.postgres.read().await.unwrap();
        assert_eq!(reading.rows(DOCS, &["z".into()]).await.unwrap(), []);
        assert!(!before.is_empty());
        // A reading that is dropped in the middle of a call has ended.
        {
            let call = reading.rows(DOCS, &[]);
            drop(call);
        }
        reading.finish().await.unwrap();
    });
}

#[test]
fn nobody_listens_is_transient_and_says_where() {
    block_on(async {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("postgres://u:secret@{free}/db?sslmode=disable");
        let fault =
            Postgres::new(Settings { url, ..Settings::default() }).unwrap().look(NODE).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Transient, "{fault:?}");
        assert!(fault.message.contains(&free.to_string()) && !fault.message.contains("secret"), "{fault:?}");
    });
}

#[test]
fn a_database_that_takes_no_writes_is_demoted() {
    block_on(async {
        let site = site().await;
        let mark = if Server::url().contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}options=-c%20default_transaction_read_only%3Don", Server::url());
        let settings = Settings { url, schema: site.schema.clone(), ..Settings::default() };
        let postgres = Postgres::new(settings).unwrap();
        let database = postgres.look(NODE).await.unwrap();
        assert!(database.is_read_only && !database.is_standby);
        let mark = NodeMark { node: 5, incarnation: 1, pushes: 1 };
        let fault = postgres.push(DOCS, &[edition("a", 1)], mark).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_deref()), (FaultClass::Demoted, Some("25006")), "{fault:?}");
        postgres.read().await.unwrap().finish().await.unwrap();
    });
}

#[test]
fn a_reading_ends_with_its_first_fault() {
    block_on(async {
        let site = site().await;
        let mut reading = site.postgres.read().await.unwrap();
        let snapshot = reading.snapshot().clone();
        let nonsense = Snapshot("nonsense".into());
        let fault = reading.changes(&nonsense, &snapshot, None, 10).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Data, "{fault:?}");
        let fault = reading.heads(DOCS, &IdRange::default(), 1).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Transient, "{fault:?}");
        reading.finish().await.unwrap();
        let fault = site.postgres.read().await.unwrap().rows("typo", &["a".into()]).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Transient, "it may come yet: {fault:?}");
    });
}

#[test]
fn m24_a_transaction_lasts_no_longer_than_it_may() {
    block_on(async {
        let site = site().await;
        let mut reading = site.postgres.read().await.unwrap();
        reading.age(Duration::from_secs(29));
        reading.heads(DOCS, &IdRange::default(), 1).await.unwrap();
        reading.age(Duration::from_secs(1));
        let fault = reading.heads(DOCS, &IdRange::default(), 1).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Transient, "{fault:?}");
        assert!(fault.message.contains("lasted as long"), "{fault:?}");
        reading.finish().await.unwrap();
        // And the server says so itself, where it can.
        let mut transaction = site.postgres.lines.begin(Purpose::Read).await.unwrap();
        let ask = "SELECT setting FROM pg_settings WHERE name = $1";
        for (setting, value) in [
            ("transaction_timeout", "30000"),
            ("statement_timeout", "30000"),
            ("idle_in_transaction_session_timeout", "30000"),
            ("lock_timeout", "500"),
        ] {
            let found = sqlx::query_scalar(ask).bind(setting).fetch_optional(transaction.connection()).await;
            let found: Option<String> = found.unwrap();
            let is_old = found.is_none() && setting == "transaction_timeout";
            assert!(is_old || found.as_deref() == Some(value), "{setting} is {found:?}");
        }
        transaction.commit().await.unwrap();
    });
}

#[test]
fn hanging_up_ends_readings_under_way() {
    block_on(async {
        let site = named().await;
        let mut person = connect(Server::url()).await;
        let mut reading = site.postgres.read().await.unwrap();
        let line = backends(&site, &mut person).await;
        site.postgres.hang_up();
        let fault = reading.heads(DOCS, &IdRange::default(), 1).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Transient, "{fault:?}");
        assert!(fault.message.contains("hung up"), "{fault:?}");
        // The server notices by itself, soon.
        let start = std::time::Instant::now();
        while backends(&site, &mut person).await.iter().any(|pid| line.contains(pid)) {
            assert!(start.elapsed() < Duration::from_secs(30), "the line is still there");
        }
        push(&site, &["a"]).await.unwrap();
    });
}
