//! Goal: a write on a condition replaces what its writer has seen and nothing newer, whatever came in between. Method: each thing
//! that may come in between, on a still store, then reopened.

use crate::config::{Metric, Options, Schema};
use crate::disk::sim::SimDisk;
use crate::engine::{Collection, Store};
use crate::error::ErrorKind;
use crate::ids::ChunkId;
use crate::record::Chunk;
use std::sync::Arc;

fn store(disk: &SimDisk) -> Store {
    Store::open_still(Arc::new(disk.clone()), Options::default().disk_reserve_bytes(0)).unwrap()
}

fn docs(store: &Store) -> Collection {
    store.get_or_create("docs", Schema::new(2, Metric::L2)).unwrap()
}

fn text(docs: &Collection, id: &str) -> Option<String> {
    docs.get(id).unwrap().and_then(|chunk| chunk.text)
}

fn waiting(id: &str) -> Chunk {
    Chunk::new(id).text(format!("text of {id}")).document("d", 0)
}

#[test]
fn a_fill_passes_over_rows_that_were_changed_removed_or_replaced() {
    let disk = SimDisk::new();
    let store = store(&disk);
    let docs = docs(&store);
    docs.upsert(["a", "b", "c", "d"].map(waiting)).unwrap();
    let (seen, next) = docs.pending_seen(0, 100).unwrap();
    assert_eq!((seen.len(), next), (4, None));
    docs.upsert([waiting("b").text("newer")]).unwrap();
    docs.delete(["c"]).unwrap();
    docs.delete(["d"]).unwrap();
    docs.upsert([waiting("d")]).unwrap();
    let filled = seen.into_iter().map(|(chunk, ver)| (chunk.vector([1.0, 2.0]), ver)).collect();
    let ack = docs.fill(filled).unwrap();
    let stored: Vec<bool> = ack.results.iter().map(|result| result.rejected.is_none()).collect();
    assert_eq!((stored, ack.upserted), (vec![true, false, false, false], 1));
    drop((docs, store));
    let store = self::store(&disk);
    let docs = self::docs(&store);
    assert_eq!((text(&docs, "b").as_deref(), text(&docs, "c")), (Some("newer"), None));
    assert_eq!((docs.count(None).unwrap(), docs.stats().pending), (3, 2));
    let (seen, _) = docs.pending_seen(0, 100).unwrap();
    assert_eq!(
        docs.fill(seen.into_iter().map(|(chunk, ver)| (chunk.vector([1.0, 2.0]), ver)).collect())
            .unwrap()
            .upserted,
        2
    );
    assert_eq!(docs.stats().pending, 0);
}

#[test]
fn a_swap_is_whole_or_nothing() {
    let store = store(&SimDisk::new());
    let docs = docs(&store);
    docs.upsert(["a", "b", "c"].map(waiting)).unwrap();
    let seen = docs.document_seen("d").unwrap();
    let ver = |id: &str| seen.iter().find(|(chunk, _)| chunk.id == id).unwrap().1;
    let before = store.token();
    let swap = |rows: Vec<_>, gone: &[&str]| {
        docs.swap(rows, gone.iter().map(|id| (ChunkId::from(*id), ver(id))).collect())
    };
    let new = |id: &str| waiting(id).text("new");
    // A row under an id that is taken; a chunk that no database would take.
    for (rows, kind) in [
        (vec![(new("a"), Some(ver("a"))), (new("b"), None)], ErrorKind::Conflict),
        (vec![(new("a"), Some(ver("a"))), (new("z"), Some(ver("b")))], ErrorKind::Conflict),
        (vec![(new("a"), Some(ver("a"))), (new("z").text("a\0b"), None)], ErrorKind::Invalid),
    ] {
        assert_eq!(swap(rows, &["c"]).unwrap_err().kind(), kind);
    }
    assert_eq!((store.token(), text(&docs, "a").as_deref()), (before, Some("text of a")));
    swap(vec![(new("a"), Some(ver("a"))), (new("z"), None)], &["c"]).unwrap();
    assert_eq!(docs.count(None).unwrap(), 3);
    // What goes was changed.
    let rows = vec![(new("y"), None)];
    assert_eq!(swap(rows, &["a"]).unwrap_err().kind(), ErrorKind::Conflict);
    assert!(text(&docs, "y").is_none());
    assert_eq!(store.token().seq.0, before.seq.0 + 1);
}

#[test]
fn each_row_of_a_replacement_stands_for_itself() {
    let store = store(&SimDisk::new());
    let docs = docs(&store);
    docs.upsert(["a", "b", "c", "d"].map(waiting)).unwrap();
    let ver = |id: &str| docs.document_seen("d").unwrap().into_iter().find(|(c, _)| c.id == id).unwrap().1;
    let (a, b, c, d) = (ver("a"), ver("b"), ver("c"), ver("d"));
    docs.upsert(["b", "d"].map(|id| waiting(id).text("newer"))).unwrap();
    let rows =
        vec![(waiting("a").text("new"), Some(a)), (waiting("b").text("new"), Some(b)), (waiting("z"), None)];
    let ack = docs.replace(rows, vec![("c".into(), c), ("d".into(), d)]).unwrap();
    let refused: Vec<_> = ack.results.iter().map(|result| result.rejected.as_deref()).collect();
    assert_eq!(refused, [None, Some(crate::engine::CHANGED), None]);
    assert_eq!(
        ["a", "b", "c", "d"].map(|id| text(&docs, id)),
        [Some("new".into()), Some("newer".into()), None, Some("newer".into())]
    );
}

#[test]
fn a_row_that_was_only_moved_is_what_was_seen() {
    let store = store(&SimDisk::new());
    let docs = docs(&store);
    docs.upsert(["a", "b"].map(waiting)).unwrap();
    let (seen, _) = docs.pending_seen(0, 100).unwrap();
    let slots: Vec<_> = docs.inner().view.load().live.iter().collect();
    let moved = docs.inner().order(crate::engine::write::draft::Change::Move(slots), None);
    docs.inner().line.commit(moved).unwrap();
    assert_eq!(
        docs.fill(seen.into_iter().map(|(c, ver)| (c.vector([1.0, 2.0]), ver)).collect()).unwrap().upserted,
        2
    );
}

#[test]
fn what_waits_is_told_page_by_page() {
    let store = store(&SimDisk::new());
    let docs = docs(&store);
    docs.upsert((0..10).map(|n| {
        if n % 2 == 0 { waiting(&n.to_string()) } else { waiting(&n.to_string()).vector([1.0, 1.0]) }
    }))
    .unwrap();
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let (page, next) = docs.pending_seen(at, 2).unwrap();
        assert!(page.len() <= 2);
        all.extend(page.into_iter().map(|(chunk, _)| chunk.id));
        from = next;
    }
    assert_eq!(all, ["0", "2", "4", "6", "8"]);
}
