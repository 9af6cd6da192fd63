//! Each step by example, on calm lines.

use super::*;
use crate::error::ErrorKind;
use crate::mirror::memory::Ignored;
use crate::mirror::options::{RebuildPolicy, Trust};
use crate::mirror::remote::RemoteCollection;
use crate::mirror::trouble::Trouble;

fn two() -> (Arc<Mutex<World>>, Replica, Replica) {
    let world = world();
    let options = MirrorOptions::default;
    let (a, b) = (Replica::new(&world, options()), Replica::new(&world, options()));
    (world, a, b)
}

#[test]
fn a_row_goes_out_and_comes_in_and_its_deletion_too() {
    let (world, mut a, mut b) = two();
    a.put("x", 1.0);
    a.settle();
    assert_eq!(x_there(&world, "x"), Some(1.0));
    b.settle();
    assert_eq!(b.x("x"), Some(1.0));
    b.delete("x");
    b.settle();
    a.settle();
    assert_eq!((a.x("x"), world.lock().live(DOCS).len()), (None, 0));
}

#[test]
fn of_two_writes_the_later_wins_on_every_side() {
    let (world, mut a, mut b) = two();
    a.settle();
    b.settle();
    a.put("x", 1.0);
    b.put("x", 2.0);
    b.put("y", 3.0);
    b.settle();
    a.settle();
    b.settle();
    let there = x_there(&world, "x");
    assert_eq!((a.x("x"), b.x("x"), a.x("y")), (there, there, Some(3.0)));
}

#[test]
fn own_echoes_cost_their_heads_alone() {
    let (_, mut a, _) = two();
    a.settle();
    (0..20).for_each(|n| a.put(&format!("r{n}"), n as f32));
    a.run(async |sides| sides.push_all().await).unwrap().unwrap();
    let before = a.line.statements();
    let pulled = a.sides.counts.pulled;
    a.run(async |sides| sides.feed().await).unwrap().unwrap();
    // Begin, changes, end, and how far this node has seen.
    assert_eq!((a.line.statements() - before, a.sides.counts.pulled), (4, pulled));
}

#[test]
fn a_row_edited_by_hand_comes_in_and_its_digest_goes_back() {
    let (world, mut a, mut b) = two();
    a.put("x", 1.0);
    a.settle();
    world.lock().edit(DOCS, "x", Some(&[9.0, 9.0]));
    assert_eq!(world.lock().last(DOCS, "x").unwrap().head.digest, None);
    a.settle();
    assert_eq!(a.x("x"), Some(9.0));
    assert!(world.lock().last(DOCS, "x").unwrap().head.digest.is_some());
    b.settle();
    let audit = b.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
    assert!(audit.is_equal() && audit.local.rows == 1, "{audit:?}");
}

#[test]
fn an_open_transaction_delays_its_own_rows_only() {
    let (world, mut a, _) = two();
    a.settle();
    let xid = world.lock().begin();
    assert!(world.lock().write_in(xid, DOCS, "slow", Some(&[1.0, 1.0])));
    world.lock().edit(DOCS, "quick", Some(&[2.0, 2.0]));
    // By the feed alone: an audit would bring the row too.
    a.run(async |sides| sides.feed().await).unwrap().unwrap();
    assert_eq!((a.x("slow"), a.x("quick")), (None, Some(2.0)));
    world.lock().commit(xid);
    a.run(async |sides| sides.feed().await).unwrap().unwrap();
    assert_eq!(a.x("slow"), Some(1.0));
}

#[test]
fn an_audit_names_exactly_what_differs_and_repairs_make_it_equal() {
    for trust in [Trust::Database, Trust::Local] {
        let (world, mut a, _) = two();
        (0..200).for_each(|n| a.put(&format!("r{n:03}"), n as f32));
        a.settle();
        // Behind everybody's back: a row vanishes, one is another's, one stands there that nobody told of.
        let key = |id: &str| (DOCS.to_owned(), id.to_owned());
        {
            let mut world = world.lock();
            world.rows.remove(&key("r007"));
            let stale = crate::mirror::twin::edition("r100", 5, 9, world.seed, Some(&[5.0, 5.0]));
            let version = world.rows.get_mut(&key("r100")).unwrap().last_mut().unwrap();
            (version.head, version.row) = (stale.head(), stale.row);
            let extra = crate::mirror::twin::edition("r1005", 5, 9, world.seed, Some(&[6.0, 6.0]));
            let mut version = world.rows[&key("r100")].last().unwrap().clone();
            (version.head, version.row) = (extra.head(), extra.row);
            world.rows.insert(key("r1005"), vec![version]);
        }
        let audit = a.run(async |sides| sides.audit(DOCS, false).await).unwrap().unwrap();
        let names = |ids: &[crate::ids::ChunkId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&audit.missing_remotely), ["r007"]);
        assert_eq!(names(&audit.stale), ["r100"]);
        assert_eq!(names(&audit.missing_locally), ["r1005"]);
        assert!(!audit.is_equal() && audit.ranges < 60, "{} ranges", audit.ranges);

        let dry = a.run(async |sides| sides.repair(DOCS, trust, true).await).unwrap().unwrap();
        assert_eq!((dry.drift(), dry.repaired), (3, 0));
        let done = a.run(async |sides| sides.repair(DOCS, trust, false).await).unwrap().unwrap();
        assert!(done.is_equal() && done.repaired == 3, "{done:?}");
        a.settle();
        let expected = match trust {
            Trust::Database => (None, Some(5.0), Some(6.0)),
            Trust::Local => (Some(7.0), Some(100.0), None),
        };
        assert_eq!((a.x("r007"), a.x("r100"), a.x("r1005")), expected, "{trust:?}");
        assert_eq!((x_there(&world, "r007"), x_there(&world, "r100"), x_there(&world, "r1005")), expected);
    }
}

#[test]
fn a_deep_audit_sees_bytes_that_no_digest_tells_of() {
    for trust in [Trust::Database, Trust::Local] {
        let (world, mut a, _) = two();
        (0..3).for_each(|n| a.put(&format!("r{n}"), n as f32));
        a.settle();
        let key = (DOCS.to_owned(), "r1".to_owned());
        let row = crate::mirror::twin::row("r1", &[77.0, 1.0]);
        world.lock().rows.get_mut(&key).unwrap().last_mut().unwrap().row = Some(row);
        let quick = a.run(async |sides| sides.audit(DOCS, false).await).unwrap().unwrap();
        assert!(quick.is_equal());
        let deep = a.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
        assert_eq!((deep.hand_edited.len(), deep.drift()), (1, 1));
        let done = a.run(async |sides| sides.repair(DOCS, trust, false).await).unwrap().unwrap();
        assert!(done.is_equal(), "{done:?}");
        let expected = if trust == Trust::Database { 77.0 } else { 1.0 };
        assert_eq!((a.x("r1"), x_there(&world, "r1")), (Some(expected), Some(expected)));
    }
}

/// Each call takes six seconds.
fn slow(a: &Replica) {
    a.line.calm();
    for _ in 0..2_000 {
        let clock = a.clock.clone();
        a.line.surprise(Box::new(move || _ = clock.fetch_add(6_000, Ordering::Relaxed)));
    }
}

#[test]
fn m24_a_deep_comparison_reads_in_short_transactions_to_the_end() {
    let (world, mut a, _) = two();
    (0..300).for_each(|n| a.put(&format!("r{n:03}"), n as f32));
    a.settle();
    for id in ["r000", "r299"] {
        let key = (DOCS.to_owned(), id.to_owned());
        let row = crate::mirror::twin::row(id, &[77.0, 1.0]);
        world.lock().rows.get_mut(&key).unwrap().last_mut().unwrap().row = Some(row);
    }
    slow(&a);
    let before = a.line.statements();
    let deep = a.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
    assert_eq!(deep.hand_edited, ["r000", "r299"]);
    // Begin, scan and end of one, and of several if the rows came in pieces; then the comparison, and both rows again.
    assert!(a.line.statements() - before >= 3 + 4, "{} statements", a.line.statements() - before);
    assert_eq!(a.sides.auditing, None);
}

#[test]
fn what_is_on_its_way_is_not_sent_beside_it() {
    let world = world();
    let mut a = Replica::new(&world, MirrorOptions::default().batch_rows_max(2));
    a.settle();
    (0..11).for_each(|n| a.put(&format!("r{n:02}"), 1.0));
    let before = a.line.statements();
    let round = a.run(async |sides| sides.push().await).unwrap().unwrap();
    assert_eq!((round.rows, a.line.statements() - before, a.sides.counts.pushed), (11, 6, 11));
    assert!(a.run(async |sides| sides.push().await).unwrap().unwrap().is_idle);
}

#[test]
fn m24_a_comparison_ends_in_time_and_a_repair_finds_the_rest() {
    for trust in [Trust::Database, Trust::Local] {
        let (world, mut a, _) = two();
        (0..300).for_each(|n| a.put(&format!("r{n:03}"), n as f32));
        a.settle();
        let rows = |world: &World| world.live(DOCS).len();
        {
            let mut world = world.lock();
            for n in (0..300).step_by(20) {
                world.rows.remove(&(DOCS.to_owned(), format!("r{n:03}")));
            }
        }
        slow(&a);
        let report = a.run(async |sides| sides.audit(DOCS, false).await).unwrap().unwrap();
        assert!(report.is_cut && report.drift() < 15 && !report.is_equal(), "{report:?}");
        assert_eq!((report.local.rows, report.database.rows), (300, 285), "the roots are whole");
        slow(&a);
        let done = a.run(async |sides| sides.repair(DOCS, trust, false).await).unwrap().unwrap();
        assert!(done.is_equal() && !done.is_cut && done.repaired == 15, "{done:?}");
        let left = if trust == Trust::Local { 300 } else { 285 };
        assert_eq!((a.docs.count(None).unwrap(), rows(&world.lock())), (left, left));
    }
}

#[test]
fn an_empty_store_is_filled_and_a_filling_that_is_killed_goes_on() {
    let (world, mut a, mut b) = two();
    (0..60).for_each(|n| a.put(&format!("r{n:03}"), n as f32));
    a.settle();
    // Every second call of the scan breaks: each step ends early, and the next goes on behind it.
    b.run(async |sides| sides.greet().await).unwrap().unwrap();
    let mut steps = 0;
    while b.docs.count(None).unwrap() < 60 {
        steps += 1;
        assert!(steps < 200, "no progress");
        if b.sides.database.is_none() {
            b.run(async |sides| sides.greet().await);
            continue;
        }
        for _ in 0..6 {
            b.line.upset(crate::mirror::twin::Upset::Ok);
        }
        b.line.upset(crate::mirror::twin::Upset::LostBefore);
        b.run(async |sides| sides.verify(DOCS).await);
        b.crash();
    }
    let read = b.sides.memory.collections[DOCS].fill.as_ref().map_or(60, |fill| fill.rows);
    assert!(read <= 120, "M20: {read} rows were read for 60");
    b.settle();
    assert_eq!((b.x("r059"), world.lock().live(DOCS).len()), (Some(59.0), 60));
    let audit = b.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
    assert!(audit.is_equal());
}

#[test]
fn policies_say_who_is_filled() {
    for (policy, rows) in [
        (RebuildPolicy::Never, 0),
        (RebuildPolicy::IfEmpty, 3),
        (RebuildPolicy::IfCorrupt, 3),
        (RebuildPolicy::Always, 3),
    ] {
        let world = world();
        let mut a = Replica::new(&world, MirrorOptions::default());
        (0..3).for_each(|n| a.put(&format!("r{n}"), n as f32));
        a.settle();
        let mut b = Replica::new(&world, MirrorOptions::default().rebuild(policy));
        b.settle();
        assert_eq!(b.docs.count(None).unwrap(), rows, "{policy:?}");
        // What is made from now on comes in any case.
        a.put("new", 9.0);
        a.settle();
        b.settle();
        assert_eq!(b.x("new"), Some(9.0), "{policy:?}");
    }
}

#[test]
fn the_policy_is_asked_again_at_every_start() {
    for (policy, is_filled) in
        [(RebuildPolicy::IfEmpty, false), (RebuildPolicy::IfCorrupt, false), (RebuildPolicy::Always, true)]
    {
        let world = world();
        let mut a = Replica::new(&world, MirrorOptions::default().rebuild(policy));
        (0..3).for_each(|n| a.put(&format!("r{n}"), n as f32));
        a.settle();
        a.crash();
        a.put("mine", 7.0);
        a.settle();
        assert_eq!(a.sides.filled.contains(DOCS), is_filled, "{policy:?}");
        assert_eq!((a.docs.count(None).unwrap(), world.lock().live(DOCS).len()), (4, 4), "{policy:?}");
    }
}

#[test]
fn collections_are_agreed_upon_and_shapes_that_differ_are_left_alone() {
    let (world, mut a, mut b) = two();
    let other = RemoteCollection { name: "other".into(), schema: schema() };
    world.lock().collections.insert(other.name.clone(), other.schema);
    let wide = Schema::new(3, Metric::L2);
    a.store
        .create_collection("wide", wide.clone())
        .unwrap()
        .upsert([Chunk::new("w").vector([1.0, 2.0, 3.0])])
        .unwrap();
    b.store
        .create_collection("wide", schema())
        .unwrap()
        .upsert([Chunk::new("w").vector([1.0, 2.0])])
        .unwrap();
    a.settle();
    assert_eq!(a.store.open_collection("other").unwrap().schema(), &schema());
    b.put("x", 1.0);
    b.settle();
    assert!(
        matches!(&b.sides.memory.collections["wide"].ignored, Some(Ignored::Mismatch(why)) if why.contains("dim"))
    );
    assert_eq!(b.sides.status().unwrap().state.to_string(), "schema_mismatch");
    // M18: neither side was written to; the others go on.
    let there = world.lock().last("wide", "w").unwrap().row.clone().unwrap();
    assert_eq!(there.vector.unwrap().len(), 3);
    assert_eq!(x_there(&world, "x"), Some(1.0));
    // It is put right: dropped here, it is not made again behind the host's back.
    b.store.drop_collection("wide").unwrap();
    b.run(async |sides| sides.greet().await).unwrap().unwrap();
    assert_eq!(b.sides.memory.collections["wide"].ignored, Some(Ignored::Dropped));
    b.store.create_collection("wide", wide).unwrap();
    b.run(async |sides| sides.greet().await).unwrap().unwrap();
    b.settle();
    assert_eq!(b.store.open_collection("wide").unwrap().count(None).unwrap(), 1);
}

#[test]
fn a_dropped_collection_goes_from_the_database_when_somebody_says_so() {
    let (world, mut a, mut b) = two();
    (0..6).for_each(|n| a.put(&format!("r{n}"), 1.0));
    a.settle();
    b.settle();
    let here = a.run(async |sides| sides.drop_there(DOCS, false).await).unwrap().unwrap_err();
    assert!(matches!(here, Trouble::Local(error) if error.kind() == ErrorKind::Conflict), "it is here still");
    a.store.drop_collection(DOCS).unwrap();
    a.run(async |sides| sides.greet().await).unwrap().unwrap();
    assert_eq!(world.lock().live(DOCS).len(), 6, "nobody has said so");
    assert_eq!(a.sides.status().unwrap().ignored.len(), 1);
    let counted = a.run(async |sides| sides.drop_there(DOCS, true).await).unwrap().unwrap();
    assert_eq!((counted, world.lock().live(DOCS).len()), (6, 6), "it was only looked at");
    // Somebody writes on, behind what is gone through already.
    (0..4).for_each(|_| a.line.surprise(Box::new(|| {})));
    let by_hand = world.clone();
    a.line.surprise(Box::new(move || _ = by_hand.lock().edit(DOCS, "a", Some(&[1.0, 1.0]))));
    let busy = a.run(async |sides| sides.drop_there(DOCS, false).await).unwrap().unwrap_err();
    assert!(
        matches!(busy, Trouble::Local(error) if error.kind() == ErrorKind::Conflict),
        "it is not forgotten"
    );
    let gone = a.run(async |sides| sides.drop_there(DOCS, false).await).unwrap().unwrap();
    assert_eq!((gone, world.lock().live(DOCS).len()), (1, 0));
    assert!(world.lock().collections.is_empty());
    let again = a.run(async |sides| sides.drop_there(DOCS, false).await).unwrap().unwrap_err();
    assert!(matches!(again, Trouble::Local(error) if error.kind() == ErrorKind::NotFound));
    a.run(async |sides| sides.greet().await).unwrap().unwrap();
    assert!(a.sides.status().unwrap().ignored.is_empty() && a.store.collections().is_empty());
    // Who holds it hears of deletions.
    b.run(async |sides| sides.greet().await).unwrap().unwrap();
    b.settle();
    assert_eq!((b.docs.count(None).unwrap(), b.sides.blocked.is_some()), (0, false));
    // A new one of the name has nothing to do with the old.
    a.docs = a.store.create_collection(DOCS, schema()).unwrap();
    a.put("r1", 2.0);
    a.run(async |sides| sides.greet().await).unwrap().unwrap();
    a.settle();
    b.settle();
    assert_eq!((b.x("r1"), world.lock().live(DOCS).len()), (Some(2.0), 1));
}

#[test]
fn a_collection_made_anew_gets_its_rows_and_not_the_letters_of_the_old_one() {
    for dies in [false, true] {
        let (world, mut a, _) = two();
        ["x", "y"].iter().for_each(|id| a.put(id, 1.0));
        world.lock().poison.insert((DOCS.into(), "x".into()));
        a.settle();
        assert_eq!(a.sides.letters.len(), (1, 0));
        world.lock().poison.clear();
        a.store.drop_collection(DOCS).unwrap();
        a.docs = a.store.create_collection(DOCS, schema()).unwrap();
        if dies {
            a.clock.fetch_add(1_000, Ordering::Relaxed);
            a.crash();
        }
        assert!(a.sides.has_new_collection().unwrap(), "it is noticed at once");
        a.put("z", 3.0);
        a.run(async |sides| sides.greet().await).unwrap().unwrap();
        assert!(!a.sides.has_new_collection().unwrap());
        a.settle();
        assert_eq!((a.x("x"), a.x("y"), x_there(&world, "z")), (None, Some(1.0), Some(3.0)), "{dies}");
        assert_eq!(a.sides.letters.len(), (0, 0));
        let audit = a.run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
        assert!(audit.is_equal(), "{audit:?}");
    }
}

#[test]
fn a_named_list_leaves_the_rest_alone() {
    let world = world();
    let mut a = Replica::new(&world, MirrorOptions::default().collections(vec![DOCS.into()]));
    let other = a.store.create_collection("other", schema()).unwrap();
    other.upsert([Chunk::new("o").vector([1.0, 2.0])]).unwrap();
    a.put("x", 1.0);
    a.settle();
    assert_eq!(world.lock().collections.keys().collect::<Vec<_>>(), [DOCS]);
    assert_eq!(x_there(&world, "x"), Some(1.0));
}

#[test]
fn graves_are_forgotten_when_nobody_can_need_them() {
    let (_, mut a, _) = two();
    a.put("x", 1.0);
    a.settle();
    a.delete("x");
    a.settle();
    a.put("y", 1.0);
    a.settle();
    let advance = |a: &Replica, ms| _ = a.clock.fetch_add(ms, Ordering::Relaxed);
    advance(&a, 2_000);
    a.settle();
    assert!(!a.sides.horizons.is_empty());
    advance(&a, 901_000);
    a.sides.forget_graves().unwrap();
    assert!(a.sides.horizons.is_empty());
}
