//! Index files of FAISS: `Flat` (`IxFI`, `IxF2`, `IxFl`), `IDMap` and `IDMap2` (`IxMp`, `IxM2`) and `HNSW,Flat` (`IHNf`), as version 1.7 to
//! 1.15 write them. Everything else is refused by its name.
//!
//! The whole structure is walked through first, by the lengths in it, so that a file that is cut off is found out before its first
//! row is read. Then the vectors, and the ids that stand behind them, are read side by side.

use crate::config::Metric;
use crate::error::Result;
use crate::import::input::{Input, Parsed, bad, push_f32s};
use crate::import::source::{Entry, Place, Rows, Shape};
use crate::limits::DIM_MAX;
use crate::record::Chunk;
use std::path::{Path, PathBuf};

/// Maps in maps are not made by anyone.
const NESTING_MAX: usize = 3;
/// What a graph holds beside its vectors: lists whose elements have so many bytes.
const GRAPH_LISTS: [(&str, u64); 5] = [
    ("probabilities of levels", 8),
    ("neighbours of levels", 4),
    ("levels", 4),
    ("offsets", 8),
    ("neighbours", 4),
];
/// Entry point, highest level, two widths and a field of old.
const GRAPH_TAIL_BYTES: u64 = 5 * 4;

/// Where things stand in a file.
#[derive(Debug, PartialEq)]
struct Layout {
    dim: u32,
    rows: u64,
    metric: Metric,
    vectors_at: u64,
    ids_at: Option<u64>,
    what: &'static str,
}

/// What every index begins with.
struct Head {
    dim: u32,
    rows: u64,
    metric: Metric,
}

pub(crate) struct Faiss {
    path: PathBuf,
    layout: Layout,
    vectors: Input,
    ids: Option<Input>,
    shape: Shape,
    next: u64,
    row: Vec<u8>,
}

impl Faiss {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let named = |what| bad(path, what);
        let mut vectors = Input::open(path)?;
        let layout = Layout::of(&mut vectors).map_err(named)?;
        vectors.seek(layout.vectors_at).map_err(named)?;
        let ids = match layout.ids_at {
            None => None,
            Some(at) => {
                let mut ids = Input::open(path)?;
                ids.seek(at).map_err(named)?;
                Some(ids)
            }
        };
        let shape = Shape {
            dim: Some(layout.dim as usize),
            metric: Some(layout.metric),
            rows: Some(layout.rows),
            notes: vec![format!("a FAISS index, {}", layout.what)],
        };
        Ok(Self {
            path: path.to_owned(),
            vectors,
            ids,
            shape,
            next: 0,
            row: vec![0; 4 * layout.dim as usize],
            layout,
        })
    }

    fn read(&mut self) -> Parsed<Chunk> {
        let id = match &mut self.ids {
            Some(ids) => ids.i64()?.to_string(),
            None => self.next.to_string(),
        };
        self.vectors.fill(&mut self.row)?;
        let mut vector = Vec::with_capacity(self.layout.dim as usize);
        push_f32s(&self.row, &mut vector);
        Ok(Chunk::new(id).vector(vector))
    }
}

impl Rows for Faiss {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        if self.next == self.layout.rows {
            return Ok(None);
        }
        let place = Place::Row(self.next, self.vectors.at());
        let chunk = self.read().map_err(|what| bad(&self.path, what))?;
        self.next += 1;
        Ok(Some(Entry { place, chunk: Ok(chunk) }))
    }
}

impl Layout {
    fn of(input: &mut Input) -> Parsed<Self> {
        let layout = Self::index(input, 0)?;
        input.end()?;
        if layout.rows == 0 {
            return Err("holds no rows".to_owned());
        }
        Ok(layout)
    }

    fn index(input: &mut Input, depth: usize) -> Parsed<Self> {
        let at = input.at();
        if depth >= NESTING_MAX {
            return Err(format!("at byte {at}: an index within {depth} others"));
        }
        match &input.take::<4>()? {
            b"IxFI" | b"IxF2" | b"IxFl" => Self::flat(input),
            b"IxMp" | b"IxM2" => Self::map(input, depth),
            b"IHNf" => Self::graph(input, depth),
            other => Err(format!("at byte {at}: {}", refusal(*other))),
        }
    }

    fn flat(input: &mut Input) -> Parsed<Self> {
        let Head { dim, rows, metric } = Head::read(input)?;
        let at = input.at();
        let values = input.u64()?;
        if rows.checked_mul(u64::from(dim)) != Some(values) {
            return Err(format!(
                "at byte {at}: {values} values, but {rows} rows of {dim} dimensions were claimed"
            ));
        }
        let bytes = input.claim(values, 4, "values")?;
        let vectors_at = input.at();
        input.skip(bytes)?;
        Ok(Self { dim, rows, metric, vectors_at, ids_at: None, what: "Flat" })
    }

    fn map(input: &mut Input, depth: usize) -> Parsed<Self> {
        let head = Head::read(input)?;
        let inner = Self::index(input, depth + 1)?;
        let at = input.at();
        let ids = input.u64()?;
        if ids != inner.rows || head.rows != inner.rows || head.dim != inner.dim {
            return Err(format!(
                "at byte {at}: {ids} ids for {} rows of {} dimensions, where {} of {} were claimed",
                inner.rows, inner.dim, head.rows, head.dim
            ));
        }
        let bytes = input.claim(ids, 8, "ids")?;
        let ids_at = Some(input.at());
        input.skip(bytes)?;
        let what = if inner.what == "Flat" { "IDMap,Flat" } else { "IDMap,HNSW,Flat" };
        // The outer ids are those that count.
        Ok(Self { ids_at, what, ..inner })
    }

    fn graph(input: &mut Input, depth: usize) -> Parsed<Self> {
        let head = Head::read(input)?;
        for (what, each) in GRAPH_LISTS {
            let count = input.u64()?;
            let bytes = input.claim(count, each, what)?;
            input.skip(bytes)?;
        }
        input.skip(GRAPH_TAIL_BYTES)?;
        let at = input.at();
        let inner = Self::index(input, depth + 1)?;
        if inner.what != "Flat" || head.rows != inner.rows || head.dim != inner.dim {
            return Err(format!(
                "at byte {at}: {} rows of {} dimensions under a graph of {} of {}",
                inner.rows, inner.dim, head.rows, head.dim
            ));
        }
        Ok(Self { metric: head.metric, what: "HNSW,Flat", ..inner })
    }
}

impl Head {
    fn read(input: &mut Input) -> Parsed<Self> {
        let at = input.at();
        let (dim, rows) = (input.i32()?, input.i64()?);
        let _unused: [u8; 16] = input.take()?;
        let (is_trained, metric_at) = (input.u8()?, input.at());
        let metric = match input.i32()? {
            0 => Metric::Dot,
            1 => Metric::L2,
            2 => Metric::L1,
            other => {
                let name = METRICS.get(other as usize).copied().unwrap_or("unknown");
                return Err(format!(
                    "at byte {metric_at}: metric {other} ({name}); inner product, L2 and L1 are served"
                ));
            }
        };
        if metric == Metric::L1 {
            let _argument: [u8; 4] = input.take()?;
        }
        if is_trained > 1 {
            return Err(format!("at byte {}: neither true nor false: {is_trained}", metric_at - 1));
        }
        let dim =
            u32::try_from(dim).ok().filter(|dim| (1..=DIM_MAX as u32).contains(dim)).ok_or_else(|| {
                format!("at byte {at}: claims vectors of {dim} dimensions; 1 to {DIM_MAX} can be stored")
            })?;
        let rows = u64::try_from(rows).map_err(|_| format!("at byte {at}: claims {rows} rows"))?;
        Ok(Self { dim, rows, metric })
    }
}

const METRICS: [&str; 5] = ["inner product", "L2", "L1", "Linf", "Lp"];

/// Why an index of another kind is not read.
fn refusal(code: [u8; 4]) -> String {
    let lossy =
        "it keeps codes, not vectors: rebuild it as Flat, or import the vectors that it was made from";
    let what = match &code {
        b"IHNs" => format!("an HNSW over scalar-quantized codes; {lossy}"),
        b"IHNp" | b"IHN2" => format!("an HNSW over product-quantized codes; {lossy}"),
        [b'I', b'w', ..] => format!("an inverted file; {lossy}, or take them with reconstruct_n"),
        b"IxSQ" | b"IxPq" | b"IxPQ" => format!("quantized; {lossy}"),
        b"IxPT" => "vectors behind a transform; apply it, and write the result as Flat".to_owned(),
        [b'I', b'B', ..] => "a binary index; vectors of floats are stored here".to_owned(),
        b"null" => "an index that was written without its vectors".to_owned(),
        _ => "Flat, IDMap, IDMap2 and HNSW,Flat are read".to_owned(),
    };
    let shown: String = code.iter().map(|b| char::from(*b).escape_default().to_string()).collect();
    format!("`{shown}` is not read: {what}")
}
