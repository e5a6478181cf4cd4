//! Log lines of a call at its end (spec: media-behaviour §16).

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use super::model::call::{Call, Now};
use super::model::leg::Leg;
use super::model::media::{Media, Port};
use super::query::{PacketClock, codec_in_use, heard, ports_of};
use crate::flow::Component;

/// Marks around addresses and tags in the log, so that they can be masked later
/// (`--log-mark-prefix`, `--log-mark-suffix`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Before them.
    pub prefix: String,
    /// After them.
    pub suffix: String,
}

impl Marks {
    fn around(&self, value: &str) -> String {
        format!("{}{value}{}", self.prefix, self.suffix)
    }
}

impl Call {
    /// One line per party, media and stream.
    pub(crate) fn final_stats(&self, now: Now, clock: PacketClock, marks: &Marks) -> Vec<String> {
        let mut lines = vec!["Final packet stats:".to_owned()];
        for leg in &self.legs {
            lines.push(leg_line(leg, now, marks));
            for (media, index) in leg.medias.iter().zip(1_usize..) {
                lines.push(media_line(media, index));
                let ports = ports_of(media);
                lines
                    .extend(ports.map(|(port, component)| {
                        stream_line(media, port, component, clock, marks)
                    }));
            }
        }
        lines
    }
}

fn leg_line(leg: &Leg, now: Now, marks: &Marks) -> String {
    let age = now
        .instant
        .saturating_duration_since(leg.created.instant)
        .as_secs();
    let tag = leg
        .tag
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let branch = leg
        .branch
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let label = match &leg.label {
        Some(label) => format!(" (label '{label}')"),
        None => String::new(),
    };
    let (minutes, seconds) = (age / 60, age % 60);
    let (tag, branch) = (marks.around(&tag), marks.around(&branch));
    format!("--- Tag '{tag}'{label}, created {minutes}:{seconds:02} ago for branch '{branch}'")
}

fn media_line(media: &Media, index: usize) -> String {
    let codec = codec_in_use(media);
    let codec = codec.map(|codec| String::from_utf8_lossy(&codec).into_owned());
    let codec = codec.as_deref().unwrap_or("unknown codec");
    let (kind, transport) = (&media.kind_text, &media.transport);
    format!("------ Media #{index} ({kind} over {transport}) using {codec}")
}

fn stream_line(
    media: &Media,
    port: &Port,
    component: Component,
    clock: PacketClock,
    marks: &Marks,
) -> String {
    let stats = &port.stats;
    let signalled = media.endpoint.map(|endpoint| match component {
        Component::Rtp => endpoint.rtp,
        Component::Rtcp => endpoint.rtcp,
    });
    let remote = stats.peer().destination.or(signalled);
    let remote = remote.map_or_else(|| padded("", 0), address);
    let (local, remote) = (address(port.local), marks.around(&remote));
    let mark = match component {
        Component::Rtp => "",
        Component::Rtcp => " (RTCP)",
    };
    let ssrc = heard(port)
        .next()
        .map_or(0, |source| source.ssrc.load(Relaxed));
    let ssrc = marks.around(&format!("{ssrc:x}"));
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
    format!(
        "--------- Port {local} <> {remote}{mark}, SSRC {ssrc}, in {} p, {} b, {} e, {} ts, out {} p, {} b, {} e",
        read(&stats.packets_in),
        read(&stats.bytes_in),
        read(&stats.errors_in),
        clock.unix_seconds(read(&stats.last_packet_ms)),
        read(&stats.packets_out),
        read(&stats.bytes_out),
        read(&stats.errors_out),
    )
}

/// An address in the columns that readers of such logs know.
fn address(address: SocketAddr) -> String {
    padded(&address.ip().to_string(), address.port())
}

fn padded(ip: &str, port: u16) -> String {
    format!("{ip:>15}:{port:<5}")
}
