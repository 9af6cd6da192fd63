//! The database side against a server: the suite of every remote, and what only Postgres has.

mod pure;
mod server;

use server::Server;

mod conformance {
    //! The suite of every remote.

    use super::server::rig;

    crate::mirror::conformance::conformance!(rig);
}
