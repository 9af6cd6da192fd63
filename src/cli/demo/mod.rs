//! `nearfield demo`: the whole of the product in a minute, on a folder of text, step by step with the time that each took.
//!
//! Invariants: nothing is touched but the folder `demo` inside of --data, and that only if it is new or an earlier demonstration's;
//! the database is a throw-away server that ends with this process; what a step claims was asked for, not assumed.

#[cfg(feature = "mirror")]
mod database;
mod say;
mod texts;

use super::Global;
use super::progress::Progress;
use crate::{
    Chunk, Collection, Embedder, Error, ErrorKind, Filter, Hashed, Include, Metric, Options, Response,
    Result, Schema, Store,
};
use say::Teller;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use texts::Piece;

/// The collection of a demonstration.
const COLLECTION: &str = "docs";
/// It says that a folder may be removed.
const MARK: &str = "DEMO";
const BATCH: usize = 512;
const CLOSE: Duration = Duration::from_secs(30);
const SHOWN: usize = 3;
/// Where this program's own documents are, if it runs where it was built.
const OWN: &str = "src/ARCHITECTURE.md";
const QUESTIONS: [&str; 3] = [
    "when is a write acknowledged, and what survives a power loss?",
    "who is right when the database and the store differ?",
    "how does a search with a filter choose its plan?",
];

/// What to show it on.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of texts to index [default: this one, if it is nearfield's source; else documents that the program carries]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A question to ask; may be given several times [default: some about nearfield]
    #[arg(long, value_name = "TEXT")]
    ask: Vec<String>,
    /// Leave the database out
    #[arg(long)]
    no_postgres: bool,
}

/// What the steps share.
struct Demo<'a> {
    folder: PathBuf,
    options: Options,
    embedder: Hashed,
    questions: Vec<String>,
    teller: Teller<'a>,
}

/// Runs it, and tells each step to `out`.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    let start = Instant::now();
    let options = global.settings()?.settings.store;
    let folder = global.data().join("demo");
    let questions =
        if args.ask.is_empty() { QUESTIONS.map(str::to_owned).to_vec() } else { args.ask.clone() };
    let mut demo = Demo {
        folder,
        options,
        embedder: Hashed::default(),
        questions,
        teller: Teller::new(out, global.json),
    };
    let (pieces, files) = match &args.dir {
        Some(dir) => texts::of_folder(dir)?,
        None if Path::new(OWN).is_file() => texts::of_folder(Path::new("."))?,
        None => texts::carried(),
    };
    demo.clear()?;
    let folder = demo.folder.display().to_string();
    demo.teller.remark(&format!("Nearfield, the main job on {} pieces of {files} files. The store is {folder}; nothing else is touched.", pieces.len()))?;
    let store = demo.index(&pieces, Progress::new(global.quiet))?;
    let docs = store.open_collection(COLLECTION)?;
    demo.search(&docs)?;
    demo.filter(&docs, &pieces)?;
    drop(docs);
    demo.reopen(store)?;
    let mirrored = if args.no_postgres {
        Err(Error::new(ErrorKind::NotFound, "it was not asked for"))
    } else {
        demo.mirror()
    };
    let seconds = start.elapsed().as_secs_f64();
    match mirrored {
        Ok(()) => demo.teller.remark(&format!("\nAll of it in {seconds:.1} s."))?,
        Err(why) => demo.teller.remark(&format!(
            "\nThe steps with a database were left out ({why}). The rest took {seconds:.1} s. A database comes by itself where python3 -m pip can \
             fetch one, or from a pg_config with pgvector on the PATH."
        ))?,
    }
    demo.next()
}

impl Demo<'_> {
    /// Makes room for the store: removes an earlier demonstration's, and nothing else.
    fn clear(&self) -> Result<()> {
        if self.folder.exists() && !self.folder.join(MARK).is_file() {
            let message = format!(
                "{} is there and no demonstration's; name another place with --data, or remove it",
                self.folder.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.remove()?;
        let made = fs::create_dir_all(&self.folder).and_then(|()| {
            fs::write(
                self.folder.join(MARK),
                "This store is a demonstration's. `nearfield demo` removes it and makes it anew.\n",
            )
        });
        made.map_err(|e| self.failed("made", e))
    }

    fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(self.failed("removed", e)),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, cause: std::io::Error) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{} cannot be {what}", self.folder.display()))
            .with_source(cause)
    }

    fn store_folder(&self) -> PathBuf {
        self.folder.join("store")
    }

    fn open(&self) -> Result<(Store, Collection)> {
        let store = Store::open(self.store_folder(), self.options.clone())?;
        let docs = store.get_or_create(COLLECTION, Schema::new(self.embedder.dim(), Metric::Cosine))?;
        Ok((store, docs))
    }

    fn index(&mut self, pieces: &[Piece], progress: Progress) -> Result<Store> {
        let from = Instant::now();
        let (store, docs) = self.open()?;
        let bar = progress.bar("index", pieces.len());
        let mut embedding = Duration::ZERO;
        for part in pieces.chunks(BATCH) {
            let begun = Instant::now();
            let vectors =
                self.embedder.embed(&part.iter().map(|piece| piece.text.as_str()).collect::<Vec<_>>())?;
            embedding += begun.elapsed();
            docs.upsert(part.iter().zip(vectors).map(|(piece, vector)| self.chunk(piece, vector)))?;
            bar.add(part.len());
        }
        drop(bar);
        let letters: usize = pieces.iter().map(|piece| piece.text.len()).sum();
        let lines = vec![
            format!(
                "{} rows of {} numbers, {} KiB of text; every batch was on the disk before it was acknowledged",
                docs.count(None)?,
                self.embedder.dim(),
                letters >> 10
            ),
            format!(
                "{:.2} s of it went to the built-in embedder, which is lexical: it knows words and parts of words, and no meaning",
                embedding.as_secs_f64()
            ),
        ];
        self.teller.step("index a folder of text", from, lines)?;
        Ok(store)
    }

    fn chunk(&self, piece: &Piece, vector: Vec<f32>) -> Chunk {
        Chunk::new(piece.id.as_str())
            .vector(vector)
            .text(piece.text.as_str())
            .document(piece.path.as_str(), u32::try_from(piece.line).unwrap_or(u32::MAX))
            .meta("kind", piece.kind())
            .embedding_model(self.embedder.model())
    }

    fn vector(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.embedder.embed(&[text])?.pop().unwrap_or_default())
    }

    /// The answer to a question, the first to be asked or any.
    fn ask(&self, docs: &Collection, question: &str, filter: Option<Filter>) -> Result<Response> {
        let vector = self.vector(question)?;
        let search = docs.search(&vector).k(SHOWN).include(Include { text: true, ..Include::NONE });
        match filter {
            Some(filter) => search.filter(filter).run(),
            None => search.run(),
        }
    }

    fn first(&self) -> String {
        self.questions.first().cloned().unwrap_or_default()
    }

    fn search(&mut self, docs: &Collection) -> Result<()> {
        for question in self.questions.clone() {
            let vector = self.vector(&question)?;
            // The first search of a store makes what later ones use.
            docs.search(&vector).k(SHOWN).run()?;
            let from = Instant::now();
            let found = self.ask(docs, &question, None)?;
            let mut lines = vec![format!("{question:?}")];
            lines.extend(say::hits(&found));
            self.teller.step("search, embedding the question included", from, lines)?;
        }
        Ok(())
    }

    fn filter(&mut self, docs: &Collection, pieces: &[Piece]) -> Result<()> {
        // The kind that fewest pieces are of: the hardest for a walk over all of them.
        let count = |kind: &str| pieces.iter().filter(|piece| piece.kind() == kind).count();
        let Some(kind) = pieces.iter().map(Piece::kind).min_by_key(|kind| count(kind)) else { return Ok(()) };
        let question = self.first();
        let from = Instant::now();
        let found = self.ask(docs, &question, Some(Filter::eq("kind", kind)))?;
        let plan = serde_json::to_value(found.explain.plan).unwrap_or_default();
        let mut lines = vec![format!(
            "{{\"kind\": {kind:?}}} matches {} rows; the planner chose {}",
            found.explain.candidates,
            plan.as_str().unwrap_or_default()
        )];
        lines.extend(say::hits(&found));
        self.teller.step("the same question with a filter", from, lines)
    }

    fn reopen(&mut self, store: Store) -> Result<()> {
        store.close(CLOSE)?;
        drop(store);
        let from = Instant::now();
        let (store, docs) = self.open()?;
        let found = docs.search(&self.vector(&self.first())?).k(SHOWN).run()?;
        let lines =
            vec![format!("{} rows, and {} of them in a first answer", docs.count(None)?, found.hits.len())];
        self.teller.step("close the store, open it again and search", from, lines)?;
        store.close(CLOSE)
    }

    /// A build without the mirror has no such steps.
    #[cfg(not(feature = "mirror"))]
    fn mirror(&mut self) -> Result<()> {
        Err(Error::new(ErrorKind::NotFound, "this build has no mirror: it lacks the feature `mirror`"))
    }

    fn next(self) -> Result<()> {
        let store = self.store_folder();
        let Self { mut teller, .. } = self;
        teller.remark("\nNext:")?;
        for what in [
            format!("nearfield doctor --data {}", store.display()),
            "nearfield config --explain".to_owned(),
            "nearfield --help, and README.md for the library, the server and the mirror".to_owned(),
        ] {
            teller.remark(&format!("- {what}"))?;
        }
        teller.end()
    }
}
