//! Parts of a request that were not understood, and parts without effect in this build.

use windlass_ng::request::{Flag, What};
use windlass_ng::{Command, Request};

/// Flags that are understood and change nothing. A line goes when its subject is built.
const IDLE_FLAGS: &[(Flag, &str)] = &[
    (Flag::Symmetric, "it is the default"),
    (Flag::SymmetricCodecs, "it is accepted for old scripts"),
    (Flag::AsymmetricCodecs, "it is accepted for old scripts"),
    (Flag::ReorderCodecs, "it is accepted for old scripts"),
    (Flag::RecordingAnnouncement, NO_CODECS),
    (Flag::SkipRecordingDb, "there is no database of recordings"),
    (Flag::NoRedisUpdate, "calls are not kept in Redis"),
    (Flag::EarlyMedia, NO_CODECS),
    (Flag::Recrypt, "keys are not converted"),
    (Flag::NoJitterBuffer, "there is no jitter buffer"),
    (Flag::Mix, NO_CODECS),
    (Flag::RtcpMirror, "RTCP of a subscriber goes nowhere"),
    (Flag::BlockEgress, NO_CODECS),
];

const NO_CODECS: &str = "there is no player yet";

/// Parts that were not understood, each with the known name that may have been meant.
pub(super) fn ignored(request: &Request) -> Vec<String> {
    let entries = request.ignored.iter().map(|entry| {
        let text = &entry.text;
        // Always done, so it is no mistake to ask for it.
        if matches!(entry.what, What::Value { group: "replace" })
            && text
                .replace(['_', ' '], "-")
                .eq_ignore_ascii_case("session-connection")
        {
            return format!("replace={text}: c= is always replaced");
        }
        let what = match entry.what {
            What::Key => format!("key `{text}`"),
            What::Flag => format!("flag `{text}`"),
            What::Value { group } => format!("value `{text}` of {group}"),
            What::Template => format!("template `{text}`"),
        };
        match (entry.nearest(), entry.what) {
            (_, What::Template) => format!("{what}: it is not configured"),
            (Some(nearest), _) => format!("{what} is unknown; did you mean `{nearest}`?"),
            (None, _) => format!("{what} is unknown"),
        }
    });
    entries.collect()
}

/// Parts that were understood and have no effect.
pub(super) fn idle(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    for (flag, why) in IDLE_FLAGS {
        if request.flags.has(*flag) {
            out.push(format!("flag {}: {why}", words(*flag)));
        }
    }
    media(request, &mut out);
    if request.command == Command::Answer {
        in_answer(request, &mut out);
    }
    out
}

fn media(request: &Request, out: &mut Vec<String>) {
    if request.t38 != windlass_ng::request::T38Options::default() {
        out.push("T38: fax passes as it is, there is no gateway".to_owned());
    }
    if request.audio_player.is_some() {
        out.push(format!("audio-player: {NO_CODECS}"));
    }
    if request.moh.is_some() {
        out.push(format!("moh: {NO_CODECS}"));
    }
    let dtmf = &request.dtmf;
    if dtmf.delay_buffer.is_some() || dtmf.delay.is_some() {
        out.push("delay-buffer, DTMF-delay: audio is not delayed".to_owned());
    }
}

/// Options of offers that an answer leaves as the offer had them.
fn in_answer(request: &Request, out: &mut Vec<String>) {
    let mux = &request.rtcp_mux;
    if mux.offer || mux.require || mux.demux || mux.accept || mux.reject {
        out.push("rtcp-mux: counts in offers; the answer follows its offer".to_owned());
    }
    if request.dtls.role.is_some() {
        out.push("DTLS=active, DTLS=passive: count in offers".to_owned());
    }
}

/// A flag as it is written.
fn words(flag: Flag) -> String {
    let name = format!("{flag:?}");
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
