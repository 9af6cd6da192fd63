//! From a URL to the options of a connection.
//!
//! Invariant: no message holds the URL or a part of it that may be a password: not even when the URL cannot be read, because
//! then nobody knows which part that is.

use super::fault::{fault, with_remedy};
use crate::mirror::remote::{Done, FaultClass};
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

const SHAPE: &str = "postgres://user:password@host:port/database?sslmode=require";
const ESCAPE: &str = "write special characters of user and password as %XX: @ is %40, : is %3A, / is %2F, # is %23, ? is %3F, % is %25";

/// Parameters that sqlx reads; it prints unknown ones into a log, with their value.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
    "password",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The options that `url` describes.
pub(super) fn options(url: &str) -> Done<PgConnectOptions> {
    check(url)?;
    // The message of sqlx may quote; ours does not.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| refuse("the database URL cannot be read", format!("write {SHAPE}; {ESCAPE}")))?;
    let is_named = options.get_application_name().is_some();
    let options = if is_named { options } else { options.application_name("nearfield") };
    // Poolers refuse settings of a session that they do not know; transactions bring their own.
    let options = options.extra_float_digits(None);
    Ok(sqlx::ConnectOptions::disable_statement_logging(options))
}

/// Where it leads, for people.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

fn refuse(what: &str, remedy: impl Into<String>) -> crate::mirror::remote::Fault {
    with_remedy(fault(FaultClass::Permission, what), remedy)
}

/// Names the part that is wrong.
fn check(url: &str) -> Done<()> {
    if url.is_empty() {
        return Err(refuse("the database URL is empty", format!("write {SHAPE}")));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(refuse("the database URL has no scheme", format!("write {SHAPE}")));
    };
    if !["postgres", "postgresql"].contains(&scheme) {
        return Err(refuse("the scheme of the database URL is not postgres", format!("write {SHAPE}")));
    }
    let (before, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if before.contains('#') || parameters.contains('#') {
        return Err(refuse("the database URL holds a #, which ends it", ESCAPE));
    }
    let (authority, database) = before.split_once('/').unwrap_or((before, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if database.contains('@') || user.contains('@') {
        return Err(refuse("the database URL holds more than one @, or a / before it", ESCAPE));
    }
    if !is_escaped(user) || !is_escaped(database) {
        return Err(refuse("the database URL holds a % that no two hexadecimal digits follow", ESCAPE));
    }
    check_port(host)?;
    parameters.split('&').filter(|p| !p.is_empty()).try_for_each(check_parameter)
}

fn check_port(host: &str) -> Done<()> {
    // An IPv6 address has colons of its own, in brackets.
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    match after.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.parse::<u16>().is_err() => Err(refuse(
            "the port of the database URL is no number up to 65535",
            format!("write {SHAPE}; {ESCAPE}"),
        )),
        _ => Ok(()),
    }
}

fn check_parameter(parameter: &str) -> Done<()> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let is_option = name == "options" || name.starts_with("options[") || name.starts_with("options%5B");
    if !PARAMETERS.contains(&name) && !is_option {
        let known = PARAMETERS.join(", ");
        return Err(refuse(
            "the database URL has a parameter that is not known",
            format!("known are {known}, options"),
        ));
    }
    if ["sslmode", "ssl-mode"].contains(&name) && !SSL_MODES.contains(&value) {
        return Err(refuse(
            "the sslmode of the database URL is not known",
            format!("use one of {}", SSL_MODES.join(", ")),
        ));
    }
    Ok(())
}

fn is_escaped(text: &str) -> bool {
    let is_hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let mut escapes = (0..bytes.len()).filter(|&at| bytes[at] == b'%');
    escapes.all(|at| is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)))
}
