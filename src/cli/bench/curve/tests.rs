//! Interpolation against values worked out by hand.

use super::*;

fn line(curve: &[(f64, f64)]) -> String {
    marks(curve).iter().map(Mark::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn speed_is_interpolated_on_a_log_scale() {
    // Half way from 0.94 to 0.96 lies the geometric mean of 40,000 and 10,000; 0.98 is a quarter of the way from
    // 0.96 to 1.04, which is 10,000 * (625 / 10,000)^(1/4) = 5,000; 0.99 is 3/8, 0.995 is 7/16 of it.
    let curve = [(0.94, 40_000.0), (0.96, 10_000.0), (1.04, 625.0)];
    assert_eq!(line(&curve), "qps@0.95=20000 qps@0.98=5000 qps@0.99=3536 qps@0.995=2973");
}

#[test]
fn a_target_off_the_curve_is_above_or_never() {
    assert_eq!(
        line(&[(0.96, 9.0), (0.985, 4.0)]),
        "qps@0.95=above qps@0.98=5 qps@0.99=never qps@0.995=never"
    );
    assert_eq!(line(&[(0.999, 1.0)]), "qps@0.95=above qps@0.98=above qps@0.99=above qps@0.995=above");
    assert_eq!(line(&[]), "qps@0.95=never qps@0.98=never qps@0.99=never qps@0.995=never");
}

#[test]
fn a_target_that_a_point_hits_is_that_point() {
    let at = |curve: &[(f64, f64)]| mark(curve, 0.95);
    assert_eq!(at(&[(0.95, 70.0), (0.97, 60.0)]).reached, Reached::Above);
    assert!((at(&[(0.90, 70.0), (0.95, 60.0)]).qps.unwrap() - 60.0).abs() < 1e-9);
}

#[test]
fn recall_that_falls_and_rises_again_is_taken_at_its_first_passage() {
    let curve = [(0.90, 100.0), (0.96, 50.0), (0.94, 40.0), (0.97, 30.0)];
    assert!(mark(&curve, 0.95).qps.unwrap() > 50.0);
}
