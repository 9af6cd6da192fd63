//! The one distance that `hnsw_rs` gets, over our kernels: it only has to order rows as the metric does.
//!
//! Invariants: never negative and never NaN, for the crate asserts on both in the middle of an insert; the smaller the
//! nearer. What an answer says is computed anew by [`crate::codes::Exact`], so no unit and no square root is kept:
//!
//! | metric | the crate sees | compared by | lost |
//! |---|---|---|---|
//! | cosine | the row at length 1 | squared distance, which is twice `1 - cos` | nothing: no `1 - x` cancels the digits of near rows |
//! | l2 | the row | squared distance | what underflows below 1e-38 |
//! | l1 | the row | sum of differences | nothing |
//! | dot | the row | `-dot`, moved onto the positive floats by [`positive`] | the last bit of 24 |

use crate::config::Metric;
use crate::kernels::Kernels;
use ::hnsw_rs::anndists::dist::distances::Distance;
use std::borrow::Cow;
use std::cell::Cell;

thread_local! {
    /// Distances that this thread computed. The crate counts nothing, and works on its caller's thread.
    static COMPUTED: Cell<u64> = const { Cell::new(0) };
}

#[derive(Clone, Copy)]
pub(super) struct Order {
    metric: Metric,
    kernels: &'static Kernels,
}

impl Order {
    pub(super) fn new(metric: Metric) -> Self {
        Self { metric, kernels: Kernels::best() }
    }

    pub(super) fn metric(self) -> Metric {
        self.metric
    }

    /// A row or query as the crate shall see it. `None` of one that has no distance to anything: not finite, or without
    /// a direction under cosine.
    pub(super) fn form(self, x: &[f32]) -> Option<Cow<'_, [f32]>> {
        if !self.kernels.max_abs(x).is_finite() {
            return None;
        }
        if self.metric != Metric::Cosine {
            return Some(Cow::Borrowed(x));
        }
        let norm_sq = self.kernels.norm_sq(x);
        norm_sq.is_normal().then(|| {
            let inverse = 1.0 / norm_sq.sqrt();
            x.iter().map(|v| v * inverse).collect()
        })
    }
}

impl Distance<f32> for Order {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        COMPUTED.set(COMPUTED.get() + 1);
        let distance = match self.metric {
            Metric::Cosine | Metric::L2 => self.kernels.l2sq(a, b),
            Metric::L1 => self.kernels.l1(a, b),
            Metric::Dot => return positive(-self.kernels.dot(a, b)),
        };
        if distance.is_nan() { f32::INFINITY } else { distance.max(0.0) }
    }
}

/// Runs `work` and counts the distances it computed.
pub(super) fn counted<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let before = COMPUTED.get();
    let result = work();
    (result, COMPUTED.get() - before)
}

/// Finite floats onto the finite floats from 0 on, in order. There are half as many, so two neighbours may become one.
/// Clamping instead would make ties of the best: of every positive inner product.
fn positive(x: f32) -> f32 {
    /// Where `-f32::MAX` lands before it is moved to 0.
    const LOWEST: u32 = 0x0040_0000;
    if x.is_nan() {
        return f32::INFINITY;
    }
    let bits = x.clamp(-f32::MAX, f32::MAX).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    f32::from_bits((ordered >> 1) - LOWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_keeps_the_order_of_all_finite_floats() {
        let mut last = -1.0;
        // Every 2,003rd float, from the lowest to the highest.
        for ordered in (0x0080_0000..=0xff7f_ffff_u32).step_by(2_003) {
            let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
            let y = positive(f32::from_bits(bits));
            assert!(y.is_finite() && y > last, "{} became {y} after {last}", f32::from_bits(bits));
            last = y;
        }
        assert_eq!((positive(-f32::MAX), positive(f32::MAX)), (0.0, f32::MAX));
        assert_eq!(positive(f32::NEG_INFINITY), 0.0);
        assert!(positive(f32::NAN).is_infinite());
        // Two bits apart is told apart.
        let x = -0.7f32;
        assert!(positive(x) < positive(f32::from_bits(x.to_bits() - 2)));
    }

    #[test]
    fn what_has_no_distance_is_refused_and_what_overflows_is_far() {
        for metric in [Metric::Cosine, Metric::L2, Metric::Dot, Metric::L1] {
            let order = Order::new(metric);
            assert!(order.form(&[1.0, f32::NAN]).is_none());
            assert!(order.form(&[f32::INFINITY, 1.0]).is_none());
            assert_eq!(order.form(&[0.0, 0.0]).is_none(), metric == Metric::Cosine);
            // Beyond our limits, but nothing here checks them: it must not become NaN or negative.
            let far = order.eval(&[3e38, -3e38], &[-3e38, 3e38]);
            assert!(far >= 0.0 && order.eval(&[3e38, 3e38], &[3e38, -3e38]) >= 0.0, "{metric}: {far}");
        }
    }
}
