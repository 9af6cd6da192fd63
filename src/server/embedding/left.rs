//! Vectors for jobs, whose server may end while a provider hangs: then the request is left to itself, and the job comes to its end.
//!
//! Invariants: a request that is left keeps its turn, so that nobody is asked more at a time than the settings say, and no handle of the
//! store; once requests are left, no other is begun.

use crate::{Embedder, Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::time::Duration;

/// Whether a server still waits for those who make vectors. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_over: Mutex<bool>,
    changed: Condvar,
}

/// Tells whoever waits that there is an answer, or that there will be none.
struct Answer<T> {
    sender: Option<Sender<T>>,
    patience: Patience,
}

impl Patience {
    pub(super) fn is_over(&self) -> bool {
        *self.0.is_over.lock()
    }

    /// Nobody is waited for any more.
    pub(super) fn end(&self) {
        *self.0.is_over.lock() = true;
        self.0.changed.notify_all();
    }

    /// What `work` makes, on a thread of its own; an error of kind [`ErrorKind::Unavailable`] if it is left.
    pub(super) fn ask<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (sender, answers) = channel();
        let answer = Answer { sender: Some(sender), patience: self.clone() };
        let body = move || {
            let made = work();
            if let Some(sender) = &answer.sender {
                // Nobody listens to one that was left.
                let _ = sender.send(made);
            }
        };
        let spawned = std::thread::Builder::new().name("nearfield-asking".into()).spawn(body);
        spawned.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "a thread of the server cannot be started").with_source(e)
        })?;
        let mut is_over = self.0.is_over.lock();
        loop {
            match answers.try_recv() {
                Ok(made) => return Ok(made),
                Err(TryRecvError::Disconnected) => {
                    return Err(Error::new(ErrorKind::Internal, "an embedder panicked; please report this"));
                }
                Err(TryRecvError::Empty) if *is_over => return Err(ended()),
                Err(TryRecvError::Empty) => self.0.changed.wait(&mut is_over),
            }
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        drop(self.sender.take());
        // Whoever waits has looked before, and waits by now, or looks afterwards.
        drop(self.patience.0.is_over.lock());
        self.patience.0.changed.notify_all();
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the server ended while vectors were being made; begin again")
}

/// Whoever holds it asks; all others wait.
pub(super) type Turn = Arc<Mutex<()>>;

/// An embedder that waits for its turn, and is left when patience is over.
pub(super) struct Leavable {
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) turn: Turn,
    pub(super) patience: Patience,
}

impl Leavable {
    fn ask<T: Send + 'static>(
        &self,
        texts: &[&str],
        work: impl FnOnce(&dyn Embedder, &[&str]) -> T + Send + 'static,
    ) -> Result<T> {
        let (embedder, turn, patience) = (self.embedder.clone(), self.turn.clone(), self.patience.clone());
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let asking = move || {
            let _turn = turn.lock();
            // It may have waited long.
            if patience.is_over() {
                return Err(ended());
            }
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(work(&*embedder, &texts))
        };
        self.patience.ask(asking)?
    }
}

impl Embedder for Leavable {
    fn model(&self) -> &str {
        self.embedder.model()
    }

    fn dim(&self) -> usize {
        self.embedder.dim()
    }

    fn tokens_max(&self) -> Option<usize> {
        self.embedder.tokens_max()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.ask(texts, |embedder, texts| embedder.embed(texts))?
    }

    fn embed_within(&self, texts: &[&str], patience: Duration) -> Result<Vec<Vec<f32>>> {
        self.ask(texts, move |embedder, texts| embedder.embed_within(texts, patience))?
    }

    fn embed_each(&self, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
        let made = self.ask(texts, |embedder, texts| embedder.embed_each(texts));
        made.unwrap_or_else(|error| texts.iter().map(|_| Err(error.again())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hashed;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Answers when it is told to, and counts who asks.
    struct Slow {
        go: Mutex<std::sync::mpsc::Receiver<()>>,
        asked: AtomicUsize,
        begun: Sender<()>,
    }

    impl Embedder for Slow {
        fn model(&self) -> &str {
            "slow"
        }

        fn dim(&self) -> usize {
            Hashed::default().dim()
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.begun.send(()).unwrap();
            self.go.lock().recv().expect("somebody lets it go");
            Hashed::default().embed(texts)
        }
    }

    #[test]
    fn what_is_answered_is_handed_on_and_what_panics_is_an_error() {
        let patience = Patience::default();
        let near = Leavable {
            embedder: Arc::new(Hashed::default()),
            turn: Arc::default(),
            patience: patience.clone(),
        };
        let plain = Hashed::default();
        assert_eq!(near.embed(&["a fox", "snow"]).unwrap(), plain.embed(&["a fox", "snow"]).unwrap());
        let each = near.embed_each(&["a fox", "!!!"]);
        assert_eq!(each[0].as_ref().unwrap(), &plain.embed(&["a fox"]).unwrap()[0]);
        assert_eq!(each[1].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(near.embed_within(&["snow"], Duration::ZERO).unwrap().len(), 1);
        let error = patience.ask(|| -> () { std::panic::resume_unwind(Box::new(())) }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }

    #[test]
    fn who_waits_for_an_answer_or_a_turn_is_told_when_patience_ends_and_nobody_is_asked_after_that() {
        let (go, gate) = channel();
        let (begun, begins) = channel();
        let slow = Arc::new(Slow { go: Mutex::new(gate), asked: AtomicUsize::new(0), begun });
        let (turn, patience) = (Arc::<Mutex<()>>::default(), Patience::default());
        let both: Vec<_> = (0..2)
            .map(|_| Leavable { embedder: slow.clone(), turn: turn.clone(), patience: patience.clone() })
            .map(|near| std::thread::spawn(move || near.embed_each(&["a", "b"])))
            .collect();
        begins.recv().unwrap();
        patience.end();
        for waiting in both {
            let each = waiting.join().unwrap();
            let kinds: Vec<_> = each.into_iter().map(|one| one.unwrap_err().kind()).collect();
            assert_eq!(kinds, [ErrorKind::Unavailable; 2]);
        }
        assert!(turn.try_lock().is_none(), "the one that hangs keeps its turn");
        go.send(()).unwrap();
        // All that waited for the turn have been there when nobody else has the embedder.
        while Arc::strong_count(&slow) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
    }
}
