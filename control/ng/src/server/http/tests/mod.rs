//! The listener on loopback, asked with raw bytes.

mod access;
mod bounds;
mod requests;
mod tls;
mod websocket;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::*;
use crate::{
    reply::Reply,
    request::{Command, Request},
    serve::Handler,
    source::Source,
    value::Dict,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Tells `list` by what transport it came; `delete` takes its time.
#[derive(Default)]
struct Engine {
    handled: AtomicUsize,
}

impl Handler for Engine {
    fn handle(&self, request: &Request, source: &Source) -> Reply {
        self.handled.fetch_add(1, Ordering::Relaxed);
        match request.command {
            Command::Ping => Reply::pong(),
            Command::Delete => {
                thread::park_timeout(Duration::from_millis(300));
                Reply::ok(Dict::new())
            }
            _ => {
                let dict = Dict::new().with("by", format!("{:?}", source.transport));
                Reply::ok(dict.with_some("sdp", request.sdp.as_deref()))
            }
        }
    }
}

struct Pages;

impl Resources for Pages {
    fn get(&self, path: &str, _: &Source) -> Option<Page> {
        match path {
            "/metrics" => Some(Page::text("calls 7\n")),
            "/panic" => panic!("a fault on purpose"),
            "/large" => Some(Page::text("x".repeat(32 << 20))),
            _ => None,
        }
    }

    fn cli(&self, line: &str, source: &Source) -> Option<String> {
        Some(format!("{line} by {:?}\n", source.transport))
    }
}

struct Fixture {
    server: HttpServer,
    shared: Arc<Shared>,
    engine: Arc<Engine>,
}

fn start(options: HttpOptions) -> Fixture {
    start_shared(options, |shared| shared)
}

fn start_shared(options: HttpOptions, adapt: impl FnOnce(Shared) -> Shared) -> Fixture {
    let engine = Arc::new(Engine::default());
    let shared = Arc::new(adapt(Shared::new(engine.clone())));
    let addr = "127.0.0.1:0".parse().unwrap();
    let server = HttpServer::start(addr, options, Arc::clone(&shared), Arc::new(Pages)).unwrap();
    Fixture {
        server,
        shared,
        engine,
    }
}

impl Fixture {
    fn connect(&self) -> TcpStream {
        connect(self.server.local_addr())
    }

    /// The response to one request on a connection of its own.
    fn ask(&self, request: &str) -> Response {
        ask(&mut self.connect(), request)
    }

    fn post(&self, path: &str, content_type: &str, body: &str) -> Response {
        self.ask(&post(path, content_type, body))
    }

    fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    fn handled(&self) -> usize {
        self.engine.handled.load(Ordering::Relaxed)
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn post(path: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    fn expect(&self, status: u16, content_type: &str, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
        assert_eq!(self.header("content-type"), Some(content_type));
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-max-age", "86400"),
            ("access-control-allow-methods", "GET, POST"),
        ] {
            assert_eq!(self.header(name), Some(value), "{name}");
        }
        let headers = self.header("access-control-allow-headers").unwrap();
        assert!(headers.starts_with("Content-Type"));
    }
}

fn ask(stream: &mut (impl Read + Write), request: &str) -> Response {
    stream.write_all(request.as_bytes()).unwrap();
    read_response(stream)
}

fn read_response(stream: &mut impl Read) -> Response {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut response = Response {
        status: head[9..12].parse().unwrap(),
        head,
        body: String::new(),
    };
    let length = response.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    response.body = String::from_utf8(body).unwrap();
    response
}

/// Whether the peer closes, or has closed.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}
