//! Messages in the bytes of a connection: by Content-Length (RFC 3261 §18.3), or one a WebSocket
//! message (RFC 7118 §5). Bytes in, whole messages and what has to be answered out; no I/O.

use std::io::Cursor;
use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::limits::CONTROL_FRAME_BYTES;
use crate::message::frame::{Frame, FrameError, Framer};
use crate::message::limits::Limits;
use crate::transaction::Packet;

/// What the bytes of a connection hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// One whole message.
    Message(Packet),
    /// The peer keeps its flow alive and wants an answer: these bytes, as they are.
    Ping(Packet),
    /// The peer keeps its flow alive.
    Pong,
    /// The peer ends the connection: these bytes first, as they are.
    Close(Packet),
}

/// Why a connection cannot go on: where its next message starts is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    /// With the response to the request that broke it, if there can be one.
    #[error("{error}")]
    Sip {
        error: FrameError,
        response: Option<Packet>,
    },
    #[error("the message would have {0} bytes")]
    TooLong(u64),
    #[error("a WebSocket frame breaks RFC 6455")]
    WebSocket,
}

/// The framing of one connection.
#[derive(Debug)]
pub(super) enum Framing {
    Sip(Framer),
    WebSocket(Frames),
}

/// The frames of a WebSocket client.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer of which messages were made: taken out once per push, so that
    /// many small messages are not moved once for each.
    taken: usize,
    /// Of a message whose last frame did not come yet.
    fragments: Option<Vec<u8>>,
    /// Longest message.
    longest: usize,
}

impl Framing {
    /// A stream of messages. Responses to those that break it name `peer`.
    pub(super) fn sip(limits: Limits, peer: SocketAddr) -> Self {
        Self::Sip(Framer::new(limits, peer))
    }

    /// Frames of a WebSocket client.
    pub(super) fn web_socket(limits: Limits) -> Self {
        Self::WebSocket(Frames {
            buffer: Vec::new(),
            taken: 0,
            fragments: None,
            longest: limits.stream_message_bytes,
        })
    }

    /// Takes what was received. [`Self::next`] must be asked until it has nothing, before more is
    /// pushed: so the buffer holds one message and one read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Sip(framer) => framer.push(bytes),
            Self::WebSocket(frames) => frames.push(bytes),
        }
    }

    /// A message has started and is not complete.
    pub(super) fn is_incomplete(&self) -> bool {
        match self {
            Self::Sip(framer) => framer.is_partial(),
            Self::WebSocket(frames) => {
                frames.fragments.is_some() || frames.buffer.len() > frames.taken
            }
        }
    }

    /// What comes next in the bytes; `None` when it is not there yet.
    ///
    /// # Errors
    ///
    /// When the connection is broken. Nothing can be read from it any more.
    pub(super) fn next(&mut self) -> Result<Option<Framed>, FramingError> {
        let framer = match self {
            Self::Sip(framer) => framer,
            Self::WebSocket(frames) => return frames.next(),
        };
        match framer.poll() {
            None => Ok(None),
            Some(Frame::Message(message)) => Ok(Some(Framed::Message(message))),
            Some(Frame::Ping) => Ok(Some(Framed::Ping(b"\r\n"[..].into()))),
            Some(Frame::Refused { error, response }) => Err(FramingError::Sip {
                error,
                response: response.map(Packet::from),
            }),
        }
    }

    /// A message as it is sent; `None`: the bytes themselves. Text as long as it is UTF-8, since
    /// some scripts in browsers read nothing else.
    pub(super) fn wrap(is_web_socket: bool, message: &[u8]) -> Option<Packet> {
        is_web_socket.then(|| {
            let is_text = std::str::from_utf8(message).is_ok();
            let data = if is_text { Data::Text } else { Data::Binary };
            frame(OpCode::Data(data), message)
        })
    }
}

impl Frames {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Result<Option<Framed>, FramingError> {
        let framed = self.step();
        if self.buffer.len() == self.taken {
            // Thousands of idle connections have no buffer.
            self.buffer = Vec::new();
            self.taken = 0;
        }
        framed
    }

    fn step(&mut self) -> Result<Option<Framed>, FramingError> {
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            let mut cursor = Cursor::new(rest);
            let parsed = FrameHeader::parse(&mut cursor);
            let Some((header, length)) = parsed.map_err(|_| FramingError::WebSocket)? else {
                return Ok(None);
            };
            let room = match header.opcode {
                OpCode::Control(_) => CONTROL_FRAME_BYTES,
                OpCode::Data(_) => {
                    let held = self.fragments.as_ref().map_or(0, Vec::len);
                    self.longest.saturating_sub(held)
                }
            };
            let fits = usize::try_from(length).ok();
            let Some(length) = fits.filter(|n| *n <= room) else {
                return Err(FramingError::TooLong(length));
            };
            let extended = header.rsv1 || header.rsv2 || header.rsv3;
            let Some(mask) = header.mask.filter(|_| !extended) else {
                return Err(FramingError::WebSocket);
            };
            let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            let end = start.saturating_add(length);
            let Some(payload) = rest.get(start..end) else {
                return Ok(None);
            };
            let unmasked = payload.iter().zip(mask.iter().cycle());
            let payload: Vec<u8> = unmasked.map(|(byte, mask)| byte ^ mask).collect();
            self.taken += end;
            let whole = match header.opcode {
                OpCode::Control(control) => {
                    if !header.is_final {
                        return Err(FramingError::WebSocket);
                    }
                    return Ok(Some(match control {
                        Control::Ping => {
                            Framed::Ping(frame(OpCode::Control(Control::Pong), &payload))
                        }
                        Control::Close => {
                            let code = payload.get(..2).unwrap_or_default();
                            Framed::Close(frame(OpCode::Control(Control::Close), code))
                        }
                        Control::Pong | Control::Reserved(_) => Framed::Pong,
                    }));
                }
                OpCode::Data(Data::Continue) => {
                    let mut whole = self.fragments.take().ok_or(FramingError::WebSocket)?;
                    whole.extend(payload);
                    whole
                }
                OpCode::Data(_) if self.fragments.is_some() => return Err(FramingError::WebSocket),
                OpCode::Data(_) => payload,
            };
            if !header.is_final {
                self.fragments = Some(whole);
                continue;
            }
            return Ok(Some(match whole.as_slice() {
                // Some scripts keep their flow alive as on a stream.
                b"\r\n\r\n" => Framed::Ping(frame(OpCode::Data(Data::Text), b"\r\n")),
                blank if blank.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) => Framed::Pong,
                message => Framed::Message(message.into()),
            }));
        }
    }
}

/// A frame as a server sends it: final, not masked.
fn frame(opcode: OpCode, payload: &[u8]) -> Packet {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// What must hold for every input: nothing panics, and what is not whole stays within the bound. The
/// door of the fuzz target.
#[cfg(any(test, fuzzing))]
pub(super) fn any_frames(bytes: &[u8]) {
    let limits = Limits {
        stream_message_bytes: 1000,
        ..Limits::default()
    };
    for size in [1, 7, usize::MAX] {
        let mut framing = Framing::web_socket(limits);
        for chunk in bytes.chunks(size) {
            framing.push(chunk);
            loop {
                match framing.next() {
                    Ok(Some(Framed::Message(message))) => assert!(message.len() <= 1000),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            if let Framing::WebSocket(frames) = &framing {
                assert!(frames.buffer.len() <= 1014 + chunk.len());
            }
        }
    }
}

#[cfg(test)]
mod tests;
