//! Pushing: the guard, whole batches, deletions, marks.

use super::*;
use crate::mirror::join::join;
use Pushed::{Stored, Superseded};

pub(crate) async fn newer_versions_win_and_equal_ones_are_superseded<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let (old, new) = (site.text("a", 10, "old"), site.text("a", 20, "new"));
    assert_eq!(site.push(std::slice::from_ref(&old)).await, [Stored]);
    assert_eq!(site.push(std::slice::from_ref(&old)).await, [Superseded], "the same again");
    assert_eq!(site.push(std::slice::from_ref(&new)).await, [Stored]);
    assert_eq!(site.push(std::slice::from_ref(&old)).await, [Superseded]);
    assert_eq!(site.row("a").await, Some(new.clone()));
    let batch = [site.text("a", 15, "late"), site.text("b", 1, "b"), site.text("c", 1, "c")];
    assert_eq!(site.push(&batch).await, [Superseded, Stored, Stored], "one answer for each, in their order");
    assert_eq!(site.scan().await, [new, batch[1].clone(), batch[2].clone()]);
}

pub(crate) async fn ties_are_broken_by_node_and_then_by_digest<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let base = site.text("a", 10, "x");
    // Digests are unsigned, whatever the database's integers are.
    let with = |node, digest| Edition { stamp: Stamp { node, digest, ..base.stamp }, ..base.clone() };
    let rising = [
        with(1, u64::MAX),
        with(2, 0),
        with(2, 1),
        with(2, i64::MAX as u64),
        with(2, 1 << 63),
        with(2, u64::MAX),
        with(i64::MAX as u64, 0),
    ];
    for (at, edition) in rising.iter().enumerate() {
        assert_eq!(site.push(std::slice::from_ref(edition)).await, [Stored], "number {at}");
        for lower in &rising[..=at] {
            assert_eq!(site.push(std::slice::from_ref(lower)).await, [Superseded], "below number {at}");
        }
        assert_eq!(site.row("a").await.map(|e| e.stamp), Some(edition.stamp));
    }
}

pub(crate) async fn many_rows_are_guarded_like_few<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let (mut model, mut dice) = (Model::default(), Dice(3));
    for round in 0..4 {
        let mut batch = Vec::new();
        for n in 0..1_200 {
            let ver = dice.below(5) as i64 + round;
            let id = format!("{n:05}");
            batch.push(match dice.below(8) {
                0 => deletion(&id, ver),
                1 => {
                    site.edition(ver, Chunk::new(id).vector([ver as f32, 1.0]).meta("n", n).document("d", n))
                }
                _ => site.text(&id, ver, &format!("text {round}")),
            });
        }
        // Both sides of where an implementation may change its way.
        let rows = [1_200, 1, 37, 700][round as usize];
        assert_eq!(site.push(&batch[..rows]).await, model.apply(&batch[..rows]));
    }
    let live: Vec<Edition> = model.live().cloned().collect();
    assert_eq!(site.scan().await, live);
}

pub(crate) async fn a_batch_is_stored_whole_or_not_at_all<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    for rows in [3, 1_100] {
        let mut batch: Vec<Edition> =
            (0..rows).map(|n| site.text(&format!("{rows} {n:05}"), 1, "x")).collect();
        // No door lets it in, no database takes it.
        let payload = batch[rows / 2].row.as_mut().and_then(|row| row.payload.as_mut()).unwrap();
        payload.text = Some("a\0b".into());
        let fault = site.remote().push(DOCS, &batch, site.mark()).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Data, "{fault:?}");
        assert_eq!(site.scan().await, []);
        let mark = site.remote().look(NODE).await.unwrap().mark;
        assert_eq!(mark, None, "the mark says no more than the rows do");
    }
    assert_eq!(site.push(&[site.text("a", 1, "x")]).await, [Stored]);
}

pub(crate) async fn deletions_stand_in_the_row_and_can_be_overcome<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    site.push(&[site.text("a", 10, "x")]).await;
    assert_eq!(site.push(&[deletion("a", 11), deletion("never", 5)]).await, [Stored, Stored]);
    assert_eq!(site.scan().await, []);
    assert_eq!(site.row("a").await, Some(deletion("a", 11)));
    assert_eq!(site.push(&[site.text("a", 10, "late")]).await, [Superseded], "the deletion holds");
    assert_eq!(site.push(&[site.text("never", 4, "late")]).await, [Superseded]);
    let again = site.text("a", 12, "again");
    assert_eq!(site.push(std::slice::from_ref(&again)).await, [Stored]);
    assert_eq!(site.scan().await, [again]);
}

pub(crate) async fn marks_only_rise<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    assert_eq!(site.remote().look(NODE).await.unwrap().mark, None);
    let mark = |incarnation, pushes| NodeMark { node: NODE.0, incarnation, pushes };
    for (given, kept) in [(mark(1, 5), mark(1, 5)), (mark(1, 4), mark(1, 5)), (mark(2, 6), mark(2, 6))] {
        site.remote().push(DOCS, &[site.text("a", 1, "x")], given).await.unwrap();
        assert_eq!(site.remote().look(NODE).await.unwrap().mark, Some(kept));
    }
    assert_eq!(site.remote().look(NodeId(NODE.0 + 1)).await.unwrap().mark, None, "another node has its own");
}

pub(crate) async fn rows_pushed_at_once_by_two_end_equal<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let batch = |node, ver: fn(i64) -> i64| -> Vec<Edition> {
        (0..200).map(|n| by(node, &site.text(&format!("{n:04}"), ver(n), &format!("of {node}")))).collect()
    };
    let (ours, theirs) = (batch(5, |n| n % 3), batch(6, |n| n % 2));
    let (a, b) =
        (site.remote().push(DOCS, &ours, site.mark()), site.remote().push(DOCS, &theirs, site.mark()));
    let (a, b) = join(a, b).await;
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    let mut model = Model::default();
    model.apply(&ours);
    model.apply(&theirs);
    assert_eq!(site.scan().await, model.live().cloned().collect::<Vec<_>>());
}
