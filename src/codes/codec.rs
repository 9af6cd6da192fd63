//! How a vector becomes a code, and a query a thing that codes are compared with.
//!
//! A row is rotated, centred and stored as bytes, `round(u / s) + 128` with `u = R x - c`. The estimate of its distance
//! to a query is affine in one integer dot product, so one kernel serves all metrics:
//!
//! ```text
//! distance ~ add + offset_x + factor_x * mul * (dot_u8i8(code_x, query) - bias)
//! ```
//!
//! | form | for | `s` | terms of a row |
//! |---|---|---|---|
//! | `Unit` | cosine | one number that follows from `dim` alone | none: the hot loop reads nothing but codes |
//! | `Euclid` | l2; cosine when the rows share a large mean | per row | `factor`, `offset = |u|^2` |
//! | `Inner` | dot | per row | `factor`, `offset = -<c, u>` |
//!
//! Rotated unit vectors have coordinates of about `1 / sqrt(dim)`, whatever the data, which is why `Unit` needs no
//! training and cannot drift. In every form a row's code is itself a query, byte for byte: building a graph compares
//! rows with rows.

use super::rotation::Rotation;
use crate::config::Metric;
use crate::kernels::Kernels;
use crate::limits;
use serde::{Deserialize, Serialize};

/// Codes are padded to a multiple of this many bytes.
const STRIDE_BYTES: usize = 32;
/// Largest magnitude of a code.
const CODE_MAX: f32 = 127.0;
/// `Unit` covers this many times the usual coordinate of a rotated unit vector; one in 150,000 lies beyond and is clipped.
const SIGMAS: f32 = 4.5;
/// Share of the rows' energy in their mean above which cosine rows are centred.
const CENTERED_ENERGY_MIN: f64 = 0.5;

/// A centre that moved by more than this share of its length is worth encoding all rows anew.
const CENTER_MOVED_MAX: f32 = 0.1;

/// Standard deviations that two estimates may be apart and still be in the wrong order.
const MARGIN_DEVIATIONS: f32 = 6.0;

/// What a code stands for; see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    Unit,
    Euclid,
    Inner,
}

/// All that makes a codec what it is. The rotation follows from `dim`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CodecParts<'a> {
    pub(crate) form: Form,
    pub(crate) cosine: bool,
    pub(crate) dim: usize,
    pub(crate) scale: f32,
    /// Rotated; empty when rows are not centred.
    pub(crate) center: &'a [f32],
}

/// The numbers that turn rows into codes. Fixed for the life of a [`super::CodeTable`].
#[derive(Clone)]
pub(crate) struct Codec {
    form: Form,
    /// Rows and queries are normalised first.
    cosine: bool,
    dim: usize,
    rotation: Rotation,
    /// `c`, rotated. Empty when rows are not centred.
    center: Vec<f32>,
    center_sq: f32,
    /// `s` of the form `Unit`.
    scale: f32,
}

/// The two terms of a row that has its own scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) factor: f32,
    pub(crate) offset: f32,
}

impl Terms {
    pub(crate) const NONE: Self = Self { factor: 1.0, offset: 0.0 };
}

/// A query in code form; a buffer that is filled again and again.
#[derive(Clone, Default)]
pub(crate) struct QueryCode {
    pub(crate) bytes: Vec<i8>,
    pub(crate) bias: i32,
    pub(crate) mul: f32,
    pub(crate) add: f32,
    /// Units of the code.
    scale: f32,
    work: Vec<f32>,
}

impl Codec {
    /// A codec for rows that nobody has seen yet.
    pub(crate) fn untrained(metric: Metric, dim: usize) -> Self {
        let form = match metric {
            Metric::Cosine => Form::Unit,
            Metric::Dot => Form::Inner,
            Metric::L2 | Metric::L1 => Form::Euclid,
        };
        let largest = (SIGMAS / (dim as f32).sqrt()).min(1.0);
        Self {
            form,
            cosine: metric == Metric::Cosine,
            dim,
            rotation: Rotation::new(dim),
            center: Vec::new(),
            center_sq: 0.0,
            scale: largest / CODE_MAX,
        }
    }

    /// A codec for rows like those of `sample`: centred on their mean where that pays.
    pub(crate) fn trained<'a>(metric: Metric, dim: usize, sample: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut codec = Self::untrained(metric, dim);
        let mut sum = vec![0f64; dim];
        let (mut energy, mut rows) = (0f64, 0f64);
        let mut u = Vec::new();
        for x in sample {
            codec.rotate(x, &mut u);
            for (s, v) in sum.iter_mut().zip(&u) {
                *s += f64::from(*v);
                energy += f64::from(*v).powi(2);
            }
            rows += 1.0;
        }
        let mean_energy = sum.iter().map(|s| (s / rows).powi(2)).sum::<f64>();
        let centred = rows > 0.0
            && mean_energy.is_finite()
            && match codec.form {
                Form::Unit => mean_energy * rows > energy * CENTERED_ENERGY_MIN,
                Form::Euclid | Form::Inner => true,
            };
        if centred {
            codec.center = sum.iter().map(|s| (s / rows) as f32).collect();
            codec.center_sq = square(&codec.center);
            if codec.form == Form::Unit {
                codec.form = Form::Euclid;
            }
        }
        codec
    }

    /// What a file keeps of it.
    pub(crate) fn parts(&self) -> CodecParts<'_> {
        CodecParts {
            form: self.form,
            cosine: self.cosine,
            dim: self.dim,
            scale: self.scale,
            center: &self.center,
        }
    }

    /// The codec that these are the parts of, bit by bit. `None` when no codec has such parts.
    pub(crate) fn of_parts(parts: CodecParts<'_>) -> Option<Self> {
        let CodecParts { form, cosine, dim, scale, center } = parts;
        let has_form = match form {
            Form::Unit => cosine && center.is_empty(),
            Form::Euclid => true,
            Form::Inner => !cosine,
        };
        let fits = (1..=limits::DIM_MAX).contains(&dim) && (center.is_empty() || center.len() == dim);
        let center_sq = square(center);
        // A square that is finite has finite elements.
        let is_finite = scale.is_normal() && scale > 0.0 && center_sq.is_finite();
        (has_form && fits && is_finite).then(|| Self {
            form,
            cosine,
            dim,
            rotation: Rotation::new(dim),
            center: center.to_vec(),
            center_sq,
            scale,
        })
    }

    /// Whether both make the same code of every vector.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let bits = |c: &Self| c.center.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let rest = |c: &Self| (c.form, c.cosine, c.dim, c.scale.to_bits());
        rest(self) == rest(other) && bits(self) == bits(other)
    }

    /// Whether this codec, trained on more rows, is worth encoding all rows anew: another form, or a centre that is
    /// farther away from the old one than a tenth of the way to the origin.
    pub(crate) fn replaces(&self, old: &Self) -> bool {
        let moved = match (self.center.is_empty(), old.center.is_empty()) {
            (true, true) => false,
            (false, false) => {
                Kernels::best().l2sq(&self.center, &old.center)
                    > CENTER_MOVED_MAX * CENTER_MOVED_MAX * self.center_sq
            }
            _ => true,
        };
        self.form != old.form || moved
    }

    /// Bytes of a code.
    pub(crate) fn stride(&self) -> usize {
        self.dim.next_multiple_of(STRIDE_BYTES)
    }

    /// Whether rows carry [`Terms`].
    pub(crate) fn has_terms(&self) -> bool {
        self.form != Form::Unit
    }

    /// Writes the code of `x`.
    pub(crate) fn encode(&self, x: &[f32], work: &mut Vec<f32>, code: &mut [u8]) -> Terms {
        self.rotate_and_center(x, work);
        let s = match self.form {
            Form::Unit => self.scale,
            Form::Euclid | Form::Inner => scale_of(work),
        };
        Kernels::best().quantize(work, 1.0 / s, code);
        let units = code.iter().map(|&b| f32::from(b) - 128.0);
        match self.form {
            Form::Unit => Terms::NONE,
            // The length of the code, not of the row: the estimate is then the exact distance of two codes, so it is
            // never negative and keeps its precision between near neighbours.
            Form::Euclid => {
                let squares = units.map(|v| f64::from(v * v)).sum::<f64>() as f32;
                Terms { factor: s, offset: self.square_weight() * s * s * squares }
            }
            Form::Inner => {
                Terms { factor: s, offset: -s * units.zip(&self.center).map(|(v, c)| v * c).sum::<f32>() }
            }
        }
    }

    /// Makes `query` from a vector.
    pub(crate) fn query(&self, x: &[f32], query: &mut QueryCode) {
        let mut work = std::mem::take(&mut query.work);
        self.rotate_and_center(x, &mut work);
        let s = scale_of(&work);
        query.bytes.resize(self.stride(), 0);
        let sum = Kernels::best().quantize_i8(&work, 1.0 / s, &mut query.bytes);
        query.bias = 128 * sum;
        query.scale = s;
        let squares = || query.bytes.iter().map(|&b| i64::from(b).pow(2)).sum::<i64>() as f32;
        (query.mul, query.add) = match self.form {
            Form::Unit => (-s * self.scale, 1.0),
            Form::Euclid => (-2.0 * self.square_weight() * s, self.square_weight() * s * s * squares()),
            Form::Inner => (-s, -self.center_sq - Kernels::best().dot(&self.center, &work)),
        };
        query.work = work;
    }

    /// How much farther than the k-th best estimate, `kth`, a candidate's estimate may be before its true distance is
    /// almost certainly the greater one: six standard deviations of the difference of two estimates. `None` where the error
    /// depends on rows that are not at hand.
    pub(crate) fn margin(&self, query: &QueryCode, kth: f32) -> Option<f32> {
        // A rounding error is uniform over one unit: its variance is a twelfth of the unit's square.
        let variance = match self.form {
            Form::Unit => (self.scale * self.scale + query.scale * query.scale) / 12.0,
            // Near rows are about as long as the query, so their units are about as large.
            Form::Euclid => {
                let weight = 2.0 * self.square_weight();
                weight * weight * (kth.max(0.0) / self.square_weight()) * (2.0 * query.scale * query.scale)
                    / 12.0
            }
            Form::Inner => return None,
        };
        Some(MARGIN_DEVIATIONS * (2.0 * variance).sqrt())
    }

    /// Makes `query` from a row's code.
    #[inline]
    pub(crate) fn query_of_code(&self, code: &[u8], terms: Terms, query: &mut QueryCode) {
        query.bytes.resize(code.len(), 0);
        query.bias = 128 * Kernels::best().code_to_query(code, &mut query.bytes);
        (query.mul, query.add) = match self.form {
            Form::Unit => (-self.scale * self.scale, 1.0),
            Form::Euclid => (-2.0 * self.square_weight() * terms.factor, terms.offset),
            Form::Inner => (-terms.factor, terms.offset - self.center_sq),
        };
    }

    /// What a squared distance counts: between unit vectors, half of it is the cosine distance.
    fn square_weight(&self) -> f32 {
        if self.cosine { 0.5 } else { 1.0 }
    }

    fn rotate_and_center(&self, x: &[f32], out: &mut Vec<f32>) {
        self.rotate(x, out);
        for (v, c) in out.iter_mut().zip(&self.center) {
            *v -= c;
        }
    }

    fn rotate(&self, x: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(x);
        if self.cosine {
            let norm = Kernels::best().dot(x, x).sqrt();
            let inverse = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            for v in out.iter_mut() {
                *v *= inverse;
            }
        }
        self.rotation.apply(out);
    }
}

/// The squared length of `v`, the same whether the centre was trained or read.
fn square(v: &[f32]) -> f32 {
    v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() as f32
}

/// Units of a code for a row as wide as `v`; any positive number for a zero row.
fn scale_of(v: &[f32]) -> f32 {
    let s = Kernels::best().max_abs(v) / CODE_MAX;
    if s.is_normal() { s } else { 1.0 }
}
