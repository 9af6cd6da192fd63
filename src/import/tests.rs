//! Goal: an import on a disk that fails has changed nothing or all, and goes on when it can. Method: a simulated disk; the power goes in each
//! operation of an import and of its undoing, each call fails, there is no room; the file that is imported is a real one.

use super::journal::{BROUGHT, PREVIOUS, STAGED};
use super::rejects::Rejects;
use super::stage::Stage;
use super::verify::verify;
use super::{Mode, Request, Spec, rollback, run, source};
use crate::config::{Metric, Options, Schema, Tiny};
use crate::disk::sim::{Fault, Loss, SimDisk};
use crate::engine::Store;
use crate::error::{ErrorKind, Result};
use crate::record::Chunk;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use tempfile::NamedTempFile;

const DIM: usize = 4;
const NAME: &str = "docs";

type Rows = BTreeMap<String, Chunk>;

/// A store with a collection, a file to import, and what both come to.
struct Bed {
    file: NamedTempFile,
    mode: Mode,
    /// The store has a mirror.
    attached: bool,
    before: Option<Rows>,
    after: Option<Rows>,
}

fn row(id: &str, n: usize) -> Chunk {
    Chunk::new(id)
        .vector((0..DIM).map(|k| (n * 3 + k) as f32 + 0.5).collect::<Vec<_>>())
        .text(format!("{id} {n}"))
}

fn of(rows: impl IntoIterator<Item = Chunk>) -> Rows {
    rows.into_iter().map(|row| (row.id.clone(), row)).collect()
}

fn options() -> Options {
    let tiny = Some(Tiny { block_slots: 16, log_file_bytes: 8 << 10 });
    Options { tiny, disk_reserve_bytes: 0, ..Options::default() }
}

fn open(disk: &SimDisk) -> Result<Store> {
    Store::open_still(Arc::new(disk.clone()), options())
}

/// What a caller sees under the name.
fn seen(store: &Store) -> Option<Rows> {
    let docs = store.open_collection(NAME).ok()?;
    Some(of(docs.scroll(None, None, usize::MAX).unwrap().chunks))
}

impl Bed {
    fn new(mode: Mode, attached: bool) -> (Self, SimDisk) {
        let old = (0..20).map(|n| row(&format!("old-{n}"), n)).chain([row("both", 99)]);
        let new: Vec<Chunk> =
            (0..30).map(|n| row(&format!("new-{n}"), n + 7)).chain([row("both", 1)]).collect();
        let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
        for row in &new {
            writeln!(file, "{}", serde_json::to_string(row).unwrap()).unwrap();
        }
        let before = (mode != Mode::Create).then(|| of(old));
        let mut after = if mode == Mode::Append { before.clone().unwrap() } else { Rows::new() };
        after.extend(of(new));
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        if attached {
            store.tap().attach().unwrap();
        }
        if let Some(rows) = &before {
            let docs = store.create_collection(NAME, Schema::new(DIM, Metric::L2)).unwrap();
            docs.upsert(rows.values().cloned()).unwrap();
        }
        store.create_collection("other", Schema::new(DIM, Metric::L2)).unwrap();
        (Self { file, mode, attached, before, after: Some(after) }, disk)
    }

    fn import(&self, store: &Store) -> Result<()> {
        self.import_telling(store, &mut |_| {})
    }

    /// `tell` hears how many rows of the file were read.
    fn import_telling(&self, store: &Store, tell: &mut dyn FnMut(u64)) -> Result<()> {
        let request = Request {
            spec: Spec { path: self.file.path().to_owned(), ..Spec::default() },
            into: NAME.to_owned(),
            mode: self.mode,
            metric: Some(Metric::L2),
            batch_rows: 7,
            yes: true,
            ..Request::default()
        };
        run(Some(store), &request, &mut |_, done, _| tell(done)).map(drop)
    }

    /// What a rollback leaves: in a store with a mirror a collection stays.
    fn undone(&self) -> Option<Rows> {
        self.before.clone().or(self.attached.then(Rows::new))
    }

    /// What is there is one or the other, nothing else is seen, and the same command ends it.
    fn check(&self, disk: &SimDisk, told: &str, go_on: bool) {
        let store = open(disk).unwrap_or_else(|e| panic!("{told}: {e}"));
        let now = seen(&store);
        assert!(now == self.before || now == self.after, "{told}: {:?} rows", now.map(|rows| rows.len()));
        let names: Vec<String> = store.collections().iter().map(|c| c.name().to_owned()).collect();
        assert!(names.iter().all(|name| name == NAME || name == "other"), "{told}: {names:?}");
        if !go_on {
            return;
        }
        if now == self.before {
            self.import(&store).unwrap_or_else(|e| panic!("{told}: {e}"));
            assert_eq!(seen(&store), self.after, "{told}");
            assert!(store.hidden(STAGED).is_none(), "{told}");
        }
        // What was switched in can be undone, whatever its process came to.
        rollback(&store, false).unwrap_or_else(|e| panic!("{told}: {e}"));
        assert_eq!(seen(&store), self.undone(), "{told}");
        for name in [STAGED, PREVIOUS, BROUGHT] {
            assert!(store.hidden(name).is_none(), "{told}: {name} is left");
        }
    }
}

fn beds() -> impl Iterator<Item = (Bed, SimDisk)> {
    [Mode::Create, Mode::Append, Mode::Replace]
        .into_iter()
        .flat_map(|mode| [false, true].map(|attached| Bed::new(mode, attached)))
}

#[test]
fn a_power_loss_in_any_operation_leaves_before_or_after() {
    let mut images = 0;
    for (bed, disk) in beds() {
        let first = disk.operations();
        bed.import(&open(&disk).unwrap()).unwrap();
        let mut replay = disk.replay();
        loop {
            let at = replay.operations();
            if at >= first {
                for (nth, loss) in Loss::ALL.into_iter().enumerate() {
                    let image = replay.image(loss, at << 4 | nth as u64);
                    let told =
                        format!("{:?}, attached {}, {loss:?} in operation {at}", bed.mode, bed.attached);
                    bed.check(&image, &told, (at + nth as u64).is_multiple_of(3));
                    images += 1;
                }
            }
            if !replay.step() {
                break;
            }
        }
    }
    println!("{images} images");
    assert!(images > 1_000, "{images}");
}

#[test]
fn a_power_loss_in_any_operation_of_undoing_leaves_before_or_after() {
    let mut images = 0;
    for (bed, disk) in beds() {
        bed.import(&open(&disk).unwrap()).unwrap();
        let first = disk.operations();
        rollback(&open(&disk).unwrap(), false).unwrap();
        let mut replay = disk.replay();
        loop {
            let at = replay.operations();
            if at >= first {
                let loss = Loss::ALL[at as usize % Loss::ALL.len()];
                let image = replay.image(loss, at);
                let told = format!("{:?}, attached {}, {loss:?} in operation {at}", bed.mode, bed.attached);
                let store = open(&image).unwrap();
                let now = seen(&store);
                assert!(now == bed.after || now == bed.undone(), "{told}: {:?} rows", now.map(|r| r.len()));
                // Called again it ends what was begun, or says that it was done.
                match rollback(&store, false) {
                    Ok(_) => {}
                    Err(e) => assert!(e.kind() == ErrorKind::NotFound && now == bed.undone(), "{told}: {e}"),
                }
                assert_eq!(seen(&store), bed.undone(), "{told}");
                images += 1;
            }
            if !replay.step() {
                break;
            }
        }
    }
    println!("{images} images");
}

#[test]
fn any_call_to_the_disk_may_fail() {
    let mut met = 0;
    for (bed, disk) in beds() {
        for fault in Fault::ALL {
            // Steps that have nothing in common with the sizes of batches and files.
            for n in (0..).step_by(if fault == Fault::Io { 3 } else { 7 }) {
                let disk = disk.snapshot();
                let store = open(&disk).unwrap();
                disk.fail(disk.calls() + n, fault, n % 2 == 0);
                let done = bed.import(&store);
                let is_met = disk.faults_met() > 0;
                let told = format!("{:?}, attached {}, {fault:?} at call {n}", bed.mode, bed.attached);
                assert!(is_met || done.is_ok(), "{told}: {done:?}");
                let now = seen(&store);
                assert!(now == bed.before || now == bed.after, "{told}");
                // What was committed is no failure, and what failed has changed nothing.
                assert_eq!(done.is_ok(), now == bed.after, "{told}: {done:?}");
                if let Err(e) = &done {
                    assert!(e.kind() != ErrorKind::Internal, "{told}: {e}");
                }
                drop(store);
                disk.heal();
                bed.check(&disk, &told, true);
                met += usize::from(is_met);
                if !is_met {
                    break;
                }
            }
        }
    }
    println!("{met} faults");
    assert!(met > 100, "{met}");
}

#[test]
fn a_disk_that_is_full_while_rows_are_staged_keeps_what_was_there_and_gives_the_room_back() {
    for (bed, disk) in beds() {
        let (mut refused, mut on_the_way) = (0, 0);
        for room in (0..400_000).step_by(4_000) {
            let disk = disk.snapshot();
            let store = open(&disk).unwrap();
            disk.capacity(disk.files().values().sum::<u64>() + room);
            let mut read = 0;
            let Err(e) = bed.import_telling(&store, &mut |done| read = read.max(done)) else { break };
            assert_eq!(e.kind(), ErrorKind::Full, "{e}");
            assert_eq!(seen(&store), bed.before);
            assert!(store.hidden(STAGED).is_none(), "what was staged is gone");
            refused += 1;
            on_the_way += usize::from(read > 0);
            disk.capacity(u64::MAX);
            bed.import(&store).unwrap();
            assert_eq!(seen(&store), bed.after);
        }
        assert!(refused > 0 && on_the_way > 0, "{refused} were refused, {on_the_way} of them on the way");
    }
}

#[test]
fn of_two_imports_the_last_is_undone() {
    for (bed, disk) in beds().filter(|(bed, _)| bed.mode != Mode::Create) {
        let store = open(&disk).unwrap();
        bed.import(&store).unwrap();
        store.open_collection(NAME).unwrap().upsert([row("between", 3)]).unwrap();
        let between = seen(&store);
        bed.import(&store).unwrap();
        rollback(&store, false).unwrap();
        assert_eq!(seen(&store), between);
        let again = rollback(&store, false).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound, "{again}");
    }
}

/// Stages the file of a bed, has `change` done to what is staged, and verifies.
fn verified_after(change: impl FnOnce(&Store, &mut NamedTempFile)) -> Result<()> {
    let (mut bed, disk) = Bed::new(Mode::Create, false);
    let store = open(&disk).unwrap();
    let spec = Spec { path: bed.file.path().to_owned(), ..Spec::default() };
    let staged = store.hidden_or_create(STAGED, Schema::new(DIM, Metric::L2)).unwrap();
    let schema = staged.schema().clone();
    let stage = Stage { into: Some(&staged), schema, batch_rows: 7, bytes_max: u64::MAX };
    let mut rejects = Rejects::new(0, None).unwrap();
    let taken = stage.fill(source::open(&spec).unwrap().as_mut(), &mut rejects, &mut |_| {}).unwrap();
    change(&store, &mut bed.file);
    verify(&staged, &stage, &taken, source::open(&spec).unwrap().as_mut(), &mut |_| {}).map(drop)
}

#[test]
fn what_is_staged_is_compared_with_the_file_row_by_row() {
    let staged = |store: &Store| store.hidden(STAGED).unwrap();
    verified_after(|_, _| {}).unwrap();
    let said = |change: &dyn Fn(&Store, &mut NamedTempFile)| verified_after(change).unwrap_err().to_string();
    let one_less = said(&|store, _| assert_eq!(staged(store).delete(["new-3"]).unwrap().0, 1));
    assert!(
        one_less.contains("of 30 rows, and the file is") && one_less.contains("of 31 rows"),
        "{one_less}"
    );
    let one_more = said(&|store, _| drop(staged(store).upsert([row("more", 5)]).unwrap()));
    assert!(one_more.contains("of 32 rows"), "{one_more}");
    let other = said(&|store, _| {
        let mut row = staged(store).get("new-3").unwrap().unwrap();
        row.vector.as_mut().unwrap()[2] = f32::from_bits(row.vector.as_ref().unwrap()[2].to_bits() + 1);
        staged(store).upsert([row]).unwrap();
    });
    assert!(other.contains("what was stored is"), "{other}");
    let changed = said(&|_, file| {
        let text = std::fs::read_to_string(file.path()).unwrap().replace("new-3 ", "new-4 ");
        std::fs::write(file.path(), text).unwrap();
    });
    assert!(changed.contains("the file changed while it was read"), "{changed}");
}
