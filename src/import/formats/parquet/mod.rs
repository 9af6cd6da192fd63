//! Apache Parquet: columns in pages, described at the file's end.
//!
//! Columns are named as the fields of a chunk, or are mapped to them (`--columns vector=embedding`). The vector is a list of float32, float64,
//! float16 or whole numbers, or the bytes of little-endian float32; `metadata` is a JSON text, or a structure; ids may be whole numbers. Read by
//! our own code, not by the crate `parquet`: a file is not believed, and ARCHITECTURE.md says what the crate costs.
//!
//! Memory: a page of each column that is read, up to a limit for all. Packed by snappy, gzip, zstd or not at all.

mod bits;
mod footer;
mod leaf;
mod page;
mod row;
#[cfg(test)]
mod tests;
mod thrift;

use super::ahead::{Ahead, RowReader};
use super::jsonl::{FIELDS, Line};
use crate::error::Result;
use crate::import::input::{Input, Parsed, bad};
use crate::import::source::{Entry, Extra, Place, Shape, Spec};
use crate::limits::DIM_MAX;
use crate::record::Chunk;
use footer::{Footer, Node};
use leaf::{Held, Leaf};
use row::Reader;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Columns that are read; each keeps a page.
const LEAVES_MAX: usize = 512;

pub(crate) struct Parquet {
    path: PathBuf,
    held: Held,
    footer: Footer,
    /// What each column that is read is: a field of a chunk, or nothing known.
    roles: Vec<(usize, Role)>,
    leaves: Vec<Option<Leaf>>,
    /// Rows that were read, which group they are of, and how many of it are left.
    row: u64,
    group: usize,
    left: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Role {
    Vector,
    Field(&'static str),
    Extra,
}

impl Parquet {
    pub(crate) fn open(spec: &Spec) -> Result<Ahead<Self>> {
        Self::of(Input::open(&spec.path)?, spec)
    }

    /// Of an open file.
    fn of(mut input: Input, spec: &Spec) -> Result<Ahead<Self>> {
        let path = spec.path.clone();
        let opened = Footer::read(&mut input).and_then(|footer| {
            let roles = roles(&footer.columns, &spec.columns, spec.extra)?;
            let leaves = leaves(&footer, &roles)?;
            Ok((footer, roles, leaves))
        });
        let (footer, roles, leaves) = opened.map_err(|what| bad(&path, what))?;
        let shape = Shape { rows: Some(footer.rows), ..Shape::default() };
        let held = Held::new(input);
        Ahead::of(Self { path, held, footer, roles, leaves, row: 0, group: 0, left: 0 }, shape)
    }

    fn next_row(&mut self) -> Parsed<Option<Entry>> {
        while self.left == 0 {
            if self.group > 0
                && self.leaves.iter_mut().flatten().any(|l| !matches!(l.peek(&mut self.held), Ok(None)))
            {
                return Err("its columns have more rows than it says".to_owned());
            }
            let Some(group) = self.footer.groups.get(self.group) else { return Ok(None) };
            for (leaf, piece) in self.leaves.iter_mut().zip(&group.pieces) {
                if let Some(leaf) = leaf {
                    leaf.begin(piece, &mut self.held)?;
                }
            }
            self.left = group.count;
            self.group += 1;
        }
        let at = self.group.checked_sub(1).and_then(|nth| self.footer.groups.get(nth)?.pieces.first());
        let place = Place::Row(self.row, at.map_or(0, |piece| piece.from));
        self.left -= 1;
        self.row += 1;
        let chunk = self.chunk()?;
        Ok(Some(Entry { place, chunk }))
    }

    /// The next row as a chunk, or what is wrong with it alone.
    fn chunk(&mut self) -> Parsed<Parsed<Chunk>> {
        let mut reader =
            Reader { held: &mut self.held, leaves: &mut self.leaves, values: 0, bytes: 0, fault: None };
        let (mut object, mut others, mut vector) = (Map::new(), Map::new(), None);
        for (nth, role) in &self.roles {
            let node = &self.footer.columns[*nth];
            match role {
                Role::Vector => vector = reader.vector(node)?,
                Role::Field(name) => {
                    let value = reader.value(node)?;
                    object.insert((*name).to_owned(), value);
                }
                Role::Extra => {
                    let value = reader.value(node)?;
                    if !value.is_null() {
                        others.insert(node.name.clone(), value);
                    }
                }
            }
        }
        reader.ends_row()?;
        if let Some(fault) = reader.fault {
            return Ok(Err(fault));
        }
        Ok(chunk(object, others, vector))
    }
}

impl RowReader for Parquet {
    fn read(&mut self) -> Result<Option<Entry>> {
        let group = self.group;
        self.next_row()
            .map_err(|what| bad(&self.path, format!("row {}, in row group {group}: {what}", self.row)))
    }
}

/// A row's fields as a chunk's; what else it has goes into the metadata, whatever it is called.
fn chunk(
    mut object: Map<String, Value>,
    others: Map<String, Value>,
    vector: Option<Vec<f32>>,
) -> Parsed<Chunk> {
    for name in ["id", "document_id", "tenant"] {
        if let Some(number) = object.get_mut(name).filter(|value| value.is_i64() || value.is_u64()) {
            *number = Value::String(number.to_string());
        }
    }
    if let Some(text) = object.get("metadata").and_then(Value::as_str) {
        let parsed = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).map_err(|e| format!("its metadata is no JSON: {e}"))?,
        };
        object.insert("metadata".to_owned(), parsed);
    }
    // What is not there is not said: a line may not say null of everything.
    object.retain(|_, value| !value.is_null());
    if vector.as_ref().is_some_and(|vector| vector.len() > DIM_MAX) {
        return Err(format!("its vector has more than {DIM_MAX} numbers"));
    }
    let mut chunk = Line::of(Value::Object(object), Extra::Refuse)?.chunk()?;
    chunk.vector = vector;
    for (name, value) in others {
        if chunk.metadata.insert(name.clone(), value).is_some() {
            return Err(format!("the field {name:?} is in its metadata already"));
        }
    }
    Ok(chunk)
}

/// Which columns are read, and as what.
fn roles(columns: &[Node], mapped: &[(String, String)], extra: Extra) -> Parsed<Vec<(usize, Role)>> {
    let all = || columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut names: Vec<(&'static str, &str)> = FIELDS.iter().map(|field| (*field, *field)).collect();
    for (field, column) in mapped {
        let known = names.iter_mut().find(|(name, _)| name == field);
        let known =
            known.ok_or_else(|| format!("{field:?} is no field of a chunk: {}", FIELDS.join(", ")))?;
        if !columns.iter().any(|node| node.name == *column) {
            return Err(format!("has no column {column:?}, which --columns names; it has {}", all()));
        }
        known.1 = column;
    }
    let mut roles = Vec::new();
    for (nth, node) in columns.iter().enumerate() {
        if columns[..nth].iter().any(|before| before.name == node.name) {
            return Err(format!("has the column {:?} twice", node.name));
        }
        let mut fields = names.iter().filter(|(_, column)| *column == node.name).map(|(field, _)| *field);
        match fields.next() {
            Some("vector") => roles.push((nth, Role::Vector)),
            Some(field) => roles.push((nth, Role::Field(field))),
            None if extra == Extra::Ignore => {}
            None if extra == Extra::Metadata => roles.push((nth, Role::Extra)),
            None => {
                return Err(format!(
                    "the column {:?} is no field of a chunk; map it with --columns, pass it over with --extra ignore, or keep it \
                     with --extra metadata",
                    node.name
                ));
            }
        }
    }
    if !roles.iter().any(|(_, role)| *role == Role::Field("id")) {
        return Err(format!("has no column of ids; name one with --columns id=NAME. It has {}", all()));
    }
    Ok(roles)
}

/// The plain columns that are read, at their places among all.
fn leaves(footer: &Footer, roles: &[(usize, Role)]) -> Parsed<Vec<Option<Leaf>>> {
    let mut leaves: Vec<Option<Leaf>> = Vec::new();
    leaves.resize_with(footer.leaves, || None);
    for (nth, role) in roles {
        let node = &footer.columns[*nth];
        plant(node, &mut leaves);
        let [only] = &leaves[node.leaves.clone()] else {
            if *role == Role::Vector {
                return Err(format!("the column {:?} is no list of numbers", node.name));
            }
            continue;
        };
        let fits = only.as_ref().is_some_and(|leaf| row::is_vector(node, leaf.physical, leaf.meaning));
        if *role == Role::Vector && !fits {
            return Err(format!("the column {:?} is no list of numbers, nor the bytes of one", node.name));
        }
    }
    match leaves.iter().flatten().count() {
        n if n > LEAVES_MAX => Err(format!("has {n} columns to read; {LEAVES_MAX} can be: pass some over")),
        _ => Ok(leaves),
    }
}

fn plant(node: &Node, leaves: &mut [Option<Leaf>]) {
    if let Some(physical) = node.physical {
        leaves[node.leaves.start] = Some(Leaf::new(node, physical));
    }
    node.children.iter().for_each(|child| plant(child, leaves));
}
