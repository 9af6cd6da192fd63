//! Our tables: made, checked, refused with the column that is wrong; who may do what.

use super::server::{Server, Site, connect, fresh_name, run};
use crate::config::{Metric, Schema as Shape};
use crate::mirror::conformance::{DOCS, Rig, block_on};
use crate::mirror::remote::*;
use crate::postgres::{DatabaseIndex, Migrate, Postgres, Settings};
use sqlx::Row;

const NODE: NodeId = NodeId(5);
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

fn check_only() -> Settings {
    Settings { migrate: Migrate::Check, ..Settings::default() }
}

/// Another mirror in the same schema.
fn beside(site: &Site, url: &str, migrate: Migrate) -> Postgres {
    let settings =
        Settings { url: url.to_owned(), schema: site.schema.clone(), migrate, ..Settings::default() };
    Postgres::new(settings).unwrap()
}

/// The URL of the server with another user.
fn url_as(user: &str) -> String {
    let (scheme, rest) = Server::url().split_once("://").unwrap();
    let (_, place) = rest.rsplit_once('@').unwrap();
    format!("{scheme}://{user}:a%40b@{place}")
}

fn url_of_database(name: &str) -> String {
    let (start, _) = Server::url().rsplit_once('/').unwrap();
    format!("{start}/{name}")
}

#[test]
fn tables_are_made_once_by_many_at_the_same_time() {
    block_on(async {
        let site = Site::new(Settings::default());
        let others: Vec<Postgres> = (0..3).map(|_| beside(&site, Server::url(), Migrate::Auto)).collect();
        let threads: Vec<_> =
            others.into_iter().map(|other| std::thread::spawn(move || block_on(other.look(NODE)))).collect();
        let first = site.postgres.look(NODE).await.unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap().identity, first.identity);
        }
        assert!(
            first.is_supervised
                && first.server.starts_with("PostgreSQL ")
                && first.server.contains("pgvector 0.")
        );
        assert!(!first.identity.system.is_empty() && first.identity.timeline > 0, "{first:?}");
    });
}

#[test]
fn check_makes_nothing_and_says_what_is_missing() {
    block_on(async {
        let site = Site::new(check_only());
        let fault = site.postgres.look(NODE).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Schema);
        assert!(fault.remedy.as_deref().is_some_and(|remedy| remedy.contains("migrations/")), "{fault:?}");
        let mut person = site.person().await;
        let made = sqlx::query("SELECT FROM pg_namespace WHERE nspname = $1").bind(&site.schema);
        assert!(made.fetch_optional(&mut person).await.unwrap().is_none());
        beside(&site, Server::url(), Migrate::Auto).look(NODE).await.unwrap();
        site.postgres.look(NODE).await.unwrap();
    });
}

#[test]
fn a_table_of_another_shape_is_named_with_its_column() {
    block_on(async {
        for (change, said) in [
            ("ALTER TABLE chunk DROP COLUMN tenant", "no column tenant"),
            (
                "DROP VIEW chunks; ALTER TABLE chunk ALTER chunk_index TYPE bigint",
                "chunk_index is bigint; it must be integer",
            ),
            (
                "DROP VIEW chunks; ALTER TABLE chunk ALTER id TYPE text COLLATE \"default\"",
                "ordered by the collation default",
            ),
            ("ALTER TABLE node ALTER seen TYPE text", "node.seen is text"),
            ("UPDATE meta SET client_min = 99", "need a program of version 99"),
        ] {
            let site = super::server::rig().await;
            site.postgres.look(NODE).await.unwrap();
            let mut person = site.person().await;
            let change = change.replace("DROP COLUMN tenant", "DROP COLUMN tenant CASCADE");
            run(&mut person, &change).await;
            let fault = site.postgres.look(NODE).await.unwrap_err();
            assert_eq!(fault.class, FaultClass::Schema);
            assert!(fault.message.contains(said), "{change}: {fault:?}");
        }
    });
}

#[test]
fn a_vector_of_fixed_width_and_tables_without_triggers_will_do() {
    block_on(async {
        let site = super::server::rig().await;
        site.postgres.look(NODE).await.unwrap();
        let mut person = site.person().await;
        run(&mut person, "DROP VIEW chunks; ALTER TABLE chunk ALTER embedding TYPE vector(2); DROP TRIGGER chunk_stamp ON chunk").await;
        let database = site.postgres.look(NODE).await.unwrap();
        assert!(!database.is_supervised);
        run(&mut person, "UPDATE chunk SET text = 'x'; DELETE FROM chunk").await;
        let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(2, Metric::L2) };
        site.postgres.declare(&shape).await.unwrap();
    });
}

#[test]
fn a_user_without_rights_is_told_what_to_grant() {
    block_on(async {
        let site = super::server::rig().await;
        site.postgres.look(NODE).await.unwrap();
        let mut person = site.person().await;
        let user = fresh_name();
        run(&mut person, &format!("CREATE ROLE {user} LOGIN PASSWORD 'a@b'")).await;
        let other = beside(&site, &url_as(&user), Migrate::Auto);
        let fault = other.look(NODE).await.unwrap_err();
        assert_eq!(
            (fault.class, fault.code.as_deref()),
            (FaultClass::Permission, Some("42501")),
            "{fault:?}"
        );
        assert!(fault.remedy.as_deref().is_some_and(|remedy| remedy.contains("GRANT USAGE")), "{fault:?}");

        // No right to change tables, none to temporary ones: everything goes on.
        let schema = &site.schema;
        run(
            &mut person,
            &format!(
                "GRANT USAGE ON SCHEMA {schema} TO {user};
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}"
            ),
        )
        .await;
        other.look(NODE).await.unwrap();
        let elsewhere = Settings { url: url_as(&user), schema: fresh_name(), ..Settings::default() };
        let fault = Postgres::new(elsewhere).unwrap().look(NODE).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Permission);
        assert!(fault.remedy.as_deref().is_some_and(|remedy| remedy.contains("CREATE SCHEMA")), "{fault:?}");
        let wrong = url_as(&user).replace("a%40b", "wr%6Fng");
        let fault = match beside(&site, &wrong, Migrate::Auto).look(NODE).await {
            Err(fault) => fault,
            // A server that trusts everybody asks for no password.
            Ok(_) => return,
        };
        assert_eq!(fault.class, FaultClass::Permission);
        assert!(!fault.message.contains("wrong") && !fault.message.contains("a@b"), "{fault:?}");
    });
}

#[test]
fn a_database_without_the_extension_gets_it_or_says_how() {
    block_on(async {
        let mut person = connect(Server::url()).await;
        let name = fresh_name();
        run(&mut person, &format!("CREATE DATABASE {name}")).await;
        let settings = Settings { url: url_of_database(&name), ..Settings::default() };
        let checking = Settings { migrate: Migrate::Check, ..settings.clone() };
        let fault = Postgres::new(checking).unwrap().look(NODE).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Schema);
        assert!(
            fault.remedy.as_deref().is_some_and(|remedy| remedy.contains("CREATE EXTENSION vector")),
            "{fault:?}"
        );

        // Types in a schema of their own are found there.
        let mut there = connect(&url_of_database(&name)).await;
        run(&mut there, "CREATE SCHEMA elsewhere; CREATE EXTENSION vector SCHEMA elsewhere").await;
        let postgres = Postgres::new(settings.clone()).unwrap();
        postgres.look(NODE).await.unwrap();
        run(&mut there, "DROP SCHEMA nearfield CASCADE; DROP EXTENSION vector").await;
        let database = postgres.look(NODE).await.unwrap();
        assert!(database.server.contains("pgvector"), "{database:?}");
        postgres.hang_up();
        drop(postgres);

        let missing = Settings { url: url_of_database("no_such_database"), ..settings };
        let fault = Postgres::new(missing).unwrap().look(NODE).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_deref()), (FaultClass::Schema, Some("3D000")));
    });
}

/// What pgvector's indexes are called and numbered in the site's schema.
async fn indexes(site: &Site) -> Vec<String> {
    let query = "SELECT i.indexrelid::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
                  WHERE a.amname IN ('hnsw', 'ivfflat') AND i.indisvalid AND i.indrelid = 'chunk'::regclass ORDER BY 1";
    let rows = sqlx::query(query).fetch_all(&mut site.person().await).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_mirror_makes_the_index_and_goes_on_without_it() {
    block_on(async {
        for (wanted, metric) in [
            (DatabaseIndex::Hnsw { m: 8, ef_construction: 32 }, Metric::L2),
            (DatabaseIndex::Ivfflat { lists: 2 }, Metric::Cosine),
            (DatabaseIndex::Ivfflat { lists: 2 }, Metric::L1),
        ] {
            let site = Site::new(Settings { database_index: wanted, ..Settings::default() });
            let store = crate::Store::memory();
            let docs = store.create_collection(DOCS, Shape::new(2, metric)).unwrap();
            let token = docs.upsert([crate::Chunk::new("a").vector([1.0, 2.0])]).unwrap().token;
            let url = Server::url().to_owned();
            let database =
                Settings { url, schema: site.schema.clone(), database_index: wanted, ..Settings::default() };
            let options = crate::MirrorOptions { database, ..crate::MirrorOptions::default() };
            let mirror = crate::Mirror::start(&store, options).unwrap();
            mirror.wait_mirrored(token, LONG).unwrap();
            let start = std::time::Instant::now();
            while indexes(&site).await.is_empty() && mirror.status().notes.is_empty() {
                assert!(start.elapsed() < LONG, "{:?}", mirror.status());
                mirror.pull_now().unwrap();
            }
            let notes = mirror.status().notes;
            assert_eq!(notes.is_empty(), metric != Metric::L1, "{notes:?}");
            assert!(notes.iter().all(|note| note.contains(DOCS) && note.contains("use hnsw")), "{notes:?}");
            mirror.stop(LONG).unwrap();
        }
    });
}

#[test]
fn an_index_is_made_once_and_used() {
    block_on(async {
        for wanted in [DatabaseIndex::Hnsw { m: 8, ef_construction: 32 }, DatabaseIndex::Ivfflat { lists: 2 }]
        {
            let site = Site::new(Settings { database_index: wanted, ..Settings::default() });
            site.postgres.look(NODE).await.unwrap();
            let of = |dim, metric| RemoteCollection {
                name: format!("it's {dim}"),
                schema: Shape::new(dim, metric),
            };
            for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
                let collection = of(3 + metric as usize, metric);
                site.postgres.declare(&collection).await.unwrap();
                site.postgres.index(&collection).await.unwrap();
                let made = indexes(&site).await;
                site.postgres.index(&collection).await.unwrap();
                assert_eq!(indexes(&site).await, made, "it is there");
            }
            let fault = site.postgres.index(&of(2_001, Metric::L2)).await.unwrap_err();
            assert!(fault.message.contains("2001") && fault.message.contains("2000"), "{fault:?}");
            let mut person = site.person().await;
            let plan = "EXPLAIN SELECT id FROM chunk WHERE collection = 'it''s 4' AND NOT deleted
                        ORDER BY embedding::vector(4) <-> '[1,2,3,4]' LIMIT 1";
            run(&mut person, "SET enable_seqscan = off; SET enable_sort = off").await;
            let plan = sqlx::query(plan).fetch_all(&mut person).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
            assert!(plan.iter().any(|line| line.contains("Index Scan using chunk_")), "{plan:#?}");
        }
    });
}

#[test]
fn a_truncate_makes_another_epoch() {
    block_on(async {
        let site = super::server::rig().await;
        let before = site.postgres.look(NODE).await.unwrap();
        run(&mut site.person().await, "TRUNCATE chunk").await;
        let after = site.postgres.look(NODE).await.unwrap();
        assert_ne!(before.identity.epoch, after.identity.epoch);
        assert_eq!(Identity { epoch: before.identity.epoch.clone(), ..after.identity }, before.identity);
        assert_eq!(site.remote().look(NODE).await.unwrap().digest_seed, before.digest_seed);
    });
}
