//! Turns rtpengine's options into a draft: those that need more than their own value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use windlass_toml::{Place, Placed, Problem};

use super::interfaces::{self, even, odd};
use super::options::Takes;
use super::said::{Said, wrong};
use crate::config::LogFormat;
use crate::config::codec::{Above, Codec, Word, integer};
use crate::config::draft::Draft;
use crate::config::file::LEARNING;
use crate::config::names::{LocalName, Names};
use crate::config::setting::Group as _;
use crate::config::topic::{Control, Liking, MosBasis, MosModel, YEAR};
use crate::observe::levels::Levels;
use crate::observe::log::level_name;
use crate::observe::subsystem::SUBSYSTEMS;

/// How the reference's own id begins.
const SOFTWARE: &str = "rtpengine-";

/// The draft.
pub(super) fn lay(said: &Said, names: &Names, problems: &mut Vec<Problem>) -> Draft {
    let mut layer = Layer {
        said,
        names,
        problems,
        draft: Draft {
            is_compat: true,
            ..Draft::default()
        },
    };
    layer.settings();
    interfaces::lay(said, &mut layer.draft, layer.problems);
    layer.ports();
    layer.listeners();
    layer.timeouts();
    layer.limits();
    layer.mos();
    layer.log_level();
    if said.is_start {
        layer.habits();
        layer.software_id();
    }
    layer.log_name();
    layer.templates();
    layer.preferences();
    layer.draft
}

struct Layer<'a> {
    said: &'a Said,
    names: &'a Names,
    problems: &'a mut Vec<Problem>,
    draft: Draft,
}

impl Layer<'_> {
    /// Hands every simple option to the group that has it.
    fn settings(&mut self) {
        for (row, last, values) in self.said.options() {
            if !row.is_used {
                continue;
            }
            let texts: Vec<&str> = values.iter().map(|value| value.value.as_str()).collect();
            let text = match row.name {
                // No time at all means the default here, and no length means any.
                "rtcp-interval" | "http-idle-timeout" | "redis-expires" if !is_positive(last) => {
                    continue;
                }
                "max-log-line-length" if !is_positive(last) => "0".to_owned(),
                _ if row.takes == Takes::List => texts.join(";"),
                // Given again, the last one counts.
                _ => last.value.clone(),
            };
            let destinations = &mut self.draft.destinations;
            let taken = destinations.set(row.name, &text);
            let taken = taken.or_else(|| self.draft.groups.set(row.name, &text));
            if let Some(Err(expected)) = taken {
                self.problems
                    .push(wrong(row.name, &text, last.at, &expected));
            }
        }
    }

    fn ports(&mut self) {
        let min = self.port("port-min");
        let max = self.port("port-max");
        let low = min.map_or(30_000, |min| min.value);
        let high = max.map_or(39_999, |max| max.value);
        if low > high {
            let at = min.or(max).map_or(Place::Whole, |port| port.at);
            let message = format!("`port-min` {low} is above `port-max` {high}");
            self.problems.push(Problem { at, message });
        }
        self.draft.port_min = min.map(even);
        self.draft.port_max = max.map(odd);
        self.draft.tos = self.number("tos", 0..=255).map(|tos| narrow(tos, u8::MAX));
        if let Some(threads) = self.said.last("num-threads").filter(|n| is_positive(n)) {
            let count = integer(&threads.value).unwrap_or(1).min(1024);
            self.draft.workers = Some(narrow(at(threads, count), 1024));
        }
        if let Some(mode) = self.said.last("endpoint-learning") {
            let words = Word(&LEARNING);
            match words.parse(&mode.value) {
                Some(learning) => self.draft.learning = Some(at(mode, learning)),
                None => {
                    let problem =
                        wrong("endpoint-learning", &mode.value, mode.at, &words.expected());
                    self.problems.push(problem);
                }
            }
        }
    }

    fn listeners(&mut self) {
        self.draft.ng_udp = Some(self.addresses("listen-ng"));
        self.draft.ng_tcp = Some(self.addresses("listen-tcp-ng"));
        let plain = |list: Vec<Placed<SocketAddr>>| list.iter().map(|a| a.value).collect();
        self.draft.groups.control = Control {
            cli: plain(self.addresses("listen-cli")),
            http: plain(self.addresses("listen-http")),
            https: plain(self.addresses("listen-https")),
            ..self.draft.groups.control.clone()
        };
        let options = ["listen-ng", "listen-tcp-ng", "listen-http", "listen-https"];
        if options.iter().all(|name| self.said.values(name).is_empty()) {
            let legacy = ["listen-tcp", "listen-udp"];
            let legacy = legacy.iter().any(|name| !self.said.values(name).is_empty());
            let why = if legacy {
                " (the old protocols of `listen-tcp` and `listen-udp` are not spoken)"
            } else {
                ""
            };
            self.problems.push(Problem {
                at: Place::Whole,
                message: format!(
                    "no control listener{why}: give at least one of {}, for example \
                     --listen-ng=127.0.0.1:2223",
                    options.join(", ")
                ),
            });
        }
        if let Some(https) = self.said.last("listen-https")
            && self.draft.groups.control.https_cert.is_none()
        {
            let expected = "`https-cert` beside it";
            self.problems
                .push(wrong("listen-https", &https.value, https.at, expected));
        }
    }

    /// `[IP:]PORT`, each.
    fn addresses(&mut self, name: &str) -> Vec<Placed<SocketAddr>> {
        let mut found: Vec<Placed<SocketAddr>> = Vec::new();
        for value in self.said.values(name) {
            let addresses = listener(&value.value, self.names);
            match addresses {
                Ok(addresses) => {
                    for address in addresses {
                        if !found.iter().any(|known| known.value == address) {
                            found.push(at(value, address));
                        }
                    }
                }
                Err(expected) => {
                    self.problems
                        .push(wrong(name, &value.value, value.at, &expected));
                }
            }
        }
        found
    }

    fn timeouts(&mut self) {
        self.draft.timeout_media = self.timeout("timeout");
        self.draft.timeout_silent = self.timeout("silent-timeout");
        self.draft.timeout_offer = self.timeout("offer-timeout");
        self.draft.timeout_final = self.timeout("final-timeout");
        self.draft.delete_delay = self.number("delete-delay", 0..=i64::MAX).map(seconds);
    }

    fn limits(&mut self) {
        let count = self.said.last("max-sessions").cloned();
        let count = count.and_then(|said| Some(at(&said, integer(&said.value)?)));
        let count = count.filter(|count| count.value >= 0);
        self.draft.max_sessions = count.map(|count| narrow(count, u32::MAX));
        self.draft.max_load = self.float("max-load");
        self.draft.max_cpu = self.float("max-cpu");
        let bandwidth = self.said.last("max-bandwidth").filter(|n| is_positive(n));
        let bandwidth = bandwidth.and_then(|said| integer(&said.value));
        self.draft.max_bandwidth = bandwidth.and_then(|said| u64::try_from(said).ok());
    }

    fn mos(&mut self) {
        let quality = &mut self.draft.groups.quality;
        for value in self.said.values("mos") {
            match value.value.to_ascii_lowercase().as_str() {
                "cq" => quality.mos = MosBasis::Conversational,
                "lq" => quality.mos = MosBasis::Listening,
                "legacy" => quality.mos_model = MosModel::Legacy,
                "g107" | "g.107" => quality.mos_model = MosModel::G107,
                "g107.2" | "g.107.2" => quality.mos_model = MosModel::G107Fullband,
                _ => {
                    let expected = "CQ, LQ, legacy, g107 or g107.2";
                    self.problems
                        .push(wrong("mos", &value.value, value.at, expected));
                }
            }
        }
    }

    /// rtpengine's defaults for its process: it goes to the background, and logs to the syslog.
    fn habits(&mut self) {
        self.draft.groups.process.background = !self.said.is_set("foreground");
        self.draft.log_format = Some(Placed {
            value: LogFormat::Rtpengine,
            at: Place::Whole,
        });
        let syslog = &mut self.draft.groups.syslog;
        syslog.engine = !self.said.is_set("log-stderr");
    }

    /// Filters of the syslog know the lines by the name of the program.
    fn log_name(&mut self) {
        let syslog = &mut self.draft.groups.syslog;
        let facilities = [&syslog.cdr, &syslog.rtcp, &syslog.dtmf];
        let is_used = syslog.engine || facilities.iter().any(|facility| facility.is_some());
        if (is_used || self.said.is_start) && self.said.last("log-name").is_none() {
            "rtpengine".clone_into(&mut syslog.name);
        }
    }

    /// Scripts and traps know the engine by how its id begins (spec: media-behaviour §20).
    fn software_id(&mut self) {
        let id = &mut self.draft.groups.signalling.software_id;
        if self.said.last("software-id").is_none() && !id.starts_with(SOFTWARE) {
            id.insert_str(0, SOFTWARE);
        }
    }

    fn log_level(&mut self) {
        let general = self.number("log-level", -1..=7);
        let mut place = general.as_ref().map(|level| level.at);
        let general = general.map_or(6, |level| level.value);
        let mut levels = Levels::of_filter(level_name(general));
        let mut is_divided = false;
        for subsystem in &SUBSYSTEMS {
            let Some(level) = self.number(&format!("log-level-{}", subsystem.name), -1..=7) else {
                continue;
            };
            is_divided |= !subsystem.targets.is_empty();
            place = place.or(Some(level.at));
            levels = levels.with(subsystem.name, level.value).unwrap_or(levels);
        }
        if let Some(at) = place {
            let value = match is_divided {
                true => levels.filter(),
                false => level_name(general).to_owned(),
            };
            self.draft.log_level = Some(Placed { value, at });
        }
    }

    fn templates(&mut self) {
        let Some(name) = self.said.last("templates") else {
            return;
        };
        let Some(section) = self.said.ini.section(&name.value) else {
            let expected = "the name of a section of the file";
            self.problems
                .push(wrong("templates", &name.value, name.at, expected));
            return;
        };
        let entries = section.entries.iter();
        let entries = entries.map(|entry| (entry.key.clone(), entry.value.value.clone()));
        self.draft.templates = entries.collect();
    }

    /// Sections that say how much a conversion is liked (`transcode-config`).
    fn preferences(&mut self) {
        let Some(prefix) = self.said.last("transcode-config") else {
            return;
        };
        for (_, section) in self.said.ini.with_prefix(&prefix.value) {
            let value = |key| section.get(key).map(|value| value.value.trim());
            if value("transform").is_some() {
                tracing::warn!(section = %section.name, "no other node converts for this one; left out");
                continue;
            }
            let preference = value("preference").unwrap_or("0").parse().ok();
            let (source, destination) = (value("source"), value("destination"));
            let codecs = source.zip(destination).zip(preference);
            let liking = codecs.and_then(|((source, destination), preference)| {
                Liking::new(source, destination, preference)
            });
            match liking {
                Some(liking) => self.draft.groups.audio.preferences.push(liking),
                None => self.problems.push(Problem {
                    at: section.at,
                    message: format!(
                        "section {}: expected `source` and `destination`, codecs such as PCMA or \
                         opus/48000/2, and `preference`, a whole number",
                        section.name
                    ),
                }),
            }
        }
    }

    /// A time-out: nothing, or less, is the default; more than a year is a year.
    fn timeout(&mut self, name: &str) -> Option<Placed<u64>> {
        let value = self.said.last(name).filter(|value| is_positive(value))?;
        let number = integer(&value.value)?;
        Some(seconds(at(value, number)))
    }

    fn port(&mut self, name: &str) -> Option<Placed<u16>> {
        let port = self.number(name, 1..=65_535)?;
        Some(narrow(port, u16::MAX))
    }

    fn number(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Option<Placed<i64>> {
        let value = self.said.last(name)?;
        // What is no number has been reported when it was read.
        let number = integer(&value.value)?;
        if range.contains(&number) {
            return Some(at(value, number));
        }
        let expected = match *range.end() {
            i64::MAX => format!("{} or more", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        self.problems
            .push(wrong(name, &value.value, value.at, &expected));
        None
    }

    fn float(&mut self, name: &str) -> Option<f64> {
        let value = self.said.last(name)?;
        let number = Above.parse(&value.value);
        if number.is_none() {
            self.problems
                .push(wrong(name, &value.value, value.at, &Above.expected()));
        }
        number.flatten()
    }
}

/// The addresses of `[HOST:]PORT`; of a port alone, one of each family: no socket takes both.
fn listener(text: &str, names: &Names) -> Result<Vec<SocketAddr>, String> {
    let expected = || "[IP:]PORT such as 127.0.0.1:2223 or 2223".to_owned();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host.trim()), port),
        None => (None, text),
    };
    let port: u16 = port.trim().parse().map_err(|_| expected())?;
    let any = |ip: IpAddr| SocketAddr::new(ip, port);
    let v4 = any(Ipv4Addr::UNSPECIFIED.into());
    let v6 = any(Ipv6Addr::UNSPECIFIED.into());
    match host {
        None | Some("" | "any" | "*") => Ok(match names.has_ipv6() {
            true => vec![v4, v6],
            false => vec![v4],
        }),
        Some("localhost") => Ok(vec![any(Ipv4Addr::LOCALHOST.into())]),
        Some(host) => {
            let name: LocalName = host.parse().map_err(|_| expected())?;
            let addresses = names.addresses(&name)?;
            if addresses.is_empty() {
                return Err("an address: no name is looked up for an import".to_owned());
            }
            Ok(addresses.into_iter().map(any).collect())
        }
    }
}

fn is_positive(value: &Placed<String>) -> bool {
    // What is no number is not the default either: it is reported.
    integer(&value.value).is_none_or(|number| number > 0)
}

fn at<T, U>(place: &Placed<U>, value: T) -> Placed<T> {
    Placed {
        value,
        at: place.at,
    }
}

fn narrow<T: TryFrom<i64>>(number: Placed<i64>, most: T) -> Placed<T> {
    at(&number, T::try_from(number.value).unwrap_or(most))
}

fn seconds(number: Placed<i64>) -> Placed<u64> {
    let value = u64::try_from(number.value).unwrap_or(0);
    at(&number, value.min(YEAR))
}
