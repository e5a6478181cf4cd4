//! Comfort noise and events of the receiver's list: one per clock of its codecs.

use super::CodecSpec;
use super::offer::Build;
use crate::catalogue::{self, CodecId};
use crate::format::Format;

/// How a codec left the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// By `all`: `transcode` brings the offerer's own back.
    ByAll,
    /// By its name, or by `full`: `transcode` adds a new one.
    ByName,
}

const KINDS: [CodecId; 2] = [CodecId::ComfortNoise, CodecId::TelephoneEvent];

/// Which supplemental codecs were in the list before anything was added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Had([bool; 2]);

impl Had {
    pub(super) fn of(list: &[Format]) -> Self {
        Self(KINDS.map(|kind| list.iter().any(|format| format.id() == Some(kind))))
    }
}

/// Takes out what has no codec left, adds what added codecs need, and sorts the end of the list.
pub(super) fn complete(build: &mut Build<'_>, had: Had) {
    drop_orphans(build);
    let mut explicit = Vec::new();
    build.shown.retain(|shown| {
        let is_explicit = shown.is_added && shown.format.is_supplemental();
        if is_explicit {
            explicit.push(shown.clone());
        }
        !is_explicit
    });
    if !build.shown.iter().any(|shown| shown.is_added) && explicit.is_empty() {
        return;
    }
    // Explicit ones keep their numbers while others are given out.
    let kept = build.shown.len();
    build.shown.extend(explicit);
    synthesise(build, had, kept);
    build.shown.sort_by_key(|shown| {
        let format = &shown.format;
        let rank = match (format.id(), shown.is_added) {
            (Some(CodecId::ComfortNoise), true) if is_named(build.options, format) => 1,
            (Some(CodecId::TelephoneEvent), true) if is_named(build.options, format) => 4,
            _ if !format.is_supplemental() => 0,
            (_, true) => 2,
            (_, false) => 3,
        };
        let clock = if rank == 2 { format.clock } else { 0 };
        (rank, clock, rank == 2 && format.is_event())
    });
}

/// Whether `transcode` names this supplemental itself: with its clock, or the first of its kind.
fn is_named(options: &super::Options, format: &Format) -> bool {
    options.transcode.iter().any(|spec| {
        let default = catalogue::by_name(&spec.name).map(|def| def.default_clock);
        spec.name.eq_ignore_ascii_case(&format.name) && spec.clock.or(default) == Some(format.clock)
    })
}

/// Removing the last codec of a clock takes its events and noise along.
fn drop_orphans(build: &mut Build<'_>) {
    let clocks: Vec<u32> = build
        .removed
        .iter()
        .filter(|(format, _)| !format.is_supplemental())
        .map(|(format, _)| format.clock)
        .collect();
    let audio: Vec<u32> = build
        .shown
        .iter()
        .filter(|shown| !shown.format.is_supplemental())
        .map(|shown| shown.format.clock)
        .collect();
    if audio.is_empty() {
        return;
    }
    build.shown.retain(|shown| {
        let clock = shown.format.clock;
        let is_orphan = clocks.contains(&clock) && !audio.contains(&clock);
        !shown.format.is_supplemental() || shown.is_added || !is_orphan
    });
}

fn synthesise(build: &mut Build<'_>, had: Had, kept: usize) {
    let audio = build
        .shown
        .iter()
        .take(kept)
        .filter(|shown| !shown.format.is_supplemental());
    let mut clocks: Vec<(u32, bool)> = audio
        .map(|shown| (shown.format.clock, shown.is_added))
        .collect();
    // Those of added codecs first, so that a clock counts as added if any codec of it is.
    clocks.sort_by_key(|(clock, is_added)| (*clock, !is_added));
    clocks.dedup_by_key(|(clock, _)| *clock);
    for (clock, is_added) in clocks {
        for (kind, had) in KINDS.into_iter().zip(had.0) {
            let is_wanted = build.explicit.contains(&kind) || had && is_added;
            let is_there = build
                .shown
                .iter()
                .any(|shown| shown.format.id() == Some(kind) && shown.format.clock == clock);
            if !is_wanted || is_there {
                continue;
            }
            let def = catalogue::of(kind);
            let name = build.list.iter().find(|format| format.id() == Some(kind));
            let format = Format {
                payload_type: 0,
                name: name
                    .map_or(def.name, |format| format.name.as_str())
                    .to_owned(),
                clock,
                channels: 1,
                fmtp: def.default_fmtp().unwrap_or_default().to_owned(),
            };
            build.add(format, &CodecSpec::default());
        }
    }
}
