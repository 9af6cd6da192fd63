//! What areas promise: rows read as written, published whole, refused when they cannot fit.

mod conformance;
mod frames;

use super::{Cells, Rows};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn rows_are_read_as_written_and_end_at_capacity() {
    let rows = Rows::<f32>::new(3, 2).unwrap();
    assert!(rows.get(0).is_none());
    assert_eq!(rows.push(|r| r.copy_from_slice(&[1.0, 2.0, 3.0])), Some(0));
    assert_eq!(rows.push(|r| r[0] = 4.0), Some(1));
    assert_eq!(rows.push(|_| unreachable!()), None);
    assert_eq!(rows.get(0), Some(&[1.0, 2.0, 3.0][..]));
    assert_eq!(rows.get(1), Some(&[4.0, 0.0, 0.0][..]));
    assert!(rows.get(2).is_none() && rows.get(usize::MAX).is_none());
    assert_eq!((rows.len(), rows.capacity(), rows.bytes()), (2, 2, 24));
}

#[test]
fn a_reader_that_sees_the_length_sees_the_row() {
    let rows = Rows::<u8>::new(64, 20_000).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..20_000usize {
                rows.push(|row| row.fill((i % 251) as u8 + 1));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            if let Some(last) = rows.len().checked_sub(1) {
                let row = rows.get(last).unwrap();
                assert!(row.iter().all(|&b| b == (last % 251) as u8 + 1), "row {last} was seen half written");
            }
        }
    });
    assert_eq!(rows.len(), 20_000);
}

#[test]
fn sizes_beyond_the_address_space_are_refused() {
    assert!(Rows::<f32>::new(usize::MAX, 2).is_err());
    assert!(Rows::<f32>::new(1 << 40, 1 << 20).is_err());
    assert!(Cells::new(usize::MAX / 2).is_err());
}

#[test]
fn cells_start_at_zero() {
    let cells = Cells::new(100_000).unwrap();
    assert!(cells.all().iter().all(|c| c.load(Ordering::Relaxed) == 0));
    cells.all()[99_999].store(7, Ordering::Relaxed);
    assert_eq!(cells.all()[99_999].load(Ordering::Relaxed), 7);
}
