//! Bans, limits and lists of numbers, read and changed by operators.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Desk, now};
use super::list_file;
use super::order::Refusal;
use crate::edge::wall;
use crate::record::event::Event;
use crate::screen::address::Source;
use crate::screen::ban::{Ban, Evidence};
use crate::screen::config::Side;
use crate::screen::list::{List, Rule};
use crate::screen::{BanError, Screen};

impl Desk {
    fn screen(&self) -> Result<Arc<Screen>, Refusal> {
        let screen = self.snapshot.read().screen.clone();
        screen.ok_or_else(|| Refusal::new(404, "nothing is screened: there is no [[zone]]"))
    }

    pub(super) fn limits(&self) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let totals = screen.limits().totals();
        let classes = screen.limits().classes().iter().zip(totals);
        let classes = classes.map(|(class, (keys, calls))| {
            json!({
                "class": class.name,
                "calls": class.calls,
                "cps": class.cps.map(|pace| pace.rate),
                "category": class.category,
                "keys": keys,
                "in_use": calls,
            })
        });
        Ok(json!({ "limits": classes.collect::<Vec<_>>() }))
    }

    pub(super) fn limit(&self, class: &str, key: Option<&[u8]>) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let limits = screen.limits();
        let found = limits.classes().iter().find(|other| other.name == class);
        let error = || Refusal::new(404, format!("no limit is called \"{class}\""));
        let found = found.ok_or_else(error)?;
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let usage = match key {
            Some(key) => vec![(key.to_vec(), limits.size(class, key))],
            None => limits.usage(class),
        };
        let keys = usage
            .iter()
            .map(|(key, count)| json!({ "key": text(key), "in_use": count }));
        Ok(json!({
            "class": found.name,
            "calls": found.calls,
            "cps": found.cps.map(|pace| pace.rate),
            "keys": keys.collect::<Vec<_>>(),
        }))
    }

    pub(super) fn bans(&self, limit: usize) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let mut bans = screen.bans_in_force(limit, now());
        bans.sort_by_key(|(source, _)| *source);
        let bans = bans
            .iter()
            .map(|(source, ban)| shown(&screen, *source, ban));
        Ok(json!({ "bans": bans.collect::<Vec<_>>() }))
    }

    pub(super) fn ban(&self, source: Source) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let ban = screen.ban_of(source).ok_or_else(|| no_ban(source))?;
        Ok(shown(&screen, source, &ban))
    }

    pub(super) fn add_ban(
        &self,
        ip: IpAddr,
        port: Option<u16>,
        lasts: Option<Duration>,
    ) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let durations = screen.config().bans;
        let lasts = lasts.unwrap_or(durations.verified);
        let banned = screen.ban(ip, port, lasts, now());
        let banned = banned.map_err(|error| match error {
            BanError::Protected => Refusal::new(409, error.to_string()),
            BanError::Full => Refusal::new(503, error.to_string()),
        })?;
        self.events.tell(wall(), Event::of_ban(&banned));
        Ok(shown(&screen, banned.source, &banned.ban))
    }

    pub(super) fn lift_ban(&self, source: Source) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let ban = screen.lift(source).ok_or_else(|| no_ban(source))?;
        self.events.tell(wall(), Event::of_end(source, &ban));
        Ok(shown(&screen, source, &ban))
    }

    pub(super) fn lists(&self) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let all: Result<Vec<Value>, Refusal> = screen
            .lists()
            .map(|(file, _)| self.list(&file.name))
            .collect();
        Ok(json!({ "lists": all? }))
    }

    pub(super) fn list(&self, name: &str) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let found = screen.lists().find(|(file, _)| file.name == name);
        let (file, entries) = found.ok_or_else(|| no_list(name))?;
        Ok(json!({
            "list": file.name,
            "side": match file.side {
                Side::Called => "called",
                Side::Caller => "caller",
            },
            "entries": entries,
            "file": self.file_of(name)?.display().to_string(),
        }))
    }

    pub(super) fn test_list(&self, name: &str, number: &str, user: &str) -> Result<Value, Refusal> {
        let screen = self.screen()?;
        let list = screen.list(name).ok_or_else(|| no_list(name))?;
        let user = Some(user.as_bytes()).filter(|user| !user.is_empty());
        let rule = list.read().rule(user, number.as_bytes());
        Ok(json!({ "list": name, "number": number, "action": rule.map(Rule::as_str) }))
    }

    /// Puts an entry into a list and its file, or takes it out of both.
    pub(super) async fn edit_list(
        &self,
        name: &str,
        prefix: &str,
        user: &str,
        rule: Option<Rule>,
    ) -> Result<Value, Refusal> {
        let _one_at_a_time = self.changing.lock().await;
        let screen = self.screen()?;
        let list = screen.list(name).ok_or_else(|| no_list(name))?;
        let file = self.file_of(name)?;
        let entry = (prefix.to_owned(), user.to_owned());
        let edited = tokio::task::spawn_blocking(move || edit(file, &entry.0, &entry.1, rule));
        let failed = |_| Refusal::new(500, "the file was not written");
        let edited = edited.await.map_err(failed)??;
        let entries = edited.len();
        *list.write() = edited;
        let what = format!("list {name}");
        self.events
            .tell(wall(), Event::Config { what, error: None });
        Ok(json!({
            "list": name,
            "prefix": prefix,
            "user": user,
            "action": rule.map(Rule::as_str),
            "entries": entries,
        }))
    }

    fn file_of(&self, name: &str) -> Result<PathBuf, Refusal> {
        let config = self.snapshot.read().config.clone();
        let lists = config.screen.iter().flat_map(|screen| &screen.lists);
        let found = lists.into_iter().find(|list| list.name == name);
        found
            .map(|list| list.file.clone())
            .ok_or_else(|| no_list(name))
    }
}

/// Changes the file; the list that it is then.
fn edit(file: PathBuf, prefix: &str, user: &str, rule: Option<Rule>) -> Result<List, Refusal> {
    let path = file.display().to_string();
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Refusal::new(500, format!("{path}: {error}")))?;
    let action = rule.map(Rule::as_str);
    let edited = list_file::edited(&text, prefix, user, action)
        .ok_or_else(|| Refusal::new(404, format!("the list has no entry \"{prefix}\"")))?;
    // Before it is written: an entry that is none changes nothing.
    let list = List::read(&path, &edited, false);
    let (list, _) = list.map_err(|errors| Refusal::new(422, errors.to_string()))?;
    list_file::replace(&file, &edited)
        .map_err(|error| Refusal::new(500, format!("{path}: {error}")))?;
    Ok(list)
}

fn shown(screen: &Screen, source: Source, ban: &Ban) -> Value {
    let now = now();
    json!({
        "address": source.to_string(),
        "reason": ban.reason.as_str(),
        "verified": ban.evidence == Evidence::Verified,
        "times": ban.times,
        "refused": ban.refused,
        "remaining_s": screen.remaining(ban, now).as_secs(),
        "first_s": screen.since(ban.first, now).as_secs(),
        "last_s": screen.since(ban.last, now).as_secs(),
    })
}

fn no_ban(source: Source) -> Refusal {
    Refusal::new(404, format!("{source} is not banned"))
}

fn no_list(name: &str) -> Refusal {
    Refusal::new(404, format!("no list is called \"{name}\""))
}
