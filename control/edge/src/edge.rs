//! The driver: transports, clock and media relay around the sans-IO core.
//!
//! One task per shard owns a [`Proxy`]; transports give it the messages of its calls, by the hash of
//! their Call-ID.

mod turns;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::admin::desk::Parts;
use crate::admin::{Command, ConfigSource, Desk, Ending, Servers};
use crate::config::{Config, Listen, ListenerKind, TokenSecret};
use crate::cookie::Key;
use crate::guard::{Logs, Store, settings};
use crate::limits::{QUEUED_ANSWERS, QUEUED_COMMANDS, SAVE_EVERY};
use crate::meter::{Direction, Messages};
use crate::proxy::{Action, Call, CallFilter, Listener, Proxy, Routing, Snapshot};
use crate::record::clock::Wall;
use crate::record::event::{Event, Events};
use crate::register::SharedBindings;
use crate::relay::{MediaError, MediaRelay, MediaReply, NgRelay, Nodes, tries};
use crate::resolve::{Answer as Found, Destination, Dns, Query};
use crate::screen::Screen;
use crate::screen::standing::Level;
use crate::stats::{DropReason, Stats, StatsSnapshot};
use crate::transport::config::{self as transport, ListenerConfig};
use crate::transport::{Arrived, Choice, Flow, Hold, Inbox, Sender, Shards, Transports, udp};
use turns::{Turn, Turns};

/// A running edge. Dropping it ends its tasks at once; [`Edge::stop`] ends them in order.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    asks_from: Option<SocketAddr>,
    shards: Vec<(JoinHandle<()>, Option<oneshot::Sender<()>>)>,
    sweeper: JoinHandle<()>,
    saved: Option<Saved>,
    desk: Arc<Desk>,
    /// Operators ask here.
    servers: Servers,
    /// Closes the sockets when dropped.
    transports: Arc<Transports>,
}

impl Edge {
    /// Binds the sockets, connects the ng client and starts relaying. Call it inside a tokio runtime
    /// with time and I/O.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, a certificate cannot be read or the configuration names no
    /// listener.
    pub async fn start(config: Config) -> io::Result<Self> {
        Self::start_reloadable(config, None).await
    }

    /// As [`Self::start`], with the place that the configuration came from, for reloads.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_reloadable(
        config: Config,
        source: Option<Arc<dyn ConfigSource>>,
    ) -> io::Result<Self> {
        let tries = tries(1 + config.more_ng.len());
        let relay = NgRelay::connect(config.ng, tries).await?;
        let asks_from = relay.local_addr()?;
        let mut relays: Vec<Arc<dyn MediaRelay>> = vec![Arc::new(relay)];
        for daemon in &config.more_ng {
            relays.push(Arc::new(NgRelay::connect(*daemon, tries).await?));
        }
        let relay: Arc<dyn MediaRelay> = match relays.len() {
            1 => relays.remove(0),
            _ => Arc::new(Nodes::new(relays)),
        };
        let mut edge = Self::start_whole(config, relay, source).await?;
        edge.asks_from = Some(asks_from);
        Ok(edge)
    }

    /// As [`Self::start`], with a media relay other than an ng daemon.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with_relay(config: Config, relay: Arc<dyn MediaRelay>) -> io::Result<Self> {
        Self::start_whole(config, relay, None).await
    }

    pub(crate) async fn start_whole(
        config: Config,
        relay: Arc<dyn MediaRelay>,
        source: Option<Arc<dyn ConfigSource>>,
    ) -> io::Result<Self> {
        let routing = Routing::new(&config)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let dns = dns(&config, &routing)?;
        let routing = Arc::new(routing);
        let (zones, settings) = wanted(&config)?;
        let screen = settings::screen(&config, clock())?;
        let saved = store(&config, screen.as_ref())?;
        let logs = Arc::new(Logs::open(&config)?);
        let (mut servers, keys) = Servers::open(&config.admin).await?;
        let count = usize::from(config.shards.max(1));
        let secret: [u64; 2] = rand::random();
        let choice = Choice::new(Key(secret[0], secret[1]), &config.call_id_prefix, count);
        let chosen = choice.clone();
        let (shards, inboxes) = Shards::new(count, move |message| chosen.of(message));
        let transports = Transports::open(&settings, shards).map_err(io::Error::other)?;
        let transports = Arc::new(transports);
        let addresses: Vec<_> = transports
            .locals()
            .iter()
            .map(|(_, local)| *local)
            .collect();
        let listeners: Vec<_> = std::iter::zip(zones, transports.locals())
            .map(|((zone, listen), (protocol, local))| {
                let shown = advertised(&config, &listen, *local);
                Listener::new(zone, *protocol, *local, shown.as_deref())
            })
            .collect();
        let config = Arc::new(config);
        let events = Events::default();
        let bindings = SharedBindings::default();
        let mut all_stats = Vec::new();
        let mut all_messages = Vec::new();
        let mut all_commands = Vec::new();
        let mut tasks = Vec::new();
        for (index, inbox) in (0..=u8::MAX).zip(inboxes) {
            let stats = Arc::new(Stats::default());
            let messages = Arc::new(Messages::new(config.zones.len()));
            all_stats.push(stats.clone());
            all_messages.push(messages.clone());
            let (stop, stopped) = oneshot::channel();
            let (answers, answered) = mpsc::channel(QUEUED_ANSWERS);
            let (lookups, found) = mpsc::channel(QUEUED_ANSWERS);
            let mut proxy = Proxy::new(
                config.clone(),
                listeners.clone(),
                routing.clone(),
                index,
                secret,
                stats.clone(),
            );
            if index == 0 {
                proxy.start_probing(clock());
            }
            proxy.learn_names(clock());
            let shard = Shard {
                proxy: proxy
                    .screened(screen.clone())
                    .registering_in(bindings.clone()),
                logs: logs.clone(),
                events: events.clone(),
                messages,
                zones: listeners.iter().map(|listener| listener.zone).collect(),
                dns: dns.clone(),
                lookups,
                config: config.clone(),
                sender: transports.sender(index.into()),
                relay: relay.clone(),
                stats,
                answers,
                holds: HashMap::default(),
                turns: Turns::new(share_of(screen.as_deref()), clock()),
            };
            let (commands, commanded) = mpsc::channel(QUEUED_COMMANDS);
            all_commands.push(commands);
            let task = tokio::spawn(shard.run(inbox, (answered, found), commanded, stopped));
            tasks.push((task, Some(stop)));
        }
        let desk = Arc::new(Desk::new(Parts {
            shards: all_commands,
            choice,
            snapshot: Snapshot {
                config,
                routing,
                screen,
            },
            logs,
            events,
            stats: all_stats,
            messages: all_messages,
            transports: Arc::downgrade(&transports),
            source,
            keys,
        }));
        servers.serve(&desk);
        Ok(Self {
            addresses,
            asks_from: None,
            shards: tasks,
            sweeper: tokio::spawn(sweep(desk.clone(), saved.clone())),
            saved,
            desk,
            servers,
            transports,
        })
    }

    /// The address of the first listener, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses
            .first()
            .copied()
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// The addresses of all listeners, zone by zone; then the one opened toward an upstream of
    /// another family, if any.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the admin interface over HTTP, if it is on.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.servers.address()
    }

    /// The address that requests to the ng daemon come from; `None` with another relay.
    pub fn asks_from(&self) -> Option<SocketAddr> {
        self.asks_from
    }

    /// The counters now.
    pub fn stats(&self) -> StatsSnapshot {
        let all = self.desk.stats.iter().map(|stats| stats.snapshot());
        let mut all = StatsSnapshot::sum(all);
        all.add_transports(&self.transports.stats());
        all
    }

    /// The calls that `filter` names, at most `most`.
    pub async fn calls(&self, filter: &CallFilter, most: usize) -> Vec<Call> {
        self.desk.calls(filter, most, None).await.0
    }

    /// Ends the calls that `filter` names, at most `most`, and tells both sides a `Reason` with this
    /// SIP cause and text (RFC 3326). How many calls those are; their parties are told meanwhile.
    pub async fn end_calls(
        &self,
        filter: &CallFilter,
        most: usize,
        cause: u16,
        text: &str,
    ) -> usize {
        let text = text.to_owned();
        let ending = Ending { cause, text };
        self.desk.end_calls(filter, most, &ending).await
    }

    /// New calls are refused with 503 from now on; those in progress go on.
    pub async fn drain(&self) {
        self.desk.drain(None).await;
    }

    /// Reads the configuration again. What changed, and what has to wait for a restart, as JSON.
    ///
    /// # Errors
    /// Each mistake with its place; then everything is as before.
    pub async fn reload(&self) -> Result<String, Vec<String>> {
        match self.desk.reload(None).await {
            Ok(json) => Ok(json.to_string()),
            Err(refusal) if refusal.details.is_empty() => Err(vec![refusal.error]),
            Err(refusal) => Err(refusal.details),
        }
    }

    /// Writes tokens and hidden Call-IDs with the first of these secrets from now on, and reads those of
    /// the first two: who keeps the one before as the second invalidates nothing.
    pub async fn change_token_secrets(&self, secrets: &[TokenSecret]) {
        self.desk.change_secrets(secrets).await;
    }

    /// Opens the files of logs anew, after something else moved them away.
    pub fn reopen_logs(&self) {
        self.desk.logs.reopen();
    }

    /// Refuses new calls and waits up to `Config::drain` until calls and requests are over, then
    /// closes. With `Config::end_calls` it ends the calls instead of waiting for them.
    pub async fn stop(mut self) {
        let ends = self.desk.snapshot().config.end_calls;
        self.desk.drain(None).await;
        if ends {
            self.desk.end_all("Shutting down").await;
        }
        for (_, stop) in &mut self.shards {
            if let Some(stop) = stop.take() {
                // The shard may have ended already.
                let _ = stop.send(());
            }
        }
        for (task, _) in std::mem::take(&mut self.shards) {
            let _ = task.await;
        }
        if let Some(saved) = self.saved.take() {
            saved.save().await;
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.sweeper.abort();
        for (task, _) in &self.shards {
            task.abort();
        }
    }
}

/// The screen, and where its state is kept.
#[derive(Clone, Debug)]
struct Saved {
    store: Store,
    screen: Arc<Screen>,
}

impl Saved {
    async fn save(self) {
        let (now, wall) = (clock(), wall());
        // A disk may be slow.
        let saving = tokio::task::spawn_blocking(move || self.store.save(&self.screen, now, wall));
        if let Ok(Err(error)) = saving.await {
            tracing::error!(%error, "the state cannot be saved");
        }
    }
}

type Answer = (u64, Result<MediaReply, MediaError>);

struct Shard {
    proxy: Proxy,
    logs: Arc<Logs>,
    events: Events,
    messages: Arc<Messages>,
    /// The zone of each listener.
    zones: Vec<usize>,
    config: Arc<Config>,
    sender: Sender,
    relay: Arc<dyn MediaRelay>,
    stats: Arc<Stats>,
    answers: mpsc::Sender<Answer>,
    /// `None`: no name server is known, and no name configured.
    dns: Option<Dns>,
    lookups: mpsc::Sender<(Query, Found)>,
    holds: HashMap<Flow, Hold, foldhash::quality::RandomState>,
    turns: Turns,
}

impl Shard {
    async fn run(
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

    fn ask(&self, token: u64, request: crate::relay::MediaRequest) {
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

/// Forgets what is over in the tables that shards share, each second.
async fn sweep(desk: Arc<Desk>, saved: Option<Saved>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut save_at = clock() + SAVE_EVERY;
    loop {
        seconds.tick().await;
        let now = clock();
        if let Some(screen) = desk.snapshot().screen {
            screen.handle_timeout(now, |source, ban| {
                tracing::info!(?source, reason = ?ban.reason, "ban is over");
                desk.events.tell(wall(), Event::of_end(source, &ban));
            });
        }
        desk.logs.handle_timeout(now, wall());
        if let Some(saved) = saved.as_ref().filter(|_| save_at <= now) {
            saved.clone().save().await;
            save_at = now + SAVE_EVERY;
        }
    }
}

/// The percentage of a busy shard's time that strangers get.
fn share_of(screen: Option<&Screen>) -> u8 {
    screen.map_or(100, |screen| screen.config().untrusted_share)
}

/// The state that is kept, taken up by the screen.
fn store(config: &Config, screen: Option<&Arc<Screen>>) -> io::Result<Option<Saved>> {
    let (Some(dir), Some(screen)) = (&config.state_dir, screen) else {
        return Ok(None);
    };
    let store = Store::open(dir)?;
    store.restore(screen, clock(), wall());
    let screen = screen.clone();
    Ok(Some(Saved { store, screen }))
}

/// What the configuration wants to listen on, with the zone of each, and one socket more if none
/// reaches the first target.
pub(crate) fn wanted(config: &Config) -> io::Result<(Vec<(usize, Listen)>, transport::Config)> {
    let mut wanted: Vec<(usize, Listen)> = Vec::new();
    for (zone, settings) in config.zones.iter().enumerate() {
        wanted.extend(
            settings
                .listeners
                .iter()
                .map(|listen| (zone, listen.clone())),
        );
    }
    let Some(first_zone) = wanted.first().map(|(zone, _)| *zone) else {
        let message = "the SIP edge needs at least one address to listen on";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    let reaches = |listen: &Listen, target: SocketAddr| listen.bind.is_ipv4() == target.is_ipv4();
    if let Some(target) = first_target(config)
        && !wanted.iter().any(|(_, listen)| reaches(listen, target))
    {
        let bind = SocketAddr::new(udp::address_toward(target)?, 0);
        let listen = Listen {
            kind: ListenerKind::Udp,
            bind,
            advertise: None,
        };
        wanted.push((first_zone, listen));
    }
    let listeners = wanted.iter().map(|(_, listen)| ListenerConfig {
        bind: listen.bind,
        kind: listen.kind.clone(),
    });
    let settings = transport::Config {
        listeners: listeners.collect(),
        streams: config.streams,
        messages: config.limits,
    };
    Ok((wanted, settings))
}

/// The client of name servers. Without names in the configuration it may be missing.
fn dns(config: &Config, routing: &Routing) -> io::Result<Option<Dns>> {
    match Dns::new(&config.dns.servers) {
        Ok(dns) => Ok(Some(dns)),
        Err(error) if routing.needs_dns(config) => Err(io::Error::other(error)),
        Err(error) => {
            tracing::warn!(%error, "names cannot be looked up");
            Ok(None)
        }
    }
}

/// The first target with an address.
fn first_target(config: &Config) -> Option<SocketAddr> {
    let targets = config.upstreams.iter().flat_map(|pool| &pool.targets);
    let mut destinations = targets.filter_map(|t| Destination::parse(t.uri.as_bytes()).ok());
    Some(destinations.find_map(|to| to.direct())?.peer)
}

/// What a listener shows instead of the address it is bound to.
fn advertised(config: &Config, listen: &Listen, local: SocketAddr) -> Option<String> {
    if listen.advertise.is_some() || !local.ip().is_unspecified() {
        return listen.advertise.clone();
    }
    let target = first_target(config).filter(|target| target.is_ipv4() == local.is_ipv4());
    let ip = udp::address_toward(target.unwrap_or_else(|| somewhere(local))).ok()?;
    Some(SocketAddr::new(ip, local.port()).to_string())
}

/// A documentation address (RFC 5737, RFC 3849) of the family of `local`: its route is the default
/// route.
fn somewhere(local: SocketAddr) -> SocketAddr {
    if local.is_ipv4() {
        SocketAddr::from(([192, 0, 2, 1], 9))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock for the core"
)]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// Time for logs.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock for the core"
)]
pub(crate) fn wall() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    Wall(u64::try_from(ms).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;
