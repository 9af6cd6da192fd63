//! `nearfield add`: files and folders into a collection, and again when they have changed.
//!
//! Invariants: a file that cannot be read or embedded costs itself alone and is told at the end; what did not change is neither
//! embedded nor written; documents are named by paths from --base, so that a second run finds them.

use super::embedder::EmbedderArgs;
use super::import::json;
use super::progress::Progress;
use super::{Global, expect_store, output};
use crate::ingest::{is_of_file, remove_gone};
use crate::{
    Chunking, Collection, DocumentReport, Documents, Embedder, EmbeddingProfile, Error, ErrorKind,
    FolderOptions, Found, FoundFile, Metric, Providers, Result, Schema, Store, find_files,
};
use parking_lot::Mutex;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) const EXIT_CODES: &str = "Exit codes: 0 all files are in, 1 some could not be read or embedded (they are named, the others are in) or the command \
                                     failed, 2 the command line is wrong.";
/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(600);
/// Files of a kind that are told one by one on a terminal.
const TOLD: usize = 20;

/// What to add, and where to.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Files and folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Name of the collection; made if there is none
    #[arg(long, value_name = "NAME", default_value = "docs")]
    into: String,
    #[command(flatten)]
    embedder: EmbedderArgs,
    /// Store chunks without vectors; `nearfield embed` makes them later. A new collection needs --dim, or --embedder for hashed or a
    /// provider whose dimensions are set
    #[arg(long, help_heading = "Vectors")]
    no_vectors: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    cuts: Cuts,
    /// Remove documents below the named folders whose files are gone
    #[arg(long)]
    prune: bool,
    /// Say what would be done, and write and embed nothing
    #[arg(long)]
    dry_run: bool,
}

/// What documents are called, and where they are cut.
#[derive(clap::Args, Clone)]
pub(super) struct Cuts {
    /// Documents are named by their paths from here [default: this folder]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Tokens of a chunk at most, by estimate [default: 384, or three quarters of what the model reads if that is less]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Tokens of the chunk before that a chunk repeats [default: an eighth]
    #[arg(long, value_name = "N")]
    overlap: Option<usize>,
}

impl Cuts {
    pub(super) fn base(&self) -> PathBuf {
        self.base.clone().unwrap_or_else(|| PathBuf::from("."))
    }

    /// As the flags say, or as is good for the model.
    pub(super) fn chunking(&self, embedder: Option<&dyn Embedder>) -> Result<Chunking> {
        let default = embedder.map_or_else(Chunking::default, Chunking::for_model);
        let tokens = self.tokens.unwrap_or(default.tokens);
        let chunking = Chunking { tokens, overlap: self.overlap.unwrap_or(tokens / 8) };
        chunking.validate()?;
        Ok(chunking)
    }

    /// What a user should know of a model that reads less than a chunk holds.
    pub(super) fn note(&self, embedder: &dyn Embedder) -> Option<String> {
        let (tokens, max) = (self.tokens?, embedder.tokens_max()?);
        (tokens > max).then(|| {
            format!(
                "chunks may have {tokens} tokens, and {} reads {max}: what is behind those is in no vector; --tokens {} is safe",
                embedder.model(),
                max / 4 * 3
            )
        })
    }
}

/// Which files of a folder.
#[derive(clap::Args, Clone)]
pub(super) struct Which {
    /// Only files like this, as in .gitignore; may be given several times
    #[arg(long, value_name = "PATTERN", help_heading = "Files")]
    include: Vec<String>,
    /// No files like this
    #[arg(long, value_name = "PATTERN", help_heading = "Files")]
    exclude: Vec<String>,
    /// Hidden files, too
    #[arg(long, help_heading = "Files")]
    hidden: bool,
    /// Do not look at .gitignore, .ignore and .nearfieldignore
    #[arg(long, help_heading = "Files")]
    no_ignore: bool,
    /// No files larger than this
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, help_heading = "Files")]
    max_bytes: u64,
}

impl Which {
    pub(super) fn options(&self) -> FolderOptions {
        FolderOptions {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            hidden: self.hidden,
            ignore_files: !self.no_ignore,
            file_bytes_max: self.max_bytes,
        }
    }
}

/// What became of all files.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    collection: String,
    dry_run: bool,
    /// Files that are documents.
    files: usize,
    files_new: usize,
    files_changed: usize,
    files_unchanged: usize,
    /// Documents that were removed because their files are gone.
    files_pruned: usize,
    added: usize,
    changed: usize,
    unchanged: usize,
    removed: usize,
    embedded: usize,
    pending: usize,
    notes: Vec<String>,
    /// Files that are no documents.
    left_out: Vec<Told>,
    /// Files that could not be added, or not wholly.
    failed: Vec<Told>,
    seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Told {
    file: String,
    why: String,
}

/// True if every file is in.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<bool> {
    let from = Instant::now();
    args.cuts.chunking(None)?;
    let base = args.cuts.base();
    let settings = global.settings()?.settings;
    let providers = settings.providers()?;
    let found = find(args, &base)?;
    let mut store = match (args.dry_run, expect_store(global.data())) {
        (true, Err(_)) => Store::memory(),
        _ => Store::open(global.data(), settings.store)?,
    };
    let done = add(args, &providers, found, &mut store, Progress::new(global.quiet));
    let closed = store.close(CLOSE);
    let mut report = done?;
    closed?;
    report.seconds = from.elapsed().as_secs_f64();
    let is_good = report.failed.is_empty();
    if global.json {
        json(&report, out)?
    } else {
        told(&report, out).map_err(output)?
    }
    Ok(is_good)
}

fn find(args: &Args, base: &Path) -> Result<Found> {
    let mut all = Found::default();
    for path in &args.paths {
        let found = find_files(path, base, &args.which.options())?;
        all.files.extend(found.files);
        all.left_out.extend(found.left_out);
    }
    all.files.sort();
    all.files.dedup();
    Ok(all)
}

fn add(
    args: &Args,
    providers: &Providers,
    found: Found,
    store: &mut Store,
    progress: Progress,
) -> Result<Report> {
    let there = store.open_collection(&args.into).ok();
    let schema = there.as_ref().map(Collection::schema);
    let chosen = if args.no_vectors { None } else { Some(args.embedder.open(store, providers, schema)?) };
    if args.dry_run && there.is_none() {
        *store = Store::memory();
    }
    let docs = open(&args.into, store, || match &chosen {
        Some(chosen) => Ok((Some(chosen.embedder.dim()), chosen.profile.clone())),
        None => args.embedder.planned(providers),
    })?;
    let embedder = chosen.as_ref().map(|chosen| &*chosen.embedder);
    let mut documents = Documents::of(&docs).chunking(args.cuts.chunking(embedder)?);
    if let Some(chosen) = &chosen {
        documents = documents.embedder(&*chosen.embedder);
    }
    let told = |(file, why): (String, String)| Told { file, why };
    let report = Report {
        collection: args.into.clone(),
        dry_run: args.dry_run,
        files: found.files.len(),
        notes: embedder.and_then(|embedder| args.cuts.note(embedder)).into_iter().collect(),
        left_out: found.left_out.into_iter().map(told).collect(),
        ..Report::default()
    };
    let bar = progress.bar("add", found.files.len());
    let (report, next, over) = (Mutex::new(report), AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let (Some(file), true) =
            (found.files.get(next.fetch_add(1, Ordering::Relaxed)), over.lock().is_none())
        {
            if let Err(e) = one(args.dry_run, &documents, file, &report) {
                over.lock().get_or_insert(e);
            }
            bar.add(1);
        }
    };
    std::thread::scope(|scope| {
        let threads = chosen.as_ref().map_or(1, |chosen| chosen.threads);
        for _ in 1..threads.min(found.files.len()) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(e) = over.into_inner() {
        return Err(e);
    }
    let mut report = report.into_inner();
    report.failed.sort_by(|a, b| a.file.cmp(&b.file));
    if args.prune {
        report.files_pruned = prune(args, &docs)?;
    }
    Ok(report)
}

/// The collection; a new one as `planned` says, its width and its profile.
pub(super) fn open(
    name: &str,
    store: &Store,
    planned: impl FnOnce() -> Result<(Option<usize>, Option<EmbeddingProfile>)>,
) -> Result<Collection> {
    match store.open_collection(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let (dim, profile) = planned()?;
    let dim = dim.ok_or_else(|| {
        Error::invalid(format!(
            "there is no collection {name:?}, and nobody says how wide its vectors are; create it first, or give --dim"
        ))
    })?;
    store.create_collection(name, Schema { embedding: profile, ..Schema::new(dim, Metric::Cosine) })
}

/// Adds one file. An error is everyone's: nothing can be written, or nobody embeds.
fn one(dry: bool, documents: &Documents<'_>, file: &FoundFile, report: &Mutex<Report>) -> Result<()> {
    let about = serde_json::json!({"path": file.name}).as_object().cloned().unwrap_or_default();
    let done = file.read().and_then(|content| {
        if dry {
            documents.plan(&file.name, &content, about)
        } else {
            documents.store(&file.name, &content, about)
        }
    });
    let mut report = report.lock();
    match done {
        Ok(done) => report.count(&file.name, done),
        Err(e) if e.kind() == ErrorKind::NotFound || is_of_file(&e) => {
            report.failed.push(Told { file: file.name.clone(), why: e.to_string() });
        }
        Err(e) => return Err(e),
    }
    Ok(())
}

impl Report {
    fn count(&mut self, file: &str, done: DocumentReport) {
        let DocumentReport { added, changed, unchanged, removed, embedded, pending, refused, .. } = done;
        match (added + changed + removed + embedded, unchanged) {
            (0, _) => self.files_unchanged += 1,
            (_, 0) if changed + removed == 0 => self.files_new += 1,
            _ => self.files_changed += 1,
        }
        self.added += added;
        self.changed += changed;
        self.unchanged += unchanged;
        self.removed += removed;
        self.embedded += embedded;
        self.pending += pending;
        for (chunk, why) in refused {
            let why = format!("chunk {chunk} waits without a vector: {why}");
            self.failed.push(Told { file: file.to_owned(), why });
        }
    }
}

/// Removes documents of files that are gone; says how many there were.
fn prune(args: &Args, docs: &Collection) -> Result<usize> {
    let base = args.cuts.base();
    args.paths.iter().map(|path| remove_gone(docs, path, &base, args.dry_run)).sum()
}

fn told(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let Report { collection, files, files_new, files_changed, files_unchanged, files_pruned, .. } = report;
    let Report { added, changed, unchanged, removed, embedded, pending, seconds, .. } = report;
    let would = if report.dry_run { "would be " } else { "" };
    writeln!(
        out,
        "{files} files {would}in {collection}: {files_new} new, {files_changed} changed, {files_unchanged} unchanged, {files_pruned} pruned"
    )?;
    writeln!(
        out,
        "  chunks: {added} added, {changed} changed, {unchanged} unchanged, {removed} removed; {embedded} {would}embedded, {pending} wait for a vector"
    )?;
    writeln!(out, "  {seconds:.2} s")?;
    report.notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"))?;
    list(&report.left_out, "left out", out)?;
    list(&report.failed, "failed", out)
}

fn list(files: &[Told], what: &str, out: &mut dyn Write) -> std::io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {} {what}:", files.len())?;
    for Told { file, why } in files.iter().take(TOLD) {
        writeln!(out, "    {file}: {why}")?;
    }
    let rest = files.len().saturating_sub(TOLD);
    if rest > 0 { writeln!(out, "    and {rest} more; --json names all") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads so many tokens.
    struct Reads(usize);

    impl Embedder for Reads {
        fn model(&self) -> &'static str {
            "short"
        }

        fn dim(&self) -> usize {
            2
        }

        fn tokens_max(&self) -> Option<usize> {
            Some(self.0)
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
            Ok(vec![vec![1.0, 0.0]; texts.len()])
        }
    }

    #[test]
    fn chunks_are_as_large_as_the_model_reads_unless_flags_say_otherwise() {
        let cuts = |tokens, overlap| Cuts { base: None, tokens, overlap };
        let sizes = |cuts: &Cuts| cuts.chunking(Some(&Reads(256))).map(|c| (c.tokens, c.overlap)).ok();
        let (plain, large) = (cuts(None, None), cuts(Some(400), None));
        assert_eq!((sizes(&plain), plain.note(&Reads(256))), (Some((192, 24)), None));
        assert_eq!(sizes(&large), Some((400, 50)));
        let note = large.note(&Reads(256)).unwrap();
        assert!(note.contains("short reads 256") && note.contains("--tokens 192"), "{note}");
        assert_eq!(large.note(&Reads(400)), None);
        assert_eq!(sizes(&cuts(Some(40), Some(21))), None, "more than half of it repeats");
        assert_eq!(plain.chunking(None).unwrap(), Chunking::default());
    }
}
