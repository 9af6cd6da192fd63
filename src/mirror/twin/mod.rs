//! A database in memory, for tests: the other side as the mirror sees it, with snapshots that behave as Postgres's do.
//!
//! Transactions have numbers in the order they begin and become visible in the order they commit; a snapshot sees what was committed
//! when it was taken. Others write by hand and keep transactions open, with locks. Answers get lost, before the commit or after it, or
//! the commit comes later still. A failover goes back to an older copy. It passes the suite of every remote (`rig`).
//!
//! Invariants: deterministic; every call is ready at once, but for pushes, which let others go first once, and for one that hangs for
//! ever; the versions of a row only rise, but for TRUNCATE and going back. Knows nothing of stores.

mod people;
mod reading;
mod rig;
mod table;
mod upset;

pub(crate) use table::{World, is_visible, parts};
pub(crate) use upset::Upset;

use super::remote::*;
use crate::ids::{ChunkId, Ver};
use crate::record::{Edition, Head, Row, Stamp, digest};
use parking_lot::{Mutex, MutexGuard};
use reading::TwinReading;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// One node's line to the database.
#[derive(Clone)]
pub(crate) struct Twin {
    pub(crate) world: Arc<Mutex<World>>,
    line: Arc<Mutex<Line>>,
}

/// Something that happens between two calls.
pub(crate) type Surprise = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Line {
    /// Which life of the database it is connected to.
    life: Option<u64>,
    upsets: VecDeque<Upset>,
    surprises: VecDeque<Surprise>,
    statements: usize,
}

impl Twin {
    pub(crate) fn new(world: Arc<Mutex<World>>) -> Self {
        Self { world, line: Arc::default() }
    }

    /// What the next calls run into.
    pub(crate) fn upset(&self, upset: Upset) {
        self.line.lock().upsets.push_back(upset);
    }

    /// What happens before the next calls.
    pub(crate) fn surprise(&self, surprise: Surprise) {
        self.line.lock().surprises.push_back(surprise);
    }

    pub(crate) fn calm(&self) {
        let mut line = self.line.lock();
        line.upsets.clear();
        line.surprises.clear();
    }

    /// Calls so far.
    pub(crate) fn statements(&self) -> usize {
        self.line.lock().statements
    }

    /// The begin of every call.
    async fn call(&self, is_push: bool) -> Done<Option<Upset>> {
        let surprise = self.line.lock().surprises.pop_front();
        if let Some(surprise) = surprise {
            surprise();
        }
        let upset = {
            let mut line = self.line.lock();
            line.statements += 1;
            line.upsets.pop_front()
        };
        match upset {
            Some(Upset::Hang) => {
                std::future::pending::<()>().await;
            }
            Some(Upset::Fails(class, code)) => return Err(fault(class, code)),
            Some(Upset::Ok) => {}
            Some(upset) if is_push => return Ok(Some(upset)),
            Some(_) => return Err(fault(FaultClass::Transient, "08006")),
            None => {}
        }
        let life = self.line.lock().life;
        if life != Some(self.world.lock().life) {
            return Err(fault(FaultClass::Transient, "57P01"));
        }
        Ok(None)
    }

    /// The begin of every call that writes.
    async fn writable(&self, is_push: bool) -> Done<(MutexGuard<'_, World>, Option<Upset>)> {
        let upset = self.call(is_push).await?;
        let world = self.world.lock();
        if world.is_standby { Err(fault(FaultClass::Demoted, "25006")) } else { Ok((world, upset)) }
    }
}

pub(crate) fn fault(class: FaultClass, code: &str) -> Fault {
    Fault { class, code: Some(code.to_owned()), message: format!("the twin says {code}"), remedy: None }
}

impl Remote for Twin {
    type Reading = TwinReading;

    async fn look(&self, node: NodeId) -> Done<Database> {
        {
            let life = self.world.lock().life;
            self.line.lock().life = Some(life);
        }
        self.call(false).await?;
        let mut world = self.world.lock();
        if !world.is_standby {
            world.greet(node);
        }
        Ok(Database {
            identity: world.identity.clone(),
            digest_seed: world.seed,
            is_standby: world.is_standby,
            is_read_only: false,
            unix_ms: world.now_ms as i64,
            is_supervised: true,
            mark: world.marks.get(&node.0).copied(),
            tombstone_floor: world.floor,
            server: "twin".into(),
        })
    }

    async fn collections(&self) -> Done<Vec<RemoteCollection>> {
        self.call(false).await?;
        let world = self.world.lock();
        let all = world.collections.iter();
        Ok(all
            .map(|(name, schema)| RemoteCollection { name: name.clone(), schema: schema.clone() })
            .collect())
    }

    async fn declare(&self, collection: &RemoteCollection) -> Done<()> {
        let mut world = self.writable(false).await?.0;
        let schema =
            world.collections.entry(collection.name.clone()).or_insert_with(|| collection.schema.clone());
        if (schema.dim, schema.metric) != (collection.schema.dim, collection.schema.metric) {
            let message = format!("collection {} is of another shape here", collection.name);
            let remedy = Some("give one of the two another name".to_owned());
            return Err(Fault { class: FaultClass::Schema, code: None, message, remedy });
        }
        Ok(())
    }

    async fn undeclare(&self, collection: &str) -> Done<bool> {
        let mut world = self.writable(false).await?.0;
        if world.live(collection).is_empty() {
            world.collections.remove(collection);
        }
        Ok(!world.collections.contains_key(collection))
    }

    async fn push(&self, collection: &str, batch: &[Edition], mark: NodeMark) -> Done<Vec<Pushed>> {
        // Others get a turn meanwhile.
        pause().await;
        let (mut world, upset) = self.writable(true).await?;
        assert!(batch.is_sorted_by(|a, b| a.id < b.id), "a batch is sorted and has no id twice");
        if world.is_table_locked || batch.iter().any(|edition| world.is_locked(collection, &edition.id)) {
            return Err(fault(FaultClass::Transient, "55P03"));
        }
        if batch.iter().any(|edition| world.is_poison(collection, edition)) {
            return Err(fault(FaultClass::Data, "22P05"));
        }
        match upset {
            Some(Upset::LostBefore) => return Err(fault(FaultClass::Transient, "08006")),
            Some(Upset::Late) => {
                world.push_late(collection, batch, mark);
                return Err(fault(FaultClass::Transient, "08006"));
            }
            Some(Upset::Twice) => world.echoes.push((collection.to_owned(), batch.to_vec())),
            _ => {}
        }
        let pushed = world.push(collection, batch, Some(mark));
        match upset {
            Some(Upset::LostAfter) => Err(fault(FaultClass::Transient, "08006")),
            _ => Ok(pushed),
        }
    }

    async fn held(&self, collection: &str, ids: &[ChunkId]) -> Done<Vec<ChunkId>> {
        let world = self.writable(false).await?.0;
        if world.is_table_locked {
            return Err(fault(FaultClass::Transient, "55P03"));
        }
        Ok(ids.iter().filter(|id| world.is_locked(collection, id)).cloned().collect())
    }

    async fn read(&self) -> Done<TwinReading> {
        self.call(false).await?;
        let world = self.world.lock();
        if world.is_standby {
            return Err(fault(FaultClass::Demoted, "standby"));
        }
        Ok(TwinReading::new(self.clone(), world.snapshot(), world.readable))
    }

    async fn stamp(&self, collection: &str, heads: &[Head]) -> Done<Vec<Head>> {
        Ok(self.writable(false).await?.0.stamp(collection, heads))
    }

    async fn seen(&self, node: NodeId, snapshot: &Snapshot) -> Done<()> {
        self.writable(false).await?.0.note_seen(node, snapshot);
        Ok(())
    }

    async fn collect(&self, before: Ver) -> Done<u64> {
        Ok(self.writable(false).await?.0.collect(before))
    }

    fn hang_up(&self) {
        self.line.lock().life = None;
    }
}

/// Returns when it is asked for the second time.
async fn pause() {
    let mut is_second = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Drives a future as long as it says that it goes on. Nothing if it hangs: then it is dropped.
pub(crate) fn drive<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut context) {
            return Some(out);
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
}

/// The version that people write by hand.
pub(crate) const PEOPLE: u64 = 1;

/// A row of a vector and nothing else.
pub(crate) fn row(id: &str, vector: &[f32]) -> Row {
    Row { id: ChunkId::from(id), vector: Some(vector.to_vec()), payload: None }
}

/// An edition as some node writes it.
pub(crate) fn edition(id: &str, ver: i64, node: u64, seed: u64, vector: Option<&[f32]>) -> Edition {
    let row = vector.map(|vector| row(id, vector));
    let digest = row.as_ref().map_or(0, |row| digest(row, seed));
    Edition { id: id.into(), stamp: Stamp { ver: Ver(ver), node, digest }, row }
}
