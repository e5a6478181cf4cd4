//! From the offerer's list to the receiver's.

use super::supplemental::{self, Removed};
use super::{Before, CodecSpec, Offer, Offered, Options, Shown, Support};
use crate::catalogue::CodecId;
use crate::fmtp;
use crate::format::Format;

/// The codecs of an offer of one media. `before` is what an earlier exchange left.
pub fn offer(list: &[Format], options: &Options, before: Before<'_>, support: &Support) -> Offer {
    let offered = marked(list, options);
    if options.keep_static && !before.shown.is_empty() {
        return kept(offered, before);
    }
    let mut build = Build {
        list,
        options,
        before,
        support,
        shown: list.iter().map(Shown::plain).collect(),
        removed: Vec::new(),
        explicit: Vec::new(),
    };
    build.remove();
    build.bring_back();
    let had = supplemental::Had::of(&build.formats());
    build.transcode();
    supplemental::complete(&mut build, had);
    if options.reuse {
        build.reuse();
    }
    let was_restored = build.shown.is_empty() && !list.is_empty() && !options.allow_no_codec;
    if was_restored {
        build.shown = list.iter().map(Shown::plain).collect();
    }
    build.set();
    Offer {
        offered,
        shown: build.shown,
        was_restored,
        is_static: false,
    }
}

/// O with its marks.
fn marked(list: &[Format], options: &Options) -> Vec<Offered> {
    let named =
        |specs: &[CodecSpec], format: &Format| specs.iter().any(|spec| spec.matches(format));
    let everything = options.always_transcode
        || [&options.accept, &options.consume]
            .iter()
            .any(|specs| specs.iter().any(|spec| spec.is_all() || spec.is_full()));
    let kept = list.iter().filter(|format| !named(&options.ignore, format));
    let mut offered: Vec<Offered> = kept
        .map(|format| Offered {
            format: format.clone(),
            is_used: everything || named(&options.consume, format),
        })
        .collect();
    for spec in &options.accept {
        let mut meant = offered
            .iter_mut()
            .filter(|entry| is_accepted(spec, &entry.format));
        if spec.fmtp.is_empty() {
            meant.for_each(|entry| entry.is_used = true);
        } else if let Some(first) = meant.next() {
            first.is_used = true;
        }
    }
    offered
}

fn is_accepted(spec: &CodecSpec, format: &Format) -> bool {
    let wanted = Format {
        fmtp: spec.fmtp.clone(),
        ..format.clone()
    };
    spec.matches(format) && fmtp::is_acceptable(&wanted, format)
}

/// `static-codecs`.
fn kept(offered: Vec<Offered>, before: Before<'_>) -> Offer {
    let has = |format: &Format| {
        let mut offered = offered.iter().map(|entry| &entry.format);
        offered.any(|known| known.is_entry_like(format))
    };
    let shown = before.shown.iter().map(|format| Shown {
        is_added: !has(format),
        ..Shown::plain(format)
    });
    Offer {
        shown: shown.collect(),
        offered,
        was_restored: false,
        is_static: true,
    }
}

/// R while it is made.
pub(super) struct Build<'a> {
    pub(super) list: &'a [Format],
    pub(super) options: &'a Options,
    pub(super) before: Before<'a>,
    pub(super) support: &'a Support,
    pub(super) shown: Vec<Shown>,
    /// Codecs of the offerer that are gone, and by what.
    pub(super) removed: Vec<(Format, Removed)>,
    /// Supplemental codecs that `transcode` names.
    pub(super) explicit: Vec<CodecId>,
}

impl Build<'_> {
    fn formats(&self) -> Vec<Format> {
        self.shown
            .iter()
            .map(|shown| shown.format.clone())
            .collect()
    }

    /// `strip`, `consume`, `mask` and `except`.
    fn remove(&mut self) {
        let options = self.options;
        let lists = [&options.strip, &options.consume, &options.mask];
        let any =
            |test: &dyn Fn(&CodecSpec) -> bool| lists.iter().any(|list| list.iter().any(test));
        let is_all = any(&CodecSpec::is_all);
        let is_full = any(&CodecSpec::is_full);
        for format in self.list {
            let is_exempt = options.except.iter().any(|spec| spec.matches(format));
            let why = if any(&|spec| spec.matches(format)) {
                Removed::ByName
            } else if is_exempt {
                continue;
            } else if is_full {
                Removed::ByName
            } else if is_all {
                Removed::ByAll
            } else {
                continue;
            };
            self.removed.push((format.clone(), why));
        }
        let removed = &self.removed;
        let is_removed = |shown: &Shown| removed.iter().any(|(format, _)| *format == shown.format);
        self.shown.retain(|shown| !is_removed(shown));
    }

    /// `offer`, in the order of the option.
    fn bring_back(&mut self) {
        for spec in &self.options.offer {
            for format in self.list.iter().filter(|format| spec.matches(format)) {
                self.restore(format);
            }
        }
    }

    fn restore(&mut self, format: &Format) {
        if self.shown.iter().any(|shown| shown.format == *format) {
            return;
        }
        self.removed.retain(|(removed, _)| removed != format);
        self.shown.push(Shown::plain(format));
    }

    fn transcode(&mut self) {
        for spec in &self.options.transcode {
            let Some(wanted) = spec.wanted() else {
                continue;
            };
            if wanted.is_supplemental() {
                self.explicit.extend(wanted.id());
            }
            if wanted.def().is_none_or(|def| !self.support.has(def))
                || self
                    .shown
                    .iter()
                    .any(|shown| fmtp::is_wanted(&wanted, &shown.format))
            {
                continue;
            }
            let from_all = self
                .removed
                .iter()
                .find(|(format, why)| *why == Removed::ByAll && fmtp::is_wanted(&wanted, format));
            if let Some((format, _)) = from_all.cloned() {
                self.restore(&format);
                continue;
            }
            let wanted = if wanted.is_supplemental() && spec.clock.is_none() {
                self.with_clock_in_use(wanted)
            } else {
                wanted
            };
            let fmtp = default_fmtp(&wanted, spec);
            self.add(Format { fmtp, ..wanted }, spec);
        }
    }

    /// Events and noise that are named without a clock have the default one, if a codec of it is
    /// there, else that of the first codec.
    fn with_clock_in_use(&self, wanted: Format) -> Format {
        let mut audio = self
            .shown
            .iter()
            .filter(|shown| !shown.format.is_supplemental());
        let first = audio.clone().next().map(|shown| shown.format.clock);
        let has_default = audio.any(|shown| shown.format.clock == wanted.clock);
        let clock = match first {
            Some(first) if !has_default => first,
            _ => wanted.clock,
        };
        Format { clock, ..wanted }
    }

    /// Adds a codec that the offerer does not have, with a number. None is free: it stays out.
    pub(super) fn add(&mut self, format: Format, spec: &CodecSpec) {
        let Some(payload_type) = self.number(&format) else {
            return;
        };
        self.shown.push(Shown {
            format: Format {
                payload_type,
                ..format
            },
            is_added: true,
            bit_rate: spec.bit_rate,
            ptime: spec.ptime,
            options: spec.options.clone(),
        });
    }

    /// A number: that by which the receiver knows the codec, the assigned one, or the lowest that
    /// is free.
    fn number(&self, format: &Format) -> Option<u8> {
        let is_taken = |number: u8| {
            let mut shown = self.shown.iter();
            shown.any(|shown| shown.format.payload_type == number)
        };
        let is_foreign = |number: u8| {
            let mut receiver = self.before.receiver.iter();
            receiver.any(|known| known.payload_type == number && !known.is_named_like(format))
        };
        let mut receiver = self.before.receiver.iter();
        let known = receiver.find(|known| known.is_named_like(format));
        let assigned = format.def().and_then(|def| match def.id {
            // The reference offers mono under the number of stereo; the rtpmap says which it is.
            CodecId::L16 if (format.clock, format.channels) == (44_100, 1) => Some(10),
            _ => def.static_type(format.clock, format.channels),
        });
        let favourites = [known.map(|known| known.payload_type), assigned];
        let mut numbers = favourites.into_iter().flatten().chain(96..=127);
        numbers.find(|number| !is_taken(*number) && !is_foreign(*number))
    }

    /// `reuse-codecs`: what the receiver has already comes first, in its order.
    fn reuse(&mut self) {
        let receiver = self.before.receiver;
        let place = |shown: &Shown| {
            let mut known = receiver.iter();
            let known = known.position(|known| known.is_entry_like(&shown.format));
            // Events and noise stay behind all audio.
            (shown.format.is_supplemental(), known.unwrap_or(usize::MAX))
        };
        self.shown.sort_by_key(place);
    }

    /// `set`: for codecs whose options nothing else names.
    fn set(&mut self) {
        for shown in &mut self.shown {
            let mut specs = self.options.set.iter();
            let Some(spec) = specs.find(|spec| spec.matches(&shown.format)) else {
                continue;
            };
            shown.bit_rate = shown.bit_rate.or(spec.bit_rate);
            shown.ptime = shown.ptime.or(spec.ptime);
            if shown.options.is_empty() {
                shown.options.clone_from(&spec.options);
            }
        }
    }
}

/// The parameters of an added codec: those of the option, else the codec's own. Options for the
/// encoder of Opus leave it without, as the reference has it.
fn default_fmtp(wanted: &Format, spec: &CodecSpec) -> String {
    if !spec.fmtp.is_empty() {
        return spec.fmtp.clone();
    }
    let Some(def) = wanted.def() else {
        return String::new();
    };
    if def.id == CodecId::Opus && !spec.options.is_empty() {
        return String::new();
    }
    def.default_fmtp().unwrap_or_default().to_owned()
}
