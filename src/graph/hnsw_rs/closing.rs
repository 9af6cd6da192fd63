//! Freeing a `Hnsw` without starting a thread that stays.
//!
//! Its `Drop` clears the lists with a parallel iterator, which outside of a pool starts rayon's global one: a thread
//! per core, until the process ends. So it is freed inside a pool of one thread, which is joined before `drop` returns.
//! The caller's thread never waits inside rayon: it may be a worker of the host's pool, and would run the host's jobs.

use super::order::Order;
use ::hnsw_rs::prelude::Hnsw;
use rayon::ThreadPoolBuilder;

/// A graph of the crate that is freed as this module says.
pub(super) struct Closing(Option<Hnsw<'static, f32, Order>>);

impl Closing {
    pub(super) fn new(hnsw: Hnsw<'static, f32, Order>) -> Self {
        Self(Some(hnsw))
    }

    /// The graph; there until `self` is dropped.
    pub(super) fn get(&self) -> Option<&Hnsw<'static, f32, Order>> {
        self.0.as_ref()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let builder = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "hnsw_rs-free".into());
        // Its drop reads two clocks for a log line; should that panic, the memory is freed all the same.
        let builder = builder.panic_handler(|_| {});
        let freed = builder.build_scoped(
            |thread| thread.run(),
            |pool| {
                if let Some(hnsw) = self.0.take() {
                    pool.spawn(move || drop(hnsw));
                }
            },
        );
        if freed.is_err() {
            free_here(self.0.take());
        }
    }
}

/// Frees on the caller's thread, for when the system gives no other: it stays the one thread of a pool of its own.
/// If it is in a pool already, rayon uses that one.
fn free_here(hnsw: Option<Hnsw<'static, f32, Order>>) {
    let _pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    drop(hnsw);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::config::Metric;
    use std::process::Command;

    /// Set in the process that runs one test alone, so that it can count threads.
    const ALONE: &str = "NEARFIELD_TEST_ALONE";

    fn graph() -> Hnsw<'static, f32, Order> {
        let hnsw = Hnsw::new(8, 0, 16, 32, Order::new(Metric::L2));
        for i in 0..500usize {
            hnsw.insert_slice((&[i as f32, (i * i % 97) as f32], i));
        }
        hnsw
    }

    fn threads() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let count = status.lines().find_map(|l| l.strip_prefix("Threads:")).unwrap();
        count.trim().parse().unwrap()
    }

    /// Threads once those that ended have left the kernel's count.
    fn threads_at_most(limit: usize) -> usize {
        for _ in 0..100_000 {
            if threads() <= limit {
                break;
            }
            std::thread::yield_now();
        }
        threads()
    }

    #[test]
    fn freeing_a_graph_leaves_no_thread() {
        if std::env::var_os(ALONE).is_none() {
            let name = concat!(module_path!(), "::freeing_a_graph_leaves_no_thread");
            let name = name.split_once("::").unwrap().1;
            let mut alone = Command::new(std::env::current_exe().unwrap());
            let output = alone.args(["--exact", name, "--test-threads=1"]).env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let before = threads();
        drop(Closing::new(graph()));
        assert_eq!(threads_at_most(before), before);
        // On a thread that ends, for it stays in its pool.
        std::thread::spawn(|| free_here(Some(graph()))).join().unwrap();
        assert_eq!(threads_at_most(before), before);
        // The proof that the count sees what it should: the crate's own drop starts a pool.
        drop(graph());
        assert!(threads() > before);
    }
}
