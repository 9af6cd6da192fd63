//! Two futures at once, in one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Drives both to their ends.
pub(crate) async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(move |context| {
        if of_a.is_none()
            && let Poll::Ready(out) = a.as_mut().poll(context)
        {
            of_a = Some(out);
        }
        if of_b.is_none()
            && let Poll::Ready(out) = b.as_mut().poll(context)
        {
            of_b = Some(out);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Drives `work` until it ends or `stop` does, which drops it.
pub(super) async fn unless<A: Future>(stop: impl Future<Output = ()>, work: A) -> Option<A::Output> {
    let (mut stop, mut work) = (pin!(stop), pin!(work));
    poll_fn(move |context| {
        if let Poll::Ready(out) = work.as_mut().poll(context) {
            return Poll::Ready(Some(out));
        }
        stop.as_mut().poll(context).map(|()| None)
    })
    .await
}
