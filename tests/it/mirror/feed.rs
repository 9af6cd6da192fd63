//! Goal: no committed transaction is lost on its way to a follower, whatever the order of numbers and of commits (M6 to M8). Method:
//! eight writers of plain SQL at once, who pause before they commit, roll back, and use savepoints; three followers: one reads
//! pages of a few rows and writes too, one is stopped for a while, one comes late. At the end each holds what the writers' own
//! books say, what a SELECT says, and proves it. `NEARFIELD_FEED_TRANSACTIONS` says how many; `NEARFIELD_SEED` repeats a run as
//! far as the scheduler allows.

use super::*;
use crate::support::environment;
use crate::support::postgres::Cluster;
use crate::support::random::Random;
use crate::support::sql::Session;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

const TRANSACTIONS: u64 = 2_400;
const WRITERS: usize = 8;
/// Rows that everybody writes.
const SHARED: usize = 40;
/// More than one transaction keeps in its snapshot by name.
const MANY_SAVEPOINTS: usize = 70;

/// Id and text of the rows that one writer alone writes, as it knows them to be committed.
type Book = BTreeMap<String, String>;

/// Id and everything that is said of it.
type Content = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    committed: usize,
    rolled_back: usize,
    savepoints: usize,
    deletes: usize,
}

/// Somebody who writes SQL.
struct Writer {
    who: usize,
    dice: Random,
    session: Session,
    book: Book,
    tally: Tally,
}

/// A transaction that is put together: its statements, and what it will have changed in the book.
#[derive(Default)]
struct Draft {
    number: usize,
    statements: usize,
    sql: String,
    changes: Vec<(String, Option<String>)>,
    /// Shared rows are written by id, so that two writers never wait for each other in a circle.
    shared: usize,
}

impl Writer {
    fn new(url: &str, seed: u64, who: usize) -> Self {
        let (dice, session) = (Random::new(seed ^ (who as u64 + 1) << 32), Session::open(url).unwrap());
        Self { who, dice, session, book: Book::new(), tally: Tally::default() }
    }

    fn run(mut self, transactions: usize, told: &Sender<()>) -> (Book, Tally) {
        for number in 0..transactions {
            self.transaction(number);
            told.send(()).unwrap();
        }
        (self.book, self.tally)
    }

    fn transaction(&mut self, number: usize) {
        let mut draft = Draft { number, sql: "BEGIN".into(), ..Draft::default() };
        let own = self.own(number);
        self.put(&mut draft, &own);
        for _ in 0..self.dice.below(3) {
            self.write(&mut draft);
        }
        match self.dice.below(25) {
            0 => self.many_savepoints(&mut draft),
            1..8 => self.savepoint(&mut draft, 0),
            _ => {}
        }
        let pause_ms = match self.dice.below(40) {
            0 => self.dice.below(150),
            1..20 => self.dice.below(9),
            _ => 0,
        };
        if pause_ms > 0 {
            write!(draft.sql, "; SELECT pg_sleep({pause_ms} / 1000.0)").unwrap();
        }
        let commits = self.dice.below(8) > 0;
        draft.sql += if commits { "; COMMIT" } else { "; ROLLBACK" };
        // Writers do not wait for each other in a circle, and mirrors are in nobody's way.
        self.session.run(&draft.sql).unwrap_or_else(|e| panic!("{}: {e}", draft.sql));
        if !commits {
            self.tally.rolled_back += 1;
            return;
        }
        self.tally.committed += 1;
        for (id, text) in draft.changes {
            match text {
                Some(text) => _ = self.book.insert(id, text),
                None => _ = self.book.remove(&id),
            }
        }
    }

    fn own(&self, number: usize) -> String {
        format!("own-{}-{number:05}", self.who)
    }

    /// One of the writer's own rows, or one of everybody's.
    fn write(&mut self, draft: &mut Draft) {
        if self.dice.below(3) > 0 || draft.shared >= SHARED {
            let number = self.dice.below(draft.number + 1);
            let id = self.own(number);
            return if self.dice.below(3) == 0 { self.delete(draft, &id) } else { self.put(draft, &id) };
        }
        draft.shared += self.dice.below(SHARED / 2);
        let id = format!("shared-{:02}", draft.shared.min(SHARED - 1));
        draft.shared += 1;
        match self.dice.below(4) {
            0 => draft.add(&format!("DELETE FROM nearfield.chunks WHERE id = '{id}'")),
            _ => draft.insert(self.who, &id, "chunks"),
        }
    }

    fn put(&mut self, draft: &mut Draft, id: &str) {
        let text = draft.text(self.who);
        match (draft.is_live(&self.book, id), self.dice.below(3)) {
            (true, 0) => draft.add(&format!("UPDATE nearfield.chunk SET text = '{text}' WHERE id = '{id}'")),
            (true, 1) => draft.add(&format!("UPDATE nearfield.chunks SET text = '{text}' WHERE id = '{id}'")),
            _ => draft.insert(self.who, id, "chunks"),
        }
        draft.changes.push((id.to_owned(), Some(text)));
    }

    fn delete(&mut self, draft: &mut Draft, id: &str) {
        if !draft.is_live(&self.book, id) {
            return;
        }
        let table = ["chunk", "chunks"][self.dice.below(2)];
        draft.add(&format!("DELETE FROM nearfield.{table} WHERE id = '{id}'"));
        draft.changes.push((id.to_owned(), None));
        self.tally.deletes += 1;
    }

    /// Writes within a savepoint, which is released or rolled back to, and perhaps within another in it.
    fn savepoint(&mut self, draft: &mut Draft, depth: usize) {
        self.tally.savepoints += 1;
        draft.add(&format!("SAVEPOINT s{depth}"));
        let before = draft.changes.len();
        for _ in 0..1 + self.dice.below(2) {
            self.write(draft);
        }
        if depth < 3 && self.dice.below(2) == 0 {
            self.savepoint(draft, depth + 1);
        }
        if self.dice.below(2) == 0 {
            draft.add(&format!("RELEASE SAVEPOINT s{depth}"));
        } else {
            draft.add(&format!("ROLLBACK TO SAVEPOINT s{depth}"));
            draft.changes.truncate(before);
        }
    }

    fn many_savepoints(&mut self, draft: &mut Draft) {
        let (number, who) = (draft.number, self.who);
        let own = format!("own-{who}-{number:05}-");
        draft.add(&format!(
            "DO $$ BEGIN FOR i IN 1..{MANY_SAVEPOINTS} LOOP \
               BEGIN \
                 INSERT INTO nearfield.chunks (collection, id, text, embedding) VALUES ('docs', '{own}' || i, 'many', '[1,2,3]'); \
                 IF i % 2 = 0 THEN RAISE EXCEPTION 'not this one'; END IF; \
               EXCEPTION WHEN raise_exception THEN NULL; \
               END; \
             END LOOP; END $$"
        ));
        let stays = (1..=MANY_SAVEPOINTS).step_by(2);
        draft.changes.extend(stays.map(|i| (format!("{own}{i}"), Some("many".to_owned()))));
        self.tally.savepoints += MANY_SAVEPOINTS;
    }
}

impl Draft {
    fn add(&mut self, statement: &str) {
        self.statements += 1;
        self.sql += "; ";
        self.sql += statement;
    }

    /// What the next statement writes; nothing else does.
    fn text(&self, who: usize) -> String {
        format!("{who}/{}/{}", self.number, self.statements)
    }

    fn insert(&mut self, who: usize, id: &str, table: &str) {
        let (number, statements, text) = (self.number, self.statements, self.text(who));
        self.add(&format!(
            "INSERT INTO nearfield.{table} (collection, id, text, metadata, document_id, chunk_index, embedding) \
             VALUES ('docs', '{id}', '{text}', '{{\"n\": {number}}}', 'doc-{who}', {statements}, '[{number},{statements},{who}]')"
        ));
    }

    fn is_live(&self, book: &Book, id: &str) -> bool {
        let changed = self.changes.iter().rev().find(|(of, _)| of == id);
        changed.map_or_else(|| book.contains_key(id), |(_, text)| text.is_some())
    }
}

/// Tells those who write until they are told, however the test ends: it would wait for them for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Writes through a store and its mirror until it is told to end.
fn writes_too(bed: &Bed, name: &str, is_over: &AtomicBool) -> Book {
    let mut book = Book::new();
    for n in 0.. {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let text = format!("{name}/{n}");
        let own = [n, n / 2, n / 3].map(|n: usize| format!("own-{name}-{n:05}"));
        let shared = format!("shared-{:02}", n * 7 % SHARED);
        let row = |id: &String| Chunk::new(id).vector([n as f32, 0.0, 9.0]).text(&text).meta("n", n as u64);
        bed.docs.upsert(own.iter().chain([&shared]).map(row)).unwrap();
        book.extend(own.into_iter().map(|id| (id, text.clone())));
        let gone = format!("own-{name}-{:05}", n / 4);
        bed.docs.delete([gone.as_str(), &format!("shared-{:02}", n * 11 % SHARED)]).unwrap();
        book.remove(&gone);
        bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap();
    }
    book
}

fn said(text: &str, metadata: &str, document: &str, index: &str, vector: &[f32]) -> String {
    format!("{text} {metadata} {document} {index} {vector:?}")
}

fn content_here(bed: &Bed) -> Content {
    let page = bed.docs.scroll(None, None, usize::MAX).unwrap();
    let line = |c: Chunk| {
        let metadata = serde_json::to_string(&c.metadata).unwrap();
        let (text, document) = (c.text.unwrap_or_default(), c.document_id.unwrap_or_default());
        (c.id, said(&text, &metadata, &document, &c.chunk_index.to_string(), &c.vector.unwrap_or_default()))
    };
    page.chunks.into_iter().map(line).collect()
}

fn content_there(url: &str) -> Content {
    let text = "SELECT id, text, replace(metadata::text, ': ', ':'), coalesce(document_id, ''), chunk_index::text, \
                array_to_string(embedding::real[], ' ') FROM nearfield.chunks WHERE collection = 'docs'";
    let line = |row: &Vec<Option<String>>| {
        let [id, text, metadata, document, index, vector] =
            [0, 1, 2, 3, 4, 5].map(|at| row[at].clone().unwrap());
        let vector: Vec<f32> = vector.split(' ').map(|x| x.parse().unwrap()).collect();
        (id, said(&text, &metadata, &document, &index, &vector))
    };
    sql(url, text).iter().map(line).collect()
}

/// The proof of one follower: the root that both sides share.
fn proves(bed: &Bed) -> nearfield::AuditReport {
    bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap();
    let mut report = None;
    wait::until("a comparison", || {
        report = bed.mirror.audit("docs", true).ok().filter(|report| report.dirty == 0);
        report.is_some()
    });
    let report = report.unwrap();
    assert!(report.is_equal(), "{report:#?}, {:#?}", bed.status());
    let told = bed.told.lock().unwrap();
    assert!(told.len() <= LINES_MAX, "{told:#?}");
    report
}

#[test]
fn m7_no_committed_transaction_is_lost() {
    let seed = environment("NEARFIELD_SEED", 1);
    let each = environment("NEARFIELD_FEED_TRANSACTIONS", TRANSACTIONS) as usize / WRITERS;
    let (start, database) = (Instant::now(), Cluster::shared().database());
    let url = &database.url;
    let follows = || options(url).delete_guard_rows(1_000_000);
    let paged = Bed::with(Store::memory(), follows().feed_page_rows(7));
    paged.until("in_sync");
    let mut stopped = Bed::with(Store::memory(), follows());
    let (late, is_over) = (OnceLock::new(), AtomicBool::new(false));
    let (mut books, mut tallies) = (Book::new(), Vec::new());
    thread::scope(|scope| {
        let ends = Ends(&is_over);
        let (tell, told) = channel();
        let passed = |n: usize| (0..n).for_each(|_| told.recv().unwrap());
        let writers: Vec<_> = (0..WRITERS)
            .map(|who| {
                let tell = tell.clone();
                scope.spawn(move || Writer::new(url, seed, who).run(each, &tell))
            })
            .collect();
        drop(tell);
        let mut others = vec![scope.spawn(|| writes_too(&paged, "a", &is_over))];
        let half = WRITERS * each / 2;
        passed(half / 2);
        stopped.mirror.stop(LONG).unwrap();
        stopped.docs.upsert([chunk("own-b", 1.0)]).unwrap();
        books.insert("own-b".to_owned(), "text of own-b".to_owned());
        passed(half - half / 2);
        stopped.mirror = Mirror::start(&stopped.store, follows()).unwrap();
        let late = late.get_or_init(|| Bed::with(Store::memory(), follows()));
        others.push(scope.spawn(|| writes_too(late, "c", &is_over)));
        passed(WRITERS * each - half);
        drop(ends);
        for writer in writers {
            let (book, tally) = writer.join().unwrap();
            books.extend(book);
            tallies.push(tally);
        }
        others.into_iter().for_each(|other| books.extend(other.join().unwrap()));
    });
    let wrote = start.elapsed();
    let followers = [&paged, &stopped, late.get().unwrap()];
    let reports = followers.map(proves);
    let there = content_there(url);
    for (bed, report) in followers.iter().zip(&reports) {
        assert!(content_here(bed) == there, "seed {seed}: contents differ");
        assert_eq!(report.database, reports[0].database, "seed {seed}");
    }
    let own: Book = there
        .iter()
        .filter(|(id, _)| id.starts_with("own-"))
        .map(|(id, said)| (id.clone(), said.clone()))
        .collect();
    let lost: Vec<_> = books
        .iter()
        .filter(|(id, text)| own.get(*id).is_none_or(|said| !said.starts_with(&format!("{text} "))))
        .collect();
    assert!(lost.is_empty() && own.len() == books.len(), "seed {seed}: {lost:?}, {} rows", own.len());
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    println!(
        "feed: {} committed, {} rolled back, {} savepoints, {} deletes, {} rows, pulled {:?}, {wrote:.1?} and \
         {:.1?} for the proof, seed {seed}",
        sum(|t| t.committed),
        sum(|t| t.rolled_back),
        sum(|t| t.savepoints),
        sum(|t| t.deletes),
        there.len(),
        followers.map(|bed| bed.status().pulled),
        start.elapsed() - wrote,
    );
}
