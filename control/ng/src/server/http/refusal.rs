//! Refuses a source without access, at little cost: its bytes are not looked at.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use crate::limits::HTTP_REFUSALS;

/// Longest life of a refused connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that it may send before it is reset.
const DRAINED_BYTES: u64 = 64 * 1024;

const RESPONSE: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\
    Content-Length: 10\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\
    Access-Control-Max-Age: 86400\r\nAccess-Control-Allow-Methods: GET, POST\r\n\
    Access-Control-Allow-Headers: Content-Type\r\n\r\nforbidden\n";

/// Refuses connections, a few at a time.
#[derive(Debug)]
pub(super) struct Refusals {
    running: Arc<Semaphore>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            running: Arc::new(Semaphore::new(HTTP_REFUSALS)),
        }
    }

    /// Answers 403 and closes; only closes while many others are being answered.
    pub(super) fn refuse(&self, stream: TcpStream) {
        let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(RESPONSE).await?;
    stream.shutdown().await?;
    // Closed with the request unread, the response would be lost to a reset.
    tokio::io::copy(&mut stream.take(DRAINED_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}
