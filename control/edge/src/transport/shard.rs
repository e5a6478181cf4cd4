//! The way from sockets to shards: which shard a message belongs to, and the bounded queues.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::limits::QUEUED_BATCHES;
use super::stats::{RefuseReason, TransportStats};
use super::{Arrived, Flow, clock};
use crate::cookie::Key;
use crate::hide;
use crate::transaction::Packet;

/// What a shard reads from.
///
/// Datagrams and connections come by queues of their own and take turns: connections wait for room,
/// so that a flood over them would leave none for datagrams, which do not wait.
#[derive(Debug)]
pub(crate) struct Inbox {
    datagrams: mpsc::Receiver<Batch>,
    streams: mpsc::Receiver<Batch>,
}

/// What arrived together, and when.
type Batch = (Instant, Vec<Arrived>);

impl Inbox {
    /// The next list, in the order of arrival, and when it came; `None` when the transports and all their
    /// senders are gone. Dropping the future loses nothing.
    pub(crate) async fn recv(&mut self) -> Option<Batch> {
        tokio::select! {
            Some(list) = self.datagrams.recv() => Some(list),
            Some(list) = self.streams.recv() => Some(list),
            else => None,
        }
    }
}

/// The other end of an [`Inbox`].
#[derive(Clone)]
struct Outbox {
    datagrams: mpsc::Sender<Batch>,
    streams: mpsc::Sender<Batch>,
}

/// The shards, seen from the sockets.
#[derive(Clone)]
pub(crate) struct Shards {
    inboxes: Vec<Outbox>,
    choose: Arc<Choose>,
    admit: Option<Arc<Admit>>,
}

type Choose = dyn Fn(&[u8]) -> usize + Send + Sync;
type Admit = dyn Fn(IpAddr) -> bool + Send + Sync;

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shards").field(&self.inboxes.len()).finish()
    }
}

impl Shards {
    /// `count` shards with their inboxes. `choose` says which of them a message is for; a number that
    /// is none of theirs means the first.
    pub(crate) fn new(
        count: usize,
        choose: impl Fn(&[u8]) -> usize + Send + Sync + 'static,
    ) -> (Self, Vec<Inbox>) {
        let lanes = |_| {
            let (datagrams, from_datagrams) = mpsc::channel(QUEUED_BATCHES);
            let (streams, from_streams) = mpsc::channel(QUEUED_BATCHES);
            let inbox = Inbox {
                datagrams: from_datagrams,
                streams: from_streams,
            };
            (Outbox { datagrams, streams }, inbox)
        };
        let (inboxes, receivers) = (0..count).map(lanes).unzip();
        let shards = Self {
            inboxes,
            choose: Arc::new(choose),
            admit: None,
        };
        (shards, receivers)
    }

    /// Has `admit` asked before anything of an address is read: datagrams and connections of those
    /// that it does not admit are dropped, counted. It is asked for every datagram.
    #[cfg_attr(not(test), expect(dead_code, reason = "bans of the screen will ask"))]
    pub(crate) fn admitting(
        mut self,
        admit: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.admit = Some(Arc::new(admit));
        self
    }

    /// Whether anything of this address is wanted.
    pub(super) fn admits(&self, peer: IpAddr, stats: &TransportStats) -> bool {
        let admitted = self.admit.as_ref().is_none_or(|admit| admit(peer));
        if !admitted {
            stats.refuse(RefuseReason::Screened);
        }
        admitted
    }

    /// Lists for each shard, to be filled and then given to [`Self::offer`].
    pub(super) fn lists(&self) -> Vec<Vec<Arrived>> {
        vec![Vec::new(); self.inboxes.len()]
    }

    /// Puts a message into the list of its shard.
    pub(super) fn sort(&self, lists: &mut [Vec<Arrived>], flow: Flow, bytes: &[u8]) {
        let index = self.index(bytes);
        if let Some(list) = lists.get_mut(index) {
            let bytes = Packet::from(bytes);
            list.push(Arrived::Message { flow, bytes });
        }
    }

    /// Gives each shard its list without waiting. A shard that does not keep up loses it, counted,
    /// rather than growing a queue: datagrams are sent again.
    pub(super) fn offer(&self, lists: Vec<Vec<Arrived>>, stats: &TransportStats) {
        let now = clock();
        for (inbox, list) in self.inboxes.iter().zip(lists) {
            if list.is_empty() {
                continue;
            }
            if let Err(TrySendError::Full((_, list))) = inbox.datagrams.try_send((now, list)) {
                TransportStats::add_many(&stats.overload, list.len());
            }
        }
    }

    /// Gives a message of a connection to its shard, and waits until that has room: the peer's TCP
    /// waits with us.
    pub(super) async fn message(&self, flow: Flow, bytes: Packet) {
        let index = self.index(&bytes);
        self.tell(index, Arrived::Message { flow, bytes }).await;
    }

    /// Tells one shard of a connection, and waits until it has room.
    pub(super) async fn tell(&self, shard: usize, arrived: Arrived) {
        if let Some(inbox) = self.inboxes.get(shard) {
            // A shard that is gone has stopped.
            let _ = inbox.streams.send((clock(), vec![arrived])).await;
        }
    }

    /// Tells one shard of a datagram, unless it does not keep up.
    pub(super) fn try_tell(&self, shard: usize, arrived: Arrived, stats: &TransportStats) {
        if let Some(inbox) = self.inboxes.get(shard)
            && let Err(TrySendError::Full(_)) = inbox.datagrams.try_send((clock(), vec![arrived]))
        {
            TransportStats::add(&stats.overload);
        }
    }

    /// Tells every shard, and waits until each has room.
    pub(super) async fn tell_all(&self, arrived: &Arrived) {
        for shard in 0..self.inboxes.len() {
            self.tell(shard, arrived.clone()).await;
        }
    }

    fn index(&self, bytes: &[u8]) -> usize {
        if self.inboxes.len() < 2 {
            return 0;
        }
        let index = (self.choose)(bytes);
        if index < self.inboxes.len() { index } else { 0 }
    }
}

/// How messages choose their shard.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    key: Key,
    /// Prefix and key of the Call-IDs that the edge wrote.
    hidden: (String, Key),
    shards: usize,
}

impl Choice {
    /// Among so many shards. `secret` is that of the process, `prefix` that of Call-IDs which the edge
    /// writes.
    pub(crate) fn new(secret: Key, prefix: &str, shards: usize) -> Self {
        let half = |part: &[u8]| secret.hash([&b"choice"[..], part]);
        Self {
            key: Key(half(b"1"), half(b"2")),
            hidden: (prefix.to_owned(), hide::call_id::mask_of(secret)),
            shards,
        }
    }

    /// The key that masks shards in such Call-IDs.
    pub(crate) fn mask(&self) -> Key {
        self.hidden.1
    }

    /// The shard of a message by its Call-ID: all messages of a call meet in one place. The key keeps
    /// strangers from aiming their Call-IDs at one shard.
    ///
    /// A Call-ID that the edge wrote in the place of another names the shard that did.
    pub(crate) fn of(&self, message: &[u8]) -> usize {
        self.of_call_id(call_id(message).unwrap_or_default()).into()
    }

    /// The shard of the calls with this Call-ID.
    pub(crate) fn of_call_id(&self, call_id: &[u8]) -> u8 {
        let (prefix, mask) = &self.hidden;
        let number = match hide::call_id::shard(call_id, prefix, *mask) {
            Some(shard) => shard.into(),
            None => self.key.hash([&b"shard"[..], call_id]),
        };
        u8::try_from(number % (self.shards.max(1) as u64)).unwrap_or(0)
    }
}

/// The value of the first Call-ID header, in its long or compact form (RFC 3261 §7.3.3), without
/// reading anything else of the message; `None` if there is none before the empty line.
pub(crate) fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    loop {
        let end = memchr::memchr(b'\n', rest)?;
        rest = rest.get(end + 1..)?;
        if matches!(rest, [b'\n' | b'\r', ..] | []) {
            return None;
        }
        let Some(value) = call_id_value(rest) else {
            continue;
        };
        let value = value.trim_ascii_start();
        let end = memchr::memchr2(b'\r', b'\n', value).unwrap_or(value.len());
        return value.get(..end).map(<[u8]>::trim_ascii_end);
    }
}

/// What follows the colon of a line that is a Call-ID.
fn call_id_value(line: &[u8]) -> Option<&[u8]> {
    let after = match line {
        [b'i' | b'I', after @ ..] if !after.starts_with(b"-") => after,
        [b'c' | b'C', ..] => {
            let (name, after) = line.split_at_checked(7)?;
            name.eq_ignore_ascii_case(b"call-id").then_some(after)?
        }
        _ => return None,
    };
    let blanks = after.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    after.get(blanks.count()..)?.strip_prefix(b":")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::TokenKeys;

    fn among(shards: usize) -> Choice {
        Choice::new(Key(1, 2), "wl-", shards)
    }

    #[test]
    fn hidden_call_id_names_the_shard_that_wrote_it() {
        let (keys, mut text) = (TokenKeys::new(&[], Key(1, 2)), Vec::new());
        for shard in [0, 3, 6] {
            let choice = among(7);
            let (prefix, mask) = &choice.hidden;
            hide::call_id::write(b"a@b", prefix, (shard, *mask), &keys, &mut text);
            let call_id = String::from_utf8_lossy(&text);
            let message = format!("BYE sip:a SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n");
            let found = choice.of(message.as_bytes());
            assert_eq!(found, usize::from(shard));
        }
    }

    fn of(headers: &str) -> Option<String> {
        let message = format!("OPTIONS sip:a SIP/2.0\r\n{headers}\r\nCall-ID: body\r\n");
        call_id(message.as_bytes()).map(|id| String::from_utf8_lossy(id).into_owned())
    }

    #[test]
    fn the_call_id_is_found_in_every_form() {
        for (headers, id) in [
            ("Call-ID: a@b\r\n", Some("a@b")),
            ("Via: x\r\nCALL-ID \t:\ta@b \r\n", Some("a@b")),
            ("To: i:x\r\ni:a@b\r\n", Some("a@b")),
            ("Call-ID:\r\n a@b\r\n", Some("a@b")),
            ("I : a\r\nCall-ID: b\r\n", Some("a")),
            ("Call-Info: x\r\nIdentity: y\r\nCall-ID: a\r\n", Some("a")),
            ("Call-IDs: x\r\n", None),
            ("", None),
        ] {
            assert_eq!(of(headers).as_deref(), id, "{headers:?}");
        }
    }

    #[test]
    fn messages_of_a_call_meet_whatever_the_form() {
        let shard = |text: &str| among(7).of(text.as_bytes());
        let a = shard("INVITE sip:a SIP/2.0\r\nCall-ID: x@y\r\n\r\n");
        assert_eq!(a, shard("SIP/2.0 200 OK\r\nVia: v\r\ni:x@y\r\n\r\n"));
        let spread: std::collections::HashSet<_> = (0..64)
            .map(|n| shard(&format!("BYE sip:a SIP/2.0\r\ni: {n}\r\n\r\n")))
            .collect();
        assert_eq!(spread.len(), 7);
    }

    #[tokio::test]
    async fn connections_that_wait_leave_room_for_datagrams() {
        let (shards, mut inboxes) = Shards::new(1, |_| 0);
        let flow = |connection| Flow {
            listener: 0,
            peer: "192.0.2.1:1".parse().unwrap(),
            connection,
        };
        let flood = shards.clone();
        let flood = tokio::spawn(async move {
            loop {
                flood.message(flow(1), b"x"[..].into()).await;
            }
        });
        while shards.inboxes[0].streams.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        let stats = TransportStats::default();
        let mut lists = shards.lists();
        shards.sort(&mut lists, flow(0), b"x");
        shards.offer(lists, &stats);
        let datagram = Arrived::Message {
            flow: flow(0),
            bytes: b"x"[..].into(),
        };
        while inboxes[0].recv().await.unwrap().1 != [datagram.clone()] {}
        assert_eq!(stats.overload.load(std::sync::atomic::Ordering::Relaxed), 0);
        flood.abort();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_message_panics(bytes in prop_oneof![any::<Vec<u8>>(), "[Cali\\-: \r\nID]{0,40}".prop_map(String::into_bytes)]) {
            prop_assert!(among(3).of(&bytes) < 3);
        }
    }
}
