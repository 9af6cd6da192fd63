//! The field index of one block: which rows match, without looking at the rows.
//!
//! Invariant: for every filter the answer equals the oracle's on all inserted rows; each row is inserted once. Sealing
//! changes cost and size, never an answer. Nothing is removed: a dead row stays, and whoever asks knows who is alive.

use super::expr::{Expr, Filter, Scalar, Test};
use super::mask::{self, BlockMask, EMPTY};
use super::numbers::Numbers;
use super::rows::Rows;
use super::strings::Strings;
use crate::limits::FILTER_PATH_BYTES_MAX;
use crate::record::{Map, Num};
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) struct FieldIndex {
    /// A tree, because strangers choose the keys, and hashing those needs a secret.
    fields: BTreeMap<Box<str>, Field>,
    all: Box<BlockMask>,
}

/// All values under one path. `strings` are fields, `elements` strings in arrays: `$contains` tells them apart.
#[derive(Default)]
struct Field {
    present: Rows,
    nulls: Rows,
    falses: Rows,
    trues: Rows,
    numbers: Numbers,
    strings: Strings,
    elements: Strings,
}

impl Default for FieldIndex {
    fn default() -> Self {
        Self { fields: BTreeMap::new(), all: Box::new(EMPTY) }
    }
}

impl FieldIndex {
    /// Adds a row. A frozen index opens again the fields that the row touches; that is slow, not wrong.
    pub(crate) fn insert(&mut self, row: u16, metadata: &Map) {
        mask::set(&mut self.all, row);
        self.object(&mut String::new(), metadata, row);
    }

    /// The matching rows, into `out`. A filter that was built wrong matches nothing.
    pub(crate) fn eval_mask(&self, filter: &Filter, out: &mut BlockMask) {
        out.fill(0);
        if let Ok(expr) = &filter.0 {
            self.or_into(expr, out);
        }
    }

    /// The matching rows, as tests like them.
    #[cfg(test)]
    pub(crate) fn eval(&self, filter: &Filter) -> roaring::RoaringBitmap {
        let mut mask = EMPTY;
        self.eval_mask(filter, &mut mask);
        mask::to_roaring(&mask)
    }

    /// How many rows were inserted.
    pub(crate) fn rows(&self) -> usize {
        self.all.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Bytes on the heap, estimated where the allocator or a tree decides.
    pub(crate) fn heap_bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(path, field)| path.len() + field.heap_bytes());
        let node_bytes = self.fields.len() * size_of::<(Box<str>, Field)>() * 3 / 2;
        size_of::<BlockMask>() + node_bytes + fields.sum::<usize>()
    }

    /// Turns every field into its compact, faster form: for a block that takes no more rows.
    pub(crate) fn freeze(&mut self) {
        self.fields.values_mut().for_each(Field::seal);
    }

    fn object(&mut self, path: &mut String, map: &Map, row: u16) {
        let len = path.len();
        for (key, value) in map {
            path.push_str(key);
            // No filter can name a longer path. The limit also keeps many small values under long keys from growing.
            if path.len() <= FILTER_PATH_BYTES_MAX {
                self.with_field(path, |field| field.present.insert(row));
                self.value(path, value, false, row);
            }
            path.truncate(len);
        }
    }

    fn value(&mut self, path: &mut String, value: &Value, in_array: bool, row: u16) {
        match value {
            Value::Object(map) => {
                let len = path.len();
                path.push('.');
                self.object(path, map, row);
                path.truncate(len);
            }
            Value::Array(items) => items.iter().for_each(|item| self.value(path, item, true, row)),
            scalar => self.with_field(path, |field| field.insert(scalar, in_array, row)),
        }
    }

    fn with_field(&mut self, path: &str, act: impl Fn(&mut Field)) {
        match self.fields.get_mut(path) {
            Some(field) => act(field),
            None => act(self.fields.entry(path.into()).or_default()),
        }
    }

    fn or_into(&self, expr: &Expr, out: &mut BlockMask) {
        match expr {
            Expr::Test(path, test) => {
                self.fields.get(path).into_iter().for_each(|field| field.or_into(test, out))
            }
            Expr::Any(parts) => parts.iter().for_each(|part| self.or_into(part, out)),
            Expr::All(parts) => self.or_all(parts, out),
            Expr::Not(_) => self.or_all(std::slice::from_ref(expr), out),
        }
    }

    fn or_all(&self, parts: &[Expr], out: &mut BlockMask) {
        let mut kept = *self.all;
        for part in parts {
            self.keep(part, &mut kept);
            if mask::is_empty(&kept) {
                return;
            }
        }
        mask::or(out, &kept);
    }

    /// Keeps of `kept` what matches.
    fn keep(&self, expr: &Expr, kept: &mut BlockMask) {
        let mut matching = EMPTY;
        if let Expr::Not(inner) = expr {
            self.or_into(inner, &mut matching);
            mask::and_not(kept, &matching);
        } else {
            self.or_into(expr, &mut matching);
            mask::and(kept, &matching);
        }
    }
}

impl Field {
    fn insert(&mut self, value: &Value, in_array: bool, row: u16) {
        match value {
            Value::Null => self.nulls.insert(row),
            Value::Bool(false) => self.falses.insert(row),
            Value::Bool(true) => self.trues.insert(row),
            Value::Number(n) => Num::of(n).into_iter().for_each(|n| self.numbers.insert(n, row)),
            Value::String(s) if in_array => self.elements.insert(s, row),
            Value::String(s) => self.strings.insert(s, row),
            Value::Array(_) | Value::Object(_) => {}
        }
    }

    fn or_into(&self, test: &Test, out: &mut BlockMask) {
        match test {
            Test::In(values) => values.iter().for_each(|value| self.or_equal(value, out)),
            Test::Number(range) => self.numbers.or_range(range.bounds(), out),
            Test::Text(range) => {
                self.strings.or_range(range.bounds(), out);
                self.elements.or_range(range.bounds(), out);
            }
            Test::Prefix(start) => {
                self.strings.or_prefix(start, out);
                self.elements.or_prefix(start, out);
            }
            Test::Contains(part) => {
                self.strings.or_containing(part, out);
                self.elements.or_equal(part, out);
            }
            Test::Exists => self.present.or_into(out),
        }
    }

    fn or_equal(&self, value: &Scalar, out: &mut BlockMask) {
        match value {
            Scalar::Null => self.nulls.or_into(out),
            Scalar::Bool(false) => self.falses.or_into(out),
            Scalar::Bool(true) => self.trues.or_into(out),
            Scalar::Num(n) => self.numbers.or_equal(*n, out),
            Scalar::Str(s) => {
                self.strings.or_equal(s, out);
                self.elements.or_equal(s, out);
            }
        }
    }

    fn seal(&mut self) {
        let Self { present, nulls, falses, trues, numbers, strings, elements } = self;
        [present, nulls, falses, trues].into_iter().for_each(Rows::shrink);
        numbers.seal();
        strings.seal();
        elements.seal();
    }

    fn heap_bytes(&self) -> usize {
        let Self { present, nulls, falses, trues, numbers, strings, elements } = self;
        let rows: usize = [present, nulls, falses, trues].into_iter().map(Rows::heap_bytes).sum();
        rows + numbers.heap_bytes() + strings.heap_bytes() + elements.heap_bytes()
    }
}
