//! What stands beside a file of vectors, row by row: ids (`--ids`) and everything else (`--docs`).
//!
//! Invariant: the files have equally many rows as the vectors; one that is shorter or longer is an error, for then nobody knows which
//! row is whose.

use super::jsonl::Line;
use super::plain::Integers;
use crate::error::Result;
use crate::import::input::{Input, Parsed, bad, extension};
use crate::import::lines::Lines;
use crate::import::source::{Entry, Extra, Place, Rows, Shape, Spec};
use crate::record::Chunk;
use std::path::{Path, PathBuf};

enum Ids {
    Lines(Lines),
    Numbers(Integers),
}

struct Beside {
    rows: Box<dyn Rows>,
    ids: Option<(PathBuf, Ids)>,
    docs: Option<(PathBuf, Lines)>,
    extra: Extra,
}

/// The rows with what `spec` puts beside them.
pub(super) fn with(rows: Box<dyn Rows>, spec: &Spec) -> Result<Box<dyn Rows>> {
    if spec.ids.is_none() && spec.docs.is_none() {
        return Ok(rows);
    }
    let mut beside = Beside { rows, ids: None, docs: None, extra: spec.extra };
    if let Some(path) = &spec.ids {
        beside.ids = Some((path.clone(), Ids::open(path)?));
    }
    if let Some(path) = &spec.docs {
        beside.docs = Some((path.clone(), Lines::open(path)?));
    }
    Ok(Box::new(beside))
}

impl Ids {
    fn open(path: &Path) -> Result<Self> {
        let extension = extension(path);
        if !matches!(extension, "npy" | "ivecs") {
            return Lines::open(path).map(Self::Lines);
        }
        let numbers = Integers::open(Input::open(path)?, extension).map_err(|what| bad(path, what))?;
        match numbers.columns() {
            1 => Ok(Self::Numbers(numbers)),
            n => Err(bad(path, format!("holds {n} numbers a row; ids are one a row"))),
        }
    }

    fn next(&mut self) -> Parsed<Option<String>> {
        match self {
            Self::Lines(lines) => Ok(lines.next_text()?.map(str::to_owned)),
            Self::Numbers(table) => {
                let mut numbers = Vec::with_capacity(1);
                table.next(&mut numbers)?;
                Ok(numbers.first().map(i128::to_string))
            }
        }
    }
}

impl Beside {
    /// The chunk with what stands beside it. An error is the file's; what is wrong with the row is inside.
    fn join(&mut self, chunk: Chunk, place: Place) -> Result<std::result::Result<Chunk, String>> {
        let mut chunk = chunk;
        if let Some((path, docs)) = &mut self.docs {
            let line = docs.next().map_err(|what| bad(path, what))?;
            let line =
                line.ok_or_else(|| bad(path, format!("ends before the vectors do, at their {place}")))?;
            match Line::parse(line, self.extra).and_then(|line| line.beside(chunk)) {
                Ok(joined) => chunk = joined,
                Err(what) => {
                    if let Some((path, ids)) = &mut self.ids {
                        ids.next().map_err(|what| bad(path, what))?;
                    }
                    return Ok(Err(format!("{}, line {}: {what}", path.display(), docs.number())));
                }
            }
        }
        if let Some((path, ids)) = &mut self.ids {
            let id = ids.next().map_err(|what| bad(path, what))?;
            chunk.id =
                id.ok_or_else(|| bad(path, format!("ends before the vectors do, at their {place}")))?;
        }
        Ok(Ok(chunk))
    }

    /// That nothing is left over.
    fn finish(&mut self) -> Result<()> {
        if let Some((path, ids)) = &mut self.ids
            && ids.next().map_err(|what| bad(path, what))?.is_some_and(|id| !id.is_empty())
        {
            return Err(bad(path, "has more ids than there are vectors"));
        }
        if let Some((path, docs)) = &mut self.docs {
            while let Some(line) = docs.next().map_err(|what| bad(path, what))? {
                if !line.trim_ascii().is_empty() {
                    let what = format!("line {} belongs to no vector: there are fewer", docs.number());
                    return Err(bad(path, what));
                }
            }
        }
        Ok(())
    }
}

impl Rows for Beside {
    fn shape(&self) -> &Shape {
        self.rows.shape()
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        let Some(Entry { place, chunk }) = self.rows.next()? else {
            self.finish()?;
            return Ok(None);
        };
        // Formats with rows in order find nothing wrong with one alone.
        let chunk = match chunk {
            Ok(chunk) => self.join(chunk, place)?,
            Err(what) => Err(what),
        };
        Ok(Some(Entry { place, chunk }))
    }
}
