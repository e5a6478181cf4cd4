//! INVITEs that the screen refused (spec §12): they keep a server transaction, so that a repeated one
//! gets the same answer and is not counted again, and its ACK is known.

use std::net::IpAddr;
use std::time::Instant;

use super::{Proxy, Timed};
use crate::limits;
use crate::message::build;
use crate::message::{Message, Method};
use crate::transaction::{Kind, Packet, Server, ServerAction};
use crate::transport::Flow;

/// A refused INVITE.
#[derive(Debug)]
pub(super) struct Refused {
    key: Box<[u8]>,
    server: Server,
    reply_to: Flow,
    source: IpAddr,
}

impl Proxy {
    /// Answers a request that the screen refuses.
    pub(super) fn refuse_screened(
        &mut self,
        now: Instant,
        source: Flow,
        message: &Message,
        refusal: (u16, &str),
        extra: &[u8],
    ) {
        let ip = source.owner();
        let waiting = self.unacknowledged.get(&ip).copied().unwrap_or(0);
        let tables = self.config.tables_of_a_shard();
        let has_room =
            waiting < tables.unacknowledged_per_source && self.refused.len() < tables.transactions;
        // An ACK makes no sense for anything else.
        if message.method() != Method::Invite || !has_room {
            self.reply_stateless(source, message, refusal, extra);
            return;
        }
        let tag = self.tag();
        let packet = self.own_response(message, source, refusal, Some(&tag), extra);
        if packet.len() > limits::KEPT_REFUSAL {
            self.send(self.reply_target(message, source).into(), packet.into());
            return;
        }
        let packet: Packet = packet.into();
        let mut server = Server::start_over(self.carrier(source.listener), Kind::Invite);
        let timers = self.config.timers;
        server.on_response(refusal.0, packet.clone(), &timers, now);
        // Who is refused is told again when it asks again: its address may be forged.
        server.stop_repeating();
        let mut key = std::mem::take(&mut self.scratch.key);
        build::server_key(message, Method::Invite, &mut key);
        let id = self.unique();
        let reply_to = self.reply_target(message, source);
        let refused = Refused {
            key: key[..].into(),
            server,
            reply_to,
            source: ip,
        };
        self.by_server_key.insert(refused.key.clone(), id);
        self.scratch.key = key;
        self.refused.insert(id, refused);
        *self.unacknowledged.entry(ip).or_default() += 1;
        self.schedule_refused(id);
        self.send(reply_to.into(), packet);
    }

    /// A request that matches a refused INVITE: its repeat, ACK or CANCEL. False if it matches none.
    pub(super) fn on_refused_repeat(
        &mut self,
        now: Instant,
        id: u64,
        source: Flow,
        message: &Message,
    ) -> bool {
        let timers = self.config.timers;
        let Some(refused) = self.refused.get_mut(&id) else {
            return false;
        };
        match message.method() {
            Method::Ack => {
                refused.server.on_ack(&timers, now);
                self.schedule_refused(id);
            }
            Method::Cancel => self.reply_stateless(source, message, (200, "OK"), b""),
            _ => {
                if let ServerAction::Resend(packet) = refused.server.on_repeat() {
                    let to = refused.reply_to;
                    self.send(to.into(), packet);
                }
            }
        }
        true
    }

    pub(super) fn on_refused_timeout(&mut self, now: Instant, id: u64) {
        let timers = self.config.timers;
        let Some(refused) = self.refused.get_mut(&id) else {
            return;
        };
        if refused.server.next_timeout().is_some_and(|at| at <= now) {
            refused.server.on_timeout(&timers, now);
            self.schedule_refused(id);
        }
    }

    fn schedule_refused(&mut self, id: u64) {
        let Some(refused) = self.refused.get(&id) else {
            return;
        };
        match refused.server.next_timeout() {
            Some(at) if !refused.server.is_terminated() => {
                self.timers
                    .push(std::cmp::Reverse((at, Timed::Refused(id))));
            }
            _ => {
                let Some(refused) = self.refused.remove(&id) else {
                    return;
                };
                self.by_server_key.remove(&refused.key);
                if let Some(count) = self.unacknowledged.get_mut(&refused.source) {
                    *count -= 1;
                    if *count == 0 {
                        self.unacknowledged.remove(&refused.source);
                    }
                }
            }
        }
    }
}
