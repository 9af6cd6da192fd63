//! Goal: any call to the disk may fail, once or for ever: the answer is `Ok` or an error that says what to do, the state is as
//! before or after, searches go on, and what was acknowledged is durable (L4, L16, L17). Method: each operation of a store is
//! tried with its first call failing, its second, and so on until it passes; then the power goes, or the disk heals.

use super::check::{Checked, agree, expect, recover};
use super::crash::{is_long, seeds};
use super::model::{Op, Point, Start, State, World, options};
use crate::config::{Durability, Options};
use crate::disk::sim::{Fault, Loss, SimDisk};
use crate::engine::Store;
use crate::engine::files::checkpoint::Scope;
use crate::error::{ErrorKind, Result};
use crate::record::Chunk;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Case {
    /// Opening a disk.
    Open(&'static str),
    Step(Op),
    Close,
}

/// Where cases start.
struct Base {
    seed: u64,
    options: Options,
    /// Nothing, a store that was left, one that lost power.
    disks: [(&'static str, SimDisk, Start); 3],
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    n: u64,
    fault: Fault,
    sticky: bool,
}

fn rows(ids: std::ops::Range<usize>, version: usize) -> Vec<Chunk> {
    let row = |id: usize| {
        let vector = [id as f32, version as f32, 1.0, -(id as f32)];
        let chunk =
            Chunk::new(format!("id-{id}")).vector(vector).text("t".repeat(id)).meta("n", version as u64);
        chunk.meta("lang", "en").document(format!("doc-{}", id % 3), id as u32)
    };
    ids.map(row).collect()
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ["new", "left", "lost"].map(Case::Open).into();
    cases.extend(
        [
            Op::Create("c"),
            Op::Drop("b"),
            Op::Rename("a", "b"),
            Op::Rename("b", "c"),
            Op::Exchange("a", rows(0..9, 9), vec!["id-3".into(), "id-30".into()]),
            Op::Upsert("a", rows(7..8, 9)),
            Op::Upsert("a", rows(0..45, 9)),
            Op::Delete("a", vec!["id-3".into(), "id-30".into()]),
            Op::Checkpoint(Scope::Seal),
            Op::Checkpoint(Scope::Links),
            Op::Checkpoint(Scope::Whole),
        ]
        .map(Case::Step),
    );
    cases.push(Case::Close);
    cases
}

impl Base {
    fn new(seed: u64, durability: Durability) -> Self {
        let options = options(durability);
        let mut world = World::new(seed, options.clone());
        for name in ["a", "b"] {
            world.step(&Op::Create(name)).unwrap();
            world.step(&Op::Upsert(name, rows(0..40, 1))).unwrap();
        }
        let mut walked = 0;
        while walked < 8 {
            let op = world.draw();
            if !matches!(op, Op::Drop(_) | Op::Create(_) | Op::Rename(..)) {
                world.step(&op).unwrap();
                walked += 1;
            }
        }
        world.step(&Op::Flush).unwrap();
        let last = world.points.last().unwrap();
        let start = Start { state: last.state.clone(), token: last.token, ver: last.ver };
        let lost = world.disk.image(Loss::Unsynced, seed);
        world.store = None;
        let left = world.disk.snapshot();
        let disks =
            [("new", SimDisk::new(), Start::default()), ("left", left, start.clone()), ("lost", lost, start)];
        Self { seed, options, disks }
    }

    fn disk(&self, name: &str) -> (SimDisk, Start) {
        let (_, disk, start) = self.disks.iter().find(|(of, ..)| *of == name).unwrap();
        (disk.snapshot(), start.clone())
    }

    /// Whether the fault was met.
    fn try_open(&self, name: &str, plan: Plan) -> Checked<bool> {
        let (disk, start) = self.disk(name);
        let open = |disk: &SimDisk| Store::open_still(Arc::new(disk.clone()), self.options.clone());
        disk.fail(plan.n, plan.fault, plan.sticky);
        let answer = open(&disk);
        let is_met = disk.faults_met() > 0;
        let Start { state, token, ver } = start;
        let point = [Point { operations: 0, state, token, ver, is_durable: true }];
        match answer {
            Ok(store) => drop(agree(&store, &point)?),
            Err(e) => typed(&e)?,
        }
        power_loss(&disk, &self.options, plan, &point)?;
        disk.heal();
        recover(&disk, &self.options, &point)?;
        Ok(is_met)
    }

    fn try_step(&self, case: &Case, plan: Plan) -> Checked<bool> {
        let (disk, start) = self.disk("left");
        let mut world = World::on(disk, start, self.seed, self.options.clone()).map_err(|e| e.to_string())?;
        // Rows that only the log holds, a full block among them.
        world.step(&Op::Upsert("a", rows(30..60, 2))).map_err(|e| e.to_string())?;
        let before = world.state().clone();
        let after = match case {
            Case::Step(op) => op.apply(&before),
            _ => before.clone(),
        };
        world.disk.fail(world.disk.calls() + plan.n, plan.fault, plan.sticky);
        let answer = match case {
            Case::Step(op) => world.step(op),
            _ => world.store().close(Duration::from_secs(60)),
        };
        let is_met = world.disk.faults_met() > 0;
        expect(is_met || answer.is_ok(), || format!("failed without a fault: {answer:?}"))?;
        self.after(&mut world, &answer, (&before, &after), plan)?;
        self.heal(world, case, &after)?;
        Ok(is_met)
    }

    /// What holds while the disk is as bad as it is.
    fn after(
        &self,
        world: &mut World,
        answer: &Result<()>,
        (before, after): (&State, &State),
        plan: Plan,
    ) -> Checked {
        let last = world.points[0].clone();
        let point = |state: &State| Point { state: state.clone(), ..last.clone() };
        if let Err(e) = answer {
            typed(e)?;
        }
        // Searches go on, whatever has failed.
        let visible = super::check::state_of(world.store())?;
        expect(visible == *before || visible == *after, || {
            "l16: the state is neither that before nor after".into()
        })?;
        expect(answer.is_err() || visible == *after, || "an acknowledged write is not seen".into())?;
        super::check::answer_as(world.store(), &visible)?;
        if answer.is_err() && visible == *after && before != after {
            world.remember(after.clone(), self.options.durability == Durability::Durable);
        }
        if self.options.durability == Durability::Durable {
            let possible = if visible == *after && (answer.is_ok() || before != after) {
                vec![point(after)]
            } else {
                vec![point(before), point(after)]
            };
            return power_loss(&world.disk, &self.options, plan, &possible);
        }
        let mut possible = world.possible(u64::MAX).to_vec();
        possible.push(point(after));
        power_loss(&world.disk, &self.options, plan, &possible)
    }

    /// The disk is well again: the store goes on, or says that it must be opened again.
    fn heal(&self, mut world: World, case: &Case, after: &State) -> Checked {
        world.disk.heal();
        let next = Op::Upsert("a", rows(2..4, 3));
        let flushed = world.step(&next).and_then(|()| world.step(&Op::Flush));
        let mut possible = match &flushed {
            Ok(()) => vec![world.points.last().unwrap().clone()],
            Err(e) => {
                let expected =
                    if matches!(case, Case::Close) { ErrorKind::Closed } else { ErrorKind::Poisoned };
                expect(e.kind() == expected || e.kind() == ErrorKind::Poisoned, || {
                    format!("after healing: {e}")
                })?;
                world.possible(u64::MAX).to_vec()
            }
        };
        if flushed.is_err() {
            let last = possible.last().unwrap().clone();
            possible.push(Point { state: after.clone(), ..last.clone() });
            if matches!(case, Case::Step(_)) {
                possible.push(Point { state: next.apply(&last.state), ..last });
            }
        } else {
            recover(&world.disk.image(Loss::Unsynced, 1), &self.options, &possible)
                .map_err(|e| format!("l17: healed, then a power loss: {e}"))?;
        }
        if let (Ok(()), true) = (&flushed, !matches!(case, Case::Close)) {
            world
                .step(&Op::Checkpoint(Scope::Whole))
                .map_err(|e| format!("checkpoint after healing: {e}"))?;
        }
        world.store = None;
        recover(&world.disk, &self.options, &possible)
            .map(drop)
            .map_err(|e| format!("healed and opened: {e}"))
    }
}

fn typed(e: &crate::Error) -> Checked {
    expect(e.kind() != ErrorKind::Internal && e.kind() != ErrorKind::Corrupt, || {
        format!("the error is {e:?}")
    })
}

fn power_loss(disk: &SimDisk, options: &Options, plan: Plan, possible: &[Point]) -> Checked {
    let loss = [Loss::Unsynced, Loss::Nothing, Loss::Scattered][(plan.n as usize + plan.fault as usize) % 3];
    recover(&disk.image(loss, plan.n), options, possible).map(drop).map_err(|e| format!("then {loss:?}: {e}"))
}

fn run(first: u64, durability: Durability, goal: usize) {
    let started = std::time::Instant::now();
    let (mut trials, mut runs) = (0, 0);
    for seed in seeds(first) {
        let base = Base::new(seed, durability);
        for case in cases() {
            for (fault, sticky) in Fault::ALL.into_iter().flat_map(|fault| [(fault, false), (fault, true)]) {
                // One kind of error at every call, the others at some, unless there is time.
                let stride = if is_long() || fault == Fault::Io { 1 } else { 5 };
                for n in (fault as u64 % stride..).step_by(stride as usize) {
                    let plan = Plan { n, fault, sticky };
                    let tried = match &case {
                        Case::Open(name) => base.try_open(name, plan),
                        _ => base.try_step(&case, plan),
                    };
                    let is_met = tried
                        .unwrap_or_else(|e| panic!("seed {seed}, {durability}, {case:.60?}, {plan:?}: {e}"));
                    trials += 1;
                    if !is_met {
                        break;
                    }
                }
            }
        }
        runs += 1;
        if trials >= goal {
            break;
        }
    }
    println!(
        "faults, {durability}: {trials} trials of {runs} runs from seed {first}, {:.1?}",
        started.elapsed()
    );
}

#[test]
fn l4_l16_l17_any_call_may_fail() {
    run(4_000_001, Durability::Durable, if is_long() { 24_000 } else { 1 });
}

#[test]
fn l16_any_call_may_fail_under_buffered_writes() {
    run(5_000_001, Durability::Buffered, if is_long() { 6_000 } else { 1 });
}
