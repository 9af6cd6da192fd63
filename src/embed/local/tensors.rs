//! Weights in a file of the safetensors format: a length, a table in JSON, and numbers.
//!
//! Invariants: nothing of the table is believed. A tensor is read only with the shape that the caller asks for, and memory is taken only
//! for bytes that the file has. Knows no network.

use super::files::{bad, regular};
use crate::error::{Error, ErrorKind, Result};
use half::{bf16, f16};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of the table: thousands of tensors.
const TABLE_BYTES_MAX: u64 = 16 << 20;

/// A file of weights.
pub(super) struct Tensors {
    path: PathBuf,
    file: File,
    /// Where the numbers begin, and how many bytes they are.
    start: u64,
    len: u64,
    table: HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Tensors {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (mut file, len) = regular(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| bad(path, "is cut off before its table begins"))?;
        let table = u64::from_le_bytes(length);
        if table > TABLE_BYTES_MAX || table + 8 > len {
            let what = format!(
                "claims a table of {table} bytes; the file has {len}, a table at most {TABLE_BYTES_MAX}"
            );
            return Err(bad(path, what));
        }
        let mut bytes = vec![0; table as usize];
        file.read_exact(&mut bytes).map_err(|e| bad(path, e))?;
        let mut table: HashMap<String, serde_json::Value> =
            serde_json::from_slice(&bytes).map_err(|e| bad(path, format!("its table: {e}")))?;
        table.remove("__metadata__");
        let entry = |(name, value): (String, serde_json::Value)| match serde_json::from_value::<Entry>(value)
        {
            Ok(entry) => Ok((name, entry)),
            Err(e) => Err(bad(path, format!("its table, at {}: {e}", crate::error::excerpt(&name)))),
        };
        let table: HashMap<String, Entry> = table.into_iter().map(entry).collect::<Result<_>>()?;
        let start = 8 + bytes.len() as u64;
        let ends = table.values().map(|entry| entry.data_offsets.1).max().unwrap_or_default();
        if ends != len - start {
            let what =
                format!("its numbers end at {ends} of {} bytes: the file is cut off or damaged", len - start);
            return Err(bad(path, what));
        }
        Ok(Self { path: path.to_owned(), file, start, len: len - start, table })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// The numbers of a tensor that has this shape.
    pub(super) fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.bytes(name, shape)?;
        let numbers: Vec<f32> = match bytes {
            (4, bytes, _) => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            (_, bytes, true) => {
                bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()
            }
            (_, bytes, false) => {
                bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
        };
        match numbers.iter().position(|x| !x.is_finite()) {
            Some(at) => {
                Err(bad(&self.path, format!("number {at} of {name} is not finite: the file is damaged")))
            }
            None => Ok(numbers),
        }
    }

    /// Bytes of a number, all bytes, and whether two of them are a bf16.
    fn bytes(&mut self, name: &str, shape: &[usize]) -> Result<(u64, Vec<u8>, bool)> {
        let path = self.path.clone();
        let Some(entry) = self.table.get(name) else {
            return Err(bad(&path, format!("holds no {name}, which a model of the BERT kind has")));
        };
        let each = match entry.dtype.as_str() {
            "F32" => 4,
            "F16" | "BF16" => 2,
            other => {
                return Err(bad(&path, format!("{name} is of {other:?}; F32, F16 and BF16 can be read")));
            }
        };
        if entry.shape.iter().ne(shape.iter().map(|n| *n as u64).collect::<Vec<_>>().iter()) {
            let what = format!("{name} has the shape {:?}, and by config.json {shape:?}", entry.shape);
            return Err(bad(&path, what));
        }
        let wanted = shape.iter().try_fold(each, |bytes: u64, n| bytes.checked_mul(*n as u64));
        let (from, to) = entry.data_offsets;
        if to > self.len || to.checked_sub(from) != wanted {
            let what = format!(
                "{name} is said to lie at {from} to {to}, of {} bytes: the file is damaged",
                self.len
            );
            return Err(bad(&path, what));
        }
        let is_bf16 = entry.dtype == "BF16";
        let mut bytes = Vec::new();
        let count = usize::try_from(to - from).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(count).map_err(|_| {
            Error::new(ErrorKind::Full, format!("{count} bytes of {name} do not fit into memory"))
        })?;
        self.file.seek(SeekFrom::Start(self.start + from)).map_err(|e| bad(&path, e))?;
        (&mut self.file).take(to - from).read_to_end(&mut bytes).map_err(|e| bad(&path, e))?;
        if bytes.len() != count {
            return Err(bad(&path, format!("was cut off while {name} was read")));
        }
        Ok((each, bytes, is_bf16))
    }
}
