//! What a call runs into.

use crate::mirror::remote::FaultClass;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upset {
    /// Nothing: the upset after it hits a later call.
    Ok,
    /// Refused, with a SQLSTATE.
    Fails(FaultClass, &'static str),
    /// Never answered.
    Hang,
    /// The line broke before the commit.
    LostBefore,
    /// The line broke after the commit.
    LostAfter,
    /// The line broke, and the server commits later.
    Late,
    /// Delivered, and once more later.
    Twice,
}
