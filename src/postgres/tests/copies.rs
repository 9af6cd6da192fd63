//! Copies: straight into the table where every id is new there, by way of the inbox where one is not.

use super::server::{Server, connect};
use crate::config::{Metric, Schema as Shape};
use crate::ids::{ChunkId, Ver};
use crate::mirror::conformance::{DOCS, Rig, block_on};
use crate::mirror::join::join;
use crate::mirror::remote::*;
use crate::postgres::push::COPY_ROWS_MIN;
use crate::record::{Chunk, Edition, Stamp, admit};
use sqlx::Row;
use sqlx::postgres::PgConnection;

const NODE: NodeId = NodeId(5);
const ROWS: usize = COPY_ROWS_MIN + 100;

fn name(n: usize) -> String {
    format!("k{n:04}")
}

fn batch(ver: i64) -> Vec<Edition> {
    let edition = |n: usize| {
        let row = admit(Chunk::new(name(n)).text(format!("version {ver}")), 2, false).unwrap();
        let stamp = Stamp { ver: Ver(ver), node: 5, digest: ver as u64 };
        Edition { id: ChunkId::from(name(n).as_str()), stamp, row: Some(row) }
    };
    (0..ROWS).map(edition).collect()
}

fn mark(pushes: u64) -> NodeMark {
    NodeMark { node: 5, incarnation: 1, pushes }
}

/// Waits, in the database, until somebody waits for the transaction of process `pid`.
async fn is_waited_for(pid: i32, person: &mut PgConnection) {
    let query =
        "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.01) WHERE $1 = ANY (pg_blocking_pids(pid))";
    loop {
        let row = sqlx::query(query).bind(pid).fetch_one(&mut *person).await.unwrap();
        if row.get::<i64, _>(0) > 0 {
            return;
        }
    }
}

#[test]
fn m4_an_id_that_comes_in_during_a_copy_is_not_overwritten_and_holds_nobody_up() {
    block_on(async {
        let site = super::server::rig().await;
        site.postgres.look(NODE).await.unwrap();
        let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(2, Metric::L2) };
        site.postgres.declare(&shape).await.unwrap();
        // Somebody has written one of the ids and not committed yet: nobody sees it, and the copy runs into it.
        let mut open = site.open(DOCS, &name(300), Some("theirs")).await;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut open).await.unwrap();
        let mut watcher = connect(Server::url()).await;
        let rows = batch(1);
        let commits = async {
            is_waited_for(pid, &mut watcher).await;
            site.commit(open).await;
        };
        let (pushed, ()) = join(site.postgres.push(DOCS, &rows, mark(1)), commits).await;
        let pushed = pushed.unwrap();
        let superseded: Vec<usize> = (0..ROWS).filter(|n| pushed[*n] == Pushed::Superseded).collect();
        assert_eq!(superseded, [300], "only theirs is newer");
        let mut reading = site.postgres.read().await.unwrap();
        let ids: Vec<ChunkId> = rows.iter().map(|edition| edition.id.clone()).collect();
        let stored = reading.rows(DOCS, &ids).await.unwrap();
        reading.finish().await.unwrap();
        assert_eq!(stored.len(), ROWS);
        // The second time every id is there.
        let again = site.postgres.push(DOCS, &batch(2), mark(2)).await.unwrap();
        let superseded: Vec<usize> = (0..ROWS).filter(|n| again[*n] == Pushed::Superseded).collect();
        assert_eq!(superseded, [300]);
    });
}
