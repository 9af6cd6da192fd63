//! The database side against a server: the suite of every remote, and what only Postgres has.

mod copies;
mod feed;
mod lines;
mod measure;
mod people;
mod pure;
mod server;
mod standby;
mod tables;
mod tls;
mod words;

mod conformance {
    //! The suite of every remote.

    use super::server::rig;

    crate::mirror::conformance::conformance!(rig);
}
