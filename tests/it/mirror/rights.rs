//! The server lets the mirror in no more, or not all the way: passwords, rights, room for connections, a standby.

use super::*;
use crate::support::postgres::{Cluster, Database};
use crate::support::sql::Session;

/// The same database as another user.
fn url_as(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, host) = rest.rsplit_once('@').unwrap();
    format!("{scheme}://{user}:{password}@{host}")
}

/// A user who may do what a mirror does, and owns nothing.
struct User {
    name: String,
    url: String,
    database: Database,
}

impl User {
    fn new(what: &str) -> Self {
        let database = Cluster::shared().database();
        // The tables are made by somebody who may.
        drop(Bed::settled(options(&database.url), 1));
        let name = format!("{}_{what}", database_name(&database.url));
        let grant = format!(
            "CREATE ROLE {name} LOGIN PASSWORD 'first'; GRANT USAGE ON SCHEMA nearfield TO {name}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA nearfield TO {name}"
        );
        sql(&database.url, &grant);
        let url = url_as(&database.url, &name, "first");
        Self { name, url, database }
    }

    fn order(&self, order: &str) {
        sql(&self.database.url, &order.replace("{}", &self.name));
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let name = &self.name;
        let _ = crate::support::sql::try_sql(
            &self.database.url,
            &format!("DROP OWNED BY {name}; DROP ROLE {name}"),
        );
    }
}

#[test]
fn a_password_that_was_changed() {
    let user = User::new("password");
    let bed = Bed::with(Store::memory(), options(&user.url));
    bed.until("in_sync");
    user.order("ALTER ROLE {} PASSWORD 'second'");
    throw_out(Cluster::shared().url(), &user.database.url);
    let status = bed.until_reason("28P01");
    let reason = status.reason.unwrap();
    assert!(reason.contains("password") && !reason.contains("first"), "{reason}");
    bed.works_alone();
    user.order("ALTER ROLE {} PASSWORD 'first'");
    bed.follows(&user.database.url);
}

#[test]
fn a_right_that_was_taken_away() {
    let user = User::new("right");
    let bed = Bed::with(Store::memory(), options(&user.url));
    bed.until("in_sync");
    user.order("REVOKE INSERT, UPDATE ON nearfield.chunk FROM {}");
    bed.works_alone();
    let status = bed.until_reason("42501");
    assert!(status.reason.unwrap().contains("GRANT"));
    bed.works_alone();
    user.order("GRANT INSERT, UPDATE ON nearfield.chunk TO {}");
    bed.follows(&user.database.url);
}

#[test]
fn a_database_that_takes_no_writes() {
    let server = Cluster::shared();
    let database = server.database();
    let bed = Bed::settled(options(&database.url), 20);
    let name = database_name(&database.url);
    sql(server.url(), &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    throw_out(server.url(), &database.url);
    bed.works_alone();
    bed.until_reason("25006");
    bed.works_alone();
    sql(server.url(), &format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    bed.equals(&database.url);
}

#[test]
fn a_server_without_room_for_connections() {
    let server = Cluster::private_with(&["--set=max_connections=8"]);
    let database = server.database();
    let mut guests = Vec::new();
    let full = loop {
        match Session::open(&database.url) {
            Ok(guest) => guests.push(guest),
            Err(error) => break error,
        }
    };
    assert!(full.to_string().contains("too many clients"), "{full}");
    let bed = Bed::at(&database.url);
    bed.until("db_resource");
    bed.works_alone();
    guests.clear();
    bed.equals(&database.url);
}
