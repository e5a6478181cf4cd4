//! ng over TCP: a stream of `COOKIE SP BENCODE`, one behind the other (spec: ng-protocol §1).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use super::{STOP_INTERVAL, now};
use crate::Responder;
use crate::bencode::Framer;
use crate::limits::{MAX_CONNECTIONS, MAX_COOKIE, MAX_MESSAGE, MAX_TCP_REST};

/// A listener, and a thread per connection.
#[derive(Debug)]
pub struct TcpServer {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address cannot be bound, or the thread not be started.
    pub fn start(address: SocketAddr, responder: &Arc<Responder>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let local = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, responder) = (stop.clone(), responder.clone());
        let thread = std::thread::Builder::new().name("ng-tcp".to_owned());
        let thread = thread.spawn(move || accept(&listener, &stopped, &responder))?;
        Ok(Self {
            local,
            stop,
            thread: Some(thread),
        })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, stop: &Arc<AtomicBool>, responder: &Arc<Responder>) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    while !stop.load(Relaxed) {
        connections.retain(|thread| !thread.is_finished());
        let wait = nix::poll::PollTimeout::from(200u8);
        let mut polled = [nix::poll::PollFd::new(
            std::os::fd::AsFd::as_fd(listener),
            nix::poll::PollFlags::POLLIN,
        )];
        if nix::poll::poll(&mut polled, wait).unwrap_or(0) == 0 {
            continue;
        }
        let Ok((stream, source)) = listener.accept() else {
            continue;
        };
        if open.load(Relaxed) >= MAX_CONNECTIONS {
            tracing::warn!(%source, "connection refused: {MAX_CONNECTIONS} are open");
            continue;
        }
        let (stop, responder, count) = (stop.clone(), responder.clone(), open.clone());
        count.fetch_add(1, Relaxed);
        let thread = std::thread::Builder::new()
            .name("ng-tcp-peer".to_owned())
            .spawn(move || {
                if let Err(error) = serve(stream, source, &stop, &responder) {
                    tracing::debug!(%source, %error, "ng connection ended");
                }
                count.fetch_sub(1, Relaxed);
            });
        match thread {
            Ok(thread) => connections.push(thread),
            Err(error) => {
                open.fetch_sub(1, Relaxed);
                tracing::error!(%source, %error, "cannot serve an ng connection");
            }
        }
    }
    for thread in connections {
        let _ = thread.join();
    }
}

fn serve(
    mut stream: TcpStream,
    source: SocketAddr,
    stop: &AtomicBool,
    responder: &Responder,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STOP_INTERVAL))?;
    // A peer that does not read its replies is cut off.
    stream.set_write_timeout(Some(STOP_INTERVAL * 25))?;
    let mut splitter = Splitter::default();
    let mut chunk = [0u8; 16 * 1024];
    while !stop.load(Relaxed) {
        let length = match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        splitter.feed(chunk.get(..length).unwrap_or_default());
        while let Some(message) = splitter.next_message()? {
            if let Some(reply) = responder.respond(&message, source, false, now) {
                stream.write_all(&reply)?;
            }
        }
    }
    Ok(())
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
struct Splitter {
    buffer: Vec<u8>,
    /// Where the bencode value of the current message starts, once its cookie is complete.
    value_at: Option<usize>,
    framer: Framer,
    /// A value has begun that announces more than [`MAX_TCP_REST`] bytes; it is being waited for.
    searched: usize,
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, or `None` until more bytes come.
    fn next_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let value_at = match self.value_at {
            Some(at) => at,
            None => {
                let fresh = self.buffer.get(self.searched..).unwrap_or_default();
                match fresh.iter().position(|&byte| byte == b' ') {
                    Some(space) => {
                        let at = self.searched + space + 1;
                        self.value_at = Some(at);
                        at
                    }
                    None if self.buffer.len() > MAX_TCP_REST.max(MAX_COOKIE) => {
                        return Err(bad("no cookie at the start of a message"));
                    }
                    None => {
                        self.searched = self.buffer.len();
                        return Ok(None);
                    }
                }
            }
        };
        let value = self.buffer.get(value_at..).unwrap_or_default();
        if value.first().is_some_and(|&first| first != b'd') {
            // JSON has no end that could be found on a stream; nothing else is a request.
            if self.buffer.len() > MAX_TCP_REST {
                return Err(bad("not bencode"));
            }
            return Ok(None);
        }
        match self.framer.advance(value) {
            Err(_) if self.buffer.len() > MAX_TCP_REST => Err(bad("broken bencode")),
            Err(error) => Err(bad(&error.to_string())),
            Ok(None) if self.buffer.len() > MAX_MESSAGE => Err(bad("message too long")),
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                let rest = self.buffer.split_off(value_at + length);
                let message = std::mem::replace(&mut self.buffer, rest);
                self.value_at = None;
                self.searched = 0;
                self.framer = Framer::default();
                Ok(Some(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_at_every_split() {
        let stream = b"c1 d7:command4:pingec2 d7:command4:listi5ee".to_vec();
        let stream = [&stream[..], b"3 de"].concat();
        for cut in 0..stream.len() {
            let mut splitter = Splitter::default();
            let mut messages = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                splitter.feed(part);
                while let Ok(Some(message)) = splitter.next_message() {
                    messages.push(message);
                }
            }
            assert_eq!(messages[0], b"c1 d7:command4:pinge");
            assert_eq!(messages.last().unwrap(), b"3 de", "cut at {cut}");
        }
    }

    #[test]
    fn garbage_ends_the_connection() {
        let mut splitter = Splitter::default();
        splitter.feed(&[b'x'; 2000]);
        assert!(splitter.next_message().is_err());
        let mut splitter = Splitter::default();
        splitter.feed(b"c d5:helloX");
        assert!(splitter.next_message().is_err());
        let mut splitter = Splitter::default();
        splitter.feed(b"c d3:key99999999999:");
        assert!(splitter.next_message().is_err());
    }
}
