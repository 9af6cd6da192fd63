//! A service that answers as it is told to, over real sockets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What it answers.
pub(crate) enum Reply {
    /// Status, further headers, body.
    Say(u16, &'static str, String),
    /// These bytes, and the end.
    Raw(Vec<u8>),
    /// Nothing, until the other side goes.
    Silence,
}

type Script = dyn Fn(usize, &Value) -> Reply + Send + Sync;

pub(crate) struct Fake {
    addr: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Value>>>,
    /// Heads of the requests.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// Requests that were under way at a time, at most.
    pub(crate) most: Arc<AtomicUsize>,
}

impl Fake {
    /// `script` is handed the number of the request, from 0 on, and its body.
    pub(crate) fn new(script: impl Fn(usize, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (asked, heads, most) = (
            Arc::<Mutex<Vec<Value>>>::default(),
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<AtomicUsize>::default(),
        );
        let (script, now): (Arc<Script>, _) = (Arc::new(script), Arc::<AtomicUsize>::default());
        let shared = (asked.clone(), heads.clone(), most.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, now, (asked, heads, most)) = (script.clone(), now.clone(), shared.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some((head, body)) = read(&mut stream) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        heads.lock().unwrap().push(head);
                        let n = {
                            let mut asked = asked.lock().unwrap();
                            asked.push(body.clone());
                            asked.len() - 1
                        };
                        let goes_on = answer(&mut stream, script(n, &body));
                        now.fetch_sub(1, Ordering::SeqCst);
                        if !goes_on {
                            break;
                        }
                    }
                });
            }
        });
        Self { addr, asked, heads, most }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// How often each text was asked for.
    pub(crate) fn texts(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().flat_map(texts).collect()
    }
}

pub(crate) fn texts(body: &Value) -> Vec<String> {
    body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A vector that tells which text it is of.
pub(crate) fn vector(text: &str, dim: usize) -> Vec<f32> {
    (0..dim)
        .map(|at| text.bytes().map(f32::from).sum::<f32>() + text.len() as f32 * 1_000.0 + at as f32)
        .collect()
}

/// The right answer to `body`.
pub(crate) fn good(body: &Value, dim: usize) -> Reply {
    let plain = body["encoding_format"] != "base64";
    let data: Vec<Value> =
        texts(body).iter().enumerate().map(|(at, text)| item(at, &vector(text, dim), plain)).collect();
    Reply::Say(200, "", json!({"object": "list", "data": data, "usage": {"total_tokens": 1}}).to_string())
}

pub(crate) fn item(index: usize, vector: &[f32], plain: bool) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let embedding = if plain { json!(vector) } else { json!(STANDARD.encode(bytes)) };
    json!({"object": "embedding", "index": index, "embedding": embedding})
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).unwrap()))
}

/// Whether the connection goes on.
fn answer(stream: &mut BufReader<TcpStream>, reply: Reply) -> bool {
    match reply {
        Reply::Say(status, headers, body) => {
            let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
            let stream = stream.get_mut();
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok()
        }
        Reply::Raw(bytes) => {
            let _ = stream.get_mut().write_all(&bytes);
            false
        }
        Reply::Silence => {
            let _ = stream.read(&mut [0]);
            false
        }
    }
}
