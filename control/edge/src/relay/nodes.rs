//! Several relays as one (spec §11): each call stays with the one that took its first offer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};
use crate::limits;

/// Relays in the order in which calls are offered to them.
#[derive(Clone)]
pub(crate) struct Nodes(Arc<Shared>);

struct Shared {
    nodes: Vec<Arc<dyn MediaRelay>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nodes that did not answer, and until when others are asked first.
    down: HashMap<usize, Instant>,
    /// The node of each call.
    calls: HashMap<String, usize>,
    /// The node that the next call begins with.
    turn: usize,
}

impl Nodes {
    pub(crate) fn new(nodes: Vec<Arc<dyn MediaRelay>>) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { nodes, state }))
    }
}

impl Shared {
    /// Nodes for a new call: in turns, those that answer first.
    fn order(&self, now: Instant) -> Vec<usize> {
        let mut state = self.state.lock();
        let count = self.nodes.len().max(1);
        let turn = state.turn % count;
        state.turn = turn + 1;
        let mut order: Vec<usize> = (0..count).map(|n| (turn + n) % count).collect();
        order.sort_by_key(|node| state.down.get(node).is_some_and(|until| *until > now));
        order
    }

    fn ask(&self, node: usize, request: MediaRequest) -> Option<MediaFuture> {
        Some(self.nodes.get(node)?.request(request))
    }

    /// The first offer of a call goes from one to the next that may take it.
    async fn place(&self, request: MediaRequest) -> Result<MediaReply, MediaError> {
        let mut last = MediaError::Unreachable("there is no relay".to_owned());
        for node in self.order(Instant::now()) {
            let Some(asked) = self.ask(node, request.clone()) else {
                continue;
            };
            // Who asks may lose patience and drop this: the call is deleted there all the same.
            self.state
                .lock()
                .calls
                .insert(request.call_id.clone(), node);
            let result = asked.await;
            if let Err(MediaError::Timeout) = result {
                self.give_up(node, &request);
            }
            let mut state = self.state.lock();
            match result {
                Ok(reply) => {
                    state.down.remove(&node);
                    return Ok(reply);
                }
                Err(error) if error.is_failover() => {
                    state.calls.remove(&request.call_id);
                    // One without room for this call answers the others.
                    if !matches!(error, MediaError::Full(_)) {
                        let until = Instant::now() + limits::RELAY_DOWN;
                        state.down.insert(node, until);
                    }
                    last = error;
                }
                Err(error) => {
                    state.calls.remove(&request.call_id);
                    return Err(error);
                }
            }
        }
        Err(last)
    }

    /// A node that did not answer may have taken the call: its ports are free again once it reads on.
    fn give_up(&self, node: usize, offer: &MediaRequest) {
        let delete = MediaRequest {
            extra: vec![("delete-delay".to_owned(), "0".to_owned())],
            ..MediaRequest::bare(MediaCommand::Delete, &offer.call_id, offer.from_tag.clone())
        };
        if let Some(asked) = self.ask(node, delete) {
            // Nobody waits for the answer.
            tokio::spawn(asked);
        }
    }
}

impl MediaRelay for Nodes {
    fn request(&self, request: MediaRequest) -> MediaFuture {
        let own = {
            let mut state = self.0.state.lock();
            match request.command {
                MediaCommand::Delete => state.calls.remove(&request.call_id),
                _ => state.calls.get(&request.call_id).copied(),
            }
        };
        let shared = self.0.clone();
        if let Some(asked) = own.and_then(|node| shared.ask(node, request.clone())) {
            return asked;
        }
        if request.command == MediaCommand::Offer {
            return Box::pin(async move { shared.place(request).await });
        }
        // No relay took an offer of the call.
        Box::pin(async { Err(MediaError::Refused("Unknown call-id".to_owned())) })
    }
}

/// Attempts of one request to each of so many nodes, of the twelve that there is time for.
pub(crate) fn tries(nodes: usize) -> u32 {
    let share = 12 / nodes.max(1);
    u32::try_from(share.max(2)).unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with its name, or not at all.
    struct Fake {
        name: &'static [u8],
        fails: Mutex<Option<MediaError>>,
        heard: Mutex<Vec<MediaCommand>>,
    }

    impl MediaRelay for Fake {
        fn request(&self, request: MediaRequest) -> MediaFuture {
            self.heard.lock().push(request.command);
            let result = match &*self.fails.lock() {
                Some(error) => Err(error.clone()),
                None => Ok(MediaReply {
                    sdp: self.name.to_vec(),
                    ..MediaReply::default()
                }),
            };
            Box::pin(async { result })
        }
    }

    fn two() -> ([Arc<Fake>; 2], Nodes) {
        let fakes = [&b"one"[..], b"two"].map(|name| {
            let fails = Mutex::new(None);
            let heard = Mutex::default();
            Arc::new(Fake { name, fails, heard })
        });
        let nodes = fakes.iter().map(|fake| fake.clone() as Arc<dyn MediaRelay>);
        let nodes = Nodes::new(nodes.collect());
        (fakes, nodes)
    }

    async fn ask(nodes: &Nodes, command: MediaCommand, call: &str) -> Result<String, MediaError> {
        let request = MediaRequest::bare(command, call, "a".to_owned());
        let reply = nodes.request(request).await?;
        Ok(String::from_utf8(reply.sdp).unwrap())
    }

    use MediaCommand::{Answer, Delete, DeleteBranch, Offer, Query};

    #[tokio::test]
    async fn call_stays_with_the_relay_of_its_first_offer() {
        let (_, nodes) = two();
        assert_eq!(ask(&nodes, Offer, "c1").await.unwrap(), "one");
        assert_eq!(ask(&nodes, Offer, "c2").await.unwrap(), "two");
        for command in [Answer, Query, Offer, DeleteBranch, Answer, Delete] {
            assert_eq!(ask(&nodes, command, "c2").await.unwrap(), "two");
        }
        let gone = ask(&nodes, Answer, "c2").await;
        assert!(matches!(gone, Err(MediaError::Refused(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn relay_that_may_have_taken_the_call_late_is_told_to_forget_it() {
        let (fakes, nodes) = two();
        *fakes[0].fails.lock() = Some(MediaError::Timeout);
        assert_eq!(ask(&nodes, Offer, "c1").await.unwrap(), "two");
        assert_eq!(*fakes[0].heard.lock(), [Offer, Delete]);
        assert_eq!(ask(&nodes, Delete, "c1").await.unwrap(), "two");
        // Whoever asked has gone meanwhile: the call is deleted where it was asked for.
        let offer = MediaRequest::bare(Offer, "c2", "a".to_owned());
        *fakes[1].fails.lock() = None;
        let mut asked = nodes.request(offer);
        let waker = std::task::Waker::noop();
        let _ = asked
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
        drop(asked);
        assert!(ask(&nodes, Delete, "c2").await.is_ok());
    }

    #[tokio::test]
    async fn silent_relay_is_passed_by_and_asked_last_for_a_while() {
        let (fakes, nodes) = two();
        *fakes[0].fails.lock() = Some(MediaError::Timeout);
        assert_eq!(ask(&nodes, Offer, "c1").await.unwrap(), "two");
        // Its turn comes, and it would take the call.
        *fakes[0].fails.lock() = None;
        for call in ["c2", "c3"] {
            assert_eq!(ask(&nodes, Offer, call).await.unwrap(), "two");
        }
        // Better than none.
        *fakes[1].fails.lock() = Some(MediaError::Timeout);
        assert_eq!(ask(&nodes, Offer, "c4").await.unwrap(), "one");
        let lost = ask(&nodes, Answer, "c1").await;
        assert_eq!(lost, Err(MediaError::Timeout), "no other has the call");
    }

    #[tokio::test]
    async fn full_relay_keeps_its_turn_and_a_bad_offer_goes_nowhere_else() {
        let (fakes, nodes) = two();
        *fakes[0].fails.lock() = Some(MediaError::Full("no ports".to_owned()));
        assert_eq!(ask(&nodes, Offer, "c1").await.unwrap(), "two");
        *fakes[0].fails.lock() = None;
        assert_eq!(ask(&nodes, Offer, "c2").await.unwrap(), "two");
        assert_eq!(ask(&nodes, Offer, "c3").await.unwrap(), "one");
        let no = MediaError::Refused("no SDP".to_owned());
        *fakes[1].fails.lock() = Some(no.clone());
        assert_eq!(ask(&nodes, Offer, "c4").await, Err(no));
    }
}
