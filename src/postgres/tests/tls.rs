//! Encryption. The server that tests run is built without it, so another program takes its place as far as the handshake:
//! `openssl s_server`, behind a door that answers Postgres's question whether it encrypts.

use super::server::fresh_name;
use crate::mirror::conformance::block_on;
use crate::mirror::remote::*;
use crate::postgres::{Postgres, Settings};
use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A TLS server with a certificate that it has signed itself.
struct Tls {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

impl Tls {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext \
                    subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
        let make = openssl(folder.path(), &make.split(' ').collect::<Vec<_>>()).status();
        assert!(make.unwrap().success(), "openssl makes no certificate");
        let serve = ["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem"];
        let mut child =
            openssl(folder.path(), &serve).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ACCEPT ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "openssl does not serve");
        }
        let inner: u16 = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        std::thread::spawn(move || copy(&mut said, &mut std::io::sink()));
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = door.local_addr().unwrap().port();
        std::thread::spawn(move || door.incoming().flatten().for_each(|client| _ = admit(client, inner)));
        Self { folder, child, port }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn fault(&self, parameters: &str) -> Fault {
        let url = format!("postgres://u:secret@localhost:{}/d?{parameters}", self.port);
        let settings = Settings { url, schema: fresh_name(), connect_ms_max: 1_500, ..Settings::default() };
        block_on(Postgres::new(settings).unwrap().look(NodeId(5))).unwrap_err()
    }
}

/// Answers that it encrypts, and passes on what follows.
fn admit(mut client: TcpStream, inner: u16) -> std::io::Result<()> {
    client.read_exact(&mut [0; 8])?;
    client.write_all(b"S")?;
    let mut server = TcpStream::connect(("127.0.0.1", inner))?;
    let (mut to_client, mut from_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let _ = copy(&mut client, &mut server);
        let _ = server.shutdown(Shutdown::Both);
    });
    Ok(())
}

#[test]
fn a_certificate_of_nobody_known_is_refused_with_what_to_do() {
    let tls = Tls::start();
    for mode in ["verify-full", "verify-ca"] {
        let fault = tls.fault(&format!("sslmode={mode}"));
        assert_eq!(fault.class, FaultClass::Permission, "{fault:?}");
        assert!(fault.message.contains("certificate is not trusted"), "{fault:?}");
        let remedy = fault.remedy.as_deref().unwrap();
        assert!(remedy.contains("sslrootcert=") && remedy.contains("sslmode=require"), "{fault:?}");
    }
}

/// The handshake succeeds, and nobody answers behind it.
#[test]
fn what_is_asked_for_is_encrypted_whoever_signed() {
    let tls = Tls::start();
    let trusted = format!("sslmode=verify-full&sslrootcert={}", tls.certificate().display());
    for parameters in ["sslmode=require", &trusted] {
        let fault = tls.fault(parameters);
        assert_eq!(fault.class, FaultClass::Transient, "{fault:?}");
        assert!(fault.message.contains("no answer within"), "{fault:?}");
    }
}
