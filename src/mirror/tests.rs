//! Tests of the protocol on the twin.
