//! The generator is the same for a seed, and different for another.

use super::*;

const SMALL: Recipe = Recipe { seed: 7, dim: 24, clusters: 5 };

#[test]
fn a_seed_always_makes_the_same_rows() {
    let all = Mixture::new(SMALL).base(100, 1);
    assert_eq!(all, Mixture::new(SMALL).base(100, 3));
    assert_eq!(all.values[..40 * 24], Mixture::new(SMALL).base(40, 2).values);
    assert_ne!(all, Mixture::new(Recipe { seed: 8, ..SMALL }).base(100, 1));
    assert_ne!(all, Mixture::new(SMALL).queries(100, 1));
}

#[test]
fn the_bits_are_those_of_every_other_machine() {
    let bits: Vec<u32> = Mixture::new(SMALL).base(1, 1).row(0)[..3].iter().map(|v| v.to_bits()).collect();
    assert_eq!(bits, [0x3ebd_db30, 0x3d81_5a81, 0xbf1d_936c]);
}

#[test]
fn the_bell_has_mean_0_and_deviation_1() {
    let mut random = Random::new(1, Stream::Base, 0);
    let values: Vec<f64> = (0..20_000).map(|_| f64::from(random.bell())).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
}

#[test]
fn edges_are_defined() {
    assert_eq!(Mixture::new(Recipe { seed: 0, dim: 1, clusters: 1 }).base(3, 8).rows(), 3);
    assert_eq!(Mixture::new(SMALL).base(0, 2).rows(), 0);
}
