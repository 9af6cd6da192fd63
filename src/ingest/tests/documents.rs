//! Documents in a collection: what is new is embedded, all else stays, in one commit.

use super::prose;
use crate::embed::{Embedder, Hashed, estimate_tokens};
use crate::ingest::{Chunking, Content, DocumentReport, Documents, Kind};
use crate::{Chunk, Collection, Error, ErrorKind, Filter, Metric, Result, Schema, Store};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Remembers what it was asked; refuses and fails on request.
struct Watched {
    inner: Hashed,
    name: &'static str,
    asked: Mutex<Vec<String>>,
    reads: Option<usize>,
    away: AtomicBool,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Watched {
    fn new(name: &'static str) -> Self {
        let (asked, meanwhile) = (Mutex::default(), Mutex::default());
        let (inner, away) = (Hashed::new(64).unwrap(), AtomicBool::new(false));
        Self { inner, name, asked, reads: None, away, meanwhile }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }
}

impl Embedder for Watched {
    fn model(&self) -> &str {
        self.name
    }

    fn dim(&self) -> usize {
        64
    }

    fn tokens_max(&self) -> Option<usize> {
        self.reads
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "away"));
        }
        if texts.iter().any(|text| text.contains("REFUSE")) {
            return Err(Error::invalid("not this one"));
        }
        self.asked.lock().extend(texts.iter().map(|text| (*text).to_owned()));
        self.inner.embed(texts)
    }
}

fn collection() -> Collection {
    Store::memory().create_collection("docs", Schema::new(64, Metric::Cosine)).unwrap()
}

fn store(docs: &Collection, by: Option<&Watched>, id: &str, text: &str) -> Result<DocumentReport> {
    let documents = Documents::of(docs).chunking(Chunking { tokens: 64, overlap: 0 });
    let content = Content::text(text, Kind::Markdown);
    match by {
        Some(by) => documents.embedder(by).store(id, &content, Default::default()),
        None => documents.store(id, &content, Default::default()),
    }
}

fn parts(n: usize) -> String {
    (0..n).map(|at| format!("# Part {at}\n\n{}\n\n", prose(at as u64, 2))).collect()
}

/// Everything that a reader of the document relies on.
fn check(docs: &Collection, id: &str, text: &str, of: usize) {
    let chunks = docs.document(id).unwrap();
    assert_eq!(chunks.len(), of);
    for (at, chunk) in chunks.iter().enumerate() {
        let place = |key: &str| chunk.metadata["chunk"][key].as_u64().unwrap() as usize;
        assert_eq!(chunk.text.as_deref(), Some(&text[place("start")..place("end")]));
        assert_eq!((chunk.id.as_str(), chunk.chunk_index as usize), (format!("{id}#{at}").as_str(), at));
    }
}

#[test]
fn only_what_is_new_is_embedded_and_what_is_gone_goes() {
    let (docs, by) = (collection(), Watched::new("m"));
    let text = parts(20);
    let first = store(&docs, Some(&by), "d", &text).unwrap();
    assert_eq!((first.added, first.embedded, first.chunks), (20, 20, 20));
    assert_eq!(by.asked().len(), 20);
    check(&docs, "d", &text, 20);
    let token = docs.count(None).unwrap();
    let same = store(&docs, Some(&by), "d", &text).unwrap();
    assert_eq!(same, DocumentReport { chunks: 20, unchanged: 20, ..DocumentReport::default() });
    // One is edited, one comes in the middle, two go.
    let edited = text.replacen("# Part 4\n", "# Part 4 edited\n", 1).replacen(
        "# Part 9\n",
        "# New\n\nNew words here, enough of them to be one.\n\n# Part 9\n",
        1,
    );
    let end = edited.find("# Part 18\n").unwrap();
    let edited = &edited[..end];
    let report = store(&docs, Some(&by), "d", edited).unwrap();
    let expected = DocumentReport {
        chunks: 19,
        changed: 2,
        unchanged: 17,
        removed: 1,
        embedded: 2,
        ..DocumentReport::default()
    };
    assert_eq!((report, by.asked().len(), token), (expected, 2, 20));
    check(&docs, "d", edited, 19);
    assert!(docs.document("d").unwrap().iter().all(|chunk| chunk.vector.is_some()));
    assert_eq!(Documents::of(&docs).remove("d").unwrap(), 19);
    assert_eq!(docs.count(None).unwrap(), 0);
}

#[test]
fn equal_texts_are_embedded_once_and_metadata_is_found() {
    let (docs, by) = (collection(), Watched::new("m"));
    let text = "# Title\n\n".to_owned()
        + &"## Same\n\nThe very same words in each of them, and a few more of them.\n\n".repeat(6);
    let metadata = serde_json::json!({"lang": "en"}).as_object().unwrap().clone();
    let documents = Documents::of(&docs).embedder(&by).chunking(Chunking { tokens: 24, overlap: 0 });
    let report = documents.store("d", &Content::text(text, Kind::Markdown), metadata).unwrap();
    assert!(report.chunks >= 6 && report.embedded <= 3, "{report:?}");
    for filter in [Filter::eq("lang", "en"), Filter::eq("title", "Title"), Filter::eq("kind", "markdown")] {
        assert_eq!(docs.count(Some(&filter)).unwrap(), report.chunks);
    }
    assert!(docs.count(Some(&Filter::eq("chunk.headings", "Same"))).unwrap() >= 5);
    let taken = serde_json::json!({"chunk": 1}).as_object().unwrap().clone();
    assert_eq!(documents.store("d", &"x".into(), taken).unwrap_err().kind(), ErrorKind::Invalid);
    for id in [String::new(), "x".repeat(501)] {
        assert_eq!(
            documents.store(&id, &"x".into(), Default::default()).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

#[test]
fn without_an_embedder_chunks_wait_and_get_their_vectors_later() {
    let (docs, by) = (collection(), Watched::new("m"));
    let text = parts(5);
    let report = store(&docs, None, "d", &text).unwrap();
    assert_eq!((report.added, report.pending, report.embedded, docs.stats().pending), (5, 5, 0, 5));
    assert_eq!(store(&docs, None, "d", &text).unwrap().unchanged, 5);
    let report = store(&docs, Some(&by), "d", &text).unwrap();
    assert_eq!((report.unchanged, report.embedded, docs.stats().pending), (5, 5, 0));
    // Another model's vectors are not those of this one.
    let other = Watched::new("other");
    assert_eq!(store(&docs, Some(&other), "d", &text).unwrap().embedded, 5);
    assert!(
        docs.document("d").unwrap().iter().all(|chunk| chunk.embedding_model.as_deref() == Some("other"))
    );
    // Nobody asks for vectors: those that are there stay.
    store(&docs, None, "d", &text.replacen("# Part 0\n", "# Part zero\n", 1)).unwrap();
    assert_eq!(docs.stats().pending, 1);
}

#[test]
fn what_fails_has_changed_nothing() {
    let (docs, by) = (collection(), Watched::new("m"));
    let text = parts(5);
    store(&docs, Some(&by), "d", &text).unwrap();
    let before = docs.document("d").unwrap();
    by.away.store(true, Ordering::Relaxed);
    let error = store(&docs, Some(&by), "d", &parts(9)).unwrap_err();
    assert_eq!((error.kind(), docs.document("d").unwrap()), (ErrorKind::Unavailable, before.clone()));
    let wide = Hashed::new(128).unwrap();
    let error = Documents::of(&docs).embedder(&wide).store("d", &"x".into(), Default::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("128"), "{error}");
    let binary = Content::file("d.txt", vec![0; 100]);
    assert!(Documents::of(&docs).store("d", &binary, Default::default()).is_err());
    assert_eq!(docs.document("d").unwrap(), before);
    by.away.store(false, Ordering::Relaxed);
    // One text that the model refuses waits; the others do not.
    let report = store(&docs, Some(&by), "d", &text.replacen("# Part 2\n", "# REFUSE\n", 1)).unwrap();
    assert_eq!((report.pending, report.refused.len(), report.refused[0].0), (1, 1, 2));
}

#[test]
fn two_writers_of_a_document_leave_the_whole_of_one() {
    let (docs, by) = (collection(), Watched::new("m"));
    store(&docs, Some(&by), "d", &parts(6)).unwrap();
    let (theirs, ours) = (parts(9).replace("Part", "Theirs"), parts(7).replace("Part", "Ours"));
    let (other, text) = (docs.clone(), theirs.clone());
    *by.meanwhile.lock() = Some(Box::new(move || {
        store(&other, Some(&Watched::new("m")), "d", &text).unwrap();
    }));
    by.asked();
    let report = store(&docs, Some(&by), "d", &ours).unwrap();
    assert_eq!((report.chunks, by.asked().len()), (7, 7), "what was embedded is not asked for again");
    check(&docs, "d", &ours, 7);
    // A row that came in between under an id that was free.
    let (other, text) = (docs.clone(), parts(8));
    *by.meanwhile.lock() = Some(Box::new(move || {
        other.upsert([Chunk::new("d#7").text("somebody else's")]).unwrap();
    }));
    let error = store(&docs, Some(&by), "d", &text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    check(&docs, "d", &ours, 7);
}

#[test]
fn a_tenants_documents_are_its_own() {
    let (docs, by) = (collection(), Watched::new("m"));
    let (ann, bob) = (docs.tenant("ann"), docs.tenant("bob"));
    store(&ann, Some(&by), "d", &parts(3)).unwrap();
    assert_eq!(store(&ann, Some(&by), "d", &parts(3)).unwrap().unchanged, 3);
    let error = store(&bob, Some(&by), "d", &parts(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!((ann.count(None).unwrap(), bob.count(None).unwrap()), (3, 0));
}

#[test]
fn chunks_of_other_writers_under_the_same_document_are_replaced() {
    let (docs, by) = (collection(), Watched::new("m"));
    let odd = serde_json::json!({"chunk": "a text"}).as_object().unwrap().clone();
    docs.upsert([
        Chunk::new("by hand").text("some text").document("d", 0),
        Chunk::new("d#1").text("more text").document("d", 1).metadata(odd),
    ])
    .unwrap();
    let report = store(&docs, Some(&by), "d", &parts(2)).unwrap();
    assert_eq!((report.changed, report.added, report.removed), (2, 0, 0));
    check(&docs, "d", &parts(2), 2);
}

#[test]
fn documents_are_cut_for_what_the_model_reads() {
    let text = prose(1, 40);
    let most = |reads: Option<usize>| {
        let docs = collection();
        let by = Watched { reads, ..Watched::new("m") };
        let content = Content::text(&text, Kind::Markdown);
        Documents::of(&docs).embedder(&by).store("d", &content, Default::default()).unwrap();
        by.asked().iter().map(|text| estimate_tokens(text)).max().unwrap()
    };
    assert!(most(Some(100)) <= 75, "{}", most(Some(100)));
    for reads in [None, Some(512), Some(8_192)] {
        assert!((200..=384).contains(&most(reads)), "{reads:?}: {}", most(reads));
    }
}
