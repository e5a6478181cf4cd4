//! The driver: transports, clock and media relay around the sans-IO core.
//!
//! One task per shard owns a [`Proxy`]; transports give it the messages of its calls, by the hash of
//! their Call-ID.

mod shard;
mod turns;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::admin::desk::Parts;
use crate::admin::{ConfigSource, Desk, Ending, Servers};
use crate::config::{Config, Listen, ListenerKind, TokenSecret};
use crate::cookie::Key;
use crate::guard::{Logs, Store, settings};
use crate::limits::{QUEUED_ANSWERS, QUEUED_COMMANDS, SAVE_EVERY};
use crate::meter::Messages;
use crate::proxy::{Call, CallFilter, Listener, Proxy, Routing, Snapshot};
use crate::record::clock::Wall;
use crate::record::event::{Event, Events};
use crate::register::SharedBindings;
use crate::relay::{MediaRelay, NgRelay, Nodes, tries};
use crate::resolve::{Destination, Dns};
use crate::screen::Screen;
use crate::stats::{Stats, StatsSnapshot};
use crate::transport::config::{self as transport, ListenerConfig};
use crate::transport::{Choice, Shards, Transports, udp};
use shard::{Shard, share_of};
use turns::Turns;

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
    #[expect(dead_code, reason = "it closes the sockets when it is dropped")]
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
            bindings,
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
        self.desk.stats()
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
