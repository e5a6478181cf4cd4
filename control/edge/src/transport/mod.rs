//! Sockets. Streams (TCP, TLS, WebSocket) will stand beside UDP here.

pub(crate) mod udp;
