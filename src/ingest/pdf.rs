//! The text of a PDF file, page by page.
//!
//! Runs the reader on a thread of its own, for what it cannot promise: that it does not panic (caught: a panic ends one file, not the
//! host), that its recursion is small (its own limits on nesting hold; the stack has room for them, and only touched pages of it cost
//! memory), that it ends (a deadline; a reader that is late is left behind, and while too many are, files are refused). Bounded, too:
//! bytes of the file, bytes that a stream unpacks to, pages, bytes of text.

use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

const PAGES_MAX: usize = 10_000;
const TEXT_BYTES_MAX: usize = 64 << 20;
const UNPACKED_BYTES_MAX: usize = 64 << 20;
const STACK_BYTES: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// Readers that were left behind and still run.
const LATE_MAX: usize = 4;

static LATE: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) title: Option<String>,
    pub(super) pages: Vec<String>,
}

enum Said {
    Title(Option<String>),
    Page(String),
    Refused(String),
    Done,
}

/// A reader at work: how it stands with whoever waits for it.
#[derive(Default)]
struct Work {
    stop: AtomicBool,
    state: AtomicU8,
}

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const LEFT_BEHIND: u8 = 2;

impl Work {
    /// Counts it as late, unless it has just ended.
    fn leave_behind(&self) {
        self.stop.store(true, Ordering::SeqCst);
        LATE.fetch_add(1, Ordering::SeqCst);
        if self.state.compare_exchange(RUNNING, LEFT_BEHIND, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            LATE.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn end(&self) {
        if self.state.swap(ENDED, Ordering::SeqCst) == LEFT_BEHIND {
            LATE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

pub(super) fn read(bytes: Vec<u8>) -> Result<Pages> {
    read_within(bytes, PATIENCE)
}

fn read_within(bytes: Vec<u8>, patience: Duration) -> Result<Pages> {
    if LATE.load(Ordering::SeqCst) >= LATE_MAX {
        let busy = "readers of earlier PDF files have not ended; try again later, or leave those files out";
        return Err(Error::new(ErrorKind::Unavailable, busy));
    }
    let (say, heard) = sync_channel(16);
    let work = Arc::<Work>::default();
    let there = work.clone();
    let thread = std::thread::Builder::new().name("pdf".into()).stack_size(STACK_BYTES);
    let run = move || {
        // A panic drops the channel, which says enough.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tell(&bytes, &there.stop, &say)));
        there.end();
    };
    thread.spawn(run).map_err(|e| {
        Error::new(ErrorKind::Unavailable, "no thread can be started for a PDF file").with_source(e)
    })?;
    let until = Instant::now() + patience;
    let (mut pages, mut bytes) = (Pages::default(), 0);
    loop {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Said::Title(title)) => pages.title = title,
            Ok(Said::Page(page)) => {
                bytes += page.len();
                pages.pages.push(page);
                if bytes > TEXT_BYTES_MAX {
                    work.leave_behind();
                    return Err(Error::invalid(format!(
                        "the PDF has more than {TEXT_BYTES_MAX} bytes of text; split it"
                    )));
                }
            }
            Ok(Said::Refused(why)) => return Err(Error::invalid(format!("the PDF cannot be read: {why}"))),
            Ok(Said::Done) => return Ok(pages),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::invalid("the PDF is damaged in a way that its reader does not survive"));
            }
            Err(RecvTimeoutError::Timeout) => {
                work.leave_behind();
                let s = patience.as_secs();
                return Err(Error::invalid(format!(
                    "the PDF is not read after {s} s; split it, or leave it out"
                )));
            }
        }
    }
}

/// On the thread. Whoever listens may have gone: then nothing is left to do.
fn tell(bytes: &[u8], stop: &AtomicBool, say: &SyncSender<Said>) {
    let options = lopdf::LoadOptions {
        max_decompressed_size: Some(UNPACKED_BYTES_MAX),
        ..lopdf::LoadOptions::default()
    };
    let document = match lopdf::Document::load_mem_with_options(bytes, options) {
        Ok(document) => document,
        Err(e) => {
            let _ = say.send(Said::Refused(e.to_string()));
            return;
        }
    };
    if document.is_encrypted() {
        let _ = say.send(Said::Refused("it is encrypted; store it without a password".to_owned()));
        return;
    }
    let _ = say.send(Said::Title(title(&document)));
    let numbers: Vec<u32> = document.get_pages().into_keys().collect();
    if numbers.len() > PAGES_MAX {
        let n = numbers.len();
        let _ = say.send(Said::Refused(format!("it has {n} pages; split it into files of {PAGES_MAX}")));
        return;
    }
    for number in numbers {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        // A page may have parts that cannot be read, pictures of letters above all; the others stay.
        let parts = document.extract_text_chunks_with_limit(&[number], UNPACKED_BYTES_MAX);
        let page: String = parts.into_iter().flatten().collect();
        if say.send(Said::Page(page.replace('\0', ""))).is_err() {
            return;
        }
    }
    let _ = say.send(Said::Done);
}

fn title(document: &lopdf::Document) -> Option<String> {
    let info = document.trailer.get(b"Info").ok()?;
    let info = document.dereference(info).ok()?.1.as_dict().ok()?;
    let title = lopdf::decode_text_string(info.get(b"Title").ok()?).ok()?;
    let title = title.replace('\0', "").split_whitespace().collect::<Vec<_>>().join(" ");
    Some(title).filter(|title| !title.is_empty())
}

#[cfg(test)]
pub(super) mod tests;
