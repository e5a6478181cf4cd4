//! The upgrade of a connection to WebSocket (RFC 6455 §4.2, RFC 7118 §4): who may, and how SIP is
//! agreed on. Frames are in [`super::framing`].

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::config::WsConfig;

/// Answers the upgrade request; the stream then carries frames.
///
/// # Errors
///
/// When the request is none, or was refused. The refusal has left then.
pub(super) async fn upgrade<S>(stream: S, config: &WsConfig) -> io::Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    #[expect(clippy::result_large_err, reason = "the trait wants this type")]
    let check = |request: &Request, response: Response| check(config, request, response);
    // The machine for frames that comes with it is not used: it gets no buffers.
    let no_buffers = WebSocketConfig::default()
        .read_buffer_size(0)
        .write_buffer_size(0);
    let upgraded =
        tokio_tungstenite::accept_hdr_async_with_config(stream, check, Some(no_buffers)).await;
    // The request was all that had come, or it would have been refused: no byte is lost here.
    upgraded
        .map(tokio_tungstenite::WebSocketStream::into_inner)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[expect(clippy::result_large_err, reason = "the handshake wants this type")]
fn check(
    config: &WsConfig,
    request: &Request,
    mut response: Response,
) -> Result<Response, ErrorResponse> {
    let path = request.uri().path();
    if config.path.as_ref().is_some_and(|wanted| wanted != path) {
        return Err(refuse(StatusCode::NOT_FOUND));
    }
    if !config.origins.is_empty() {
        let origin = request.headers().get(ORIGIN).map(HeaderValue::as_bytes);
        let known = |o: &[u8]| {
            config
                .origins
                .iter()
                .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(o))
        };
        if !origin.is_some_and(known) {
            return Err(refuse(StatusCode::FORBIDDEN));
        }
    }
    if !asks_for_sip(request.headers()) {
        return Err(refuse(StatusCode::BAD_REQUEST));
    }
    response
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("sip"));
    Ok(response)
}

fn asks_for_sip(headers: &HeaderMap) -> bool {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("sip"))
}

fn refuse(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response
}
