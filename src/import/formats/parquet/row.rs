//! From columns back to rows: the values of one row, put together as the tree of columns says.
//!
//! A value that cannot be had as JSON is a fault of its row; columns that do not fit together are one of the file. Invariants: each step takes a
//! value from some column, so that no file makes it endless; a row has a limit of values and of bytes.

use super::footer::{Meaning, Node, Physical, Times};
use super::leaf::{Held, Leaf};
use super::page::Stored;
use crate::import::input::Parsed;
use crate::import::lines::LINE_BYTES_MAX;
use crate::limits::DIM_MAX;
use half::f16;
use serde_json::{Map, Number, Value};

/// Values of a row besides those of its vector.
const VALUES_MAX: usize = 1 << 20;

/// Where the columns of a row are read.
pub(super) struct Reader<'a> {
    pub(super) held: &'a mut Held,
    /// By the numbers of the file's leaves; nothing of those that are not read.
    pub(super) leaves: &'a mut [Option<Leaf>],
    pub(super) values: usize,
    pub(super) bytes: usize,
    /// What is wrong with this row.
    pub(super) fault: Option<String>,
}

impl Reader<'_> {
    fn leaf(&mut self, nth: usize) -> Parsed<(&mut Leaf, &mut Held)> {
        let leaf = self.leaves.get_mut(nth).and_then(Option::as_mut).ok_or("a column that is not read")?;
        Ok((leaf, self.held))
    }

    /// The levels of the next value of a leaf.
    fn peek(&mut self, nth: usize) -> Parsed<Option<(u16, u16)>> {
        let (leaf, held) = self.leaf(nth)?;
        leaf.peek(held)
    }

    /// The definition level of the next value, which must be there.
    fn def(&mut self, node: &Node) -> Parsed<u16> {
        let next = self.peek(node.leaves.start)?;
        next.map(|(_, def)| def).ok_or_else(|| "a column ends before its rows do".to_owned())
    }

    fn fault(&mut self, what: impl FnOnce() -> String) -> Value {
        self.fault.get_or_insert_with(what);
        Value::Null
    }

    /// What `node` holds in this row.
    pub(super) fn value(&mut self, node: &Node) -> Parsed<Value> {
        match node.times {
            Times::Once => self.present(node),
            Times::Optional if self.def(node)? >= node.def => self.present(node),
            Times::Optional => self.skip(node).map(|()| Value::Null),
            Times::Repeated => self.repeated(node, node).map(Value::Array),
        }
    }

    /// Passes one value of each leaf.
    fn skip(&mut self, node: &Node) -> Parsed<()> {
        for nth in node.leaves.clone() {
            self.peek(nth)?;
            self.leaf(nth)?.0.take()?;
        }
        Ok(())
    }

    /// All of a repeated node, of each time what `wanted` holds: itself, or what alone is in it.
    fn repeated(&mut self, node: &Node, wanted: &Node) -> Parsed<Vec<Value>> {
        let mut items = Vec::new();
        if self.def(node)? < node.def {
            self.skip(node)?;
            return Ok(items);
        }
        loop {
            let is_itself = std::ptr::eq(node, wanted);
            items.push(if is_itself { self.present(node)? } else { self.value(wanted)? });
            match self.peek(node.leaves.start)? {
                Some((rep, _)) if rep == node.rep => {}
                Some((rep, _)) if rep > node.rep => {
                    return Err("a list goes on that has not begun".to_owned());
                }
                _ => return Ok(items),
            }
        }
    }

    fn present(&mut self, node: &Node) -> Parsed<Value> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(format!("a row has more than {VALUES_MAX} values beside its vector"));
        }
        match (node.physical, node.meaning, &node.children[..]) {
            (Some(_), ..) => self.plain(node),
            (None, Meaning::List, [list]) if list.times == Times::Repeated => {
                self.repeated(list, element(list)).map(Value::Array)
            }
            (None, Meaning::Map, [pairs]) if pairs.times == Times::Repeated && pairs.children.len() == 2 => {
                let pairs = self.repeated(pairs, pairs)?;
                self.map(pairs)
            }
            (None, _, children) => {
                let mut object = Map::new();
                for child in children {
                    let value = self.value(child)?;
                    object.insert(child.name.clone(), value);
                }
                Ok(Value::Object(object))
            }
        }
    }

    /// An object of pairs of a key and a value.
    fn map(&mut self, pairs: Vec<Value>) -> Parsed<Value> {
        let mut object = Map::new();
        for pair in pairs {
            let Value::Object(pair) = pair else { continue };
            let mut both = pair.into_iter().map(|(_, value)| value);
            match (both.next(), both.next()) {
                (Some(Value::String(key)), Some(value)) => drop(object.insert(key, value)),
                _ => return Ok(self.fault(|| "a map has keys that are no texts".to_owned())),
            }
        }
        Ok(Value::Object(object))
    }

    fn plain(&mut self, node: &Node) -> Parsed<Value> {
        let name = node.name.as_str();
        self.peek(node.leaves.start)?;
        let meaning = node.meaning;
        let stored = self.leaf(node.leaves.start)?.0.take()?;
        let size = match &stored {
            Some(Stored::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        let value = stored.map_or(Ok(Value::Null), |stored| json(stored, meaning));
        self.bytes += size;
        if self.bytes > LINE_BYTES_MAX {
            return Err(format!("a row has more than {LINE_BYTES_MAX} bytes"));
        }
        Ok(match value {
            Ok(value) => value,
            Err(what) => self.fault(|| format!("its {name:?} is {what}")),
        })
    }

    /// The numbers of a vector: a list of numbers, or the bytes of little-endian `f32`; nothing if there is none.
    pub(super) fn vector(&mut self, node: &Node) -> Parsed<Option<Vec<f32>>> {
        let (name, nth) = (node.name.as_str(), node.leaves.start);
        let (mut vector, mut holes, mut strange) = (Vec::new(), false, None);
        let (leaf, held) = self.leaf(nth)?;
        let (def_max, meaning) = (leaf.def_max, leaf.meaning);
        let is_list = def_max > node.def || node.times == Times::Repeated;
        let mut next = leaf.peek(held)?.ok_or("a column ends before its rows do")?;
        loop {
            let def = next.1;
            match leaf.take()? {
                Some(Stored::Bytes(bytes)) if meaning != Meaning::Half => {
                    let (numbers, rest) = bytes.as_chunks();
                    if bytes.len() > 4 * DIM_MAX || !rest.is_empty() || is_list {
                        strange = Some(format!("{} bytes, which are no vector of f32", bytes.len()));
                    } else {
                        vector.extend(numbers.iter().map(|b| f32::from_le_bytes(*b)));
                    }
                }
                Some(stored) => match number(stored) {
                    // One more than there may be is enough to know.
                    Some(number) if vector.len() <= DIM_MAX => vector.push(number),
                    Some(_) => {}
                    None => strange = Some("of values that are no numbers".to_owned()),
                },
                // Of a list without elements, or of none, the first level says so.
                None => holes |= is_list && def + 1 == def_max && def_max > node.def + 1,
            }
            match leaf.peek(held)? {
                Some(more) if more.0 > 0 => next = more,
                _ => break,
            }
        }
        if holes {
            strange = Some("a list with a value that is not there".to_owned());
        }
        if let Some(what) = strange {
            self.fault(|| format!("its {name:?} is {what}"));
        }
        Ok((!vector.is_empty()).then_some(vector))
    }

    /// That the next value of every leaf begins a row.
    pub(super) fn ends_row(&mut self) -> Parsed<()> {
        for nth in 0..self.leaves.len() {
            if self.leaves[nth].is_some() && self.peek(nth)?.is_some_and(|(rep, _)| rep > 0) {
                return Err("its columns do not fit together".to_owned());
            }
        }
        Ok(())
    }
}

/// What a list is a list of: newer writers put a group around each element.
fn element(list: &Node) -> &Node {
    match &list.children[..] {
        [only] if list.name != "array" && !list.name.ends_with("_tuple") => only,
        _ => list,
    }
}

/// The column of numbers of a vector, if `node` can be one.
pub(super) fn is_vector(node: &Node, physical: Physical, meaning: Meaning) -> bool {
    let rep = match &node.children[..] {
        [] => u16::from(node.times == Times::Repeated),
        [list] if list.times == Times::Repeated && node.times != Times::Repeated => 1,
        _ => return false,
    };
    let inner = node.children.first().map(|list| if list.children.is_empty() { list } else { element(list) });
    if inner.is_some_and(|inner| inner.physical.is_none()) {
        return false;
    }
    match physical {
        Physical::Float | Physical::Double | Physical::Int32 | Physical::Int64 => rep == 1,
        Physical::Fixed(2) if meaning == Meaning::Half => rep == 1,
        Physical::Bytes | Physical::Fixed(_) => rep == 0 && meaning == Meaning::Plain,
        Physical::Bool | Physical::Int96 => false,
    }
}

fn number(stored: Stored<'_>) -> Option<f32> {
    match stored {
        Stored::Float(x) => Some(x),
        Stored::Double(x) => Some(x as f32),
        Stored::Int32(n) => Some(n as f32),
        Stored::Int64(n) => Some(n as f32),
        Stored::Bytes(bytes) => bytes.first_chunk().map(|b| f16::from_le_bytes(*b).to_f32()),
        Stored::Bool(_) => None,
    }
}

fn json(stored: Stored<'_>, meaning: Meaning) -> Result<Value, String> {
    let float = |x: f64| {
        Number::from_f64(x).map(Value::Number).ok_or_else(|| format!("{x}, which is no number in JSON"))
    };
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(format!("{} bytes that are no UTF-8", bytes.len())),
    };
    if let Meaning::Other(kind) = meaning {
        return Err(format!(
            "a date, a decimal number or the like (kind {kind}); make a text or a number of it"
        ));
    }
    match stored {
        Stored::Bool(flag) => Ok(Value::Bool(flag)),
        Stored::Int32(n) if meaning == Meaning::Unsigned => Ok((n as u32).into()),
        Stored::Int64(n) if meaning == Meaning::Unsigned => Ok((n as u64).into()),
        Stored::Int32(n) => Ok(n.into()),
        Stored::Int64(n) => Ok(n.into()),
        Stored::Float(x) => float(f64::from(x)),
        Stored::Double(x) => float(x),
        Stored::Bytes(bytes) if meaning == Meaning::Half => {
            float(bytes.first_chunk().map_or(0.0, |b| f16::from_le_bytes(*b).to_f64()))
        }
        Stored::Bytes(bytes) if meaning == Meaning::Json => {
            serde_json::from_slice(bytes).map_err(|e| format!("no JSON: {e}"))
        }
        Stored::Bytes(bytes) => text(bytes).map(Value::String),
    }
}
