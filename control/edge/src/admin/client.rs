//! The other end of the Unix socket, for the command line.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// What is asked of a running edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// The path with its query, escaped.
    pub path: String,
    /// A JSON body, or nothing.
    pub body: String,
}

/// An answer of a running edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// JSON, as a rule.
    pub body: Vec<u8>,
}

/// The most that an answer may have: a page of calls with long names.
const ANSWER_BYTES: usize = 64 << 20;

/// Asks the edge that listens at `socket`.
///
/// # Errors
/// When nobody listens there or the answer ends early.
pub async fn ask(socket: &Path, ask: &Ask) -> io::Result<Answered> {
    let response = send(socket, ask).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES);
    let body = body.collect().await.map_err(io::Error::other)?;
    let body = body.to_bytes().to_vec();
    Ok(Answered { status, body })
}

/// Hands over the parts of an endless answer as they come, until `take` says no or the edge ends.
///
/// # Errors
/// As [`ask()`]; the answer of an edge that refuses is the error's text.
pub async fn watch(
    socket: &Path,
    ask: &Ask,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let response = send(socket, ask).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let text = Limited::new(body, ANSWER_BYTES).collect().await;
        let text = text.map_err(io::Error::other)?.to_bytes();
        return Err(io::Error::other(
            String::from_utf8_lossy(&text).into_owned(),
        ));
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Some(data) = frame.data_ref() {
            take(data)?;
        }
    }
    Ok(())
}

async fn send(socket: &Path, ask: &Ask) -> io::Result<Response<hyper::body::Incoming>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Its end shows at the answer.
        let _ = connection.await;
    });
    let method = Method::from_bytes(ask.method.as_bytes()).map_err(io::Error::other)?;
    let request = Request::builder()
        .method(method)
        .uri(&ask.path)
        .header("Host", "edge")
        .body(Full::new(Bytes::from(ask.body.clone())))
        .map_err(io::Error::other)?;
    sender.send_request(request).await.map_err(io::Error::other)
}
