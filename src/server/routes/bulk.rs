//! Chunks by the stream: one JSON document a line comes in, one line of what became of it goes out.
//!
//! Invariants: memory is flat, two batches at most, however long the stream is; nothing is read while the peer takes no answers; a
//! line that is wrong is told and holds no other up; a peer that is silent for too long, in either direction, is left.
//! What was stored before a stream broke off stays stored: its lines were answered, or may have been.
//!
//! The status is sent with the first bytes, so what goes wrong later is told by a last line that has an `error`.

use super::super::app::App;
use super::super::body::Share;
use super::super::call::Call;
use super::super::problem::{Code, Problem};
use super::super::request_id::RequestId;
use super::super::wire::{DurabilityName, LastLine, LineBody, NewChunk, Object, RowBody, RowStatus};
use super::chunks::{await_mirror, check_durability, store};
use crate::record::read_apart;
use crate::{Collection, Token};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// Lines that are stored together, at most, and bytes after which no more are waited for.
const BATCH_LINES: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// How long more lines are waited for when some are there.
const LINGER: Duration = Duration::from_millis(5);
/// Between two tries to find a free thread.
const CROWDED: Duration = Duration::from_millis(5);
/// Pieces of the answer that wait for the peer.
const ANSWERS: usize = 2;

/// Which lines are answered one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answers {
    #[default]
    All,
    /// Those that were refused: for peers that read nothing before they have sent everything.
    Rejected,
}

/// A stream under way.
struct Stream {
    app: App,
    order: Arc<Order>,
    lines: Lines,
    share: Share,
    out: Sender<Bytes, Infallible>,
    last: LastLine,
    _place: OwnedSemaphorePermit,
}

/// What holds for all lines.
struct Order {
    collection: Mutex<Collection>,
    durability: Option<DurabilityName>,
    answers: Answers,
    patience: Duration,
}

/// What a batch came to.
struct Stored {
    told: Vec<u8>,
    upserted: u64,
    rejected: u64,
    token: Option<Token>,
}

pub(crate) async fn stream(app: &App, call: Call, body: Body) -> Result<Response, Problem> {
    call.query.only(&["durability", "results"])?;
    let durability = call.query.word("durability")?;
    let answers = call.query.word("results")?.unwrap_or_default();
    check_durability(app, durability)?;
    let place = app.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::later("as many streams are under way as the server takes", 1))?;
    let (patience, name, theirs) = (call.patience, call.param("collection").to_owned(), app.clone());
    let collection = app.searches.run(patience, move || theirs.collection(&name, None)).await??;
    let mut lines = Lines::new(body, app.limits().body_bytes_max, app.limits().stall());
    let mut share = app.budget.share();
    // Before the answer begins: a peer that waits for `100 Continue` hears that first.
    lines.read(&mut share).await?;
    let (out, answer) = Channel::new(ANSWERS);
    let collection = Mutex::new(collection);
    let order = Arc::new(Order { collection, durability, answers, patience });
    let last = LastLine { upserted: 0, rejected: 0, token: app.store.token().to_string() };
    let id = RequestId::of(call.headers.get("x-request-id"));
    let stream = Stream { app: app.clone(), order, lines, share, out, last, _place: place };
    tokio::spawn(stream.run(id));
    let mut response = Response::new(Body::new(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

impl Stream {
    async fn run(mut self, id: RequestId) {
        let told = match self.store_all().await {
            Ok(true) => serde_json::to_vec(&self.last),
            // Nobody is there to be told.
            Ok(false) => return,
            Err(problem) => {
                let cause = problem.cause.as_deref().unwrap_or_default();
                tracing::debug!(detail = %problem.detail, cause, "a stream ended early");
                let LastLine { upserted, rejected, token } = &self.last;
                let body = problem.body(&id);
                serde_json::to_vec(
                    &json!({"error": body, "upserted": upserted, "rejected": rejected, "token": token}),
                )
            }
        };
        let mut told = told.unwrap_or_default();
        told.push(b'\n');
        tell(&mut self.out, told, self.app.limits().stall()).await;
    }

    /// Stores one batch while the next is read; false if the peer takes no answers.
    async fn store_all(&mut self) -> Result<bool, Problem> {
        let Self { app, order, lines, share, out, last, .. } = self;
        let mut under_way: Option<JoinHandle<Result<Stored, Problem>>> = None;
        loop {
            let mut next = pin!(lines.batch(share));
            let mut batch = None;
            if let Some(mut storing) = under_way.take() {
                // An answer does not wait for another line.
                let stored = poll_fn(|cx| {
                    if batch.is_none()
                        && let Poll::Ready(read) = next.as_mut().poll(cx)
                    {
                        batch = Some(read);
                    }
                    Pin::new(&mut storing).poll(cx)
                });
                let lost = |_| Problem::new(Code::Internal, "the call panicked; please report this");
                let Stored { told, upserted, rejected, token } = stored.await.map_err(lost)??;
                last.upserted += upserted;
                last.rejected += rejected;
                if let Some(token) = token {
                    last.token = token.to_string();
                }
                if !tell(out, told, app.limits().stall()).await {
                    return Ok(false);
                }
            }
            let batch = match batch {
                Some(read) => read?,
                None => next.await?,
            };
            let Some(batch) = batch else { return Ok(true) };
            let (app, order) = (app.clone(), order.clone());
            under_way = Some(tokio::spawn(on_a_thread(app, order, Arc::new(batch))));
        }
    }
}

/// False if the peer is gone, or takes nothing for too long.
async fn tell(out: &mut Sender<Bytes, Infallible>, bytes: Vec<u8>, patience: Duration) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let sent = tokio::time::timeout(patience, out.send_data(bytes.into()));
    matches!(sent.await, Ok(Ok(())))
}

async fn on_a_thread(app: App, order: Arc<Order>, batch: Arc<Batch>) -> Result<Stored, Problem> {
    // One that was let in waits for a thread, where a new one would be sent away.
    while app.writes.is_full() {
        tokio::time::sleep(CROWDED).await;
    }
    let theirs = app.clone();
    app.writes.run(order.patience, move || store_batch(&theirs, &order, &batch)).await?
}

fn store_batch(app: &App, order: &Order, batch: &Batch) -> Result<Stored, Problem> {
    let collection = order.collection.lock().clone();
    match store_lines(app, &collection, order, batch) {
        // Nothing was written. The name may have gone to another collection, which is the one that is meant now.
        Err(problem) if problem.code == Code::Conflict => {
            let collection = app.collection(collection.name(), None)?;
            *order.collection.lock() = collection.clone();
            store_lines(app, &collection, order, batch)
        }
        done => done,
    }
}

fn store_lines(app: &App, collection: &Collection, order: &Order, batch: &Batch) -> Result<Stored, Problem> {
    let mut numbers = Vec::new();
    let mut chunks: Vec<NewChunk> = Vec::new();
    let mut refused = Vec::new();
    for (number, line) in (batch.first..).zip(batch.bytes.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let apart = read_apart(line, |chunk: &mut NewChunk| &mut chunk.vector);
        match apart.map_or_else(|| serde_json::from_slice(line), |chunk| Ok(Object(chunk))) {
            Ok(Object(chunk)) => {
                numbers.push(number);
                chunks.push(chunk);
            }
            Err(e) => refused.push((number, format!("not a chunk: {e}"))),
        }
    }
    let (rows, token) = if chunks.is_empty() {
        (Vec::new(), None)
    } else {
        let (rows, token) = store(app, collection, chunks)?;
        (rows, Some(token))
    };
    let rejected = rows.iter().filter(|row| row.status == RowStatus::Rejected).count() + refused.len();
    let upserted = rows.len() + refused.len() - rejected;
    if let Some(token) = token.filter(|_| upserted > 0) {
        await_mirror(app, order.durability, token, order.patience)?;
    }
    let told = told(order.answers, numbers.into_iter().zip(rows), refused);
    Ok(Stored { told, upserted: upserted as u64, rejected: rejected as u64, token })
}

/// Lines of answers, in the order of what they answer.
fn told(
    answers: Answers,
    rows: impl Iterator<Item = (u64, RowBody)>,
    refused: Vec<(u64, String)>,
) -> Vec<u8> {
    let mut lines: Vec<LineBody> = rows
        .map(|(line, RowBody { id, status, reason })| LineBody { line, id: Some(id), status, reason })
        .chain(refused.into_iter().map(|(line, why)| LineBody {
            line,
            id: None,
            status: RowStatus::Rejected,
            reason: Some(why),
        }))
        .filter(|line| answers == Answers::All || line.status == RowStatus::Rejected)
        .collect();
    lines.sort_by_key(|line| line.line);
    let mut told = Vec::new();
    for line in lines {
        // Strings and numbers into memory: it cannot fail.
        let _ = serde_json::to_writer(&mut told, &line);
        told.push(b'\n');
    }
    told
}

/// Whole lines.
struct Batch {
    /// The number of the first.
    first: u64,
    bytes: Vec<u8>,
}

/// A body, cut into batches of lines.
struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// Where the buffer's last whole line ends.
    whole: usize,
    /// How many there are.
    count: usize,
    /// The number of the buffer's first line.
    first: u64,
    is_over: bool,
    /// Bytes of the batch that was given out last.
    given: usize,
    line_bytes_max: usize,
    stall: Duration,
}

impl Lines {
    fn new(body: Body, line_bytes_max: usize, stall: Duration) -> Self {
        Self {
            body,
            buffer: Vec::new(),
            whole: 0,
            count: 0,
            first: 1,
            is_over: false,
            given: 0,
            line_bytes_max,
            stall,
        }
    }

    /// The next lines; nothing after the last.
    async fn batch(&mut self, share: &mut Share) -> Result<Option<Batch>, Problem> {
        // Whoever asks for the next but one is done with it.
        share.shrink(mem::take(&mut self.given));
        while !self.is_over && self.count < BATCH_LINES && self.whole < BATCH_BYTES {
            if self.count == 0 {
                self.read(share).await?;
            } else if tokio::time::timeout(LINGER, self.read(share)).await.is_err() {
                break;
            }
        }
        if self.is_over && self.buffer.is_empty() {
            return Ok(None);
        }
        let end = if self.is_over { self.buffer.len() } else { self.whole };
        // A piece may have brought thousands of short lines.
        let (end, count) = self.cut(end);
        let rest = self.buffer.split_off(end);
        let bytes = mem::replace(&mut self.buffer, rest);
        let batch = Batch { first: self.first, bytes };
        (self.first, self.given) = (self.first + count as u64, batch.bytes.len());
        self.whole = self.whole.saturating_sub(end);
        self.count = self.count.saturating_sub(count);
        Ok(Some(batch))
    }

    /// Where the first lines end, as many as a batch has, and how many they are.
    fn cut(&self, end: usize) -> (usize, usize) {
        let ends = self.buffer[..end].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let mut count = 0;
        for (at, _) in ends {
            count += 1;
            if count == BATCH_LINES {
                return (at + 1, count);
            }
        }
        (end, count)
    }

    /// One more piece of the body.
    async fn read(&mut self, share: &mut Share) -> Result<(), Problem> {
        let slow = |_| Problem::slow(format!("no line came for {} ms", self.stall.as_millis()));
        let frame = tokio::time::timeout(self.stall, self.body.frame()).await.map_err(slow)?;
        let Some(frame) = frame else {
            self.is_over = true;
            return Ok(());
        };
        let frame =
            frame.map_err(|e| Problem::invalid("the stream broke off").caused_by(e.to_string()).closing())?;
        let Ok(bytes) = frame.into_data() else { return Ok(()) };
        if self.buffer.len() - self.whole + bytes.len() > self.line_bytes_max + bytes.len().min(64 << 10) {
            let max = self.line_bytes_max;
            return Err(Problem::new(Code::TooLarge, format!("a line has more than {max} bytes")).closing());
        }
        share.grow(bytes.len())?;
        let before = self.buffer.len();
        self.buffer.extend_from_slice(&bytes);
        if let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.whole = before + last + 1;
            self.count += bytes.iter().filter(|byte| **byte == b'\n').count();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::body::Budget;
    use super::*;

    fn batches(text: String) -> Vec<(u64, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut share = Budget::new(1 << 30).share();
        let mut lines = Lines::new(Body::from(text), 1 << 20, Duration::from_secs(60));
        let mut out = Vec::new();
        runtime.block_on(async {
            while let Some(batch) = lines.batch(&mut share).await.unwrap() {
                out.push((batch.first, String::from_utf8(batch.bytes).unwrap()));
            }
        });
        out
    }

    #[test]
    fn a_stream_is_cut_between_lines_and_they_keep_their_numbers() {
        assert_eq!(batches(String::new()), []);
        assert_eq!(batches("a\nb".into()), [(1, "a\nb".into())]);
        assert_eq!(batches("a\nb\n".into()), [(1, "a\nb\n".into())]);
        let many = batches("x\n".repeat(2_500));
        let sizes: Vec<(u64, usize)> = many.iter().map(|(first, text)| (*first, text.len() / 2)).collect();
        assert_eq!(sizes, [(1, 1_000), (1_001, 1_000), (2_001, 500)]);
        let cut = batches("x\n".repeat(1_000) + "last");
        assert_eq!(cut.last().unwrap(), &(1_001, "last".to_owned()));
    }
}
