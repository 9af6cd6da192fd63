//! Goal: whatever happens, in whatever order, both sides end equal, and no invariant of the protocol is broken on the way. Method: short
//! random histories of three stores on one twin. The seed is printed; `NEARFIELD_SEED` runs one history alone, `NEARFIELD_HISTORIES`
//! sets how many there are.

use super::*;
use crate::ids::{ChunkId, Ver};
use crate::mirror::backoff::Random;
use crate::mirror::memory::Memory;
use crate::mirror::options::Trust;
use crate::mirror::remote::{FaultClass, Snapshot};
use crate::mirror::twin::Upset;
use crate::record::{Head, Stamp};
use std::collections::{BTreeMap, BTreeSet};

const REPLICAS: usize = 3;
const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const HISTORIES: u64 = 20_000;
const STEPS: u64 = 28;
/// Rows that one step may delete unasked.
const GUARD: usize = 2;

struct History {
    world: Arc<Mutex<World>>,
    replicas: Vec<Replica>,
    random: Random,
    copies: Vec<World>,
    value: f32,
    /// What has happened, to be printed.
    log: Vec<String>,
    /// The greatest version of each id that was accepted somewhere.
    accepted: BTreeMap<String, Ver>,
    /// Something happened that may lose accepted versions: a decision of a person, or a failover beyond what is retained.
    has_lost: bool,
    /// The greatest version that a clean row of each replica has had.
    highest: Vec<BTreeMap<ChunkId, Stamp>>,
    /// What hosts have deleted since the last step of a mirror began.
    deleted: Arc<Mutex<BTreeSet<ChunkId>>>,
}

fn below(random: &mut Random, bound: u64) -> u64 {
    random.next() % bound
}

impl History {
    fn new(seed: u64) -> Self {
        let world = world();
        let options = MirrorOptions::default()
            .delete_guard_rows(GUARD)
            .delete_guard_share(0.0)
            .feed_page_rows(1 + seed as usize % 4)
            .batch_rows_max(1 + seed as usize % 5)
            .rebuild_ranges(2);
        let replicas = (0..REPLICAS).map(|_| Replica::new(&world, options.clone())).collect();
        Self {
            world,
            replicas,
            random: Random(seed),
            copies: Vec::new(),
            value: 0.0,
            log: Vec::new(),
            accepted: BTreeMap::new(),
            has_lost: false,
            highest: vec![BTreeMap::new(); REPLICAS],
            deleted: Arc::default(),
        }
    }

    fn pick(&mut self, bound: usize) -> usize {
        below(&mut self.random, bound as u64) as usize
    }

    fn id(&mut self) -> &'static str {
        IDS[self.pick(IDS.len())]
    }

    fn next_value(&mut self) -> f32 {
        self.value += 1.0;
        self.value
    }

    fn step(&mut self) {
        let at = self.pick(REPLICAS);
        self.replicas[at].clock.fetch_add(20, Ordering::Relaxed);
        self.world.lock().now_ms = self.replicas[at].clock.load(Ordering::Relaxed);
        match self.pick(100) {
            0..18 => self.write(at),
            18..23 => self.delete(at),
            23..62 => self.work(at),
            62..68 => self.edit_by_hand(),
            68..77 => self.others(),
            77..84 => self.trip(at),
            84..94 => self.startle(at),
            94..96 => {
                self.log.push(format!("{at} dies"));
                self.replicas[at].crash();
            }
            96 => self.lose_acks(at),
            97 => self.copies.push(self.world.lock().clone()),
            98 => self.fail_over(),
            _ if self.pick(3) == 0 => {
                self.log.push("truncate".into());
                self.world.lock().truncate();
                self.forgive();
            }
            _ => self.world.lock().restart(),
        }
    }

    fn write(&mut self, at: usize) {
        let (id, x) = (self.id(), self.next_value());
        self.log.push(format!("{at} puts {id} = {x}"));
        self.replicas[at].put(id, x);
        self.note_accepted(at);
    }

    fn delete(&mut self, at: usize) {
        let id = self.id();
        self.log.push(format!("{at} deletes {id}"));
        self.replicas[at].delete(id);
        self.note_accepted(at);
    }

    fn note_accepted(&mut self, at: usize) {
        for out in self.dirty(at) {
            let most = self.accepted.entry(out.id.to_string()).or_default();
            *most = (*most).max(out.ver);
        }
    }

    fn dirty(&self, at: usize) -> Vec<Head> {
        let docs = self.replicas[at].tap.collection(DOCS, &schema()).unwrap();
        let out = docs.outgoing(100, usize::MAX, &|_| false).unwrap();
        out.iter().map(|out| out.edition.head()).collect()
    }

    fn edit_by_hand(&mut self) {
        let (id, x) = (self.id(), self.next_value());
        let vector = (self.pick(4) > 0).then_some([x, 2.0]);
        self.log.push(format!("by hand {id} = {vector:?}"));
        self.world.lock().edit(DOCS, id, vector.as_ref().map(|v| &v[..]));
    }

    /// Other transactions begin, write and end, in any order.
    fn others(&mut self) {
        let open = self.world.lock().open();
        match self.pick(4) {
            0 if !open.is_empty() => {
                let xid = open[self.pick(open.len())];
                self.log.push(format!("{xid} commits"));
                self.world.lock().commit(xid);
            }
            1 if !open.is_empty() => {
                let xid = open[self.pick(open.len())];
                self.log.push(format!("{xid} rolls back"));
                self.world.lock().roll_back(xid);
            }
            2 => {
                self.log.push("echoes".into());
                self.world.lock().deliver_again();
            }
            _ => {
                let (id, x) = (self.id(), self.next_value());
                let mut world = self.world.lock();
                let xid = world.begin();
                let done = world.write_in(xid, DOCS, id, Some(&[x, 3.0]));
                drop(world);
                self.log.push(format!("{xid} begins, {id} = {x}: {done}"));
            }
        }
    }

    /// The next calls of a replica fail in some way.
    fn trip(&mut self, at: usize) {
        for _ in 0..self.pick(3) {
            self.replicas[at].line.upset(Upset::Ok);
        }
        let upset = match self.pick(9) {
            0 => Upset::Fails(FaultClass::Demoted, "25006"),
            1 => Upset::Fails(FaultClass::Resource, "53100"),
            2 => Upset::Fails(FaultClass::Unknown, "XX000"),
            3 => Upset::Hang,
            4 => Upset::LostBefore,
            5 => Upset::LostAfter,
            6 => Upset::Late,
            _ => Upset::Twice,
        };
        self.log.push(format!("{at} trips: {upset:?}"));
        self.replicas[at].line.upset(upset);
    }

    /// Something happens between two calls of a replica's next step.
    fn startle(&mut self, at: usize) {
        let (any, x) = (self.id(), self.next_value());
        // Most happens where a version is on its way out.
        let on_its_way = self.dirty(at).first().and_then(|head| IDS.into_iter().find(|id| head.id == *id));
        let id = on_its_way.unwrap_or(any);
        let world = self.world.clone();
        let docs = self.replicas[at].docs.clone();
        for _ in 0..self.pick(3) {
            self.replicas[at].line.surprise(Box::new(|| {}));
        }
        self.log.push(format!("{at} is in for a surprise at {id} = {x}"));
        let which = self.pick(4);
        self.replicas[at].line.surprise(match which {
            0 => Box::new(move || _ = docs.upsert([Chunk::new(id).vector([x, 1.0])]).unwrap()),
            1 => {
                let deleted = self.deleted.clone();
                Box::new(move || {
                    docs.delete([id]).unwrap();
                    deleted.lock().insert(id.into());
                })
            }
            2 => Box::new(move || _ = world.lock().edit(DOCS, id, Some(&[x, 2.0]))),
            _ => Box::new(move || {
                let xid = world.lock().open().first().copied();
                xid.into_iter().for_each(|xid| world.lock().commit(xid));
            }),
        });
        self.work(at);
    }

    /// Acknowledgements are not durable: rows may be dirty again.
    fn lose_acks(&mut self, at: usize) {
        let ids: Vec<ChunkId> =
            IDS.iter().filter(|_| below(&mut self.random, 2) == 0).map(|id| (*id).into()).collect();
        self.log.push(format!("{at} forgets that {ids:?} were acknowledged"));
        self.replicas[at].tap.collection(DOCS, &schema()).unwrap().soil(&ids, false).unwrap();
    }

    fn fail_over(&mut self) {
        if self.copies.is_empty() {
            return;
        }
        let which = self.pick(self.copies.len());
        let copy = self.copies.swap_remove(which);
        self.log.push("failover".into());
        self.world.lock().fail_over_to(&copy);
        // Copies of a line of time that was left are no copies of this one.
        self.copies.clear();
        self.forgive();
    }

    /// Versions may go back after this.
    fn forgive(&mut self) {
        self.has_lost = true;
        self.highest.iter_mut().for_each(BTreeMap::clear);
    }

    /// One step of a replica's mirror.
    fn work(&mut self, at: usize) {
        if self.replicas[at].sides.blocked.is_some() {
            let trust = if self.pick(2) == 0 { Trust::Database } else { Trust::Local };
            self.log.push(format!("{at} trusts {trust:?}"));
            self.replicas[at].run(async |sides| sides.resolve(trust)).unwrap().unwrap();
            return self.forgive();
        }
        self.deleted.lock().clear();
        let before: BTreeSet<ChunkId> =
            IDS.into_iter().filter(|id| self.replicas[at].x(id).is_some()).map(ChunkId::from).collect();
        let was_told = self.replicas[at].sides.verdict.is_some();
        let is_connected = self.replicas[at].sides.database.is_some();
        let unverified = self.replicas[at].sides.memory.unverified().map(str::to_owned);
        let replica = &mut self.replicas[at];
        let what = match below(&mut self.random, 10) {
            _ if !is_connected => {
                replica.run(async |sides| sides.greet().await);
                "greets"
            }
            0..4 => {
                replica.run(async |sides| sides.push().await);
                "pushes"
            }
            4..8 => {
                if let Some(Ok(0)) = replica.run(async |sides| sides.feed().await) {
                    replica.run(async |sides| sides.feed().await);
                }
                "feeds"
            }
            8 if unverified.is_some() => {
                let name = unverified.unwrap_or_default();
                replica.run(async |sides| sides.verify(&name).await);
                "verifies"
            }
            8 => {
                let done = replica.run(async |sides| sides.audit(DOCS, false).await);
                // Of a database that was replaced it says so, and the next look who answers stops.
                let is_known = replica.sides.memory.identity.as_ref() == Some(&self.world.lock().identity);
                if let Some(Ok(report)) = done.filter(|_| is_known) {
                    assert_eq!(report.drift(), 0, "{at}: an audit of a verified collection: {report:?}");
                    assert!(report.is_equal(), "{at}: {report:?}");
                }
                "audits"
            }
            _ => {
                replica.run(async |sides| sides.greet().await);
                "greets again"
            }
        };
        let told = self.replicas[at].sides.blocked.as_ref().map(ToString::to_string);
        self.log.push(format!("{at} {what} {}", told.unwrap_or_default()));
        // Somebody may have deleted meanwhile: then what is gone is dirty, or was sent already.
        let mut left = self.live(at);
        left.append(&mut self.deleted.lock().clone());
        let gone = before.difference(&left).count();
        assert!(was_told || gone <= GUARD, "M17: {at} {what}, and {gone} rows are gone");
    }

    /// Ids of rows that are live, or were deleted here.
    fn live(&self, at: usize) -> BTreeSet<ChunkId> {
        let docs = self.replicas[at].tap.collection(DOCS, &schema()).unwrap();
        let ledger = docs.ledger().unwrap();
        let clean = (0..ledger.len()).filter_map(|at| ledger.head(at)).map(|head| head.id);
        clean.chain(ledger.dirty().iter().cloned()).collect()
    }

    /// Everything that holds after every step.
    fn check(&mut self, at: usize) {
        let replica = &self.replicas[at];
        let docs = replica.tap.collection(DOCS, &schema()).unwrap();
        let ledger = docs.ledger().unwrap();
        let clean: Vec<Head> = (0..ledger.len()).filter_map(|place| ledger.head(place)).collect();
        if self.has_lost {
            // What a database has lost is dropped here, and may come again as it was before.
            self.highest[at]
                .retain(|id, _| clean.iter().any(|head| head.id == *id) || ledger.dirty().contains(id));
        }
        for head in &clean {
            let stamp = Stamp { ver: head.ver, node: head.node, digest: head.digest.unwrap_or(0) };
            let most = self.highest[at].entry(head.id.clone()).or_insert(stamp);
            assert!(*most <= stamp, "M4: {at} had {most:?} of {}, and has {stamp:?}", head.id);
            *most = stamp;
        }
        let memory = Memory::read(replica.tap.remembered().unwrap().as_deref());
        let world = self.world.lock();
        let known = memory.collections.get(DOCS);
        if memory.identity.as_ref() != Some(&world.identity) || !known.is_some_and(|known| known.is_verified)
        {
            return;
        }
        for head in &clean {
            let stands = world.last(DOCS, &head.id);
            let is_there =
                stands.is_some_and(|stands| (stands.head.ver, stands.head.node) >= (head.ver, head.node));
            assert!(is_there, "M2, M3: {at} has {head:?} clean, the database {:?}", stands.map(|v| &v.head));
        }
        let Some(cursor) = &memory.cursor else { return };
        for ((_, id), versions) in &world.rows {
            if ledger.dirty().iter().any(|dirty| dirty.as_str() == id) {
                continue;
            }
            let Some(seen) = World::seen(versions, cursor.since()).map(|version| &version.head) else {
                continue;
            };
            let ours = clean.iter().find(|head| head.id.as_str() == id);
            let is_here = match ours {
                Some(ours) if seen.is_deleted => (ours.ver, ours.node) > (seen.ver, seen.node),
                Some(ours) => (ours.ver, ours.node) >= (seen.ver, seen.node),
                // Deleted since, there or here: then the database knows, for it is not dirty.
                None => versions.iter().any(|later| later.head.is_deleted && later.head.ver >= seen.ver),
            };
            assert!(
                is_here,
                "M7, M9, M15: {at} wrote down {:?}, which sees {seen:?}; here {ours:?}",
                cursor.since()
            );
        }
    }

    /// Others end what they began, lines hold, everybody does what there is to do.
    fn quiesce(&mut self) {
        {
            let mut world = self.world.lock();
            for xid in world.open() {
                if below(&mut self.random, 2) == 0 { world.commit(xid) } else { world.roll_back(xid) }
            }
            world.deliver_again();
        }
        self.replicas.iter().for_each(|replica| replica.line.calm());
        for _ in 0..12 {
            let mut is_quiet = true;
            for at in 0..REPLICAS {
                is_quiet &= self.settle(at);
                self.check(at);
            }
            if is_quiet {
                return;
            }
        }
        panic!("M6: no rest after twelve rounds");
    }

    /// True if there was nothing to do.
    fn settle(&mut self, at: usize) -> bool {
        let replica = &mut self.replicas[at];
        if replica.sides.blocked.is_some() {
            self.log.push(format!("{at} trusts the database"));
            replica.run(async |sides| sides.resolve(Trust::Database)).unwrap().unwrap();
            self.forgive();
            return false;
        }
        // As the worker does from time to time.
        if replica.run(async |sides| sides.greet().await).is_none_or(|done| done.is_err()) {
            return false;
        }
        replica.clock.fetch_add(11_000, Ordering::Relaxed);
        let pulled = replica.sides.counts.pulled;
        let first = replica.run(async |sides| sides.pull().await);
        let sent = replica.run(async |sides| sides.push_all().await);
        let is_idle = first.is_some_and(|d| d.is_ok()) && matches!(sent, Some(Ok(0)));
        is_idle && replica.sides.counts.pulled == pulled
    }

    fn check_equal(&mut self) {
        let there = self.world.lock().live(DOCS);
        for at in 0..REPLICAS {
            let docs = self.replicas[at].tap.collection(DOCS, &schema()).unwrap();
            let ledger = docs.ledger().unwrap();
            assert_eq!(ledger.dirty(), [] as [ChunkId; 0], "M6: {at} still has dirty rows");
            let here: Vec<Head> = (0..ledger.len()).filter_map(|place| ledger.head(place)).collect();
            assert_eq!(here, there, "M6: {at} here, the database there");
            let audit = self.replicas[at].run(async |sides| sides.audit(DOCS, true).await).unwrap().unwrap();
            assert!(audit.is_equal(), "{at}: {audit:?}");
            for id in IDS {
                assert_eq!(self.replicas[at].x(id), x_there(&self.world, id), "{at}: {id}");
            }
        }
        if !self.has_lost {
            let world = self.world.lock();
            for (id, ver) in &self.accepted {
                let stands = world.last(DOCS, id).map(|version| version.head.ver);
                assert!(
                    stands >= Some(*ver),
                    "M2: of {id} version {ver:?} was accepted, and {stands:?} is left"
                );
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.step();
            for at in 0..REPLICAS {
                self.check(at);
            }
        }
        self.quiesce();
        self.check_equal();
    }
}

fn run(seed: u64) {
    let mut history = History::new(seed);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.run()));
    if done.is_err() {
        println!("NEARFIELD_SEED={seed} failed after:\n{}", history.log.join("\n"));
        panic!("NEARFIELD_SEED={seed}");
    }
}

#[test]
fn any_history_ends_equal() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("NEARFIELD_SEED") {
        return run(seed);
    }
    let histories = number("NEARFIELD_HISTORIES").unwrap_or(HISTORIES);
    println!("NEARFIELD_SEED=0..{histories}");
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (0..histories).filter(|seed| seed % 2 == half).for_each(run));
        }
    });
}

#[test]
fn a_snapshot_sees_what_was_committed_when_it_was_taken() {
    use crate::mirror::twin::{is_visible, parts};
    let snapshot = Snapshot("5:9:5,7".into());
    assert_eq!(parts(&snapshot), (5, 9, vec![5, 7]));
    let seen: Vec<u64> = (3..11).filter(|xid| is_visible(*xid, &snapshot)).collect();
    assert_eq!(seen, [3, 4, 6, 8]);
}
