//! WebSockets: one message is one request.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{
        FromRequestParts as _, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{Request, Response},
    response::IntoResponse as _,
};
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use super::{
    super::now,
    client::{Client, not_found},
};
use crate::{
    limits::WEBSOCKET_READ_BYTES,
    serve::Answer,
    source::{Source, Transport},
};

/// Shortest time between pings, whatever the idle time-out.
const MIN_PING: Duration = Duration::from_millis(100);

/// Bytes of a control frame of a client beside its payload (RFC 6455 §5.2).
const CONTROL_FRAME_BYTES: usize = 6;

/// The subprotocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Cli,
    Echo,
    Ng,
    NgPlain,
}

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("ng.rtpengine.com", Protocol::Ng),
    ("ng-plain.rtpengine.com", Protocol::NgPlain),
    ("cli.rtpengine.com", Protocol::Cli),
    ("echo.rtpengine.com", Protocol::Echo),
];

/// Answers an upgrade; the socket then runs on a task of its own.
pub(super) async fn upgrade(client: Arc<Client>, request: Request<Incoming>) -> Response<Body> {
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let limit = client.service.options.body_bytes;
    let upgrade = upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .read_buffer_size(WEBSOCKET_READ_BYTES)
        .protocols(PROTOCOLS.map(|(name, _)| name));
    let selected = upgrade.selected_protocol().cloned();
    let protocol = PROTOCOLS
        .iter()
        .find(|(name, _)| selected.as_ref().is_some_and(|selected| selected == name));
    let Some(&(_, protocol)) = protocol else {
        return not_found();
    };
    upgrade.on_upgrade(move |socket| async move {
        let session = Session {
            source: Source {
                transport: match client.source.transport {
                    Transport::Https => Transport::SecureWebSocket,
                    _ => Transport::WebSocket,
                },
                ..client.source
            },
            client,
            protocol,
        };
        session.run(socket).await;
    })
}

struct Session {
    client: Arc<Client>,
    source: Source,
    protocol: Protocol,
}

impl Session {
    async fn run(self, mut socket: WebSocket) {
        // A live peer answers, so that its connection is not taken for idle.
        let ping_after = (self.client.service.options.idle_timeout / 2).max(MIN_PING);
        loop {
            let received = tokio::select! {
                received = timeout(ping_after, socket.recv()) => received,
                () = self.client.service.stopped() => {
                    let _ = socket.send(close(close_code::AWAY)).await;
                    return;
                }
            };
            let slot = &self.client.slot;
            if !self.is_admitted() {
                let _ = socket.send(close(close_code::POLICY)).await;
                return;
            }
            let out = match received {
                Err(_) => Some(Message::Ping(Bytes::new())),
                // Replies are binary, whatever the requests are (spec: ng-protocol §1).
                Ok(Some(Ok(Message::Text(text)))) => {
                    let reply = self.reply(Bytes::from(text)).await;
                    slot.done();
                    reply.map(Message::Binary)
                }
                Ok(Some(Ok(Message::Binary(data)))) => {
                    let reply = self.reply(data).await;
                    slot.done();
                    reply.map(Message::Binary)
                }
                // Pings are answered by the library. They may come between the parts of a message.
                Ok(Some(Ok(Message::Ping(data) | Message::Pong(data)))) => {
                    slot.done_with(data.len() + CONTROL_FRAME_BYTES);
                    None
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return,
            };
            if let Some(out) = out
                && socket.send(out).await.is_err()
            {
                return;
            }
        }
    }

    /// The rule may have changed since the connection came.
    fn is_admitted(&self) -> bool {
        let service = &self.client.service;
        service
            .shared
            .admits_by(&service.access, &self.source, now())
    }

    async fn reply(&self, message: Bytes) -> Option<Bytes> {
        match self.protocol {
            Protocol::Echo => Some(message),
            Protocol::Ng => match self.client.answer(message, self.source).await? {
                Answer::Reply(reply) => Some(Bytes::from_owner(reply)),
                Answer::Busy | Answer::NoCookie | Answer::TooLong => None,
            },
            Protocol::NgPlain => {
                let reply = self.client.answer_plain(message, self.source).await?;
                Some(Bytes::from(reply))
            }
            Protocol::Cli => {
                let line = String::from_utf8_lossy(&message).trim().to_owned();
                let out = self.client.cli(line, self.source).await?;
                let out = out.unwrap_or_else(|| "not found\n".to_owned());
                Some(Bytes::from(out))
            }
        }
    }
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: "".into(),
    }))
}
