//! A real browser: Chromium without a window, spoken to over two pipes.
//!
//! Whoever has none is told so, loudly, and tests of pages do nothing.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// One page of a browser of its own.
pub(crate) struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: String,
    next: u64,
    _home: tempfile::TempDir,
    /// What the page has thrown or complained of.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// A page as wide as asked for; none where there is no browser.
    pub(crate) fn open(url: &str, width: u32, is_dark: bool) -> Option<Self> {
        let Some(program) =
            PROGRAMS.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())
        else {
            // Past the capture of tests: a page that nobody looked at must not look tested.
            let told = "\n*** NOT TESTED: pages in a browser. Install chromium (Debian's package) to test them. ***\n\n";
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        // The pipes of the protocol are descriptors 3 and 4.
        let script = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --remote-debugging-pipe --user-data-dir=\"$1\" about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, program, home.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self {
            child,
            orders,
            answers,
            session: String::new(),
            next: 0,
            _home: home,
            complaints: Vec::new(),
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, json!({}));
        }
        let size = json!({"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": false});
        browser.ask("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        browser.ask(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        browser.ask("Page.navigate", json!({"url": url}));
        Some(browser)
    }

    /// The value of an expression in the page; promises are waited for.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        // Checked in the page, at each of its frames; the page's own clock ends it.
        let script = format!(
            "new Promise((good, bad) => {{ const end = Date.now() + 60000; const look = () => {{ let is = false; \
             try {{ is = ({expression}); }} catch {{}} if (is) good(true); else if (Date.now() > end) bad(document.body.innerText); \
             else setTimeout(look, 20); }}; look(); }})"
        );
        self.eval(&script);
    }

    /// Presses a key, as a keyboard does.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            " " => (32, " "),
            _ => panic!("{key:?} is no key of this table"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text where the focus is.
    pub(crate) fn write(&mut self, text: &str) {
        self.ask("Input.insertText", json!({"text": text}));
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut order = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            order["sessionId"] = self.session.as_str().into();
        }
        self.orders.write_all(order.to_string().as_bytes()).unwrap();
        self.orders.write_all(&[0]).unwrap();
        loop {
            let mut bytes = Vec::new();
            let read = self.answers.by_ref().read_until(0, &mut bytes).unwrap();
            assert!(read > 0, "the browser ended at {method}");
            bytes.pop();
            let told: Value = serde_json::from_slice(&bytes).unwrap();
            if told["id"] == self.next {
                assert!(told["error"].is_null(), "{method}: {told:#}");
                return told["result"].clone();
            }
            match told["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    self.complaints.push(told["params"]["exceptionDetails"].to_string())
                }
                Some("Log.entryAdded") if told["params"]["entry"]["level"] == "error" => {
                    self.complaints.push(told["params"]["entry"].to_string());
                }
                _ => {}
            }
        }
    }

    /// What the page looks like, for people: a file when `NEARFIELD_SCREENSHOTS` names a folder.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("NEARFIELD_SCREENSHOTS") else { return };
        let answer = self.ask("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let path = std::path::Path::new(&folder).join(format!("{name}.png.b64"));
        std::fs::write(path, answer["data"].as_str().unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
