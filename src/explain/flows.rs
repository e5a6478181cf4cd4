//! The plan of flows as text.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::books::{Mark, Page};
use super::conversion;
use super::text::printable;
use crate::call::CallPicture;
use crate::flow::digits::DigitRule;
use crate::flow::secure::Security;
use crate::flow::{Carries, Component, FlowSpec, Payload, PayloadTypes, Sink, SinkRules};
use crate::media::latch::Learning;

/// Prints the effect of a command on a call's flows.
pub(super) fn print(page: &Page, call: Option<&CallPicture>) -> String {
    if page.flows.is_empty() && page.removed.is_empty() && page.injected.is_empty() {
        return String::new();
    }
    let mut out = String::from("\nflows (+ new, ~ changed, - gone):\n");
    for (mark, flow) in &page.flows {
        let mark = match mark {
            Mark::Kept => ' ',
            Mark::New => '+',
            Mark::Changed => '~',
        };
        let text = Words { call, page }.flow(flow);
        let _ = write!(out, "{mark} {}", printable_lines(&text));
    }
    for local in &page.removed {
        let _ = writeln!(out, "- {local}");
    }
    for played in &page.injected {
        let _ = writeln!(
            out,
            "  digit {} for {} ms goes into the stream from {} by {}, as payload type {}",
            played.digit.to_char(),
            played.duration_ms,
            played.from,
            played.via,
            played.payload_type
        );
    }
    out
}

fn printable_lines(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        out.push_str(&printable(line));
        out.push('\n');
        out
    })
}

struct Words<'a> {
    call: Option<&'a CallPicture>,
    page: &'a Page,
}

impl Words<'_> {
    fn flow(&self, flow: &FlowSpec) -> String {
        let component = match flow.component {
            Component::Rtp => "RTP",
            Component::Rtcp => "RTCP",
        };
        let mut out = format!("{} {component} of {}\n", flow.local, self.owner(flow.local));
        let _ = writeln!(out, "      party: {}", party(flow));
        let _ = writeln!(out, "      takes: {}", takes(flow));
        let mut vias: Vec<SocketAddr> = flow.sinks.iter().map(|sink| sink.via).collect();
        vias.dedup();
        for via in vias {
            let sinks: Vec<&Sink> = flow.sinks.iter().filter(|sink| sink.via == via).collect();
            let _ = writeln!(out, "      gives: {}", self.sink(flow, via, &sinks));
        }
        if let Some(reports) = &flow.reports {
            let _ = writeln!(
                out,
                "      makes: RTCP for the party, from {}; what the party reports ends here \
                 (generate-RTCP)",
                reports.via
            );
        }
        let withheld = self.withheld(flow);
        if flow.sinks.is_empty() && withheld.is_empty() {
            out.push_str("      gives: nothing: nobody hears this party now\n");
        }
        for withheld in withheld {
            let _ = writeln!(out, "      holds back: {withheld}");
        }
        out
    }

    /// The party whose port this is.
    fn owner(&self, local: SocketAddr) -> String {
        let Some(call) = self.call else {
            return "the party".to_owned();
        };
        let Some((party, media, port)) = call.port(local) else {
            let offered = call.offered.as_deref();
            let offered = offered.and_then(|offered| offered.call.port(local));
            return match offered {
                Some((party, ..)) => {
                    format!(
                        "{}, in an offer that waits for its answer",
                        call.name(party)
                    )
                }
                None => "nobody".to_owned(),
            };
        };
        let mut text = call.name(party);
        let medias = call
            .parties
            .get(party)
            .map_or(&[][..], |party| &party.medias);
        if let (true, Some(media_view)) = (medias.len() > 1, medias.get(media)) {
            let _ = write!(text, ", m= line {} ({})", media + 1, media_view.kind);
        }
        if !port.is_selected {
            text.push_str(", no longer printed");
        }
        text
    }

    fn sink(&self, flow: &FlowSpec, via: SocketAddr, sinks: &[&Sink]) -> String {
        if via == flow.local {
            return "everything back to where it came from (media-echo)".to_owned();
        }
        let carries: Vec<&str> = sinks
            .iter()
            .map(|sink| match sink.carries {
                Carries::Rtp => "RTP",
                Carries::Rtcp => "RTCP",
                Carries::All => "every datagram",
            })
            .collect();
        let mut text = format!(
            "{} from {via} to {}",
            carries.join(" and "),
            self.owner(via)
        );
        let target = self.page.flows.iter().find(|(_, flow)| flow.local == via);
        match target.map(|(_, flow)| &flow.peer) {
            Some(peer) if !peer.wants && peer.signalled.is_some() => {
                text.push_str(", which takes none now");
            }
            Some(peer) => match peer.signalled {
                Some(signalled) => {
                    let _ = write!(text, " at {signalled}");
                    if let Some(barred) = peer.reach.barred(signalled) {
                        let _ = write!(text, ", which is not sent there ({})", barred.as_str());
                    }
                }
                None => text.push_str(" as soon as it is known where that is"),
            },
            None => {}
        }
        for rules in sinks.iter().filter_map(|sink| sink.rules.as_deref()) {
            let _ = write!(text, "; {}", rules_text(rules));
        }
        text
    }

    /// Packets of a flow that its sinks do not get.
    fn withheld(&self, flow: &FlowSpec) -> Vec<String> {
        let mut out = Vec::new();
        if flow.discard {
            out.push("everything (drop-traffic or media-echo)".to_owned());
        }
        if !flow.receive && flow.component == Component::Rtp {
            out.push("RTP: by its direction the party is not to send".to_owned());
        }
        if flow.guards.short {
            out.push("RTP that is shorter than it was (block-short)".to_owned());
        }
        if flow.guards.loops {
            out.push("packets that come round again: the party's address is ours".to_owned());
        }
        let mut flows = self.page.flows.iter().map(|(_, flow)| flow);
        let rtp = flows.find(|other| flow.rtp_sibling == Some(other.local));
        if rtp.is_some_and(|rtp| rtp.reports.is_some()) {
            out.push("everything: there are reports of our own (generate-RTCP)".to_owned());
            return out;
        }
        let Some(call) = self.call else { return out };
        let Some((owner, media, _)) = call.port(flow.local) else {
            return out;
        };
        let medias = call
            .parties
            .get(owner)
            .map_or(&[][..], |party| &party.medias);
        let line = medias.get(media).map(|media| media.line);
        let is_sink = |local: SocketAddr| flow.sinks.iter().any(|sink| sink.via == local);
        for (index, listener) in call.parties.iter().enumerate() {
            let hears = listener.hears.contains(&owner) && !listener.is_gone;
            let media = listener
                .medias
                .iter()
                .find(|media| Some(media.line) == line);
            let Some(media) = media.filter(|media| hears && !media.is_rejected) else {
                continue;
            };
            let awaits_keys = |local: SocketAddr| {
                let mut flows = self.page.flows.iter().map(|(_, flow)| flow);
                let own = flows.find(|flow| flow.local == local);
                own.is_some_and(|flow| flow.security == Security::Awaited)
            };
            let mut sinks = media.ports.iter().filter(|port| is_sink(port.local));
            if sinks.any(|port| awaits_keys(port.local)) {
                out.push(format!(
                    "everything for {}: its keys are not agreed on ({})",
                    call.name(index),
                    media.transport
                ));
            }
        }
        out
    }
}

/// Address of the party, and how it is learned.
fn party(flow: &FlowSpec) -> String {
    let peer = &flow.peer;
    let mut text = match peer.signalled {
        Some(signalled) if signalled.ip().is_unspecified() => {
            "signalled nowhere (zero address)".to_owned()
        }
        Some(signalled) => format!("signalled at {signalled}"),
        None => "not yet signalled".to_owned(),
    };
    let is_somewhere = peer
        .signalled
        .is_some_and(|signalled| !signalled.ip().is_unspecified());
    if peer.signalled_private && is_somewhere {
        text.push_str(" (private: behind NAT)");
    }
    if let Some(from) = peer.received_from {
        let _ = write!(text, ", signals from {from}");
    }
    if let Some(proposed) = peer.proposed {
        let _ = write!(
            text,
            ", heard from {} as well: it offers to move",
            proposed.ip()
        );
    }
    text.push_str(match peer.learning {
        Learning::Guarded => ", learned guarded",
        Learning::Heuristic => ", learned heuristic",
        Learning::Delayed => ", learned delayed",
        Learning::Immediate => ", learned immediate",
        Learning::Off => ", not learned",
    });
    for (is_set, word) in [
        (peer.asymmetric, "asymmetric"),
        (peer.strict_source, "strict-source"),
        (peer.media_handover, "media-handover"),
        (peer.nat_wait, "NAT-wait"),
        (peer.pierce_nat, "pierce-NAT"),
    ] {
        if is_set {
            let _ = write!(text, ", {word}");
        }
    }
    text
}

/// Packets that a port accepts.
fn takes(flow: &FlowSpec) -> String {
    let secure = match &flow.security {
        Security::Plain => "",
        Security::Awaited | Security::Keyed(_) => "S",
    };
    let mut text = match &flow.payload {
        Payload::Opaque => "any datagram, unread".to_owned(),
        Payload::Rtp { .. } if flow.component == Component::Rtcp => format!("{secure}RTCP"),
        Payload::Rtp { types, .. } => match numbers(*types) {
            list if list.is_empty() => format!("{secure}RTP and {secure}RTCP"),
            list => format!("{secure}RTP of {list}, and {secure}RTCP"),
        },
    };
    match &flow.security {
        Security::Plain => {}
        Security::Awaited => text.push_str(", once its keys are agreed on"),
        Security::Keyed(protection) => {
            let _ = write!(text, " ({})", protection.suites());
        }
    }
    if let Some(tos) = flow.tos {
        let _ = write!(text, "; sends with TOS {tos}");
    }
    if let Some(taps) = flow.taps.as_deref() {
        if taps.recording.is_some() {
            text.push_str("; recorded");
        }
        if taps.events.is_some() {
            text.push_str("; digits reported");
        }
    }
    text
}

/// Packets that are withheld from a sink or changed for it.
fn rules_text(rules: &SinkRules) -> String {
    let mut parts = Vec::new();
    if let Some(line) = rules.withhold.line {
        parts.push(format!("only line {} of the bundle", u16::from(line) + 1));
    }
    if rules.withhold.drop_media {
        parts.push("without media (blocked)".to_owned());
    }
    match rules.withhold.digits.rule {
        DigitRule::Pass => {}
        DigitRule::Drop => parts.push("without DTMF events (blocked)".to_owned()),
        rule => parts.push(format!("DTMF events replaced ({})", rule.name())),
    }
    if let Some((_, after)) = rules.withhold.digits.until {
        parts.push(format!("for some time, then {}", after.name()));
    }
    if rules.change.drop_feedback {
        parts.push("without feedback (its profile has none)".to_owned());
    }
    if !rules.change.silence.is_empty() {
        parts.push("silenced".to_owned());
    }
    if let Some(conversion) = rules.conversion.as_deref() {
        parts.push(conversion::text(conversion));
    }
    if let Some(extensions) = &rules.change.extensions {
        let both = extensions.sender.intersection(extensions.receiver);
        let ids: Vec<String> = both.iter().map(|id| id.to_string()).collect();
        parts.push(match ids.is_empty() {
            true => "without the sender's header extensions".to_owned(),
            false => format!("header extensions {} alone", ids.join(" ")),
        });
        if let Some(mid) = &extensions.mid {
            parts.push(format!("with its own mid as header extension {}", mid.id));
        }
    }
    parts.join(", ")
}

fn numbers(types: PayloadTypes) -> String {
    let numbers = (0..128).filter(|number| types.contains(*number));
    let numbers: Vec<String> = numbers.map(|number: u8| number.to_string()).collect();
    numbers.join(" ")
}
