//! A fixed pseudo-random rotation, so that no coordinate is special: after it, every unit vector has coordinates of
//! about `1 / sqrt(dim)`, and one scale suits all of them.
//!
//! Two rounds of sign flips and Walsh-Hadamard transforms over the largest power of two, once from the left and once
//! from the right. Orthonormal: it changes no distance and no inner product.

use crate::kernels::Kernels;

const ROUNDS: u64 = 2;

/// The rotation of `dim`-dimensional vectors. The same on every machine and for ever: it is part of the code format.
#[derive(Clone)]
pub(crate) struct Rotation {
    window: usize,
    /// One row of +1 and -1 before each transform.
    signs: Vec<Box<[f32]>>,
}

impl Rotation {
    pub(crate) fn new(dim: usize) -> Self {
        let window = if dim == 0 { 0 } else { 1 << dim.ilog2() };
        let transforms = if window == dim { ROUNDS } else { 2 * ROUNDS };
        let signs = (0..transforms).map(|t| (0..dim as u64).map(|i| sign(t << 32 | i)).collect()).collect();
        Self { window, signs }
    }

    pub(crate) fn apply(&self, x: &mut [f32]) {
        let kernels = Kernels::best();
        let dim = x.len();
        for (t, signs) in self.signs.iter().enumerate() {
            for (v, s) in x.iter_mut().zip(signs) {
                *v *= s;
            }
            let from = if t % 2 == 0 { 0 } else { dim - self.window };
            if let Some(window) = x.get_mut(from..from + self.window) {
                kernels.hadamard(window);
            }
        }
    }
}

fn sign(n: u64) -> f32 {
    // splitmix64: constants are part of the code format.
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if (z ^ (z >> 31)) & 1 == 0 { 1.0 } else { -1.0 }
}
