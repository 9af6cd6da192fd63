//! A small blocking HTTP client over a socket, which can also send what no good client would.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Far beyond what anything here takes: reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    reader: BufReader<TcpStream>,
    addr: SocketAddr,
    pub(crate) token: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Status and body. An answer that is none of JSON is null.
    pub(crate) fn json(self) -> (u16, Value) {
        let body = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if self.status >= 400 {
            assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
            assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        }
        (self.status, body)
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.set_write_timeout(Some(LIMIT)).unwrap();
        socket.set_nodelay(true).unwrap();
        let reader = BufReader::new(socket.try_clone().unwrap());
        Self { socket, reader, addr, token: None }
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send("POST", path, &json, body.to_string().as_bytes())
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.head(method, path, headers, Some(body.len()));
        // A body that is refused may not be taken to its end.
        let _ = self.socket.write_all(body);
        self.answer_to(method).unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }

    /// The head of a request; its body follows, in chunks if its length is not told.
    pub(crate) fn head(&mut self, method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.addr);
        match length {
            Some(0) if method == "GET" || method == "HEAD" => {}
            Some(length) => head += &format!("content-length: {length}\r\n"),
            None => head += "transfer-encoding: chunked\r\n",
        }
        if let Some(token) = &self.token {
            head += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.raw(format!("{head}\r\n").as_bytes());
    }

    /// A piece of a body in chunks.
    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> bool {
        let mut piece = format!("{:x}\r\n", bytes.len()).into_bytes();
        piece.extend_from_slice(bytes);
        piece.extend_from_slice(b"\r\n");
        self.socket.write_all(&piece).is_ok()
    }

    /// The end of such a body.
    pub(crate) fn last_chunk(&mut self) {
        self.raw(b"0\r\n\r\n");
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The next answer; nothing if the connection is at its end.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let (status, headers) = self.answer_head()?;
        let length = headers.get("content-length").map(|text| text.parse::<usize>().unwrap());
        let mut body = Vec::new();
        if method == "HEAD" || status == 204 {
            return Some(Answer { status, headers, body });
        }
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.reader.read_exact(&mut body).unwrap();
            }
            None if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") => {
                while let Some(piece) = self.piece() {
                    body.extend(piece);
                }
            }
            None => drop(self.reader.read_to_end(&mut body).unwrap()),
        }
        Some(Answer { status, headers, body })
    }

    /// Status and headers alone; nothing if the connection is at its end.
    pub(crate) fn answer_head(&mut self) -> Option<(u16, BTreeMap<String, String>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
        let mut headers = BTreeMap::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Some((status, headers))
    }

    /// The next piece of an answer in chunks; nothing after the last, or if it is cut.
    pub(crate) fn piece(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).unwrap();
        let mut piece = vec![0; size + 2];
        self.reader.read_exact(&mut piece).ok()?;
        piece.truncate(size);
        (size > 0).then_some(piece)
    }

    /// Whether the connection is at its end.
    pub(crate) fn is_closed(&mut self) -> bool {
        // A reset is an end, too; silence is none.
        self.reader.fill_buf().map_or_else(|e| ended(&e), <[u8]>::is_empty)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(|e| ended(&e)).ok()?;
        (!line.is_empty()).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// True, for the connection is at its end: a failure if it is not, and nobody says anything.
fn ended(error: &std::io::Error) -> bool {
    assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "the server is silent");
    true
}
