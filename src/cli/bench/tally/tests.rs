//! Counting recall, whole and under a filter.

use super::*;

#[test]
fn recall_counts_what_exists_and_short_what_is_missing() {
    let mut tally = Tally::default();
    tally.judge(&[4, 1, 9], [1, 4, 2].into_iter());
    tally.judge(&[7], [7, 8].into_iter());
    tally.judge(&[], [].into_iter());
    assert_eq!((tally.recall(), tally.short), (0.6, 1));
    assert_eq!(Tally::default().recall(), 1.0);
}

#[test]
fn percentiles_are_values_that_occurred() {
    let sorted: Vec<u64> = (1..=200).collect();
    assert_eq!([0.5, 0.95, 0.99, 1.0].map(|p| percentile(&sorted, p)), [100, 190, 198, 200]);
    assert_eq!([median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0]), median(Vec::new())], [2.0, 2.5, 0.0]);
    assert_eq!((percentile(&[7], 0.5), percentile(&[], 0.5)), (7, 0));
}
