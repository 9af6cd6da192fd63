//! The flags of `nearfield sync`.

use crate::Trust;
use clap::{Args, Subcommand, ValueEnum};

/// What can be done with a store and its database.
#[derive(Subcommand)]
pub(in crate::cli) enum Command {
    /// Send everything that waits here, deletions too
    Push(Place),
    /// Take over everything that the database has by now
    ///
    /// A collection that has no rows here is filled. Where no store is, one is made.
    Pull(Place),
    /// Compare both sides at one instant; ends with 1 when they differ
    Audit(AuditArgs),
    /// Make both sides equal by the word of one
    ///
    /// It deletes what the trusted side does not have, and replaces what differs there, if --yes says so. With --dry-run it
    /// only names the rows, and ends with 1 if there are any.
    Repair(RepairArgs),
    /// Fill collections from the database as a whole, then compare
    Rebuild(Place),
    /// Delete collections in the database that were dropped here
    ///
    /// Dropping a collection in a store leaves it in the database, because others may hold it. They take over the deletions, or
    /// stop and ask if they are too many.
    Drop(DropArgs),
    /// Say who answers, what waits, and what is wrong
    Status(Place),
    /// Decide what the mirror is blocked about: whom to trust
    Resolve(ResolveArgs),
    /// List rows that one side refuses, with the reasons
    ///
    /// Everything that waits is tried first, because nobody remembers what was refused in another run.
    DeadLetters(Place),
}

/// Which database, and which of its collections.
#[derive(Args, Default)]
pub(in crate::cli) struct Place {
    /// postgres://user:password@host:port/database [default: the setting
    /// mirror.database.url, or DATABASE_URL of the environment]
    #[arg(long, value_name = "URL", help_heading = "Database")]
    pub(super) database_url: Option<String>,
    /// Postgres schema of the mirror's tables [default: the setting
    /// mirror.database.schema, which is nearfield]
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    pub(super) schema: Option<String>,
    /// Only this collection; may be given several times [default: those of
    /// mirror.collections, or all]
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    pub(super) collection: Vec<String>,
}

#[derive(Args)]
pub(in crate::cli) struct AuditArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Make digests anew from the bytes of both sides; reads everything
    #[arg(long)]
    pub(super) deep: bool,
}

#[derive(Args)]
pub(in crate::cli) struct DropArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Say how many rows there are, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Nothing else says that it is meant
    #[arg(long, required_unless_present = "dry_run", conflicts_with = "dry_run")]
    pub(super) yes: bool,
}

#[derive(Args)]
pub(in crate::cli) struct RepairArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// The side that is right
    #[arg(long, value_name = "SIDE")]
    pub(super) trust: Side,
    /// Look at the bytes of both sides first; reads everything
    #[arg(long)]
    pub(super) deep: bool,
    /// Change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Change what differs; nothing else says that it is meant
    #[arg(long, required_unless_present = "dry_run", conflicts_with = "dry_run")]
    pub(super) yes: bool,
}

#[derive(Args)]
pub(in crate::cli) struct ResolveArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// The side that is right
    #[arg(long, value_name = "SIDE")]
    pub(super) trust: Side,
}

/// Which side is right.
#[derive(Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Side {
    /// The database
    Database,
    /// The store of --data
    Local,
}

impl From<Side> for Trust {
    fn from(side: Side) -> Self {
        match side {
            Side::Database => Self::Database,
            Side::Local => Self::Local,
        }
    }
}

impl Command {
    pub(super) fn place(&self) -> &Place {
        match self {
            Self::Push(place) | Self::Pull(place) | Self::Rebuild(place) => place,
            Self::Status(place) | Self::DeadLetters(place) => place,
            Self::Audit(args) => &args.place,
            Self::Drop(args) => &args.place,
            Self::Repair(args) => &args.place,
            Self::Resolve(args) => &args.place,
        }
    }
}
