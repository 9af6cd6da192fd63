//! What goes wrong, by example: refused rows, lost answers, failovers, guards.

use super::*;
use crate::mirror::guards::Block;
use crate::mirror::memory::Memory;
use crate::mirror::options::Trust;
use crate::mirror::remote::{FaultClass, NodeMark};
use crate::mirror::trouble::Trouble;
use crate::mirror::twin::Upset;

fn one(options: MirrorOptions) -> (Arc<Mutex<World>>, Replica) {
    let world = world();
    let replica = Replica::new(&world, options);
    (world, replica)
}

#[test]
fn m13_a_poison_row_delays_the_others_by_few_statements() {
    let (world, mut a) = one(MirrorOptions::default());
    a.settle();
    let rows = 100;
    a.docs.upsert((0..rows).map(|n| Chunk::new(format!("r{n:03}")).vector([n as f32, 1.0]))).unwrap();
    world.lock().poison.insert((DOCS.into(), "r037".into()));
    let before = a.line.statements();
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    assert_eq!(world.lock().live(DOCS).len(), rows - 1);
    let statements = a.line.statements() - before;
    // Without poison: one. The batch that failed, at most 7 + 1 for it, and what was left.
    assert!(statements <= 1 + 8 + 2, "{statements} statements");
    a.sides.review_letters().unwrap();
    let letters = a.sides.letters.list();
    assert_eq!((letters.len(), letters[0].id.as_str(), letters[0].is_outgoing), (1, "r037", true));
    assert!(letters[0].reason.contains("22P05"), "{}", letters[0].reason);
    assert!(!a.sides.has_outgoing().unwrap());

    // Another version is tried at once; so is the letter, when asked.
    world.lock().poison.clear();
    let retried = a.run(async |sides| sides.retry_letters().await).unwrap().unwrap();
    assert_eq!((retried, world.lock().live(DOCS).len(), a.sides.letters.len()), (1, rows, (0, 0)));
}

#[test]
fn refused_rows_leave_the_state_in_sync_and_are_kept_over_a_restart() {
    let (world, mut a) = one(MirrorOptions::default());
    ["x", "y"].iter().for_each(|id| a.put(id, 1.0));
    a.delete("y");
    world.lock().poison.insert((DOCS.into(), "x".into()));
    a.settle();
    for dies in [false, true] {
        if dies {
            a.crash();
            let before = a.line.statements();
            a.run(async |sides| sides.greet().await).unwrap().unwrap();
            a.run(async |sides| sides.feed().await).unwrap().unwrap();
            let greeted = a.line.statements();
            a.run(async |sides| sides.push_all().await).unwrap().unwrap();
            assert!(a.line.statements() == greeted && greeted > before, "it is not tried again");
        }
        a.clock.fetch_add(60_000, Ordering::Relaxed);
        let status = a.sides.status().unwrap();
        assert_eq!((status.state.to_string(), status.dead_letters_out), ("in_sync".into(), 1), "{dies}");
        assert!(status.oldest_dirty_ms.unwrap() >= 60_000, "this store has its only copy");
        assert!(a.sides.letters.list()[0].reason.contains("22P05"));
    }
    a.put("z", 1.0);
    a.clock.fetch_add(60_000, Ordering::Relaxed);
    assert_eq!(a.sides.status().unwrap().state.to_string(), "lagging", "of a row that is not refused");
}

#[test]
fn a_letter_is_written_down_at_once() {
    let (world, mut a) = one(MirrorOptions::default());
    a.settle();
    a.put("x", 1.0);
    world.lock().poison.insert((DOCS.into(), "x".into()));
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    a.clock.fetch_add(1_000, Ordering::Relaxed);
    a.crash();
    assert_eq!(a.sides.letters.len(), (1, 0));
}

#[test]
fn a_new_version_of_a_refused_row_is_sent_unasked() {
    let (world, mut a) = one(MirrorOptions::default());
    a.put("x", 1.0);
    world.lock().poison.insert((DOCS.into(), "x".into()));
    a.settle();
    assert!(!a.sides.has_outgoing().unwrap());
    world.lock().poison.clear();
    a.put("x", 2.0);
    assert!(a.sides.has_outgoing().unwrap(), "one row waits, and one letter is of a row that is gone");
}

#[test]
fn a_letter_of_a_row_that_was_replaced_is_none() {
    let (world, mut a) = one(MirrorOptions::default());
    a.put("x", 1.0);
    world.lock().poison.insert((DOCS.into(), "x".into()));
    a.settle();
    assert_eq!(a.sides.letters.len(), (1, 0));
    world.lock().poison.clear();
    a.put("x", 2.0);
    a.settle();
    a.sides.review_letters().unwrap();
    assert_eq!((a.sides.letters.len(), x_there(&world, "x")), ((0, 0), Some(2.0)));
}

#[test]
fn a_locked_row_is_passed_over_and_sent_later() {
    let (world, mut a) = one(MirrorOptions::default());
    a.settle();
    let xid = world.lock().begin();
    world.lock().write_in(xid, DOCS, "held", Some(&[1.0, 1.0]));
    ["held", "p", "q"].iter().for_each(|id| a.put(id, 5.0));
    let before = a.line.statements();
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    assert_eq!((x_there(&world, "p"), x_there(&world, "held")), (Some(5.0), None));
    assert_eq!(a.line.statements() - before, 3, "the batch, who holds rows, and the others");
    assert!(!a.sides.has_outgoing().unwrap());
    world.lock().roll_back(xid);
    a.clock.fetch_add(20_000, Ordering::Relaxed);
    assert!(a.sides.has_outgoing().unwrap(), "its time has come");
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    assert_eq!(x_there(&world, "held"), Some(5.0));
}

#[test]
fn a_table_that_somebody_holds_is_no_rows_fault() {
    let (world, mut a) = one(MirrorOptions::default());
    a.settle();
    (0..100).for_each(|n| a.put(&format!("r{n:02}"), 1.0));
    world.lock().is_table_locked = true;
    let before = a.line.statements();
    let trouble = a.run(async |sides| sides.push_all().await).unwrap().unwrap_err();
    assert!(matches!(trouble, Trouble::Remote(fault) if fault.class == FaultClass::Transient));
    assert_eq!(a.line.statements() - before, 2, "the batch, and who holds rows");
    assert_eq!((a.sides.letters.len(), a.sides.letters.held_max(DOCS)), ((0, 0), 0));
    world.lock().is_table_locked = false;
    a.settle();
    assert_eq!(world.lock().live(DOCS).len(), 100, "without waiting for rows that were passed over");
}

#[test]
fn a_row_edited_by_hand_that_somebody_holds_is_stamped_later() {
    for dies in [false, true] {
        let (world, mut a) = one(MirrorOptions::default());
        a.put("x", 1.0);
        a.settle();
        world.lock().edit(DOCS, "x", Some(&[2.0, 1.0]));
        let xid = world.lock().begin();
        assert!(world.lock().write_in(xid, DOCS, "x", Some(&[3.0, 1.0])));
        a.put("y", 1.0);
        a.run(async |sides| sides.feed().await).unwrap().unwrap();
        a.run(async |sides| sides.push_all().await).unwrap().unwrap();
        assert_eq!((a.x("x"), x_there(&world, "y")), (Some(2.0), Some(1.0)), "it holds nobody up");
        let report = a.run(async |sides| sides.audit(DOCS, false).await).unwrap().unwrap();
        assert!(
            report.is_equal() && (report.dirty, report.local.rows) == (1, 1),
            "no false alarm: {report:?}"
        );
        if dies {
            a.clock.fetch_add(1_000, Ordering::Relaxed);
            a.crash();
        }
        world.lock().roll_back(xid);
        a.settle();
        let last = world.lock().last(DOCS, "x").unwrap().head.clone();
        assert!(last.digest.is_some() && a.sides.stamps.is_empty(), "after a crash: {dies}");
        let report = a.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
        assert!(report.is_equal(), "{report:?}");
    }
}

#[test]
fn m20_a_filling_is_written_down_before_its_first_rows() {
    let (world, mut a) = one(MirrorOptions::default());
    (0..20).for_each(|n| a.put(&format!("r{n:02}"), 1.0));
    a.settle();
    let mut b = Replica::new(&world, MirrorOptions::default().rebuild_ranges(4));
    b.run(async |sides| sides.greet().await).unwrap().unwrap();
    let written = Arc::<Mutex<Vec<bool>>>::default();
    for _ in 0..20 {
        let (tap, written) = (b.tap.clone(), written.clone());
        b.line.surprise(Box::new(move || {
            let memory = Memory::read(tap.remembered().unwrap().as_deref());
            written.lock().push(memory.collections.get(DOCS).is_some_and(|known| known.fill.is_some()));
        }));
    }
    let is_done = b.run(async |sides| sides.verify(DOCS).await).unwrap().unwrap();
    assert!(!is_done && b.docs.count(None).unwrap() == 10, "two ranges of four");
    assert_eq!(written.lock().last(), Some(&true), "whoever is killed here goes on with the plan");
    b.clock.fetch_add(1_000, Ordering::Relaxed);
    b.crash();
    assert!(b.sides.memory.collections[DOCS].fill.is_some());
    b.settle();
    assert_eq!(b.docs.count(None).unwrap(), 20);
}

#[test]
fn after_a_fault_nothing_more_leaves_before_the_rest_has_landed() {
    let world = world();
    let mut a = Replica::new(&world, MirrorOptions::default().batch_rows_max(1));
    a.settle();
    (0..8).for_each(|n| a.put(&format!("r{n}"), 1.0));
    a.line.upset(Upset::LostBefore);
    let before = a.line.statements();
    a.run(async |sides| sides.push().await).unwrap().unwrap_err();
    let (statements, rows) = (a.line.statements() - before, world.lock().live(DOCS).len());
    assert!(statements <= 2 && rows <= 1, "one fails, one may be on its way: {statements}, {rows}");
    a.settle();
    assert_eq!(world.lock().live(DOCS).len(), 8);
}

#[test]
fn a_lost_answer_changes_nothing() {
    for upset in [Upset::LostBefore, Upset::LostAfter, Upset::Late, Upset::Hang, Upset::Twice] {
        let (world, mut a) = one(MirrorOptions::default());
        a.settle();
        a.put("x", 1.0);
        a.line.upset(upset.clone());
        a.run(async |sides| sides.push().await);
        a.put("x", 2.0);
        let open = world.lock().open();
        open.into_iter().for_each(|xid| world.lock().commit(xid));
        world.lock().deliver_again();
        a.settle();
        assert_eq!((a.x("x"), x_there(&world, "x")), (Some(2.0), Some(2.0)), "{upset:?}");
    }
}

#[test]
fn m2_an_answer_for_an_older_version_cleans_no_newer_one() {
    let (world, mut a) = one(MirrorOptions::default());
    a.settle();
    a.put("x", 1.0);
    let docs = a.docs.clone();
    // Between reading the row and the answer of the database.
    a.line.surprise(Box::new(move || _ = docs.upsert([Chunk::new("x").vector([2.0, 1.0])]).unwrap()));
    a.run(async |sides| sides.push().await).unwrap().unwrap();
    // The echo of the older version would dirty it again: this is to be so before.
    assert!(a.sides.has_outgoing().unwrap() || x_there(&world, "x") == Some(2.0));
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    assert_eq!(x_there(&world, "x"), Some(2.0));
}

#[test]
fn m10_a_standby_is_not_read() {
    let (world, mut a) = one(MirrorOptions::default());
    a.put("x", 1.0);
    world.lock().is_standby = true;
    let trouble = a.run(async |sides| sides.greet().await).unwrap().unwrap_err();
    assert!(matches!(trouble, Trouble::Remote(fault) if fault.class == FaultClass::Demoted));
    assert_eq!(a.sides.memory.cursor, None);
    world.lock().is_standby = false;
    a.settle();
    assert_eq!(x_there(&world, "x"), Some(1.0));
}

#[test]
fn m12_commits_that_a_failover_lost_are_sent_again() {
    for dies in [false, true] {
        let (world, mut a) = one(MirrorOptions::default());
        a.put("old", 1.0);
        a.put("gone", 1.0);
        a.settle();
        let copy = world.lock().clone();
        a.put("new", 2.0);
        a.put("old", 2.0);
        a.delete("gone");
        a.settle();
        if dies {
            a.crash();
        }
        world.lock().fail_over_to(&copy);
        assert_eq!((x_there(&world, "new"), x_there(&world, "old")), (None, Some(1.0)));
        // The line is dead; whoever notices looks again who answers.
        while a.sides.database.is_none() || a.run(async |sides| sides.feed().await).unwrap().is_err() {
            a.run(async |sides| sides.greet().await).unwrap().unwrap();
        }
        a.settle();
        let there = ["new", "old", "gone"].map(|id| x_there(&world, id));
        assert_eq!(there, [Some(2.0), Some(2.0), None], "after a crash: {dies}");
        assert_eq!([a.x("new"), a.x("old"), a.x("gone")], there);
    }
}

#[test]
fn m12_a_refused_write_looks_who_answers_and_sends_again() {
    let (world, mut a) = one(MirrorOptions::default());
    a.put("x", 1.0);
    a.settle();
    // The same database by all signs, without what it had acknowledged.
    world.lock().rows.clear();
    a.put("y", 1.0);
    a.line.upset(Upset::Fails(FaultClass::Demoted, "25006"));
    a.run(async |sides| sides.push().await).unwrap().unwrap_err();
    a.settle();
    assert_eq!((x_there(&world, "x"), x_there(&world, "y")), (Some(1.0), Some(1.0)));
}

fn blocked(replica: &mut Replica) -> Option<&'static str> {
    for _ in 0..6 {
        if replica.sides.database.is_none() && replica.sides.blocked.is_none() {
            replica.run(async |sides| sides.greet().await);
        }
        if replica.sides.blocked.is_none() {
            replica.run(async |sides| sides.pull().await);
        }
    }
    replica.sides.blocked.as_ref().map(Block::reason)
}

#[test]
fn m17_many_deletions_stop_and_ask() {
    for (trust, left) in [(Trust::Database, 1), (Trust::Local, 6)] {
        let (world, mut a) =
            one(MirrorOptions::default().delete_guard_rows(3).delete_guard_share(0.0).feed_page_rows(2));
        (0..6).for_each(|n| a.put(&format!("r{n}"), 1.0));
        a.settle();
        (0..5).for_each(|n| _ = world.lock().edit(DOCS, &format!("r{n}"), None));
        assert_eq!(blocked(&mut a), Some("mass_delete"));
        assert!(a.docs.count(None).unwrap() >= 3, "no more than the guard went before");
        let before = a.docs.count(None).unwrap();
        a.sides.resolve(trust).unwrap();
        assert_eq!(blocked(&mut a), None);
        a.settle();
        let (here, there) = (a.docs.count(None).unwrap(), world.lock().live(DOCS).len());
        let left = if trust == Trust::Local { before } else { left };
        assert_eq!((here, there), (left, left), "{trust:?}");
        assert_eq!(a.sides.verdict, None, "a decision is about one thing");
    }
}

#[test]
fn m11_another_database_is_not_followed_unasked() {
    for trust in [Trust::Database, Trust::Local] {
        let (world, mut a) = one(MirrorOptions::default());
        (0..6).for_each(|n| a.put(&format!("r{n}"), 1.0));
        a.settle();
        world.lock().truncate();
        a.run(async |sides| sides.greet().await);
        assert_eq!(blocked(&mut a), Some("database_replaced"));
        assert_eq!(a.docs.count(None).unwrap(), 6);
        a.sides.resolve(trust).unwrap();
        blocked(&mut a);
        a.settle();
        let left = if trust == Trust::Local { 6 } else { 0 };
        assert_eq!((a.docs.count(None).unwrap(), world.lock().live(DOCS).len()), (left, left), "{trust:?}");
    }
}

#[test]
fn an_empty_database_of_the_same_name_stops_and_asks() {
    let (world, mut a) = one(MirrorOptions::default().ack_retention_seconds(0));
    (0..6).for_each(|n| a.put(&format!("r{n}"), 1.0));
    a.settle();
    world.lock().rows.clear();
    a.clock.fetch_add(10_000, Ordering::Relaxed);
    a.sides.memory.collections.get_mut(DOCS).unwrap().is_verified = false;
    assert_eq!(blocked(&mut a), Some("database_empty"));
    assert_eq!(a.docs.count(None).unwrap(), 6);
    a.sides.resolve(Trust::Local).unwrap();
    blocked(&mut a);
    a.settle();
    assert_eq!(world.lock().live(DOCS).len(), 6);
}

#[test]
fn a_copied_directory_does_not_write_under_its_originals_name() {
    let (world, mut a) = one(MirrorOptions::default());
    a.put("x", 1.0);
    a.settle();
    let node = a.tap.node();
    world.lock().marks.insert(node, NodeMark { node, incarnation: 9, pushes: 1 });
    a.run(async |sides| sides.greet().await);
    assert_eq!(a.sides.blocked.as_ref().map(Block::reason), Some("cloned_directory"));
    a.sides.resolve(Trust::Local).unwrap();
    a.put("x", 2.0);
    a.sides.database = None;
    a.settle();
    assert_eq!(x_there(&world, "x"), Some(2.0));
}

#[test]
fn faults_decide_when_it_is_tried_again() {
    use FaultClass::*;
    for (class, code, state, min_ms) in [
        (Transient, "08006", "connecting", 100),
        (Resource, "53100", "db_resource", 30_000),
        (Schema, "42P01", "schema_mismatch", 60_000),
        (Permission, "42501", "connecting", 60_000),
        (Unknown, "XX000", "connecting", 100),
    ] {
        let (_, mut a) = one(MirrorOptions::default());
        a.settle();
        a.line.upset(Upset::Fails(class, code));
        a.run(async |sides| sides.feed().await).unwrap().unwrap_err();
        let status = a.sides.status().unwrap();
        assert_eq!(status.state.to_string(), state, "{code}");
        assert!(status.reason.unwrap().contains(code));
        assert!(a.sides.backoff.until_ms() >= a.sides.now_ms() + min_ms, "{code}");
        a.settle();
        assert_eq!(a.sides.status().unwrap().state.to_string(), "in_sync");
    }
}

#[test]
fn an_unknown_fault_that_lasts_is_a_rows() {
    let (world, mut a) = one(MirrorOptions::default());
    a.settle();
    ["p", "q"].iter().for_each(|id| a.put(id, 1.0));
    for _ in 0..crate::mirror::backoff::UNKNOWN_MAX {
        if a.sides.database.is_none() {
            a.run(async |sides| sides.greet().await).unwrap().unwrap();
        }
        a.line.upset(Upset::Fails(Unknown, "XX000"));
        a.run(async |sides| sides.push().await).unwrap().unwrap_err();
    }
    a.run(async |sides| sides.greet().await).unwrap().unwrap();
    // The batch, the first half.
    (0..2).for_each(|_| a.line.upset(Upset::Fails(Unknown, "XX000")));
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    assert_eq!((a.sides.letters.len(), x_there(&world, "q")), ((1, 0), Some(1.0)));
    use FaultClass::Unknown;
}
