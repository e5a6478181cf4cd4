//! Events for one reader, as a server-sent event stream (WHATWG HTML §9.2).
//!
//! Telling an event never waits. A reader that is slow lags behind in a bounded queue, then loses the
//! oldest and is told how many; one that takes nothing is disconnected.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::desk::{Desk, Reader};
use super::order::Refusal;
use crate::limits::{EVENT_PAUSE, SENT_EVENTS};
use crate::record::event::Told;

/// The body of an answer: a text, or events.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Option<Bytes>),
    Events(mpsc::Receiver<Bytes>),
}

impl Content {
    pub(super) fn whole(text: impl Into<Bytes>) -> Self {
        Self::Whole(Some(text.into()))
    }

    /// Events from now on.
    pub(super) fn events(desk: &Arc<Desk>) -> Result<Self, Refusal> {
        let reader = Reader::take(desk)?;
        let events = desk.events.listen();
        let (lines, taken) = mpsc::channel(SENT_EVENTS);
        tokio::spawn(async move {
            pump(events, lines).await;
            drop(reader);
        });
        Ok(Self::Events(taken))
    }
}

/// Until the reader is gone or the edge is.
async fn pump(mut events: broadcast::Receiver<Arc<Told>>, lines: mpsc::Sender<Bytes>) {
    // Tells the reader at once that it hears.
    let mut line = Bytes::from_static(b": events\n\n");
    loop {
        if lines.send(line).await.is_err() {
            return;
        }
        let next = tokio::select! {
            next = tokio::time::timeout(EVENT_PAUSE, events.recv()) => next,
            () = lines.closed() => return,
        };
        line = match next {
            Ok(Ok(told)) => {
                let json = told.event.to_json(told.at);
                format!("event: {}\ndata: {json}\n\n", told.event.name()).into()
            }
            Ok(Err(RecvError::Lagged(lost))) => {
                format!("event: lost\ndata: {{\"event\":\"lost\",\"count\":{lost}}}\n\n").into()
            }
            Ok(Err(RecvError::Closed)) => return,
            Err(_) => Bytes::from_static(b":\n\n"),
        };
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(whole) => Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(lines) => {
                let line = lines.poll_recv(cx);
                line.map(|line| line.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(Some(bytes)) => hyper::body::SizeHint::with_exact(bytes.len() as u64),
            Self::Whole(None) => hyper::body::SizeHint::with_exact(0),
            Self::Events(_) => hyper::body::SizeHint::default(),
        }
    }
}
