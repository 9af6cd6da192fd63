//! Bytes that were lost: noticed, looked for, remembered, written down, told.

pub(super) mod alarm;
pub(super) mod diagnosis;
pub(super) mod doctor;
pub(super) mod health;
pub(super) mod missing;
pub(super) mod repair;
pub(super) mod scrub;
pub(super) mod verify;
