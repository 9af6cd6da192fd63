//! Dumps of the crate `hnsw_rs` (`file_dump`), formats 3 and 4: `NAME.hnsw.graph`, of which the description is read, and
//! `NAME.hnsw.data` with ids and vectors. The crate itself is not asked: it ends the process, or takes what a file claims, when a dump is
//! damaged. Written on a little-endian machine with 64 bits, as all today's are.

use crate::config::Metric;
use crate::error::Result;
use crate::import::input::{Input, Parsed, bad, push_f32s};
use crate::import::source::{Entry, Place, Rows, Shape};
use crate::limits::DIM_MAX;
use crate::record::Chunk;
use std::path::{Path, PathBuf};

const DESCRIPTION_3: u32 = 0x002a_6771;
const DESCRIPTION_4: u32 = 0x002a_6779;
const POINT: u32 = 0xa67f_0000;
const NAME_BYTES_MAX: u64 = 256;
const HEAD_BYTES: u64 = 4 + 8;
/// Before each vector: magic, id, length.
const POINT_HEAD_BYTES: u64 = 4 + 8 + 8;

#[derive(Debug)]
struct Description {
    rows: u64,
    dim: u64,
    distance: String,
}

pub(crate) struct HnswRs {
    path: PathBuf,
    input: Input,
    shape: Shape,
    left: u64,
    next: u64,
    row: Vec<u8>,
}

/// The two files of a dump, one of which, or what both begin with, is `path`.
fn files(path: &Path) -> (PathBuf, PathBuf) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(".hnsw.data").or_else(|| name.strip_suffix(".hnsw.graph")).unwrap_or(name);
    (path.with_file_name(format!("{stem}.hnsw.graph")), path.with_file_name(format!("{stem}.hnsw.data")))
}

/// Whether there is a dump of that name.
pub(crate) fn is_dump(path: &Path) -> bool {
    let (graph, data) = files(path);
    !path.exists() && graph.is_file() && data.is_file()
}

impl HnswRs {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (graph, data) = files(path);
        let description = Description::read(&mut Input::open(&graph)?).map_err(|what| bad(&graph, what))?;
        let mut input = Input::open(&data)?;
        check(&mut input, &description).map_err(|what| bad(&data, what))?;
        let Description { rows, dim, distance, .. } = description;
        let name = distance.rsplit("::").next().unwrap_or_default();
        let metric = match name {
            "DistL2" => Some(Metric::L2),
            "DistL1" => Some(Metric::L1),
            "DistCosine" => Some(Metric::Cosine),
            "DistDot" => Some(Metric::Dot),
            _ => None,
        };
        let shape = Shape {
            dim: usize::try_from(dim).ok(),
            metric,
            rows: Some(rows),
            notes: vec![format!("a dump of hnsw_rs with the distance {name}")],
        };
        Ok(Self { path: data, input, shape, left: rows, next: 0, row: vec![0; 4 * dim as usize] })
    }

    fn read(&mut self) -> Parsed<Chunk> {
        let at = self.input.at();
        let (magic, id, bytes) = (self.input.u32()?, self.input.u64()?, self.input.u64()?);
        if magic != POINT || bytes != self.row.len() as u64 {
            return Err(format!(
                "at byte {at}: no point of {} bytes begins here (magic {magic:#010x}, {bytes} bytes)",
                self.row.len()
            ));
        }
        self.input.fill(&mut self.row)?;
        let mut vector = Vec::with_capacity(self.row.len() / 4);
        push_f32s(&self.row, &mut vector);
        Ok(Chunk::new(id.to_string()).vector(vector))
    }
}

impl Rows for HnswRs {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let place = Place::Row(self.next, self.input.at());
        let chunk = self.read().map_err(|what| bad(&self.path, what))?;
        (self.left, self.next) = (left, self.next + 1);
        Ok(Some(Entry { place, chunk: Ok(chunk) }))
    }
}

/// That the data are as many as the description says; it stands before the first point afterwards.
fn check(input: &mut Input, of: &Description) -> Parsed<()> {
    let (magic, dim) = (input.u32()?, input.u64()?);
    if magic != POINT || dim != of.dim {
        return Err(format!(
            "at byte 0: no data of {} dimensions begin here (magic {magic:#010x}, {dim} dimensions)",
            of.dim
        ));
    }
    let found = input.left();
    let wanted = of.rows.checked_mul(POINT_HEAD_BYTES + 4 * of.dim);
    if wanted != Some(found) {
        return Err(format!(
            "at byte {HEAD_BYTES}: {found} bytes of points, which are not the {} of {} dimensions that the graph's file claims",
            of.rows, of.dim
        ));
    }
    Ok(())
}

impl Description {
    fn read(input: &mut Input) -> Parsed<Self> {
        let magic = input.u32()?;
        let _mode_and_links: [u8; 2] = input.take()?;
        match magic {
            DESCRIPTION_3 => {}
            DESCRIPTION_4 => drop(input.take::<8>()?),
            _ => {
                return Err(format!(
                    "at byte 0: {magic:#010x} is not the beginning of a dump of hnsw_rs, format 3 or 4"
                ));
            }
        }
        let _layers_and_width: [u8; 9] = input.take()?;
        let at = input.at();
        let (rows, dim) = (input.u64()?, input.u64()?);
        let (distance, value) = (name(input)?, name(input)?);
        if value != "f32" {
            return Err(format!("at byte {at}: holds values of type {value:?}; f32 is read"));
        }
        if rows == 0 || !(1..=DIM_MAX as u64).contains(&dim) {
            return Err(format!(
                "at byte {at}: claims {rows} rows of {dim} dimensions; 1 to {DIM_MAX} can be stored"
            ));
        }
        Ok(Self { rows, dim, distance })
    }
}

fn name(input: &mut Input) -> Parsed<String> {
    let (at, len) = (input.at(), input.u64()?);
    if len > NAME_BYTES_MAX {
        return Err(format!("at byte {at}: a name of {len} bytes; {NAME_BYTES_MAX} is the limit"));
    }
    String::from_utf8(input.bytes(len, "name")?).map_err(|_| format!("at byte {at}: a name that is not text"))
}
