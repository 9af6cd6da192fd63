//! What an error of the database means: SQLSTATE to [`FaultClass`], by a table.
//!
//! Invariant: a message holds what the server or the system said in its first line, never a detail line, which quotes rows,
//! and never the URL.

use crate::mirror::remote::{Fault, FaultClass};
use FaultClass::*;
use std::borrow::Cow;

/// Codes and beginnings of codes; the longest that fits decides. Condition names stand in the Postgres manual, appendix A.
const TABLE: &[(&str, FaultClass)] = &[
    ("08", Transient),
    ("22", Data),
    ("23", Data),
    // Read-only transaction: a primary became a standby.
    ("25006", Demoted),
    ("25P03", Transient),
    ("25P04", Transient),
    // A prepared statement that this connection has not made, or another has: both are a pooler's doing.
    ("26000", Permission),
    ("28", Permission),
    // The database does not exist.
    ("3D", Schema),
    // The schema does not exist.
    ("3F", Schema),
    ("40", Transient),
    ("42", Schema),
    ("42501", Permission),
    ("42P05", Permission),
    ("53", Resource),
    // A vector too wide, a row too big for an index.
    ("54", Data),
    ("55P03", Transient),
    ("55006", Transient),
    ("57014", Transient),
    ("57P01", Transient),
    ("57P02", Transient),
    ("57P03", Transient),
    ("57P04", Schema),
    ("57P05", Transient),
    // The server's disk or memory fails.
    ("58", Resource),
    // Nobody listens, or too many do.
    ("72", Transient),
];

/// What to do about a SQLSTATE.
pub(super) fn class_of(code: &str) -> FaultClass {
    let fits = TABLE.iter().filter(|(start, _)| code.starts_with(start));
    fits.max_by_key(|(start, _)| start.len()).map_or(Unknown, |(_, class)| *class)
}

/// A fault of `class`, found here and not by the server.
pub(super) fn fault(class: FaultClass, message: impl Into<String>) -> Fault {
    Fault { class, code: None, message: message.into(), remedy: None }
}

/// The same with what would help.
pub(super) fn with_remedy(fault: Fault, remedy: impl Into<String>) -> Fault {
    Fault { remedy: Some(remedy.into()), ..fault }
}

/// For `map_err`: the error while doing `what`.
pub(super) fn on(what: &'static str) -> impl Fn(sqlx::Error) -> Fault {
    move |error| of(what, error)
}

fn of(what: &str, error: sqlx::Error) -> Fault {
    match &error {
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or(Cow::Borrowed(""));
            let message = format!("{what}: {}", said.message());
            let fault = Fault { class: class_of(&code), code: Some(code.to_string()), message, remedy: None };
            Fault { remedy: remedy(&code, said.message()), ..fault }
        }
        sqlx::Error::Io(e) if e.to_string().contains(CERTIFICATE) => distrust(what, e),
        sqlx::Error::Tls(e) if e.to_string().contains(CERTIFICATE) => distrust(what, e),
        sqlx::Error::Io(e) => fault(Transient, format!("{what}: {e}")),
        sqlx::Error::Protocol(e) => fault(Transient, format!("{what}: {e}")),
        sqlx::Error::Tls(e) => with_remedy(
            fault(Permission, format!("{what}: no secure connection: {e}")),
            "check sslmode and sslrootcert in the URL",
        ),
        sqlx::Error::Configuration(e) => fault(Permission, format!("{what}: {e}")),
        sqlx::Error::RowNotFound => fault(Schema, format!("{what}: a row that must be there is missing")),
        other => fault(Unknown, format!("{what}: {other}")),
    }
}

/// What rustls says of a certificate that it does not accept.
const CERTIFICATE: &str = "invalid peer certificate";

fn distrust(what: &str, error: &dyn std::fmt::Display) -> Fault {
    with_remedy(
        fault(Permission, format!("{what}: the server's certificate is not trusted: {error}")),
        "name the file of the CA that signed it: sslrootcert=/path/to/ca.pem in the URL; its name must be the host of the URL; \
         or encrypt without looking who answers: sslmode=require",
    )
}

/// What a person can do.
fn remedy(code: &str, message: &str) -> Option<String> {
    let text = match code {
        "42704" if message.contains("\"vector") => EXTENSION_REMEDY,
        "42501" => GRANT_REMEDY,
        "28P01" | "28000" => "check the user and the password in the URL, and pg_hba.conf on the server",
        "3D000" => "as a superuser: CREATE DATABASE <name>",
        "3F000" | "42P01" => "let the mirror migrate (migrate = auto), or run migrations/*.sql as the owner",
        "26000" | "42P05" => POOLER_REMEDY,
        "53300" => {
            "raise max_connections, or put a pooler in session mode in front: a mirror needs 2 connections"
        }
        "53100" => "make room on the server's disk",
        _ => return None,
    };
    Some(text.to_owned())
}

pub(super) const EXTENSION_REMEDY: &str = "as a superuser, or as the owner of the database where the server trusts the extension: CREATE EXTENSION vector";
const POOLER_REMEDY: &str = "the URL leads to a pooler that gives each transaction another connection (transaction or statement mode); a mirror \
     prepares its statements: give its user session mode (PgBouncer: pool_mode = session in the entry of the database or of the user), or \
     write the server's own host and port in the URL";
pub(super) const GRANT_REMEDY: &str = "as the owner: GRANT USAGE ON SCHEMA nearfield TO <user>; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \
     nearfield TO <user> (the name of the schema is a setting of the mirror)";
