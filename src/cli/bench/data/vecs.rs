//! The `.fvecs` and `.ivecs` formats of the TEXMEX data sets: each row is its dimension as i32, then its values, all
//! little-endian. Every row has the dimension of the first.

use super::{Matrix, Neighbours, Parsed, fill, room, row_number};
use std::io::Read;

const VALUE_BYTES: u64 = 4;

/// Reads vectors of a file that has `file_bytes` bytes.
pub(super) fn floats(input: &mut dyn Read, file_bytes: u64) -> Parsed<Matrix> {
    let (dim, values) = read(input, file_bytes, |b| Ok(f32::from_le_bytes(b)))?;
    Ok(Matrix { dim, values })
}

/// Reads row numbers of a file that has `file_bytes` bytes.
pub(super) fn integers(input: &mut dyn Read, file_bytes: u64) -> Parsed<Neighbours> {
    let (width, rows) = read(input, file_bytes, |b| row_number(i64::from(i32::from_le_bytes(b))))?;
    Ok(Neighbours { width, rows })
}

fn read<T>(
    input: &mut dyn Read,
    file_bytes: u64,
    decode: fn([u8; 4]) -> Parsed<T>,
) -> Parsed<(usize, Vec<T>)> {
    let dim = dimension(input, 0)?;
    let row_bytes = VALUE_BYTES + VALUE_BYTES * dim as u64;
    if !file_bytes.is_multiple_of(row_bytes) {
        return Err(format!(
            "rows of {dim} values take {row_bytes} bytes each, which {file_bytes} bytes are no multiple of"
        ));
    }
    let rows = (file_bytes / row_bytes) as usize;
    let mut values = room(rows * dim)?;
    let mut row = vec![0; (VALUE_BYTES as usize) * dim];
    for i in 0..rows {
        if i > 0 {
            let found = dimension(input, i)?;
            if found != dim {
                return Err(format!(
                    "row {i} has {found} values and row 0 has {dim}: all rows must have equally many"
                ));
            }
        }
        fill(input, &mut row)?;
        for bytes in row.as_chunks().0 {
            values.push(decode(*bytes)?);
        }
    }
    Ok((dim, values))
}

fn dimension(input: &mut dyn Read, row: usize) -> Parsed<usize> {
    let mut bytes = [0; VALUE_BYTES as usize];
    fill(input, &mut bytes)?;
    match i32::from_le_bytes(bytes) {
        dim if dim > 0 => Ok(dim as usize),
        dim => Err(format!("row {row} claims {dim} values; a row has at least 1")),
    }
}
