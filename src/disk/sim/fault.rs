//! Calls that fail: which, how, and for how long.

use std::io;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// EIO.
    Io,
    /// ENOSPC. For ever, it hits calls that need room.
    Full,
    /// EROFS. For ever, it hits calls that change something.
    ReadOnly,
    /// A write puts down half of its bytes, then EIO; any other call, EIO.
    Short,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Io, Self::Full, Self::ReadOnly, Self::Short];

    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Io | Self::Short => 5,
            Self::Full => 28,
            Self::ReadOnly => 30,
        })
    }

    /// Whether a disk that is in this state for ever refuses such a call.
    fn lasts_for(self, need: Need) -> bool {
        match self {
            Self::Io | Self::Short => true,
            Self::Full => need == Need::Room,
            Self::ReadOnly => need != Need::Read,
        }
    }
}

/// What a call asks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Change,
    Room,
}

/// The calls so far, and those that are to fail.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) calls: u64,
    pub(super) hits: u64,
    planned: Vec<(u64, Fault, bool)>,
}

impl Faults {
    pub(super) fn plan(&mut self, call: u64, fault: Fault, sticky: bool) {
        self.planned.push((call, fault, sticky));
    }

    pub(super) fn heal(&mut self) {
        self.planned.clear();
    }

    /// Counts a call and says how it fails, if it does.
    pub(super) fn meet(&mut self, need: Need) -> Option<Fault> {
        let now = self.calls;
        self.calls += 1;
        let hits = |&&(call, fault, sticky): &&(u64, Fault, bool)| {
            call == now || (sticky && call < now && fault.lasts_for(need))
        };
        let fault = self.planned.iter().find(hits).map(|(_, fault, _)| *fault);
        self.hits += u64::from(fault.is_some());
        fault
    }
}
