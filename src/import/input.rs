//! Bytes of a foreign file, none of which is believed: a count is compared with what is left of the file before memory is taken for it.
//!
//! A fault is said in words with the offset; who knows the file's name puts it before them.

use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What a reader found wrong; the caller adds the name of the file.
pub(crate) type Parsed<T> = std::result::Result<T, String>;

/// What a file is read through.
pub(crate) trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

/// A file from somewhere, and where in it the reader stands.
pub(crate) struct Input {
    bytes: Box<dyn Bytes>,
    at: u64,
    len: u64,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, len) = regular(path)?;
        Ok(Self::of(BufReader::with_capacity(1 << 18, file), len))
    }

    /// Of something that has `len` bytes.
    pub(crate) fn of(bytes: impl Bytes + 'static, len: u64) -> Self {
        Self { bytes: Box::new(bytes), at: 0, len }
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes from here to the end.
    pub(crate) fn left(&self) -> u64 {
        self.len.saturating_sub(self.at)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Parsed<u8> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Parsed<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Parsed<i32> {
        self.take().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Parsed<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Parsed<i64> {
        self.take().map(i64::from_le_bytes)
    }

    /// Fills the buffer, or says that the file ends before.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Parsed<()> {
        let (at, wanted, left) = (self.at, buffer.len() as u64, self.left());
        if wanted > left {
            return Err(format!(
                "at byte {at}: {wanted} bytes should follow and {left} do: the file is cut off"
            ));
        }
        self.bytes.read_exact(buffer).map_err(|e| format!("at byte {at}: {e}"))?;
        self.at += wanted;
        Ok(())
    }

    /// The next `n` bytes, which must be there.
    pub(crate) fn bytes(&mut self, n: u64, what: &str) -> Parsed<Vec<u8>> {
        self.claim(n, 1, what)?;
        let mut bytes = Vec::new();
        let n = usize::try_from(n).map_err(|_| format!("{n} bytes of {what} do not fit into memory"))?;
        bytes.try_reserve_exact(n).map_err(|_| format!("{n} bytes of {what} do not fit into memory"))?;
        bytes.resize(n, 0);
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// That `count` things of `each` bytes follow: says how many bytes that is.
    pub(crate) fn claim(&self, count: u64, each: u64, what: &str) -> Parsed<u64> {
        let (at, left) = (self.at, self.left());
        match count.checked_mul(each) {
            Some(bytes) if bytes <= left => Ok(bytes),
            _ => Err(format!(
                "at byte {at}: claims {count} {what} of {each} bytes each, but {left} bytes are left"
            )),
        }
    }

    pub(crate) fn skip(&mut self, bytes: u64) -> Parsed<()> {
        self.claim(bytes, 1, "bytes")?;
        self.seek(self.at + bytes)
    }

    pub(crate) fn seek(&mut self, to: u64) -> Parsed<()> {
        if to > self.len {
            return Err(format!("byte {to} is asked for and the file has {}", self.len));
        }
        // Short ways stay inside of the buffer.
        let by = i64::try_from(to).ok().zip(i64::try_from(self.at).ok()).map(|(to, at)| to - at);
        let gone = match by {
            Some(by) => self.bytes.seek(SeekFrom::Current(by)),
            None => self.bytes.seek(SeekFrom::Start(to)),
        };
        gone.map_err(|e| format!("at byte {}: {e}", self.at))?;
        self.at = to;
        Ok(())
    }

    /// That nothing follows.
    pub(crate) fn end(&self) -> Parsed<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(format!("at byte {}: {left} bytes follow the end", self.at)),
        }
    }
}

/// A file that can be read to its end, and its bytes.
pub(crate) fn regular(path: &Path) -> Result<(File, u64)> {
    let cannot = |e: io::Error| {
        let kind =
            if e.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Unavailable };
        Error::new(kind, format!("{} cannot be read", path.display())).with_source(e)
    };
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(bad(path, "not a regular file"));
    }
    Ok((file, about.len()))
}

/// `what` is wrong with the file.
pub(crate) fn bad(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}

pub(crate) fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default()
}

/// The values of little-endian `f32` bytes, appended.
pub(crate) fn push_f32s(bytes: &[u8], out: &mut Vec<f32>) {
    out.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
}
