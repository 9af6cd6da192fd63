//! The oracle of the others, and what runs where no faster one does.

use super::{Across, COLUMNS, Down, Matrix, ROWS, Tile, lanes};

pub(super) static KERNELS: Matrix = Matrix { name: "scalar", tile, gelu, softmax, layer_norm };

/// Always there.
pub(super) fn new() -> Option<&'static Matrix> {
    Some(&KERNELS)
}

fn tile(left: &[Down], right: &[Across], out: &mut Tile) {
    *out = [[0.0; COLUMNS]; ROWS];
    for (left, right) in left.iter().zip(right) {
        for (sums, x) in out.iter_mut().zip(left) {
            sums.iter_mut().zip(right).for_each(|(sum, y)| *sum += x * y);
        }
    }
}

fn gelu(x: &mut [f32]) {
    lanes::gelu(x);
}

fn softmax(x: &mut [f32]) {
    lanes::softmax(x);
}

fn layer_norm(x: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
    lanes::layer_norm(x, scale, shift, epsilon);
}
