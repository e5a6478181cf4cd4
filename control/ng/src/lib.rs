//! The ng control protocol: codec, typed requests and replies, server transports, client.
//!
//! A datagram is `COOKIE SP PAYLOAD`; the payload is a bencode dictionary or a JSON object.
//! [`serve::Shared`] is the one path every transport takes: cookie cache, decoding into a
//! [`Request`], the engine's [`serve::Handler`], encoding of its [`Reply`].
#![forbid(unsafe_code)]

mod names;
mod warned;

pub mod access;
pub mod bencode;
pub mod client;
pub mod cookie;
pub mod errors;
pub mod json;
pub mod limits;
pub mod reply;
pub mod request;
pub mod serve;
pub mod server;
pub mod shown;
pub mod source;
pub mod tape;
pub mod value;

pub use access::{Access, Grant, Network, NetworkError, Rule};
pub use client::{AsyncClient, Client, ClientError, ClientOptions};
pub use reply::{Encoding, Outcome, Reply};
pub use request::{Branch, CallId, Command, Family, Flag, FlagSet, Label, Request, Tag, Templates};
pub use serve::{Handler, read_request};
pub use server::{
    Bounds, Broadcaster, HttpOptions, HttpServer, Page, Place, Places, ReplyTos, Resources, Secret,
    TcpOptions, TcpServer, Tls, TlsError, UdpServer,
};
pub use source::{Source, Transport};
pub use value::{Bencoded, Dict, DictWriter, Key, ListWriter, Value};
