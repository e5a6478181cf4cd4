//! Another configuration while calls go on (spec §17, `reload`): all of it or none of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::desk::{Command, Desk, stopped};
use super::order::Refusal;
use super::role::Keys;
use crate::config::{Config, Listen};
use crate::edge::{wall, wanted};
use crate::guard::settings;
use crate::proxy::{Routing, Snapshot};
use crate::record::event::Event;

/// Where the configuration comes from, to be read again.
pub trait ConfigSource: fmt::Debug + Send + Sync {
    /// The file, for those who name it.
    fn file(&self) -> Option<&Path>;

    /// Reads it. It may block.
    ///
    /// # Errors
    /// Each mistake with its file, line and column.
    fn read(&self) -> Result<Config, Vec<String>>;
}

/// What a reload is to read.
enum What {
    All,
    Certificates,
    /// The files that screening consists of.
    Screen,
    Tokens,
}

impl Desk {
    /// Reads everything again, or what depends on one file. What changed, and what has to wait for
    /// a restart.
    ///
    /// # Errors
    /// 422 with each mistake and its place; then everything is as before.
    pub(crate) async fn reload(&self, file: Option<&str>) -> Result<Value, Refusal> {
        let _one_at_a_time = self.changing.lock().await;
        let result = match file {
            None => self.read(What::All).await,
            Some(file) => match self.what(file) {
                Some(what) => self.read(what).await,
                None => return Err(self.no_file(file)),
            },
        };
        let what = file.unwrap_or("all").to_owned();
        let error = result
            .as_ref()
            .err()
            .map(|refusal| match refusal.details.first() {
                Some(detail) => detail.clone(),
                None => refusal.error.clone(),
            });
        match &error {
            None => tracing::info!(what, "reloaded"),
            Some(error) => tracing::error!(what, error, "not reloaded; everything is as before"),
        }
        self.events.tell(wall(), Event::Config { what, error });
        result
    }

    async fn read(&self, what: What) -> Result<Value, Refusal> {
        let before = self.snapshot();
        match what {
            What::Tokens => {
                if let Some(keys) = self.read_tokens(&before.config).await? {
                    *self.keys.write() = keys;
                }
                Ok(json!({ "changed": ["tokens"], "kept": [] }))
            }
            What::Certificates => {
                self.read_certificates(&before.config).await?;
                Ok(json!({ "changed": ["certificates"], "kept": [] }))
            }
            What::Screen => {
                let config = before.config.clone();
                self.apply(before, config, vec!["lists".to_owned()], Vec::new())
                    .await
            }
            What::All => {
                let Some(source) = self.source.clone() else {
                    let error = "this edge has no configuration file to read again";
                    return Err(Refusal::new(409, error));
                };
                let read = tokio::task::spawn_blocking(move || source.read()).await;
                let read = read.map_err(|_| Refusal::new(500, "the file was not read"))?;
                let mut config = read.map_err(bad_files)?;
                let kept = keep_fixed(&before.config, &mut config)?;
                let changed = changes(&before.config, &config);
                self.apply(before, Arc::new(config), changed, kept).await
            }
        }
    }

    /// Puts a configuration into force that can be: everything that may fail comes first.
    async fn apply(
        &self,
        before: Snapshot,
        config: Arc<Config>,
        mut changed: Vec<String>,
        kept: Vec<String>,
    ) -> Result<Value, Refusal> {
        Routing::new(&config).map_err(|error| bad_files(vec![error.to_string()]))?;
        let (of, with) = (before.screen.clone(), config.clone());
        let screened = tokio::task::spawn_blocking(move || {
            of.map(|screen| settings::rescreen(&screen, &with))
                .transpose()
        });
        let screened = screened.await;
        let screened = screened.map_err(|_| Refusal::new(500, "the lists were not read"))?;
        let screened = screened.map_err(bad_files)?;
        let keys = self.read_tokens(&config).await?;
        changed.push("certificates".to_owned());
        let routing = before.routing.reload(&config);
        let routing = routing.map_err(|error| bad_files(vec![error.to_string()]))?;
        // They are in force once they are read: nothing behind them can fail.
        self.read_certificates(&config).await?;
        if let Some(keys) = keys {
            *self.keys.write() = keys;
        }
        let snapshot = Snapshot {
            config,
            routing: Arc::new(routing),
            screen: screened.map(|next| next.in_force()),
        };
        *self.snapshot.write() = snapshot.clone();
        for shard in &self.shards {
            let (tell, told) = oneshot::channel();
            let sent = shard.send(Command::Reload(snapshot.clone(), tell)).await;
            sent.map_err(|_| stopped())?;
            told.await.map_err(|_| stopped())?;
        }
        Ok(json!({ "changed": changed, "kept": kept }))
    }

    async fn read_certificates(&self, config: &Config) -> Result<(), Refusal> {
        let refuse = |error: String| bad_files(vec![error]);
        let (_, settings) = wanted(config).map_err(|error| refuse(error.to_string()))?;
        let transports = self.transports.upgrade().ok_or_else(stopped)?;
        let read = tokio::task::spawn_blocking(move || transports.reload(&settings.listeners));
        let read = read.await;
        let read = read.map_err(|_| Refusal::new(500, "the certificates were not read"))?;
        read.map_err(|error| refuse(error.to_string()))
    }

    async fn read_tokens(&self, config: &Config) -> Result<Option<Keys>, Refusal> {
        let Some(http) = &config.admin.http else {
            return Ok(None);
        };
        let path = http.tokens.clone();
        let read = tokio::task::spawn_blocking(move || Keys::load(&path)).await;
        let read = read.map_err(|_| Refusal::new(500, "the tokens were not read"))?;
        let lines = |problems: windlass_toml::Problems| {
            bad_files(problems.to_string().lines().map(str::to_owned).collect())
        };
        read.map(Some).map_err(lines)
    }

    /// What depends on a file, which is named by its path, by its name, or by that of its list.
    fn what(&self, file: &str) -> Option<What> {
        let named =
            |path: &Path| path == Path::new(file) || path.file_name() == Some(file.as_ref());
        if self
            .source
            .as_ref()
            .and_then(|s| s.file())
            .is_some_and(named)
        {
            return Some(What::All);
        }
        let config = self.snapshot.read().config.clone();
        let screen = config.screen.iter();
        let of_screen = screen.flat_map(|screen| {
            let lists = screen.lists.iter().map(|list| (&list.name, &list.file));
            let categories = screen.categories.iter();
            lists.chain(categories.map(|category| (&category.name, &category.file)))
        });
        let mut of_screen = of_screen.filter(|(name, path)| *name == file || named(path));
        if of_screen.next().is_some() {
            return Some(What::Screen);
        }
        if certificate_files(&config).iter().any(|path| named(path)) || file == "certificates" {
            return Some(What::Certificates);
        }
        let tokens = config.admin.http.as_ref().map(|http| &http.tokens);
        tokens
            .is_some_and(|path| named(path))
            .then_some(What::Tokens)
    }

    fn no_file(&self, file: &str) -> Refusal {
        let config = self.snapshot.read().config.clone();
        let mut known: Vec<String> = Vec::new();
        let mut add = |path: &Path| known.push(path.display().to_string());
        self.source
            .iter()
            .filter_map(|s| s.file())
            .for_each(&mut add);
        if let Some(screen) = &config.screen {
            screen.lists.iter().for_each(|list| add(&list.file));
            screen.categories.iter().for_each(|one| add(&one.file));
        }
        certificate_files(&config).iter().for_each(|path| add(path));
        config.admin.http.iter().for_each(|http| add(&http.tokens));
        Refusal {
            status: 404,
            error: format!("nothing depends on a file \"{file}\"; these are known"),
            details: known,
        }
    }
}

fn certificate_files(config: &Config) -> Vec<PathBuf> {
    let listeners = config.zones.iter().flat_map(|zone| &zone.listeners);
    let certificates = listeners
        .filter_map(|listen| listen.kind.tls())
        .flat_map(|tls| &tls.certificates);
    certificates
        .flat_map(|certificate| [certificate.chain.clone(), certificate.key.clone()])
        .collect()
}

fn bad_files(details: Vec<String>) -> Refusal {
    Refusal {
        status: 422,
        error: "the files have mistakes; everything is as before".to_owned(),
        details,
    }
}

/// Sets what cannot change while the edge runs back to what it is; a line for each such part that
/// the new configuration has otherwise.
///
/// # Errors
/// When zones came, went or changed places: everything else refers to them.
fn keep_fixed(before: &Config, next: &mut Config) -> Result<Vec<String>, Refusal> {
    let mut kept = Vec::new();
    let names = |config: &Config| -> Vec<String> {
        let zones = config.zones.iter();
        zones.map(|zone| zone.name.clone()).collect()
    };
    if names(before) != names(next) {
        let (old, new) = (names(before).join(", "), names(next).join(", "));
        let mistake = format!("the zones are {old}, not {new}: they change with a restart alone");
        return Err(bad_files(vec![mistake]));
    }
    for (old, new) in std::iter::zip(&before.zones, &mut next.zones) {
        let place = |listen: &Listen| {
            let protocol = listen.kind.protocol();
            (listen.bind, protocol, listen.advertise.clone())
        };
        let places = |all: &[Listen]| all.iter().map(place).collect::<Vec<_>>();
        if places(&old.listeners) != places(&new.listeners) {
            kept.push(format!("listeners of zone {}", old.name));
            new.listeners.clone_from(&old.listeners);
        }
    }
    let mut keep = |name: &str, is_same: bool| {
        if !is_same {
            kept.push(name.to_owned());
        }
    };
    keep("admin", before.admin == next.admin);
    let is_same = (before.ng, &before.more_ng) == (next.ng, &next.more_ng);
    keep("ng", is_same);
    // Sockets tell by it which shard a call belongs to.
    let is_same = before.call_id_prefix == next.call_id_prefix;
    keep("callid_prefix", is_same);
    keep("state_dir", before.state_dir == next.state_dir);
    keep("dns", before.dns == next.dns);
    keep("log.security", before.security_log == next.security_log);
    keep("log.cdr", before.cdr == next.cdr);
    keep("screen", before.screen.is_some() == next.screen.is_some());
    let limits = (before.streams, before.limits, before.shards);
    keep("limits", limits == (next.streams, next.limits, next.shards));
    next.admin.clone_from(&before.admin);
    next.dns.clone_from(&before.dns);
    next.security_log.clone_from(&before.security_log);
    next.cdr.clone_from(&before.cdr);
    next.ng = before.ng;
    next.more_ng.clone_from(&before.more_ng);
    next.call_id_prefix.clone_from(&before.call_id_prefix);
    next.state_dir.clone_from(&before.state_dir);
    (next.streams, next.limits, next.shards) = limits;
    if before.screen.is_some() != next.screen.is_some() {
        next.screen.clone_from(&before.screen);
    }
    Ok(kept)
}

/// The parts of the configuration that are others now.
fn changes(before: &Config, next: &Config) -> Vec<String> {
    let screen = |config: &Config| config.screen.clone().unwrap_or_default();
    let (old, new) = (screen(before), screen(next));
    let mut changed = Vec::new();
    let mut note = |name: &str, is_same: bool| {
        if !is_same {
            changed.push(name.to_owned());
        }
    };
    note("zones", before.zones == next.zones);
    note("upstreams", before.upstreams == next.upstreams);
    note("routes", before.routes == next.routes);
    note("register", before.register == next.register);
    let links = |config: &Config| (config.session_timer, config.links.clone());
    note("links", links(before) == links(next));
    note("token_keys", before.token_secrets == next.token_secrets);
    note("media", before.media == next.media);
    note("peers", old.peers == new.peers);
    note("limits", old.limits == new.limits);
    note("rates", old.rates == new.rates);
    note("categories", old.categories == new.categories);
    note("lists", old.lists == new.lists);
    let rest = |config: &crate::guard::ScreenConfig| {
        let mut rest = config.clone();
        rest.peers.clear();
        rest.limits.clear();
        rest.rates.clear();
        rest.categories.clear();
        rest.lists.clear();
        rest
    };
    note("screen", rest(&old) == rest(&new));
    let edge = |config: &Config| {
        let times = (config.max_call, config.media_timeout, config.drain);
        let names = (config.server_header.clone(), config.overload.clone());
        (config.tables, times, config.max_forwards, names)
    };
    note("edge", edge(before) == edge(next));
    changed
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_links_and_media_change_is_named() {
        let ng = "127.0.0.1:2223".parse().unwrap();
        let before = Config::of_zones(Vec::new(), ng);
        let mut next = before.clone();
        next.links.push(crate::config::Link::new([0, 1]));
        next.media.silence = Some(std::time::Duration::from_secs(5));
        next.server_header = "Edge".to_owned();
        assert_eq!(changes(&before, &next), ["links", "media", "edge"]);
    }

    #[test]
    fn what_was_wired_at_the_start_stays_and_is_named() {
        let ng = "127.0.0.1:2223".parse().unwrap();
        let before = Config::of_zones(Vec::new(), ng);
        let mut next = before.clone();
        next.call_id_prefix = "other-".to_owned();
        next.state_dir = Some(PathBuf::from("/state"));
        next.more_ng = vec!["127.0.0.1:2224".parse().unwrap()];
        let kept = keep_fixed(&before, &mut next).unwrap();
        assert_eq!(kept, ["ng", "callid_prefix", "state_dir"]);
        assert_eq!(next.call_id_prefix, before.call_id_prefix);
        assert_eq!((next.state_dir, next.more_ng), (None, Vec::new()));
    }
}
