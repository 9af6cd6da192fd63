//! The `.npy` format of NumPy, versions 1 to 3: C-order arrays of little-endian floats or integers, read row by row.
//!
//! Layout: magic, version, length of the header, the header (a Python dictionary as text), the values. The sizes that the
//! header claims must add up to the size of the file exactly.

use super::literal::Literal;
use crate::import::input::{Input, Parsed};
use half::f16;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy writes some 120 bytes, and refuses more than 10,000 itself.
const HEADER_BYTES_MAX: u64 = 1 << 16;

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F16,
    F32,
    F64,
    I32,
    I64,
    U32,
    U64,
}

/// An array, and how far it is read.
pub(crate) struct Npy {
    input: Input,
    kind: Kind,
    pub(crate) rows: u64,
    /// Values of a row; 1 in an array of one dimension.
    pub(crate) columns: usize,
    unread: u64,
    row: Vec<u8>,
}

impl Kind {
    /// Of NumPy's name for it.
    pub(crate) fn of(descr: &str) -> Option<Self> {
        Some(match descr.trim_start_matches('<') {
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "u4" => Self::U32,
            "u8" => Self::U64,
            _ => return None,
        })
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// The values in `bytes`, each as the nearest `f32`.
    pub(crate) fn floats(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::F16 => out.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32())),
            Self::F64 => out.extend(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32)),
            _ => crate::import::input::push_f32s(bytes, out),
        }
    }

    fn integer(self, bytes: &[u8]) -> i128 {
        let (four, eight) = (bytes.first_chunk().copied(), bytes.first_chunk().copied());
        match self {
            Self::I32 => four.map_or(0, i32::from_le_bytes).into(),
            Self::U32 => four.map_or(0, u32::from_le_bytes).into(),
            Self::I64 => eight.map_or(0, i64::from_le_bytes).into(),
            _ => eight.map_or(0, u64::from_le_bytes).into(),
        }
    }
}

impl Npy {
    /// An array of floats with two dimensions.
    pub(crate) fn floats(input: Input) -> Parsed<Self> {
        let array = Self::open(input, |dims| dims == 2)?;
        if array.kind.is_float() {
            return Ok(array);
        }
        Err(unsupported(array.descr(), "vectors", "<f2, <f4 and <f8", "float32"))
    }

    /// An array of whole numbers with one dimension or two.
    pub(crate) fn integers(input: Input) -> Parsed<Self> {
        let array = Self::open(input, |dims| dims == 1 || dims == 2)?;
        if !array.kind.is_float() {
            return Ok(array);
        }
        Err(unsupported(array.descr(), "row numbers and ids", "<i4, <i8, <u4 and <u8", "int64"))
    }

    fn open(mut input: Input, dims: impl Fn(usize) -> bool) -> Parsed<Self> {
        let file_bytes = input.len();
        let short = |_| format!("{file_bytes} bytes are too few for a .npy file");
        let start: [u8; 8] = input.take().map_err(short)?;
        if start[..6] != MAGIC[..] {
            return Err("not a .npy file: it does not begin with \\x93NUMPY".to_owned());
        }
        let length = match start[6] {
            1 => u64::from(u16::from_le_bytes(input.take().map_err(short)?)),
            2 | 3 => u64::from(input.u32().map_err(short)?),
            other => return Err(format!(".npy version {other}; versions 1, 2 and 3 are read")),
        };
        let rest = input.left();
        if length > rest.min(HEADER_BYTES_MAX) {
            return Err(format!(
                "claims a header of {length} bytes; {rest} follow, and {HEADER_BYTES_MAX} is the limit"
            ));
        }
        let text = input.bytes(length, "header")?;
        let text = std::str::from_utf8(&text).map_err(|_| "its header is not text".to_owned())?;
        let (descr, shape) = header(text)?;
        let Some(kind) = Kind::of(&descr).filter(|_| descr.starts_with('<')) else {
            return Err(unsupported(
                &descr,
                "vectors and ids",
                "<f2, <f4, <f8, <i4, <i8, <u4, <u8",
                "float32",
            ));
        };
        let (rows, columns) = match shape[..] {
            [rows] if dims(1) && rows > 0 => (rows, 1),
            [rows, columns] if dims(2) && rows > 0 && columns > 0 => (rows, columns),
            _ if dims(1) => {
                return Err(format!(
                    "has the shape {shape:?}; one or two dimensions, none of them 0, are read"
                ));
            }
            _ => return Err(format!("has the shape {shape:?}; two dimensions, neither of them 0, are read")),
        };
        let found = input.left();
        let wanted = rows.checked_mul(columns).and_then(|n| n.checked_mul(kind.bytes() as u64));
        if wanted != Some(found) {
            return Err(format!(
                "claims the shape {shape:?} of {descr}, which does not fill its {found} bytes of data exactly"
            ));
        }
        // One row of a file that is there.
        let columns = columns as usize;
        Ok(Self { input, kind, rows, columns, unread: rows, row: Vec::new() })
    }

    fn descr(&self) -> &'static str {
        match self.kind {
            Kind::F16 => "<f2",
            Kind::F32 => "<f4",
            Kind::F64 => "<f8",
            Kind::I32 => "<i4",
            Kind::I64 => "<i8",
            Kind::U32 => "<u4",
            Kind::U64 => "<u8",
        }
    }

    /// Where the next row stands.
    pub(crate) fn at(&self) -> u64 {
        self.input.at()
    }

    /// The bytes of the next row; `None` after the last.
    fn next_bytes(&mut self) -> Parsed<Option<&[u8]>> {
        let Some(left) = self.unread.checked_sub(1) else { return Ok(None) };
        self.row.resize(self.columns * self.kind.bytes(), 0);
        self.input.fill(&mut self.row)?;
        self.unread = left;
        Ok(Some(&self.row))
    }

    /// Appends the next row; false after the last.
    pub(crate) fn next_floats(&mut self, out: &mut Vec<f32>) -> Parsed<bool> {
        let kind = self.kind;
        Ok(self.next_bytes()?.map(|bytes| kind.floats(bytes, out)).is_some())
    }

    /// The same of whole numbers.
    pub(crate) fn next_integers(&mut self, out: &mut Vec<i128>) -> Parsed<bool> {
        let kind = self.kind;
        let Some(bytes) = self.next_bytes()? else { return Ok(false) };
        out.extend(bytes.chunks_exact(kind.bytes()).map(|value| kind.integer(value)));
        Ok(true)
    }
}

/// The type and the shape that a header says, the keys in any order: `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn header(text: &str) -> Parsed<(String, Vec<u64>)> {
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut literal = Literal::new(text);
    literal.expect('{')?;
    while !literal.next_is('}') {
        let key = literal.string()?;
        literal.expect(':')?;
        let is_new = match key {
            "descr" => descr.replace(literal.string()?).is_none(),
            "fortran_order" => fortran.replace(literal.boolean()?).is_none(),
            "shape" => shape.replace(literal.shape()?).is_none(),
            _ => return Err(format!("its header has the unknown key '{key}'")),
        };
        if !is_new {
            return Err(format!("its header has the key '{key}' twice"));
        }
        if !literal.next_is(',') {
            literal.expect('}')?;
            break;
        }
    }
    literal.end()?;
    let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return Err("its header lacks one of descr, fortran_order, shape".to_owned());
    };
    if fortran {
        return Err("is in Fortran order; C order is read: save it with numpy.ascontiguousarray".to_owned());
    }
    Ok((descr.to_owned(), shape))
}

fn unsupported(descr: &str, what: &str, supported: &str, suggestion: &str) -> String {
    format!(
        "holds values of type '{descr}'; {what} are read from {supported}: save it with .astype('{suggestion}')"
    )
}
