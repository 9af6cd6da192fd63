//! Bugs planted on purpose, to prove that the tests would catch them.
//!
//! Built with `RUSTFLAGS="--cfg planted"`, the bug that the environment variable `NEARFIELD_BUG` names is in the code: the
//! tests must turn red. Built without, [`planted`] is a constant `false` and the compiler drops what it guards.

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $name:literal,)*) => {
        /// One mistake that this store could make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Bug {
            $($(#[$doc])* $bug,)*
        }

        #[cfg(any(planted, test))]
        impl Bug {
            pub(crate) const ALL: [Self; [$($name),*].len()] = [$(Self::$bug),*];

            /// What `NEARFIELD_BUG` calls it.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)*
                }
            }
        }
    };
}

bugs! {
    /// A folder is not synced after a name in it was made or moved.
    SkipFolderSync = "skip-folder-sync",
    /// A write is acknowledged before the log is synced.
    AckBeforeSync = "ack-before-sync",
    /// Searches see a durable write before the log is synced.
    PublishBeforeSync = "publish-before-sync",
    /// After a failed sync the same file is synced again and believed.
    RetryFailedSync = "retry-failed-sync",
    /// A file is moved to its name before its bytes are synced.
    SkipSyncBeforeRename = "skip-sync-before-rename",
    /// A manifest is committed before the files that it names.
    ManifestBeforeFiles = "manifest-before-files",
    /// A log file is removed while no other file holds all of its records.
    DeleteLogTooEarly = "delete-log-too-early",
    /// The checksum of a log record's payload is not compared.
    IgnorePayloadCheck = "ignore-payload-check",
    /// The check of a log record's header is not compared.
    IgnoreHeaderCheck = "ignore-header-check",
    /// A new log file takes the salt of the one before.
    ReuseSalt = "reuse-salt",
    /// The parts of a commit that reached the log are replayed although some are missing.
    KeepPartialCommit = "keep-partial-commit",
    /// Replay links the new rows and leaves the slots alive that they replaced.
    ForgetRemovedSlots = "forget-removed-slots",
    /// Replay appends rows again that a block already holds.
    ReplayTwiceAppends = "replay-twice-appends",
    /// Pieces of a sections file are used without their checksums.
    TrustPieces = "trust-pieces",
    /// A number read from a file is used as an index unchecked against its bound.
    SkipBoundCheck = "skip-bound-check",
    /// Rows in damaged pieces vanish without being reported missing.
    DropDamageSilently = "drop-damage-silently",
    /// Opening takes the lowest valid manifest.
    LowestManifestWins = "lowest-manifest-wins",
    /// A store whose manifests are all lost opens as an empty one.
    EmptyOnLostManifest = "empty-on-lost-manifest",
    /// Opening does not count the incarnation up.
    SkipIncarnation = "skip-incarnation",
    /// The sweep removes files that a kept manifest names.
    SweepNamedFiles = "sweep-named-files",
}

/// Whether `bug` is in this process.
#[cfg(not(planted))]
#[inline(always)]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}

/// Whether `bug` is in this process.
#[cfg(planted)]
pub(crate) fn planted(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    });
    *chosen == Some(bug)
}

#[cfg(any(planted, test))]
const VARIABLE: &str = "NEARFIELD_BUG";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_from_the_variants() {
        let names: BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!((Bug::ALL.len(), names.len()), (20, 20));
        for bug in Bug::ALL {
            let camel: String = bug.name().split('-').map(|w| w[..1].to_uppercase() + &w[1..]).collect();
            assert_eq!(camel, format!("{bug:?}"));
            assert_eq!(Bug::ALL.into_iter().find(|b| b.name() == bug.name()), Some(bug));
        }
    }

    /// Green with any name: it must not count as the test that catches a bug. A name that nobody knows plants nothing, and
    /// shows as a bug that was not caught.
    #[test]
    fn exactly_the_named_bug_is_planted() {
        let named = std::env::var(VARIABLE).ok().filter(|_| cfg!(planted));
        let named = Bug::ALL.into_iter().filter(|bug| Some(bug.name()) == named.as_deref());
        let planted = Bug::ALL.into_iter().filter(|bug| planted(*bug));
        assert_eq!(planted.collect::<Vec<_>>(), named.collect::<Vec<_>>());
    }
}
