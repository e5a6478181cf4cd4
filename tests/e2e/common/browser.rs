//! Headless Chromium as a WebRTC endpoint, steered over a WebSocket by the page in
//! `tests/e2e/webrtc/page.html`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use super::process::Process;
use super::{TempDir, wait_for};

const CHROMIUM: &str = "/usr/bin/chromium";

/// A WebRTC endpoint, steered by offers and answers.
const PAGE: &str = include_str!("../webrtc/page.html");

/// A phone of SIP.js.
const SIP_PAGE: &str = include_str!("../webrtc/sip.html");

/// How long it may take to start, and to carry out one command, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Browser {
    socket: WebSocket<TcpStream>,
    _process: Process,
    _directory: TempDir,
}

impl Browser {
    /// `None` where there is no Chromium; in CI there must be one.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::open(name, PAGE, None)
    }

    /// The same as a SIP phone, with the modules of SIP.js.
    pub(crate) fn start_phone(name: &str, modules: PathBuf) -> Option<Self> {
        Self::open(name, SIP_PAGE, Some(modules))
    }

    fn open(name: &str, text: &'static str, modules: Option<PathBuf>) -> Option<Self> {
        if !super::has_program(CHROMIUM) {
            return None;
        }
        let pages = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sockets = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let [page, socket] = [&pages, &sockets].map(|it| it.local_addr().unwrap().port());
        std::thread::spawn(move || serve(&pages, text, modules.as_deref()));
        let directory = TempDir::new(name);
        let mut command = Command::new(CHROMIUM);
        command.env("HOME", directory.path()).args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
            "--allow-loopback-in-peer-connection",
            // Certificates of tests sign themselves.
            "--ignore-certificate-errors",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
        ]);
        command.arg(format!("--user-data-dir={}", directory.path().display()));
        command.arg(format!("http://127.0.0.1:{page}/?{socket}"));
        let process = Process::start(command, &directory.path().join("log"));
        sockets.set_nonblocking(true).unwrap();
        let (stream, _) = wait_for("Chromium", PATIENCE, || sockets.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = accept(stream).unwrap_or_else(|_| panic!("no WebSocket"));
        Some(Self {
            socket,
            _process: process,
            _directory: directory,
        })
    }

    /// Has the page carry something out.
    pub(crate) fn ask(&mut self, command: Value) -> Value {
        let shown = command.to_string();
        self.socket.send(Message::text(&shown)).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else {
                continue;
            };
            let reply: Value = serde_json::from_str(&text).unwrap();
            assert!(reply.get("error").is_none(), "{shown}: {reply}");
            return reply;
        }
    }

    /// The same, where the answer has an SDP.
    pub(crate) fn sdp(&mut self, command: Value) -> String {
        self.ask(command)["sdp"].as_str().unwrap().to_owned()
    }

    pub(crate) fn stats(&mut self) -> Value {
        self.ask(json!({ "do": "stats" }))
    }

    /// Waits until the numbers are as wanted.
    pub(crate) fn await_stats(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, Duration::from_secs(20), || {
            let stats = self.stats();
            if !is_so(&stats) {
                std::thread::park_timeout(Duration::from_millis(20));
                return None;
            }
            Some(stats)
        })
    }
}

fn serve(pages: &TcpListener, page: &str, modules: Option<&Path>) {
    for stream in pages.incoming() {
        let Ok(mut stream) = stream else { return };
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap_or_default();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default();
        let module = path.strip_prefix("/modules/").zip(modules);
        let module = module.and_then(|(file, root)| std::fs::read_to_string(root.join(file)).ok());
        let (status, kind, body) = match module {
            Some(module) => ("200 OK", "text/javascript", module),
            None if path.starts_with("/?") => ("200 OK", "text/html", page.to_owned()),
            None => ("404 Not Found", "text/html", String::new()),
        };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
    }
}
