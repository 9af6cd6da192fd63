//! `bench text`: searches by words, by a vector and by both, over one set of documents and the same queries.
//!
//! A query has two kinds of right answers: the nearest rows of its vector (the truth of the data set), and the documents that bear its very title.
//! The first favour the vector leg by what they are, the second the words; both are told, and their mean.

use super::data::{Doc, Matrix, Neighbours, first_of, lines, load_docs, matrix, neighbours};
use super::report::{Machine, grouped, json};
use super::tally::percentile;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::{Chunk, Collection, Error, Fusion, Language, Metric, Options, Result, Schema, Search, Store};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

const BATCH: usize = 4_096;
const K: usize = 10;

/// Which documents, and which queries.
#[derive(Args)]
pub(in crate::cli) struct TextArgs {
    /// Vectors, queries and truth as .npy, and queries.jsonl with a title for each query
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Documents, a line of JSON for each vector; those of the folder if not given
    #[arg(long, value_name = "FILE")]
    docs: Option<PathBuf>,
    /// Put each document's title before its text
    #[arg(long)]
    titles: bool,
    /// At most so many queries
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    queries: usize,
}

#[derive(Deserialize)]
struct Titled {
    title: String,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    rows: usize,
    titles: bool,
    /// Of a store in memory, which pays for words as it is written: with words, without, and the difference.
    fill_s: f64,
    fill_without_text_s: f64,
    text_bytes: u64,
    text_bytes_of_input: u64,
    segments: usize,
    queries: usize,
    /// Queries whose title some document bears.
    titled: usize,
    modes: Vec<ModeReport>,
}

#[derive(Serialize)]
struct ModeReport {
    mode: String,
    p50_us: f64,
    p99_us: f64,
    /// Of the ten nearest rows.
    recall: f64,
    /// Of the documents that bear the query's title, as many as have room among the first ten.
    titles: f64,
    mean: f64,
}

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &TextArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let folder = &args.data_dir;
    let (base, docs) = load_docs(folder, args.docs.as_deref())?;
    let docs = docs.ok_or_else(|| Error::invalid("no documents: give --docs"))?;
    let docs_path = args.docs.clone().unwrap_or_else(|| folder.join("docs.jsonl"));
    let titles: Vec<String> =
        lines::<Titled>(&docs_path, base.rows())?.into_iter().map(|line| line.title).collect();
    let queries = matrix(&first_of(folder, &["queries.f16.npy", "queries.f32.npy"])?)?;
    let asked: Vec<String> = lines::<Titled>(&folder.join("queries.jsonl"), queries.rows())?
        .into_iter()
        .map(|q| q.title)
        .collect();
    let truth = neighbours(&folder.join("truth.i32.npy"))?;
    let texts: Vec<String> =
        docs.iter().zip(&titles).map(|(doc, title)| text_of(doc, title, args.titles)).collect();

    let bar = progress.bar("fill", 2 * base.rows());
    let (_, _, fill_without_text_s) = fill(&base, &texts, Language::Off, &|rows| bar.add(rows))?;
    let (_store, filled, fill_s) = fill(&base, &texts, Language::English, &|rows| bar.add(rows))?;
    drop(bar);
    let count = args.queries.min(queries.rows());
    let mut bears: HashMap<String, Vec<u32>> = HashMap::new();
    for (row, title) in titles.iter().enumerate() {
        bears.entry(title.to_lowercase()).or_default().push(row as u32);
    }
    let bed = Bed { docs: &filled, queries: &queries, asked: &asked, truth: &truth, bears, count };
    let bar = progress.bar("measure", 6 * count);
    let tell = |rows| bar.add(rows);
    let modes = vec![
        bed.mode("text", &tell, &|docs, _, words| docs.search_text(words))?,
        bed.mode("vector", &tell, &|docs, query, _| docs.search(query).ef(128))?,
        bed.mode("hybrid lift", &tell, &|docs, query, words| docs.search_hybrid(query, words).ef(128))?,
        bed.mode("hybrid rrf", &tell, &|docs, query, words| {
            docs.search_hybrid(query, words).ef(128).fusion(Fusion::Rrf)
        })?,
        bed.mode("hybrid weighted .7", &tell, &|docs, query, words| {
            docs.search_hybrid(query, words).ef(128).fusion(Fusion::Weighted).vector_weight(0.7)
        })?,
        bed.mode("hybrid weighted .5", &tell, &|docs, query, words| {
            docs.search_hybrid(query, words).ef(128).fusion(Fusion::Weighted).vector_weight(0.5)
        })?,
    ];
    drop(bar);
    let stats = filled.stats().text;
    let titled = (0..count).filter(|q| bed.bears.contains_key(&asked[*q].to_lowercase())).count();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        rows: base.rows(),
        titles: args.titles,
        fill_s,
        fill_without_text_s,
        text_bytes: stats.file_bytes,
        text_bytes_of_input: texts.iter().map(|text| text.len() as u64).sum(),
        segments: stats.segments,
        queries: count,
        titled,
        modes,
    };
    if global.json { json(&report, out) } else { report.text(out) }.map_err(output)
}

fn text_of(doc: &Doc, title: &str, with_title: bool) -> String {
    let text = doc.text.as_deref().unwrap_or_default();
    if with_title { format!("{title}\n{text}") } else { text.to_owned() }
}

fn fill(
    base: &Matrix,
    texts: &[String],
    language: Language,
    told: &dyn Fn(usize),
) -> Result<(Store, Collection, f64)> {
    let store = Store::memory_with(Options::default().build_threads(2))?;
    let schema = Schema::new(base.dim, Metric::Cosine).language(language);
    let docs = store.create_collection("bench", schema)?;
    let start = Instant::now();
    for first in (0..base.rows()).step_by(BATCH) {
        let rows = first..(first + BATCH).min(base.rows());
        told(rows.len());
        let chunk =
            |row: usize| Chunk::new(row.to_string()).vector(base.row(row).to_vec()).text(texts[row].clone());
        docs.upsert(rows.map(chunk))?;
    }
    Ok((store, docs, start.elapsed().as_secs_f64()))
}

struct Bed<'a> {
    docs: &'a Collection,
    queries: &'a Matrix,
    asked: &'a [String],
    truth: &'a Neighbours,
    /// Rows by their titles, in small letters.
    bears: HashMap<String, Vec<u32>>,
    count: usize,
}

type Make<'m> = dyn for<'s> Fn(&'s Collection, &'s [f32], &'s str) -> Search<'s> + 'm;

impl Bed<'_> {
    fn mode(&self, mode: &str, told: &dyn Fn(usize), make: &Make<'_>) -> Result<ModeReport> {
        let (mut ns, mut hit, mut exist) = (Vec::with_capacity(self.count), 0usize, 0usize);
        let (mut named, mut names) = (0usize, 0usize);
        for q in 0..self.count {
            let search = make(self.docs, self.queries.row(q), &self.asked[q]).k(K);
            let start = Instant::now();
            let response = search.run()?;
            ns.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
            let found: Vec<u32> =
                response.hits.iter().filter_map(|hit| hit.id.as_str().parse().ok()).collect();
            for row in self.truth.of(q, K) {
                exist += 1;
                hit += usize::from(found.contains(&row));
            }
            let bearing = self.bears.get(&self.asked[q].to_lowercase());
            let bearing = bearing.map_or(&[] as &[u32], Vec::as_slice);
            names += bearing.len().min(K);
            named += bearing.iter().filter(|row| found.contains(row)).count();
            told(1);
        }
        ns.sort_unstable();
        let us = |share| percentile(&ns, share) as f64 / 1e3;
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let (recall, titles) = (share(hit, exist), share(named, names));
        Ok(ModeReport {
            mode: mode.to_owned(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            recall,
            titles,
            mean: f64::midpoint(recall, titles),
        })
    }
}

impl Report {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} texts of {:.1} MiB{}: filled in {:.1} s, {:.1} without words; {:.1} MiB of words in {} segments",
            grouped(self.rows),
            self.text_bytes_of_input as f64 / f64::from(1 << 20),
            if self.titles { " with titles" } else { "" },
            self.fill_s,
            self.fill_without_text_s,
            self.text_bytes as f64 / f64::from(1 << 20),
            self.segments
        )?;
        writeln!(out, "{} queries, {} with the title of a document; 10 hits", self.queries, self.titled)?;
        for m in &self.modes {
            write!(out, "{:<20} p50 {:7.0}  p99 {:7.0} us", m.mode, m.p50_us, m.p99_us)?;
            writeln!(out, "  neighbours {:.4}  titles {:.4}  mean {:.4}", m.recall, m.titles, m.mean)?;
        }
        Ok(())
    }
}
