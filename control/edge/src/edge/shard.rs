//! The driver of one shard: its core, with what it hears, sends, asks and tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::turns::{Turn, Turns};
use super::{clock, wall};
use crate::admin::Command;
use crate::config::Config;
use crate::guard::Logs;
use crate::meter::{Direction, Messages};
use crate::proxy::{Action, Proxy};
use crate::record::event::Events;
use crate::relay::{MediaError, MediaRelay, MediaReply, MediaRequest};
use crate::resolve::{Answer as Found, Dns, Query};
use crate::screen::Screen;
use crate::screen::standing::Level;
use crate::stats::{DropReason, Stats};
use crate::transport::{Arrived, Flow, Hold, Inbox, Sender};

/// What the relay said to the question with this token.
pub(super) type Answer = (u64, Result<MediaReply, MediaError>);

/// Everything around the core of one shard.
pub(super) struct Shard {
    pub(super) proxy: Proxy,
    pub(super) logs: Arc<Logs>,
    pub(super) events: Events,
    pub(super) messages: Arc<Messages>,
    /// The zone of each listener.
    pub(super) zones: Vec<usize>,
    pub(super) config: Arc<Config>,
    pub(super) sender: Sender,
    pub(super) relay: Arc<dyn MediaRelay>,
    pub(super) stats: Arc<Stats>,
    pub(super) answers: mpsc::Sender<Answer>,
    /// `None`: no name server is known, and no name configured.
    pub(super) dns: Option<Dns>,
    pub(super) lookups: mpsc::Sender<(Query, Found)>,
    pub(super) holds: HashMap<Flow, Hold, foldhash::quality::RandomState>,
    pub(super) turns: Turns,
}

impl Shard {
    pub(super) async fn run(
        mut self,
        mut inbox: Inbox,
        (mut answered, mut found): (mpsc::Receiver<Answer>, mpsc::Receiver<(Query, Found)>),
        mut commanded: mpsc::Receiver<Command>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut stop_by: Option<Instant> = None;
        loop {
            let wake = [
                self.proxy.next_timeout(),
                stop_by,
                self.turns.next_timeout(),
            ]
            .into_iter()
            .flatten()
            .min();
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((token, result)) = answered.recv() => {
                    self.proxy.handle_media(clock(), token, result);
                }
                Some((query, answer)) = found.recv() => {
                    self.proxy.handle_lookup(clock(), query, answer);
                }
                Some((arrived_at, list)) = inbox.recv() => {
                    let now = clock();
                    let waited = now.saturating_duration_since(arrived_at);
                    self.stats.queue_delay.count(waited);
                    self.proxy.handle_delay(now, waited);
                    self.read(now, waited, list);
                }
                Some(command) = commanded.recv() => self.obey(clock(), command),
                _ = &mut stop, if stop_by.is_none() => {
                    self.proxy.drain(true);
                    stop_by = Some(clock() + self.config.drain);
                }
                () = timer => {}
            }
            let mut now = clock();
            while let Some((flow, bytes)) = self.turns.next(now) {
                self.hear_stranger(now, Arrived::Message { flow, bytes });
                now = clock();
            }
            self.proxy.handle_timeout(now);
            self.act(now);
            let is_over = || self.proxy.is_idle() && !self.proxy.has_calls();
            if stop_by.is_some_and(|at| at <= now || is_over()) {
                self.proxy.close_all(now);
                self.act(now);
                return;
            }
        }
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Ask(job) => job(&mut self.proxy, now),
            Command::Reload(snapshot, tell) => {
                self.config = snapshot.config.clone();
                self.turns.set_share(share_of(snapshot.screen.as_deref()));
                self.proxy.reload(now, snapshot);
                // Who asked may have gone meanwhile.
                let _ = tell.send(());
            }
        }
    }

    /// Reads a list that waited so long: if that is too long, who is trusted comes first.
    fn read(&mut self, now: Instant, waited: Duration, list: Vec<Arrived>) {
        let most = self.config.overload.shed_after;
        self.turns.set_busy(!most.is_zero() && waited > most);
        if !self.turns.are_taken() {
            for arrived in list {
                self.hear(now, arrived);
            }
            return;
        }
        let level = |arrived: &Arrived| match arrived {
            Arrived::Message { flow, .. } => self.proxy.level_of(*flow, now),
            _ => Level::Trusted,
        };
        let (trusted, strangers): (Vec<_>, Vec<_>) = list
            .into_iter()
            .partition(|arrived| level(arrived) == Level::Trusted);
        for arrived in trusted {
            self.hear(now, arrived);
        }
        for arrived in strangers {
            let Arrived::Message { flow, bytes } = &arrived else {
                continue;
            };
            let now = clock();
            match self.turns.take(Level::Untrusted, *flow, bytes, now) {
                Turn::Now => self.hear_stranger(now, arrived),
                Turn::Later => {}
                Turn::Never => {
                    self.stats.drop_for(DropReason::Overload);
                    // Its peer would wait for an answer in vain; a datagram is sent again.
                    self.sender.close(*flow);
                }
            }
        }
    }

    fn hear_stranger(&mut self, now: Instant, arrived: Arrived) {
        self.hear(now, arrived);
        let end = clock();
        let spent = end.saturating_duration_since(now);
        self.turns.spend(Level::Untrusted, spent, end);
    }

    fn meter(&self, listener: u16, direction: Direction, bytes: &[u8]) {
        if let Some(zone) = self.zones.get(usize::from(listener)) {
            self.messages.count(*zone, direction, bytes);
        }
    }

    fn hear(&mut self, now: Instant, arrived: Arrived) {
        match arrived {
            Arrived::Message { flow, bytes } => {
                self.meter(flow.listener, Direction::In, &bytes);
                self.proxy.handle_message(now, flow, bytes);
            }
            Arrived::Keepalive { flow } => self.proxy.handle_keepalive(now, flow),
            Arrived::Closed { flow } => self.proxy.handle_closed(flow),
            Arrived::Unsendable { to, error, token } => {
                tracing::debug!(peer = %to.peer, %error, "cannot send");
                self.stats.drop_for(DropReason::Unsendable);
                self.proxy.handle_unsendable(now, token);
            }
        }
    }

    /// Sends and asks until the core wants nothing more. A failure may make it want something.
    fn act(&mut self, now: Instant) {
        let mut failed = Vec::new();
        loop {
            while let Some(action) = self.proxy.poll() {
                match action {
                    Action::Send { to, packet, token } => {
                        self.meter(to.listener(), Direction::Out, &packet);
                        if let Err(error) = self.sender.send(&to, packet, token) {
                            tracing::debug!(?to, %error, "cannot send");
                            self.stats.drop_for(DropReason::Unsendable);
                            self.proxy.handle_unsendable(now, token);
                        }
                    }
                    Action::Use { flow, is_needed } => {
                        // One that is closed already is told as such.
                        match self.sender.hold(flow).filter(|_| is_needed) {
                            Some(hold) => drop(self.holds.insert(flow, hold)),
                            None => drop(self.holds.remove(&flow)),
                        }
                    }
                    Action::Media { token, request } => self.ask(token, *request),
                    Action::Tell(event) => {
                        if self.events.is_heard() {
                            self.events.tell(wall(), *event);
                        }
                    }
                    Action::Alert(alerted) => self.logs.alert(&alerted, now, wall()),
                    Action::Record(finished) => self.logs.record(*finished, now, wall()),
                    Action::Close { flow } => self.sender.close(flow),
                    Action::Lookup(query) => self.look_up(query),
                }
            }
            self.sender.flush(&mut failed);
            if failed.is_empty() {
                return;
            }
            for arrived in std::mem::take(&mut failed) {
                self.hear(now, arrived);
            }
        }
    }

    fn look_up(&self, query: Query) {
        let (dns, lookups) = (self.dns.clone(), self.lookups.clone());
        tokio::spawn(async move {
            let answer = match dns {
                Some(dns) => dns.ask(&query).await,
                None => Found::Failed,
            };
            // The shard may have stopped meanwhile.
            let _ = lookups.send((query, answer)).await;
        });
    }

    fn ask(&self, token: u64, request: MediaRequest) {
        let asked = self.relay.request(request);
        let (answers, limit) = (self.answers.clone(), self.config.media_timeout);
        tokio::spawn(async move {
            let result = tokio::time::timeout(limit, asked).await;
            let result = result.unwrap_or(Err(MediaError::Timeout));
            // The shard may have stopped meanwhile.
            let _ = answers.send((token, result)).await;
        });
    }
}

/// The percentage of a busy shard's time that strangers get.
pub(super) fn share_of(screen: Option<&Screen>) -> u8 {
    screen.map_or(100, |screen| screen.config().untrusted_share)
}
