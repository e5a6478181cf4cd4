//! The media relay as the edge sees it: every SDP is offered or answered, every call deleted.

mod ng;
mod nodes;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

pub(crate) use ng::NgRelay;
pub(crate) use nodes::{Nodes, tries};

use windlass_ng::Family;

/// Commands to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaCommand {
    /// The SDP opens or changes the session.
    Offer,
    /// The SDP answers the last offer.
    Answer,
    /// The call is over.
    Delete,
    /// One callee of several has left.
    DeleteBranch,
    /// When media last came. It may overtake other requests of its call.
    Query,
}

/// One request to the relay, independent of its encoding.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaRequest {
    /// Offer, answer or delete.
    pub command: MediaCommand,
    /// Call-ID.
    pub call_id: String,
    /// Tag of the offerer; of the caller in a delete, of a callee in that of a branch. Empty in a
    /// query.
    pub from_tag: String,
    /// Tag of the answerer, once known.
    pub to_tag: Option<String>,
    /// SDP of an offer or answer.
    pub sdp: Option<Vec<u8>>,
    /// Source address of the SIP message that carried the SDP.
    pub received_from: Option<IpAddr>,
    /// Interface labels (sender side, receiver side).
    pub direction: Option<(String, String)>,
    /// Address family toward the receiver of the SDP.
    pub address_family: Option<Family>,
    /// Items of `flags`.
    pub flags: Vec<String>,
    /// Further keys.
    pub extra: Vec<(String, String)>,
}

impl fmt::Debug for MediaRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaRequest")
            .field("command", &self.command)
            .field("call_id", &self.call_id)
            .field("from_tag", &self.from_tag)
            .field("to_tag", &self.to_tag)
            .finish_non_exhaustive()
    }
}

impl MediaRequest {
    /// A request that carries no SDP.
    pub(crate) fn bare(command: MediaCommand, call_id: &str, from_tag: String) -> Self {
        Self {
            command,
            call_id: call_id.to_owned(),
            from_tag,
            to_tag: None,
            sdp: None,
            received_from: None,
            direction: None,
            address_family: None,
            flags: Vec::new(),
            extra: Vec::new(),
        }
    }
}

/// Reply of the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaReply {
    /// The rewritten SDP of an offer or answer.
    pub sdp: Vec<u8>,
    /// For a query: the tag of each party, and when media last came from it, by the clock of the
    /// relay, in seconds.
    pub last_packets: Vec<(String, u64)>,
}

/// Reasons why the relay did not serve a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// It does not take this request, and another relay would not either.
    #[error("the media relay refused: {0}")]
    Refused(String),
    /// It has no room for the call now, or too many requests to answer.
    #[error("the media relay has no room: {0}")]
    Full(String),
    /// It did not answer.
    #[error("the media relay did not answer in time")]
    Timeout,
    /// The request could not be sent, or what came back is no reply.
    #[error("the media relay cannot be reached: {0}")]
    Unreachable(String),
}

impl MediaError {
    /// Whether another relay might serve the request.
    pub fn is_failover(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// The answer to come to one [`MediaRequest`].
pub type MediaFuture = Pin<Box<dyn Future<Output = Result<MediaReply, MediaError>> + Send>>;

/// A media relay. The edge keeps the requests of one call in order: it never sends the next before
/// the last was answered, but for queries.
pub trait MediaRelay: Send + Sync + 'static {
    /// Starts one request.
    fn request(&self, request: MediaRequest) -> MediaFuture;
}
