//! Reports to others: digits, call records, call-backs.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use rand::Rng;
use windlass_ng::{Broadcaster, CallId};

use super::now;
use crate::call::{Calls, EndReason, EndedCall, Observer};
use crate::config::Config;
use crate::dataplane::{FlowEvent, Happening};
use crate::flow::path::WhyUp;
use crate::media::dtmf::Pressed;
use crate::media::latch::Event;
use crate::observe::dtmf::DtmfReport;
use crate::observe::lines::{LineQueue, Outlet};
use crate::observe::syslog::{Facility, Severity};
use crate::observe::xmlrpc::{Notifier, TimedOutCall, UrlTemplate, XmlRpcFormat};

/// Destinations of digit reports.
pub(super) struct DigitReports {
    socket: Option<UdpSocket>,
    destination: Option<SocketAddr>,
    syslog: Option<LineQueue>,
    /// Every ng client over TCP.
    clients: Vec<Broadcaster>,
}

impl DigitReports {
    pub(super) fn new(config: &Config, clients: Vec<Broadcaster>) -> io::Result<Self> {
        let destination = match &config.dtmf.log_dest {
            Some(wanted) => (wanted.host.as_str(), wanted.port)
                .to_socket_addrs()?
                .next(),
            None => None,
        };
        // Calls may name destinations of their own, of either family.
        let any = SocketAddr::from(([0_u16; 8], 0));
        let socket = UdpSocket::bind(any).or_else(|_| UdpSocket::bind(("0.0.0.0", 0)));
        let facility = config.syslog.dtmf;
        let syslog = facility.map(|facility| syslog("digits for the syslog", facility, config));
        Ok(Self {
            socket: socket
                .inspect(|socket| drop(socket.set_nonblocking(true)))
                .ok(),
            destination,
            syslog: syslog.transpose()?,
            clients: match config.dtmf.log_ng_tcp {
                true => clients,
                false => Vec::new(),
            },
        })
    }

    fn report(&self, calls: &Calls, flow: &FlowEvent, pressed: Pressed, from: SocketAddr) {
        let (random, digit) = (rand::rng().random(), pressed.digit);
        let Some(source) = calls.digit_pressed(flow.call, flow.local, digit, random, now()) else {
            return;
        };
        let tags: Vec<&[u8]> = source.tags.iter().map(|tag| tag.as_bytes()).collect();
        let report = DtmfReport {
            call_id: source.call_id.as_bytes(),
            source_tag: source
                .tag
                .as_ref()
                .map(|tag| tag.as_bytes())
                .unwrap_or_default(),
            source_label: source.label.as_ref().map(|label| label.as_bytes()),
            tags: &tags,
            timestamp_s: now().unix.as_secs(),
            source_ip: from.ip().to_canonical(),
            event: pressed.digit.code(),
            duration_ms: pressed.duration_ms,
            volume: pressed.volume,
        };
        let datagram = report.datagram();
        for destination in self.destination.iter().chain(&source.report_to) {
            self.send(&datagram, *destination);
        }
        if let Some(syslog) = &self.syslog {
            syslog.push(Severity::Info, &datagram);
        }
        for clients in &self.clients {
            clients.send(&report.notification());
        }
    }

    fn send(&self, datagram: &[u8], destination: SocketAddr) {
        let Some(socket) = &self.socket else { return };
        let is_v6 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
        let destination = match destination {
            SocketAddr::V4(v4) if is_v6 => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
            other => other,
        };
        if let Err(error) = socket.send_to(datagram, destination) {
            tracing::debug!(%destination, %error, "digit not reported");
        }
    }
}

/// Takes an event of a flow.
pub(super) fn tell(calls: &Calls, reports: &DigitReports, flow: &FlowEvent) {
    match flow.event {
        Happening::Source(event) => {
            if let Some(call_id) = calls.source_event(flow.call, &event) {
                log_source(&call_id, flow, &event);
            }
        }
        Happening::Digit { pressed, from } => reports.report(calls, flow, pressed, from),
        Happening::Path(path) => tracing::debug!(
            call_id = calls.id_of(flow.call).map(tracing::field::display),
            local = %flow.local, path = path.name(), why = path.why_up().map(WhyUp::text),
            "media takes another path"
        ),
        Happening::Shut => tracing::error!(
            call_id = calls.id_of(flow.call).map(tracing::field::display),
            local = %flow.local, "flow shut after a defect"
        ),
        Happening::NotMarked { tos, errno } => tracing::warn!(
            call_id = calls.id_of(flow.call).map(tracing::field::display),
            local = %flow.local, tos, error = %io::Error::from_raw_os_error(errno),
            "cannot set the TOS"
        ),
        Happening::NotReleased { errno } => tracing::warn!(
            call_id = calls.id_of(flow.call).map(tracing::field::display),
            local = %flow.local, error = %io::Error::from_raw_os_error(errno),
            "cannot unbind a port from its peer"
        ),
    }
}

fn log_source(call_id: &CallId, flow: &FlowEvent, event: &Event) {
    let local = &flow.local;
    match event {
        Event::Settled(source) => tracing::debug!(%call_id, %local, %source, "source settled"),
        Event::Moved { from, to } => tracing::info!(%call_id, %local, %from, %to, "source moved"),
        Event::Unexpected(source) => {
            tracing::info!(%call_id, %local, %source, "packets of an unexpected source are dropped");
        }
        Event::Contested(source) => tracing::warn!(
            %call_id, %local, %source, "contested: another source sends a consistent stream"
        ),
        Event::AgainstSignalling(source) => tracing::warn!(
            %call_id, %local, %source,
            "settled on a source that signalling contradicts; is a proxy missing in signalling_hops?"
        ),
    }
}

/// Call records to a syslog, and call-backs for calls that timed out.
pub(super) struct Endings {
    records: Option<LineQueue>,
    callbacks: Option<(UrlTemplate, XmlRpcFormat, Notifier)>,
}

impl Endings {
    /// Reports by the configuration; `None` if there are none.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, super::Error> {
        let facility = config.syslog.cdr;
        let records = facility.map(|facility| syslog("call records", facility, config));
        let records = records.transpose().map_err(super::Error::Process)?;
        let callbacks = match &config.signalling.b2b_url {
            None => None,
            Some(url) => {
                let url = UrlTemplate::parse(url).map_err(|error| super::Error::CallBack {
                    reason: error.to_string(),
                })?;
                let format = XmlRpcFormat::from_number(config.signalling.xmlrpc_format);
                let notifier = Notifier::start().map_err(super::Error::Process)?;
                Some((url, format.unwrap_or(XmlRpcFormat::Sems), notifier))
            }
        };
        let wanted = records.is_some() || callbacks.is_some();
        Ok(wanted.then_some(Self { records, callbacks }))
    }
}

impl Observer for Endings {
    fn call_ended(&self, ended: &EndedCall) {
        if let Some(syslog) = &self.records {
            syslog.push(Severity::Info, ended.record.line().as_bytes());
        }
        let timed_out = !matches!(ended.reason, EndReason::Regular | EndReason::Forced);
        let Some((url, format, notifier)) = self.callbacks.as_ref().filter(|_| timed_out) else {
            return;
        };
        let tags: Vec<&[u8]> = ended.record.tags().map(str::as_bytes).collect();
        let dialogues = ended.record.dialogues();
        let pairs: Vec<(&[u8], &[u8])> = dialogues
            .iter()
            .map(|(from, to)| (from.as_bytes(), to.as_bytes()))
            .collect();
        let call = TimedOutCall {
            call_id: ended.id.as_bytes(),
            tags: &tags,
            pairs: &pairs,
        };
        notifier.notify(url.fill(ended.callback), format.bodies(&call));
    }
}

fn syslog(what: &'static str, facility: Facility, config: &Config) -> io::Result<LineQueue> {
    LineQueue::start(what, Outlet::syslog(facility, &config.syslog.name))
}
