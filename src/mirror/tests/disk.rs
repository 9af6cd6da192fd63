//! Goal: any call to the disk of a mirrored store may fail, once or for ever: nothing acknowledged is lost, what fails says why, and
//! both sides become equal when the disk is well, or when the store is opened again after a power loss (M2, M6, M9, L16, L17).
//! Method: each thing that a mirror does is tried with its first call to the disk failing, its second, and so on until none
//! fails; the other side is the twin. `NEARFIELD_CRASH=long` tries every kind of failure at every call.

use super::*;
use crate::config::{Options, Tiny};
use crate::disk::sim::{Fault, Loss, SimDisk};
use crate::error::{Error, ErrorKind};
use crate::mirror::options::Trust;
use crate::mirror::trouble::Trouble;
use std::collections::BTreeMap;

/// Id and first number of the vector of live rows.
type Rows = BTreeMap<String, f32>;
type Checked<T = ()> = Result<T, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// The store was never mirrored.
    Attach,
    /// The store is empty.
    Fill,
    Write,
    Push,
    Feed,
    Audit,
    Repair(Trust),
    Checkpoint,
    Collect,
}

const CASES: [Case; 10] = [
    Case::Attach,
    Case::Fill,
    Case::Write,
    Case::Push,
    Case::Feed,
    Case::Audit,
    Case::Repair(Trust::Database),
    Case::Repair(Trust::Local),
    Case::Checkpoint,
    Case::Collect,
];

#[derive(Clone, Copy, Debug)]
struct Plan {
    n: u64,
    fault: Fault,
    sticky: bool,
}

/// Where cases start: a database, and stores at its side.
struct Base {
    world: World,
    mirrored: SimDisk,
    never: SimDisk,
    empty: SimDisk,
}

fn open(disk: &SimDisk) -> crate::Result<Store> {
    let tiny = Some(Tiny { block_slots: 16, log_file_bytes: 4_096 });
    let options = Options { tiny, disk_reserve_bytes: 0, ..Options::default() };
    Store::open_still(Arc::new(disk.clone()), options)
}

fn options() -> MirrorOptions {
    MirrorOptions::default().feed_page_rows(2).rebuild_ranges(3).batch_rows_max(4).tombstone_days(0)
}

fn replica(disk: &SimDisk, world: &Arc<Mutex<World>>) -> crate::Result<Replica> {
    let store = open(disk)?;
    let docs = store.get_or_create(DOCS, schema())?;
    let (tap, line) = (store.tap(), Twin::new(world.clone()));
    let clock = Arc::new(AtomicU64::new(now_ms()));
    let sides = try_sides(&tap, &line, &options(), &clock)?;
    Ok(Replica { store, docs, tap, line, options: options(), clock, sides })
}

impl Base {
    fn new() -> Self {
        let (mirrored, never, empty) = (SimDisk::new(), SimDisk::new(), SimDisk::new());
        let world = world();
        let mut a = replica(&mirrored, &world).unwrap();
        (0..40).for_each(|n| a.put(&format!("clean-{n:02}"), n as f32));
        a.settle();
        a.delete("clean-39");
        (0..5).for_each(|n| _ = world.lock().edit(DOCS, &format!("theirs-{n}"), Some(&[1.0, 1.0])));
        a.settle();
        a.store.checkpoint().unwrap();
        // What waits on either side.
        (0..6).for_each(|n| a.put(&format!("dirty-{n}"), 2.0));
        a.delete("clean-38");
        a.put("clean-37", 3.0);
        for (id, vector) in [
            ("theirs-0", Some([9.0, 9.0])),
            ("theirs-1", None),
            ("new", Some([8.0, 8.0])),
            ("clean-30", None),
        ] {
            assert!(world.lock().edit(DOCS, id, vector.as_ref().map(|v| &v[..])));
        }
        let store = open(&never).unwrap();
        let docs = store.create_collection(DOCS, schema()).unwrap();
        docs.upsert((0..20).map(|n| Chunk::new(format!("own-{n:02}")).vector([n as f32, 1.0]))).unwrap();
        open(&empty).unwrap().create_collection(DOCS, schema()).unwrap();
        drop((a, store, docs));
        let world = world.lock().clone();
        Self { world, mirrored: mirrored.snapshot(), never: never.snapshot(), empty: empty.snapshot() }
    }

    fn disk(&self, case: Case) -> SimDisk {
        match case {
            Case::Attach => self.never.snapshot(),
            Case::Fill => self.empty.snapshot(),
            _ => self.mirrored.snapshot(),
        }
    }

    /// Whether the fault was met; and what both sides hold at the end.
    fn try_case(&self, case: Case, plan: Option<Plan>, wanted: &Rows) -> Checked<(bool, Rows)> {
        let (disk, world) = (self.disk(case), Arc::new(Mutex::new(self.world.clone())));
        let mut acked = Vec::new();
        let mut a = None;
        if case == Case::Attach {
            arm(&disk, plan);
        } else {
            let mut ready = replica(&disk, &world).map_err(|e| e.to_string())?;
            prepare(&mut ready, &world, case);
            arm(&disk, plan);
            a = Some(ready);
        }
        let done = match a.take().map_or_else(|| replica(&disk, &world), Ok) {
            Ok(mut ready) => {
                let done = act(&mut ready, case, &mut acked);
                searches_go_on(&ready)?;
                a = Some(ready);
                done
            }
            Err(e) => Err(Trouble::Local(e)),
        };
        let is_met = disk.faults_met() > 0;
        if let Err(trouble) = &done {
            says_why(trouble, a.as_ref())?;
            if !is_met {
                return Err(format!("failed without a fault: {trouble:?}"));
            }
        }
        let check = |rows: &Rows| holds(rows, wanted, &acked);
        let plan_n = plan.map_or(0, |plan| plan.n);
        let loss = [Loss::Unsynced, Loss::Nothing, Loss::Scattered][plan_n as usize % 3];
        let then = Arc::new(Mutex::new(world.lock().clone()));
        let lost = opened(&disk.image(loss, plan_n), &then, case);
        lost.and_then(|rows| check(&rows)).map_err(|e| format!("then {loss:?}: {e}"))?;
        disk.heal();
        if let Some(healed) = a.as_mut() {
            goes_on(healed, case)
                .and_then(|rows| rows.map_or(Ok(()), |rows| check(&rows)))
                .map_err(|e| format!("healed: {e}"))?;
        }
        drop(a);
        let rows = opened(&disk, &world, case).map_err(|e| format!("healed and opened: {e}"))?;
        check(&rows)?;
        Ok((is_met, rows))
    }
}

fn arm(disk: &SimDisk, plan: Option<Plan>) {
    if let Some(Plan { n, fault, sticky }) = plan {
        disk.fail(disk.calls() + n, fault, sticky);
    }
}

fn prepare(a: &mut Replica, world: &Arc<Mutex<World>>, case: Case) {
    match case {
        Case::Attach | Case::Fill => return,
        Case::Write | Case::Checkpoint => a.run(async |sides| sides.greet().await).unwrap().unwrap(),
        Case::Push | Case::Feed | Case::Collect => {
            a.run(async |sides| sides.greet().await).unwrap().unwrap();
            a.run(async |sides| sides.pull().await).unwrap().unwrap();
            a.put("dirty-7", 1.0);
            a.delete("clean-20");
            world.lock().edit(DOCS, "theirs-2", Some(&[7.0, 1.0]));
            world.lock().edit(DOCS, "clean-25", None);
            world.lock().edit(DOCS, "newer", Some(&[7.0, 1.0]));
        }
        Case::Audit | Case::Repair(_) => {
            a.settle();
            let mut world = world.lock();
            let key = |id: &str| (DOCS.to_owned(), id.to_owned());
            world.rows.remove(&key("clean-05"));
            let stale = crate::mirror::twin::edition("clean-10", 5, 9, world.seed, Some(&[50.0, 5.0]));
            let version = world.rows.get_mut(&key("clean-10")).unwrap().last_mut().unwrap();
            (version.head, version.row) = (stale.head(), stale.row);
        }
    };
    if case == Case::Collect {
        a.settle();
        a.clock.fetch_add(3_600_000, Ordering::Relaxed);
    }
}

/// What a mirror does in a case. Local writes that were acknowledged go to `acked`.
fn act(a: &mut Replica, case: Case, acked: &mut Vec<(&'static str, Option<f32>)>) -> Step<()> {
    let step = match case {
        Case::Write => {
            let mut trouble = Ok(());
            for (id, x) in [("mine", Some(5.0)), ("clean-02", None), ("theirs-3", Some(6.0))] {
                let done = match x {
                    Some(x) => a.docs.upsert([Chunk::new(id).vector([x, 1.0])]).map(drop),
                    None => a.docs.delete([id]).map(drop),
                };
                match done {
                    Ok(()) => acked.push((id, x)),
                    Err(e) => trouble = Err(e.into()),
                }
            }
            return trouble;
        }
        Case::Checkpoint => {
            return a.store.checkpoint().map_err(Into::into);
        }
        Case::Attach | Case::Fill => {
            let step = a.run(async |sides| {
                sides.greet().await?;
                sides.pull().await?;
                sides.push_all().await.map(drop)
            });
            // What was written once it was mirrored is owed to the database, whatever failed before.
            if case == Case::Attach && a.docs.delete(["own-03"]).is_ok() {
                acked.push(("own-03", None));
            }
            step
        }
        Case::Push => a.run(async |sides| sides.push_all().await.map(drop)),
        Case::Feed => a.run(async |sides| {
            while sides.feed().await? == 0 {}
            Ok(())
        }),
        Case::Audit => a.run(async |sides| sides.audit(DOCS, true).await.map(drop)),
        Case::Repair(trust) => a.run(async |sides| sides.repair(DOCS, trust, false).await.map(drop)),
        Case::Collect => a.run(async |sides| {
            sides.forget_graves()?;
            sides.collect().await?;
            sides.persist().map_err(Into::into)
        }),
    };
    step.unwrap()
}

fn searches_go_on(a: &Replica) -> Checked {
    a.docs.search(&[1.0, 1.0]).k(3).run().map(drop).map_err(|e| format!("a search failed: {e}"))
}

/// The error has a kind that says what to do, and the status repeats it.
fn says_why(trouble: &Trouble, a: Option<&Replica>) -> Checked {
    let Trouble::Local(error) = trouble else { return Err(format!("the database is blamed: {trouble:?}")) };
    if [ErrorKind::Internal, ErrorKind::Corrupt].contains(&error.kind()) {
        return Err(format!("the error is {error:?}"));
    }
    let status = a.map(|a| a.sides.status()).transpose().map_err(|e| e.to_string())?;
    let is_told =
        status.is_none_or(|status| status.reason.is_some() || status.state.to_string() != "db_resource");
    if is_told { Ok(()) } else { Err("the status gives no reason".to_owned()) }
}

/// The disk is well: the mirror goes on, or the store says that it must be opened again.
fn goes_on(a: &mut Replica, case: Case) -> Checked<Option<Rows>> {
    match equal(a, case) {
        Ok(rows) => Ok(Some(rows)),
        Err(Trouble::Local(e)) if e.kind() == ErrorKind::Poisoned => Ok(None),
        Err(trouble) => Err(format!("{trouble:?}")),
    }
}

/// The store is opened anew, and both sides are brought together.
fn opened(disk: &SimDisk, world: &Arc<Mutex<World>>, case: Case) -> Checked<Rows> {
    let mut a = replica(disk, world).map_err(|e| e.to_string())?;
    a.clock.fetch_add(7_200_000, Ordering::Relaxed);
    equal(&mut a, case).map_err(|trouble| format!("{trouble:?}"))
}

/// Both sides are equal, and prove it. What they hold.
fn equal(a: &mut Replica, case: Case) -> Step<Rows> {
    let together = a.run(async |sides| {
        if sides.database.is_none() {
            sides.greet().await?;
        }
        sides.pull().await?;
        sides.push_all().await?;
        sides.pull().await?;
        if let Case::Repair(trust) = case {
            sides.repair(DOCS, trust, false).await?;
        }
        sides.audit(DOCS, true).await
    });
    let report = together.unwrap()?;
    let here = a.docs.scroll(None, None, usize::MAX)?.chunks;
    let here: Rows = here.into_iter().map(|c| (c.id, c.vector.map_or(f32::NAN, |v| v[0]))).collect();
    let world = a.line.world.clone();
    let ids: Vec<String> = world.lock().live(DOCS).iter().map(|head| head.id.to_string()).collect();
    let there: Rows =
        ids.into_iter().map(|id| (id.clone(), x_there(&world, &id).unwrap_or(f32::NAN))).collect();
    let drift = if case == Case::Audit { 2 } else { 0 };
    if report.drift() != drift || report.dirty > 0 || drift == 0 && here != there {
        let message = format!("not equal: {report:?}, here {here:?}, there {there:?}");
        return Err(Error::new(ErrorKind::Internal, message).into());
    }
    Ok(here)
}

/// What was acknowledged is there, what was not is there or not, and all else is as it is without a fault.
fn holds(rows: &Rows, wanted: &Rows, acked: &[(&'static str, Option<f32>)]) -> Checked {
    for (id, x) in acked {
        if rows.get(*id) != x.as_ref() {
            return Err(format!("{id} was acknowledged as {x:?} and is {:?}", rows.get(*id)));
        }
    }
    let is_open = |id: &str| ["mine", "clean-02", "theirs-3", "own-03"].contains(&id);
    let rest = |rows: &Rows| -> Rows {
        rows.iter().filter(|(id, _)| !is_open(id)).map(|(id, x)| (id.clone(), *x)).collect()
    };
    let (rows, wanted) = (rest(rows), rest(wanted));
    if wanted.is_empty() || rows == wanted { Ok(()) } else { Err(format!("{rows:?} is not {wanted:?}")) }
}

#[test]
fn l16_m2_any_call_of_a_mirrored_store_may_fail() {
    let is_long = std::env::var("NEARFIELD_CRASH").is_ok_and(|value| value == "long");
    let (base, mut trials) = (Base::new(), BTreeMap::new());
    for case in CASES {
        let (_, wanted) = base.try_case(case, None, &Rows::new()).unwrap_or_else(|e| panic!("{case:?}: {e}"));
        for (fault, sticky) in Fault::ALL.into_iter().flat_map(|fault| [(fault, false), (fault, true)]) {
            let stride = if is_long || fault == Fault::Io { 1 } else { 5 };
            for n in (fault as u64 % stride..).step_by(stride as usize) {
                let plan = Plan { n, fault, sticky };
                let tried = base.try_case(case, Some(plan), &wanted);
                let (is_met, _) = tried.unwrap_or_else(|e| panic!("{case:?}, {plan:?}: {e}"));
                *trials.entry(format!("{case:?}")).or_insert(0) += 1;
                if !is_met {
                    break;
                }
            }
        }
    }
    println!("faults of mirrored stores: {} trials, {trials:?}", trials.values().sum::<i32>());
}
