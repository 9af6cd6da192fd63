//! The store as files: taking a folder, restoring and redoing, saving, copying.

pub(super) mod checkpoint;
pub(super) mod home;
pub(super) mod open;
pub(super) mod replay;
pub(super) mod restore;
pub(super) mod seal;
pub(super) mod snapshot;
