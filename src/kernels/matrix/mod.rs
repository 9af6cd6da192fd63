//! Products of matrices, and what a transformer does between them: one table per instruction set, and the safe door to them.
//!
//! A product is made of tiles of 12 rows and 32 columns, whose sums stay in registers. For that both sides are packed: the left one in
//! blocks of 12 rows, the right one (weights, mostly, packed once) in panels of 32 columns, each with its depth outermost.
//!
//! Invariants:
//! - A table leaves its module only through `new`, which has asked the CPU. That is why the door may call it.
//! - Nothing panics: what is short is taken as zeros.
//! - Every sum runs over the depth from its beginning to its end. So an element is the same whatever rows stand beside its own, and
//!   equal to the last bit on all instruction sets that multiply and add in one step; the scalar one rounds in between.
//!
//! Does not know what a row, a head or a layer is.

mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Rows of a tile.
const ROWS: usize = 12;
/// Columns of a tile. AVX-512 keeps 12 x 32 sums in 24 of its 32 registers; the narrower sets take a tile in parts.
const COLUMNS: usize = 32;

/// The rows of a tile at one depth.
type Down = [f32; ROWS];
/// The columns of a tile at one depth.
type Across = [f32; COLUMNS];
/// The sums of one tile.
type Tile = [Across; ROWS];

/// The kernels of one instruction set. The fields are `unsafe` to call on a CPU without it.
pub(crate) struct Matrix {
    name: &'static str,
    /// The sum of `left[k][r] * right[k][c]` over `k`, for every `r` and `c`.
    tile: unsafe fn(&[Down], &[Across], &mut Tile),
    gelu: unsafe fn(&mut [f32]),
    softmax: unsafe fn(&mut [f32]),
    layer_norm: unsafe fn(&mut [f32], &[f32], &[f32], f32),
}

/// The left side of a product: rows, packed.
#[derive(Default)]
pub(crate) struct Left {
    /// One after another, the blocks; each as deep as the matrix.
    blocks: Vec<Down>,
    rows: usize,
    depth: usize,
}

/// The right side of a product: columns, packed.
#[derive(Default)]
pub(crate) struct Right {
    panels: Vec<Across>,
    columns: usize,
    depth: usize,
}

impl Left {
    /// Takes the first `depth` numbers of `rows` rows that begin `stride` apart.
    pub(crate) fn pack(&mut self, from: &[f32], stride: usize, rows: usize, depth: usize) {
        (self.rows, self.depth) = (rows, depth);
        self.blocks.clear();
        self.blocks.resize(rows.div_ceil(ROWS) * depth, [0.0; ROWS]);
        if depth == 0 {
            return;
        }
        for (at, row) in from.chunks(stride.max(1)).take(rows).enumerate() {
            let block = &mut self.blocks[at / ROWS * depth..][..depth];
            block.iter_mut().zip(row).for_each(|(place, x)| place[at % ROWS] = *x);
        }
    }
}

impl Right {
    /// Takes columns that stand as rows: `columns` of them, `stride` apart, each `depth` long. So weights are stored.
    pub(crate) fn pack_columns(&mut self, from: &[f32], stride: usize, columns: usize, depth: usize) {
        self.size(columns, depth);
        if depth == 0 {
            return;
        }
        for (at, column) in from.chunks(stride.max(1)).take(columns).enumerate() {
            let panel = &mut self.panels[at / COLUMNS * depth..][..depth];
            panel.iter_mut().zip(column).for_each(|(place, x)| place[at % COLUMNS] = *x);
        }
    }

    /// Takes the first `columns` numbers of `depth` rows that begin `stride` apart.
    pub(crate) fn pack_rows(&mut self, from: &[f32], stride: usize, columns: usize, depth: usize) {
        self.size(columns, depth);
        for (at, row) in from.chunks(stride.max(1)).take(depth).enumerate() {
            for (panel, part) in row[..columns.min(row.len())].chunks(COLUMNS).enumerate() {
                self.panels[panel * depth + at][..part.len()].copy_from_slice(part);
            }
        }
    }

    fn size(&mut self, columns: usize, depth: usize) {
        (self.columns, self.depth) = (columns, depth);
        self.panels.clear();
        self.panels.resize(columns.div_ceil(COLUMNS) * depth, [0.0; COLUMNS]);
    }
}

impl Matrix {
    /// The fastest kernels that this machine can run, found once.
    pub(crate) fn best() -> &'static Matrix {
        static BEST: OnceLock<&'static Matrix> = OnceLock::new();
        BEST.get_or_init(|| Self::available().next().map_or(&scalar::KERNELS, |(_, kernels)| kernels))
    }

    /// Every table that this machine can run, the fastest first; the last is the scalar oracle.
    pub(crate) fn available() -> impl Iterator<Item = (&'static str, &'static Matrix)> {
        [
            #[cfg(target_arch = "x86_64")]
            x86::avx512(),
            #[cfg(target_arch = "x86_64")]
            x86::avx2(),
            #[cfg(target_arch = "aarch64")]
            neon::new(),
            scalar::new(),
        ]
        .into_iter()
        .flatten()
        .map(|kernels| (kernels.name, kernels))
    }

    /// `left * right`. Hands out each row in pieces of at most 32 columns: the row, the first column, the sums.
    pub(crate) fn product(&self, left: &Left, right: &Right, mut put: impl FnMut(usize, usize, &[f32])) {
        let depth = left.depth.min(right.depth);
        let mut sums = [[0.0; COLUMNS]; ROWS];
        for from in (0..right.columns).step_by(COLUMNS) {
            let panel = &right.panels[from / COLUMNS * right.depth..][..depth];
            let columns = COLUMNS.min(right.columns - from);
            for first in (0..left.rows).step_by(ROWS) {
                let block = &left.blocks[first / ROWS * left.depth..][..depth];
                // SAFETY: a table exists only after `new` has found its instruction set; both sides are equally deep.
                unsafe { (self.tile)(block, panel, &mut sums) };
                for (row, sums) in (first..left.rows).zip(&sums) {
                    put(row, from, &sums[..columns]);
                }
            }
        }
    }

    /// `x / 2 * (1 + erf(x / sqrt(2)))` of every number.
    pub(crate) fn gelu(&self, x: &mut [f32]) {
        // SAFETY: a table exists only after `new` has found its instruction set.
        unsafe { (self.gelu)(x) }
    }

    /// Makes shares of one: `e^x`, divided by the sum of all.
    pub(crate) fn softmax(&self, x: &mut [f32]) {
        // SAFETY: as in `gelu`.
        unsafe { (self.softmax)(x) }
    }

    /// To mean 0 and variance 1 (with `epsilon` added), then times `scale`, plus `shift`.
    pub(crate) fn layer_norm(&self, x: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
        // SAFETY: as in `gelu`; lengths may differ.
        unsafe { (self.layer_norm)(x, scale, shift, epsilon) }
    }
}
