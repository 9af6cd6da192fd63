//! Python's pickles, protocols 0 to 5, as data: numbers, texts, lists, tuples, dictionaries and NumPy's arrays.
//!
//! A pickle is a program for a machine that can call anything. Here is a machine that can call nothing: it knows the instructions that
//! make data, and a name of Python's (`c`, `STACK_GLOBAL`) is refused at its byte unless it is one of the few that NumPy's arrays are
//! made of, which are kept as what they are, two words. Instructions that make instances of classes are refused, too.
//!
//! Invariants: values stand in one arena and name each other by number, so that neither depth nor sharing costs anything (a list that
//! holds another twice is not copied); bytes and texts stay where they are in the file; what one byte of the file can take is
//! bounded, and so are containers.

use super::npy::Kind;
use crate::import::input::Parsed;
use std::collections::HashMap;
use std::ops::Range;

/// Lists, tuples and dictionaries: beyond, a pickle of single bytes could take sixty times its size.
const CONTAINERS_MAX: usize = 4 << 20;

/// The names that data may hold.
const NAMES: [(&str, &str, Name); 11] = [
    ("numpy", "ndarray", Name::Ndarray),
    ("numpy", "dtype", Name::Dtype),
    ("numpy.core.multiarray", "_reconstruct", Name::Reconstruct),
    ("numpy._core.multiarray", "_reconstruct", Name::Reconstruct),
    ("numpy.core.multiarray", "scalar", Name::Scalar),
    ("numpy._core.multiarray", "scalar", Name::Scalar),
    ("numpy.core.numeric", "_frombuffer", Name::FromBuffer),
    ("numpy._core.numeric", "_frombuffer", Name::FromBuffer),
    ("builtins", "bytearray", Name::Bytearray),
    ("__builtin__", "bytearray", Name::Bytearray),
    ("collections", "OrderedDict", Name::OrderedDict),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Ndarray,
    Dtype,
    Reconstruct,
    Scalar,
    FromBuffer,
    Bytearray,
    OrderedDict,
}

/// A value's place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ref(u32);

#[derive(Clone, Debug)]
#[allow(clippy::box_collection, reason = "most values are numbers, which take 16 bytes so instead of 24")]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text that stands in the file.
    Text(Box<Range<usize>>),
    /// Text that had to be put together.
    Made(Box<str>),
    Bytes(Box<Range<usize>>),
    List(Box<Vec<Ref>>),
    Tuple(Box<Vec<Ref>>),
    Dict(Box<Vec<(Ref, Ref)>>),
    Name(Name),
    /// What a name would have been called with; nobody calls it.
    Call(Name, Ref),
    /// A call, and the state that it was to get.
    State(Name, Ref, Ref),
}

/// A pickle that was read.
pub(super) struct Pickle {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    pub(super) top: Ref,
}

/// A NumPy array within a pickle.
pub(super) struct Array {
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    data: Range<usize>,
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Ref>,
    marks: Vec<usize>,
    memo: HashMap<u64, Ref>,
    containers: usize,
}

impl Pickle {
    pub(super) fn read(bytes: Vec<u8>) -> Parsed<Self> {
        let mut machine = Machine {
            bytes: &bytes,
            at: 0,
            // Shared by all places that hold them.
            nodes: vec![Node::None, Node::Bool(false), Node::Bool(true)],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            containers: 0,
        };
        let top = machine.run()?;
        let nodes = std::mem::take(&mut machine.nodes);
        Ok(Self { bytes, nodes, top })
    }

    pub(super) fn node(&self, at: Ref) -> &Node {
        &self.nodes[at.0 as usize]
    }

    pub(super) fn text(&self, at: Ref) -> Option<&str> {
        match self.node(at) {
            Node::Text(range) => std::str::from_utf8(&self.bytes[(**range).clone()]).ok(),
            Node::Made(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list or tuple.
    pub(super) fn items(&self, at: Ref) -> Option<&[Ref]> {
        match self.node(at) {
            Node::List(items) | Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn number(&self, at: Ref) -> Option<f64> {
        match self.node(at) {
            Node::Int(n) => Some(*n as f64),
            Node::Float(x) => Some(*x),
            Node::Call(Name::Scalar, arguments) => {
                let [dtype, data] = self.items(*arguments)? else { return None };
                let (kind, bytes) = (self.dtype(*dtype)?, self.bytes_of(*data)?);
                let mut values = Vec::new();
                kind.floats(&self.bytes[bytes], &mut values);
                values.first().filter(|_| kind.is_float()).map(|value| f64::from(*value))
            }
            _ => None,
        }
    }

    fn index(&self, at: Ref) -> Option<usize> {
        if let Node::Int(n) = self.node(at) { usize::try_from(*n).ok() } else { None }
    }

    fn bytes_of(&self, at: Ref) -> Option<Range<usize>> {
        match self.node(at) {
            Node::Bytes(range) => Some((**range).clone()),
            // Not by way of this function: a list may hold itself.
            Node::Call(Name::Bytearray, arguments) => match self.items(*arguments)? {
                [data] => match self.node(*data) {
                    Node::Bytes(range) => Some((**range).clone()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The type of an array: little-endian floats or whole numbers.
    fn dtype(&self, at: Ref) -> Option<Kind> {
        let (arguments, state) = match self.node(at) {
            Node::State(Name::Dtype, arguments, state) => (*arguments, Some(*state)),
            Node::Call(Name::Dtype, arguments) => (*arguments, None),
            _ => return None,
        };
        let order = state.and_then(|state| self.items(state)?.get(1).and_then(|order| self.text(*order)));
        Kind::of(self.text(*self.items(arguments)?.first()?)?)
            .filter(|_| order.is_none_or(|order| order != ">"))
    }

    /// The array at `at`, if it is one that can be read: of floats, in C order, with all of its bytes.
    pub(super) fn array(&self, at: Ref) -> Option<Array> {
        let (shape, dtype, is_fortran, data) = match self.node(at) {
            Node::State(Name::Reconstruct, _, state) => match self.items(*state)? {
                [_version, shape, dtype, fortran, data] => {
                    (*shape, *dtype, !matches!(self.node(*fortran), Node::Bool(false)), *data)
                }
                _ => return None,
            },
            Node::Call(Name::FromBuffer, arguments) => match self.items(*arguments)? {
                [data, dtype, shape, order] => (*shape, *dtype, self.text(*order)? != "C", *data),
                _ => return None,
            },
            _ => return None,
        };
        let shape: Option<Vec<usize>> = self.items(shape)?.iter().map(|n| self.index(*n)).collect();
        let (shape, kind, data) = (shape?, self.dtype(dtype)?, self.bytes_of(data)?);
        let bytes = shape.iter().try_fold(kind.bytes(), |product, n| product.checked_mul(*n))?;
        // One row in Fortran order is one in C order.
        let is_ordered = !is_fortran || shape.len() < 2;
        (is_ordered && bytes == data.len() && kind.is_float()).then_some(Array { kind, shape, data })
    }

    /// Row `n` of an array, or all of one that has one dimension.
    pub(super) fn array_row(&self, array: &Array, n: usize) -> Vec<f32> {
        let columns = array.shape.last().copied().unwrap_or_default();
        let bytes = columns * array.kind.bytes();
        let mut values = Vec::with_capacity(columns);
        let row = array.data.start + n * bytes..array.data.start + (n + 1) * bytes;
        array.kind.floats(self.bytes.get(row).unwrap_or_default(), &mut values);
        values
    }
}

impl Machine<'_> {
    fn run(&mut self) -> Parsed<Ref> {
        loop {
            let (at, code) = (self.at, self.take::<1>()?[0]);
            if code == b'.' {
                return match (self.stack.pop(), self.at == self.bytes.len()) {
                    (Some(_), false) => {
                        Err(format!("at byte {}: bytes follow the end of the pickle", self.at))
                    }
                    (Some(top), true) => Ok(top),
                    (None, _) => Err(format!("at byte {at}: the pickle ends with nothing")),
                };
            }
            self.step(code).map_err(|what| {
                if what.starts_with("at byte") { what } else { format!("at byte {at}: {what}") }
            })?;
        }
    }

    fn step(&mut self, code: u8) -> Parsed<()> {
        match code {
            0x80 => self.protocol(),
            0x95 => self.take::<8>().map(drop),
            b'N' => self.push_ref(Ref(0)),
            0x89 => self.push_ref(Ref(1)),
            0x88 => self.push_ref(Ref(2)),
            b'I' | b'L' | b'F' | b'S' | b'V' => self.line_value(code),
            b'J' | b'K' | b'M' | b'G' | 0x8a => self.number(code),
            b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => self.string(code),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.marked().map(drop),
            b'2' => self.top().and_then(|top| self.push_ref(top)),
            b']' | b')' | b'}' | b'l' | b't' | b'd' | 0x85..=0x87 => self.container(code),
            b'a' | b'e' | b's' | b'u' => self.fill(code),
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memo(code),
            b'c' | 0x93 | b'R' | b'b' => self.object(code),
            0x81 | 0x92 | b'i' | b'o' => {
                Err("it makes an instance of a class: only data are read".to_owned())
            }
            b'P' | b'Q' | 0x82..=0x84 | 0x97 | 0x98 => {
                Err("it refers to something that is not in the file".to_owned())
            }
            0x8b | 0x8f..=0x91 | b'T' | b'U' => Err(format!(
                "instruction {code:#04x} (a set, a long number, or bytes of Python 2) is not read"
            )),
            _ => Err(format!("{code:#04x} is no instruction of a pickle")),
        }
    }

    fn protocol(&mut self) -> Parsed<()> {
        match self.take::<1>()?[0] {
            0..=5 => Ok(()),
            newer => Err(format!("protocol {newer}; 0 to 5 are read")),
        }
    }

    fn take<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let range = self.range(N as u64)?;
        Ok(self.bytes[range].first_chunk().copied().unwrap_or([0; N]))
    }

    fn range(&mut self, len: u64) -> Parsed<Range<usize>> {
        let left = (self.bytes.len() - self.at) as u64;
        if len > left {
            return Err(format!(
                "at byte {}: {len} bytes should follow and {left} do: the file is cut off",
                self.at
            ));
        }
        let start = self.at;
        self.at += len as usize;
        Ok(start..self.at)
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Parsed<Range<usize>> {
        let len = self.bytes[self.at..].iter().position(|&b| b == b'\n');
        let len = len.ok_or("a line without an end: the file is cut off")?;
        let range = self.range(len as u64)?;
        self.at += 1;
        Ok(range)
    }

    fn line_text(&mut self) -> Parsed<String> {
        let range = self.line()?;
        std::str::from_utf8(&self.bytes[range])
            .map(str::to_owned)
            .map_err(|_| "a line that is not text".to_owned())
    }

    fn push_ref(&mut self, value: Ref) -> Parsed<()> {
        self.stack.push(value);
        Ok(())
    }

    fn push(&mut self, node: Node) -> Parsed<()> {
        if matches!(node, Node::List(_) | Node::Tuple(_) | Node::Dict(_)) {
            self.containers += 1;
            if self.containers > CONTAINERS_MAX {
                return Err(format!(
                    "more than {CONTAINERS_MAX} lists: save the vectors as one array with numpy.save"
                ));
            }
        }
        let at = u32::try_from(self.nodes.len()).map_err(|_| "more than 4 billion values".to_owned())?;
        self.nodes.push(node);
        self.push_ref(Ref(at))
    }

    /// The least place in the stack that may be taken: what lies under a mark is not reached past it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Parsed<Ref> {
        if self.stack.len() <= self.floor() {
            return Err("it takes a value where there is none".to_owned());
        }
        self.stack.pop().ok_or_else(String::new)
    }

    fn top(&self) -> Parsed<Ref> {
        self.stack.last().copied().ok_or_else(|| "it takes a value where there is none".to_owned())
    }

    /// Everything above the last mark.
    fn marked(&mut self) -> Parsed<Vec<Ref>> {
        let mark = self.marks.pop().ok_or("it goes back to a mark that was not set")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn number(&mut self, code: u8) -> Parsed<()> {
        let node = match code {
            b'J' => Node::Int(i32::from_le_bytes(self.take()?).into()),
            b'K' => Node::Int(self.take::<1>()?[0].into()),
            b'M' => Node::Int(u16::from_le_bytes(self.take()?).into()),
            b'G' => {
                // The one number of a pickle that stands with its highest byte first.
                let mut bytes: [u8; 8] = self.take()?;
                bytes.reverse();
                Node::Float(f64::from_le_bytes(bytes))
            }
            _ => {
                let len = self.take::<1>()?[0];
                let range = self.range(len.into())?;
                let bytes = &self.bytes[range];
                let is_negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
                let mut wide = if is_negative { [0xff; 8] } else { [0; 8] };
                let fits = bytes.len() <= 8;
                wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                if !fits {
                    return Err(format!("a whole number of {len} bytes; 8 are read"));
                }
                Node::Int(i64::from_le_bytes(wide))
            }
        };
        self.push(node)
    }

    /// Values of protocol 0.
    fn line_value(&mut self, code: u8) -> Parsed<()> {
        let range = self.line()?;
        let text = std::str::from_utf8(&self.bytes[range.clone()]);
        let text = text.map_err(|_| "a line that is not text".to_owned())?;
        let node = match code {
            b'I' if text == "01" => return self.push_ref(Ref(2)),
            b'I' if text == "00" => return self.push_ref(Ref(1)),
            b'I' | b'L' => {
                let digits = text.strip_suffix('L').unwrap_or(text);
                Node::Int(digits.parse().map_err(|_| format!("{text:?} is no whole number of 64 bits"))?)
            }
            b'F' => Node::Float(text.parse().map_err(|_| format!("{text:?} is no number"))?),
            _ if text.contains('\\') => {
                return Err("a text with escapes, of protocol 0: save it with protocol 2 or later".to_owned());
            }
            b'S' => {
                let inside = text.strip_prefix(['\'', '"']).and_then(|t| t.strip_suffix(['\'', '"']));
                Node::Made(inside.ok_or_else(|| format!("{text:?} is no quoted text"))?.into())
            }
            _ => Node::Text(Box::new(range)),
        };
        self.push(node)
    }

    fn string(&mut self, code: u8) -> Parsed<()> {
        let len = match code {
            0x8c | b'C' => self.take::<1>()?[0].into(),
            b'X' | b'B' => u32::from_le_bytes(self.take()?).into(),
            _ => u64::from_le_bytes(self.take()?),
        };
        let range = self.range(len)?;
        if !matches!(code, b'X' | 0x8c | 0x8d) {
            return self.push(Node::Bytes(Box::new(range)));
        }
        std::str::from_utf8(&self.bytes[range.clone()]).map_err(|_| "a text that is not UTF-8".to_owned())?;
        self.push(Node::Text(Box::new(range)))
    }

    fn container(&mut self, code: u8) -> Parsed<()> {
        let node = match code {
            b']' => Node::List(Box::default()),
            b')' => Node::Tuple(Box::default()),
            b'}' => Node::Dict(Box::default()),
            b'l' => Node::List(Box::new(self.marked()?)),
            b't' => Node::Tuple(Box::new(self.marked()?)),
            b'd' => Node::Dict(Box::new(pairs(&self.marked()?)?)),
            _ => {
                let n = usize::from(code - 0x84);
                let from = self.stack.len().checked_sub(n).filter(|from| *from >= self.floor());
                let from = from.ok_or("a tuple of values that are not there")?;
                Node::Tuple(Box::new(self.stack.split_off(from)))
            }
        };
        self.push(node)
    }

    /// Puts values into the container below them.
    fn fill(&mut self, code: u8) -> Parsed<()> {
        let values = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.marked()?,
        };
        let into = self.top()?;
        match (&mut self.nodes[into.0 as usize], code) {
            (Node::List(items), b'a' | b'e') => items.extend(values),
            (Node::Dict(items), b's' | b'u') => items.extend(pairs(&values)?),
            _ => return Err("it puts values into something that holds none".to_owned()),
        }
        Ok(())
    }

    fn memo(&mut self, code: u8) -> Parsed<()> {
        let key = match code {
            b'p' | b'g' => {
                let text = self.line_text()?;
                text.parse().map_err(|_| format!("{text:?} is no place in its memory"))?
            }
            b'q' | b'h' => self.take::<1>()?[0].into(),
            b'r' | b'j' => u32::from_le_bytes(self.take()?).into(),
            _ => self.memo.len() as u64,
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let value = self.memo.get(&key).copied();
            return self.push_ref(value.ok_or_else(|| format!("nothing was remembered as {key}"))?);
        }
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    /// Names, and what would be done with them.
    fn object(&mut self, code: u8) -> Parsed<()> {
        match code {
            b'c' => {
                let (module, name) = (self.line_text()?, self.line_text()?);
                self.push(Node::Name(known(&module, &name)?))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |at: Ref| match &self.nodes[at.0 as usize] {
                    Node::Text(range) => std::str::from_utf8(&self.bytes[(**range).clone()]).ok(),
                    Node::Made(text) => Some(&**text),
                    _ => None,
                };
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err("a name that is no text".to_owned());
                };
                let name = known(module, name)?;
                self.push(Node::Name(name))
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let Node::Name(name) = self.nodes[callee.0 as usize] else {
                    return Err("it calls something that has no name".to_owned());
                };
                match name {
                    Name::OrderedDict => self.push(Node::Dict(Box::default())),
                    name => self.push(Node::Call(name, arguments)),
                }
            }
            _ => {
                let (state, object) = (self.pop()?, self.pop()?);
                let Node::Call(name @ (Name::Dtype | Name::Reconstruct), arguments) =
                    self.nodes[object.0 as usize]
                else {
                    return Err("it gives a state to something that has none".to_owned());
                };
                // The object itself gets it: it may have been remembered.
                self.nodes[object.0 as usize] = Node::State(name, arguments, state);
                self.push_ref(object)
            }
        }
    }
}

/// A name that data may hold.
fn known(module: &str, name: &str) -> Parsed<Name> {
    let found = NAMES.iter().find(|(m, n, _)| *m == module && *n == name);
    found.map(|(.., known)| *known).ok_or_else(|| {
        let path = crate::error::excerpt(&format!("{module}.{name}"));
        format!("it asks for {path}, which is code: nothing of a pickle is ever run; save plain lists or NumPy arrays")
    })
}

fn pairs(values: &[Ref]) -> Parsed<Vec<(Ref, Ref)>> {
    let (pairs, rest) = values.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err("a key without a value".to_owned())
    }
}
