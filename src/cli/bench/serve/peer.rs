//! The other end: as little HTTP as one can do with, because it runs on the server's cores.

use super::super::data::Matrix;
use crate::{Error, ErrorKind, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection.
pub(super) struct Peer {
    socket: TcpStream,
    reader: BufReader<TcpStream>,
    line: String,
}

/// A search, ready to be sent.
pub(super) fn search(collection: &str, query: &[f32], k: usize, ef: usize, base64: bool) -> Vec<u8> {
    let body = if base64 {
        let bytes: Vec<u8> = query.iter().flat_map(|x| x.to_le_bytes()).collect();
        json!({"vector_b64": BASE64_STANDARD.encode(bytes), "k": k, "ef": ef})
    } else {
        json!({"vector": query, "k": k, "ef": ef})
    };
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST /v1/collections/{collection}/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Peer {
    pub(super) fn connect(addr: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(addr).map_err(cut)?;
        socket.set_nodelay(true).map_err(cut)?;
        let reader = BufReader::with_capacity(64 << 10, socket.try_clone().map_err(cut)?);
        Ok(Self { socket, reader, line: String::new() })
    }

    /// Sends a request; the body of its answer, which must be a good one.
    pub(super) fn call(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.socket.write_all(request).map_err(cut)?;
        let length = self.head()?.unwrap_or(0);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).map_err(cut)?;
        Ok(body)
    }

    /// Sends rows by the stream while the answers are read; says how many bytes they were.
    pub(super) fn import(mut self, collection: &str, rows: usize, base: &Matrix) -> Result<usize> {
        let head = format!(
            "POST /v1/collections/{collection}/chunks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        self.socket.write_all(head.as_bytes()).map_err(cut)?;
        let mut socket = self.socket.try_clone().map_err(cut)?;
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || -> Result<usize> {
                let mut sent = 0;
                let mut piece = Vec::new();
                for row in 0..rows {
                    let vector = base.row(row % base.rows());
                    // Numbers into memory: it cannot fail.
                    let _ =
                        serde_json::to_writer(&mut piece, &json!({"id": row.to_string(), "vector": vector}));
                    piece.push(b'\n');
                    if piece.len() > 64 << 10 || row + 1 == rows {
                        write!(socket, "{:x}\r\n", piece.len()).map_err(cut)?;
                        piece.extend_from_slice(b"\r\n");
                        socket.write_all(&piece).map_err(cut)?;
                        sent += piece.len();
                        piece.clear();
                    }
                }
                socket.write_all(b"0\r\n\r\n").map_err(cut)?;
                Ok(sent)
            });
            self.head()?;
            let mut last = Vec::new();
            while let Some(piece) = self.piece()? {
                last = piece;
            }
            let lost = |_| Error::new(ErrorKind::Internal, "the sender panicked");
            let sent = sender.join().map_err(lost)??;
            if !String::from_utf8_lossy(&last).contains("\"rejected\":0") {
                let told = String::from_utf8_lossy(&last).into_owned();
                return Err(Error::new(ErrorKind::Internal, format!("the import ended with {told}")));
            }
            Ok(sent)
        })
    }

    /// The length of the body that follows, if it is told.
    fn head(&mut self) -> Result<Option<usize>> {
        self.read_line()?;
        if !self.line.starts_with("HTTP/1.1 2") {
            return Err(Error::new(ErrorKind::Internal, format!("the server answers {:?}", self.line)));
        }
        let mut length = None;
        loop {
            self.read_line()?;
            if self.line.is_empty() {
                return Ok(length);
            }
            if let Some(text) = self.line.strip_prefix("content-length: ") {
                length = text.parse().ok();
            }
        }
    }

    fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        self.read_line()?;
        let size = usize::from_str_radix(&self.line, 16).map_err(|e| cut(std::io::Error::other(e)))?;
        let mut piece = vec![0; size + 2];
        self.reader.read_exact(&mut piece).map_err(cut)?;
        Ok((size > 0).then_some(piece))
    }

    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        self.reader.read_line(&mut self.line).map_err(cut)?;
        let end = self.line.trim_end().len();
        self.line.truncate(end);
        Ok(())
    }
}

fn cut(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection to the server broke off").with_source(cause)
}
