//! The arithmetic that depends on the machine: distances, dot products of codes, quantization, the Walsh-Hadamard
//! transform. One table of function pointers per instruction set, and the safe door to them.
//!
//! Invariants:
//! - A table leaves its module only through `new`, which has asked the CPU. That is why the door may call it.
//! - Nothing panics. Of two slices of different lengths the common prefix counts.
//! - Integers, quantization, `max_abs` and `hadamard` are equal to the last bit on every instruction set, so codes made
//!   on one machine are codes on all. Sums of f32 differ in the order of additions only.
//! - The scalar table is the oracle of every other.
//!
//! Does not know: metrics, scales, rows, slots, who is near to whom.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
#[cfg(feature = "local-model")]
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod prefetch;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(feature = "local-model")]
pub(crate) use matrix::{Left, Matrix, Right};
pub(crate) use prefetch::prefetch_cells;
pub use prefetch::{prefetch, prefetch_f32};
pub(crate) use rows::ROWS_MAX;
pub use rows::Rows;

use std::ptr::NonNull;
use std::sync::OnceLock;

/// Rows that the narrower `dot_rows` prefetch ahead of the one they work on; a multiple of 4.
///
/// Measured with AVX2 and 16 rows of 384 bytes on small pages: 0 costs 109 ns in cache and 1,310 out of memory, 8 costs
/// 116 and 580.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const LOOKAHEAD: usize = 8;

/// The kernels of one instruction set.
///
/// The fields are `unsafe` to call on a CPU without that instruction set, and expect slices of equal length.
pub struct Kernels {
    name: &'static str,
    dot: unsafe fn(&[f32], &[f32]) -> f32,
    l2sq: unsafe fn(&[f32], &[f32]) -> f32,
    l1: unsafe fn(&[f32], &[f32]) -> f32,
    dot_norm: unsafe fn(&[f32], &[f32]) -> (f32, f32),
    max_abs: unsafe fn(&[f32]) -> f32,
    hadamard: unsafe fn(&mut [f32]),
    quantize: unsafe fn(&[f32], f32, &mut [u8]),
    quantize_i8: unsafe fn(&[f32], f32, &mut [i8]) -> i32,
    code_to_query: unsafe fn(&[u8], &mut [i8]) -> i32,
    dot_u8i8: unsafe fn(&[u8], &[i8]) -> i32,
    /// Also needs every row to have as many readable bytes as the query.
    dot_rows: unsafe fn(&[i8], &[NonNull<u8>], &mut [i32]),
}

impl Kernels {
    /// The fastest kernels that this machine can run, found once.
    pub fn best() -> &'static Kernels {
        static BEST: OnceLock<&'static Kernels> = OnceLock::new();
        BEST.get_or_init(|| Self::available().next().map_or(&scalar::KERNELS, |(_, kernels)| kernels))
    }

    /// Every table that this machine can run, the fastest first; the last is the scalar oracle.
    pub fn available() -> impl Iterator<Item = (&'static str, &'static Kernels)> {
        [
            #[cfg(target_arch = "x86_64")]
            avx512::new(),
            #[cfg(target_arch = "x86_64")]
            avx2::new(),
            #[cfg(target_arch = "aarch64")]
            neon::new(),
            scalar::new(),
        ]
        .into_iter()
        .flatten()
        .map(|kernels| (kernels.name, kernels))
    }

    /// The name of the instruction set, for people.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Sum of `a * b`.
    #[inline]
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = common(a, b);
        // SAFETY: a table exists only after `new` has found its instruction set; lengths are equal.
        unsafe { (self.dot)(a, b) }
    }

    /// Sum of `a * a`.
    #[inline]
    pub fn norm_sq(&self, a: &[f32]) -> f32 {
        self.dot(a, a)
    }

    /// Sum of `(a - b)^2`.
    #[inline]
    pub fn l2sq(&self, a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = common(a, b);
        // SAFETY: as in `dot`.
        unsafe { (self.l2sq)(a, b) }
    }

    /// Sum of `|a - b|`.
    #[inline]
    pub fn l1(&self, a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = common(a, b);
        // SAFETY: as in `dot`.
        unsafe { (self.l1)(a, b) }
    }

    /// `dot(a, b)` and `norm_sq(b)` in one pass over `b`: a cosine without a stored norm.
    #[inline]
    pub fn dot_norm(&self, a: &[f32], b: &[f32]) -> (f32, f32) {
        let (a, b) = common(a, b);
        // SAFETY: as in `dot`.
        unsafe { (self.dot_norm)(a, b) }
    }

    /// The largest `|x|`; 0 of nothing, NaN if one is NaN.
    #[inline]
    pub fn max_abs(&self, src: &[f32]) -> f32 {
        // SAFETY: a table exists only after `new` has found its instruction set.
        unsafe { (self.max_abs)(src) }
    }

    /// The orthonormal fast Walsh-Hadamard transform, in place; applied twice it is the identity.
    ///
    /// Of a length that is not a power of two the longest prefix that is one is transformed: still orthonormal.
    #[inline]
    pub fn hadamard(&self, x: &mut [f32]) {
        let n = x.len().checked_ilog2().map_or(0, |log| 1 << log);
        // SAFETY: a table exists only after `new` has found its instruction set.
        unsafe { (self.hadamard)(&mut x[..n]) }
    }

    /// Writes `round(src * scale)`, ties to even, clamped to -127..=127, plus 128. What `out` has beyond `src` becomes
    /// 128, the code of zero. NaN becomes the lowest code.
    #[inline]
    pub fn quantize(&self, src: &[f32], scale: f32, out: &mut [u8]) {
        // SAFETY: a table exists only after `new` has found its instruction set; lengths may differ here.
        unsafe { (self.quantize)(src, scale, out) }
    }

    /// `quantize` without the 128: the query's side. Returns the sum of `out`.
    #[inline]
    pub fn quantize_i8(&self, src: &[f32], scale: f32, out: &mut [i8]) -> i32 {
        // SAFETY: as in `quantize`.
        unsafe { (self.quantize_i8)(src, scale, out) }
    }

    /// Takes the 128 off the bytes of a code: a row's code becomes a query. Returns the sum of `out`.
    #[inline]
    pub fn code_to_query(&self, code: &[u8], out: &mut [i8]) -> i32 {
        let n = code.len().min(out.len());
        // SAFETY: as in `dot`.
        unsafe { (self.code_to_query)(&code[..n], &mut out[..n]) }
    }

    /// Sum of `row * q` over raw bytes, wrapping beyond 65,793 of them. The caller takes off 128 times the sum of `q`.
    #[inline]
    pub fn dot_u8i8(&self, row: &[u8], q: &[i8]) -> i32 {
        let (row, q) = common(row, q);
        // SAFETY: as in `dot`.
        unsafe { (self.dot_u8i8)(row, q) }
    }

    /// `dot_u8i8` of one query with each row, into `out` in order. Made for rows scattered over memory: the next ones
    /// are on their way while one is multiplied. If a row is shorter than `q`, its length counts for all.
    #[inline]
    pub fn dot_rows(&self, q: &[i8], rows: &Rows<'_>, out: &mut [i32]) {
        let (starts, shortest) = rows.parts();
        let q = &q[..q.len().min(shortest)];
        let n = starts.len().min(out.len());
        // SAFETY: as in `dot`; `Rows` lends at least `shortest` bytes behind every start, and `q` is no longer.
        unsafe { (self.dot_rows)(q, &starts[..n], &mut out[..n]) }
    }
}

/// The instruction set that the kernels run on, such as `avx512`: what a report of a measurement should say.
pub fn instruction_set() -> &'static str {
    Kernels::best().name()
}

#[inline]
fn common<'a, 'b, A, B>(a: &'a [A], b: &'b [B]) -> (&'a [A], &'b [B]) {
    let n = a.len().min(b.len());
    (&a[..n], &b[..n])
}
