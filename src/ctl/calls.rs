//! `call`, `debug`, `terminate`, and the texts that describe calls.

use std::fmt::Write as _;
use std::net::SocketAddr;

use windlass_ng::CallId;

use super::{Fault, NO_READER, NOT_ALL, Printed, Role, Scene};
use crate::call::{CallSummary, CallView, PartyKind, PartyView, StreamView, Whose};

impl Scene<'_> {
    /// `list sessions …`.
    pub(super) fn sessions(self, words: &[&str]) -> Printed {
        let Some(&first) = words.first() else {
            return Err(Fault::Incomplete);
        };
        match whose(words) {
            Some(_) if self.role == Role::Stranger => Ok(format!("{NO_READER}\n")),
            Some(whose) => {
                let calls = self.calls.summaries();
                let meant = calls.iter().filter(|call| whose.includes(call.is_foreign));
                let lines: String = meant.map(line).collect();
                Ok(match (lines.is_empty(), whose) {
                    (false, _) => lines,
                    (true, Whose::All) => "No sessions on this media relay.\n".to_owned(),
                    (true, _) => format!("No {first} sessions on this media relay.\n"),
                })
            }
            None => {
                let id = words.join(" ");
                let view = self.calls.view(&CallId::from(id.as_str()), self.now);
                Ok(match view {
                    Some(view) => info(&view),
                    None => format!("\nCall ID not found ({id}).\n\n"),
                })
            }
        }
    }

    /// `terminate CALLID|all|own|foreign`.
    pub(super) fn terminate(self, words: &[&str]) -> Printed {
        let Some(&first) = words.first() else {
            return Err(Fault::Incomplete);
        };
        match whose(words) {
            Some(_) if self.role == Role::Stranger => Ok(format!("{NOT_ALL}\n")),
            Some(whose) => {
                self.calls.end_those(whose, self.now);
                Ok(match whose {
                    Whose::All => "All calls terminated by operator.\n".to_owned(),
                    _ => format!("All {first} calls terminated by operator.\n"),
                })
            }
            None => {
                let id = words.join(" ");
                let is_there = self.calls.terminate(&CallId::from(id.as_str()), self.now);
                Ok(match is_there {
                    true => format!("\nCall Id ({id}) successfully terminated by operator.\n\n"),
                    false => format!("\nCall Id not found ({id}).\n\n"),
                })
            }
        }
    }

    /// `active` and `standby`.
    pub(super) fn set_ownership(self, is_ours: bool) -> Printed {
        Ok(match is_ours {
            true => {
                self.calls.take_over_all(self.now);
                "Ok, all calls set to 'owned (active)'\n".to_owned()
            }
            false => {
                self.calls.hand_over_all();
                "Ok, all calls set to 'foreign (standby)'\n".to_owned()
            }
        })
    }

    /// `call CALLID …`.
    pub(super) fn call(self, words: &[&str]) -> Printed {
        let (&text, words) = words.split_first().ok_or(Fault::Incomplete)?;
        let id = CallId::from(text);
        let Some(view) = self.calls.view(&id, self.now) else {
            return Ok(format!("No such call '{text}'\n"));
        };
        let (&command, rest) = words.split_first().ok_or(Fault::Incomplete)?;
        match command {
            "info" => Ok(info(&view)),
            "terminate" => Ok(match self.calls.terminate(&id, self.now) {
                true => format!("\nCall '{text}' terminated.\n\n"),
                false => format!("No such call '{text}'\n"),
            }),
            "debug" => self.set_debug(text, rest),
            "tag" => tag(&view, rest),
            other => Err(Fault::unknown(other, rest)),
        }
    }

    /// `debug CALLID [on|off]`.
    pub(super) fn debug(self, words: &[&str]) -> Printed {
        match words.split_first() {
            None => Ok("No call ID specified\n".to_owned()),
            Some((id, words)) => self.set_debug(id, words),
        }
    }

    fn set_debug(self, id: &str, words: &[&str]) -> Printed {
        let debug = match words {
            [] | ["on", ..] => true,
            ["off", ..] => false,
            [other, ..] => return Ok(format!("Invalid on/off flag ('{other}') specified\n")),
        };
        if !self.calls.set_debug(&CallId::from(id), debug) {
            return Ok(format!("Call ID '{id}' not found\n"));
        }
        let done = if debug { "Enabled" } else { "Disabled" };
        Ok(format!("{done} debugging for call '{id}'\n"))
    }
}

/// Calls that these words select; `None` if the words are a call-id.
fn whose(words: &[&str]) -> Option<Whose> {
    match words {
        ["all"] => Some(Whose::All),
        ["foreign"] => Some(Whose::Foreign),
        ["own"] => Some(Whose::Own),
        _ => None,
    }
}

/// `call CALLID tag TAG …`.
fn tag(view: &CallView, words: &[&str]) -> Printed {
    let (&tag, words) = words.split_first().ok_or(Fault::Incomplete)?;
    let mut parties = view.parties.iter();
    let Some(party) = parties.find(|party| party.tag.as_deref() == Some(tag)) else {
        return Ok(format!("No such tag '{tag}'\n"));
    };
    match words {
        [] | ["delay" | "detect-dtmf"] => Err(Fault::Incomplete),
        ["info"] => {
            let mut out = String::new();
            write_party(party, &mut out);
            Ok(out)
        }
        ["delay", milliseconds] => Ok(match milliseconds.parse::<u32>() {
            Ok(0) => "Setting delay to 0\n".to_owned(),
            Ok(_) => "Media cannot be delayed: there is no jitter buffer.\n".to_owned(),
            Err(_) => format!("Fail setting delay to {milliseconds}; no digits found\n"),
        }),
        ["detect-dtmf", "0" | "off"] => Ok("Disabling audio DTMF detection\n".to_owned()),
        ["detect-dtmf", "1" | "on"] => {
            Ok("Tones cannot be detected: audio is not decoded.\n".to_owned())
        }
        [other, rest @ ..] => Err(Fault::unknown(other, rest)),
    }
}

fn line(call: &CallSummary) -> String {
    format!(
        "ID: {:>60} | del:{} | creat:{:>12} | prx:{} | redis:-1 | frgn:{} | rec:{}\n",
        call.id.to_string(),
        letter(call.is_deleted),
        call.created_s,
        call.proxy,
        letter(call.is_foreign),
        letter(call.is_recording),
    )
}

fn letter(is_so: bool) -> char {
    if is_so { 'y' } else { 'n' }
}

fn info(view: &CallView) -> String {
    let call = &view.summary;
    let word = |is_so: bool| if is_so { "yes" } else { "no" };
    let mut out = format!(
        "\ncallid: {}\ndeletionmark: {}\ncreated: {}\nproxy: {}\ntos: {}\nlast_signal: {}\n\
         redis_keyspace: -1\nlast redis update: 0\nforeign: {}\nrecording: {}\n\n",
        call.id,
        word(call.is_deleted),
        call.created_s,
        call.proxy,
        view.tos,
        view.last_signal_s,
        word(call.is_foreign),
        word(call.is_recording),
    );
    for party in &view.parties {
        write_party(party, &mut out);
    }
    out.push('\n');
    out
}

fn write_party(party: &PartyView, out: &mut String) {
    let kind = match party.kind {
        PartyKind::Caller => "FROM_TAG",
        PartyKind::Callee => "TO_TAG",
        PartyKind::Unknown => "UNKNOWN",
    };
    let _ = writeln!(
        out,
        "--- Tag '{}', type: {kind}, label '{}', branch '{}', callduration {}.{:06}",
        party.tag.as_deref().unwrap_or_default(),
        party.label,
        party.branch,
        party.duration.as_secs(),
        party.duration.subsec_micros(),
    );
    for (how, peers) in [
        ("subscribed to", &party.hears),
        ("subscription of", &party.heard_by),
    ] {
        for (tag, index) in peers {
            let media = format!("media with monologue tag '{tag}' (index: {index})");
            let _ = writeln!(out, "---     {how} {media}");
        }
    }
    for media in &party.medias {
        let codec = media.codec.as_deref().unwrap_or("unknown codec");
        let (index, kind, protocol) = (media.index, &media.kind, &media.protocol);
        let _ = writeln!(
            out,
            "------ Media #{index} ({kind} over {protocol}) using {codec}"
        );
        for stream in &media.streams {
            write_stream(stream, out);
        }
    }
}

fn write_stream(stream: &StreamView, out: &mut String) {
    let address = |address: Option<SocketAddr>| match address {
        Some(address) => (address.ip().to_string(), address.port()),
        None => (String::new(), 0),
    };
    let (local, local_port) = address(Some(stream.local));
    let (remote, remote_port) = address(stream.remote);
    let rtcp = if stream.is_rtcp { " (RTCP)" } else { "" };
    let _ = writeln!(
        out,
        "-------- Port {local:>15}:{local_port:<5} <> {remote:>15}:{remote_port:<5}{rtcp}, \
         SSRC {:x}, {} p, {} b, {} e, {} uts 0 kts",
        stream.ssrc, stream.packets, stream.bytes, stream.errors, stream.last_s,
    );
}
