//! From the receiver's answer to the offerer's list.

use super::routes::{self, Route};
use super::{Offer, Offered, Preference, Support};
use crate::catalogue::CodecId;
use crate::fmtp;
use crate::format::Format;

/// What a request says of an answer.
#[derive(Clone, Debug, Default)]
pub struct AnswerOptions {
    /// `single-codec`: the first codec only, with its supplementals.
    pub single_codec: bool,
    /// `allow-asymmetric-codecs`: a codec counts under another number, too.
    pub allow_asymmetric: bool,
    /// `force-transcoding`: equal codecs are converted as well.
    pub force_transcoding: bool,
    /// `transcode-config`.
    pub preferences: Vec<Preference>,
}

/// What two parties have agreed on for a media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// What the offerer is shown, in the order of the `m=` line.
    pub to_print: Vec<Format>,
    /// What the receiver has answered, as far as it was offered it (A).
    pub answered: Vec<Format>,
    /// What becomes of the offerer's packets, per payload type that it may send.
    pub to_receiver: Vec<Route>,
    /// What becomes of the receiver's packets.
    pub to_offerer: Vec<Route>,
    /// The receiver chose a codec of its own that nothing converts: worth a warning.
    pub has_no_partner: bool,
}

/// The codecs of an answer to [`Offer`].
pub fn answer(
    offer: &Offer,
    list: &[Format],
    options: &AnswerOptions,
    support: &Support,
) -> Agreement {
    let mut answered = restricted(offer, list, options);
    if !offer.may_convert() {
        return common(offer, answered, options, support);
    }
    let has_audio = answered.iter().any(|format| !format.is_supplemental());
    let mut agreement = Agreement::default();
    if !has_audio && !answered.is_empty() && offer.offered.iter().any(is_audio) {
        // Events alone carry no call: as if nothing had been answered.
        answered.clear();
    }
    if answered.is_empty() {
        agreement.to_print = offer
            .offered
            .first()
            .map(|o| o.format.clone())
            .into_iter()
            .collect();
        return agreement;
    }
    let mut print: Vec<Format> = Vec::new();
    let main = main_codecs(
        offer,
        &answered,
        options,
        support,
        &mut agreement.has_no_partner,
    );
    for format in main {
        if !print
            .iter()
            .any(|known| known.payload_type == format.payload_type)
        {
            print.push(format);
        }
    }
    if options.single_codec {
        print.truncate(1);
    }
    let supplementals = supplementals(offer, &answered, &print, options.single_codec);
    print.extend(supplementals);
    agreement.to_receiver = routes::routes(&print, &answered, options.force_transcoding, support);
    agreement.to_offerer = routes::routes(&answered, &print, options.force_transcoding, support);
    agreement.to_print = print;
    agreement.answered = answered;
    agreement
}

/// An answer that nothing is to be converted for: what both have, as the receiver says it; else
/// the offerer's first codec.
fn common(
    offer: &Offer,
    answered: Vec<Format>,
    options: &AnswerOptions,
    support: &Support,
) -> Agreement {
    let mut print = answered;
    if print.is_empty() {
        let mut offered = offer.offered.iter().map(|entry| entry.format.clone());
        return Agreement {
            to_print: offered.next().into_iter().collect(),
            ..Agreement::default()
        };
    }
    let mut audio = print.iter().filter(|format| !format.is_supplemental());
    if let Some(first) = audio.next().filter(|_| options.single_codec).cloned() {
        print.retain(|format| {
            format.payload_type == first.payload_type
                || format.is_supplemental() && format.clock == first.clock
        });
    }
    let force = options.force_transcoding;
    let both = routes::routes(&print, &print, force, support);
    Agreement {
        to_receiver: both.clone(),
        to_offerer: both,
        answered: print.clone(),
        to_print: print,
        has_no_partner: false,
    }
}

fn is_audio(offered: &Offered) -> bool {
    !offered.format.is_supplemental()
}

/// A: what of an answer was offered, under its number.
fn restricted(offer: &Offer, list: &[Format], options: &AnswerOptions) -> Vec<Format> {
    let is_offered = |format: &&Format| {
        offer.shown.iter().any(|shown| {
            let is_number = shown.format.payload_type == format.payload_type;
            // What has no name is known by its number alone.
            let is_found = is_number || options.allow_asymmetric && !format.name.is_empty();
            is_found && fmtp::answers(format, &shown.format)
        })
    };
    list.iter().filter(is_offered).cloned().collect()
}

/// What the offerer is shown of codecs that carry audio, in the order of the answer.
fn main_codecs(
    offer: &Offer,
    answered: &[Format],
    options: &AnswerOptions,
    support: &Support,
    has_no_partner: &mut bool,
) -> Vec<Format> {
    let audio = || answered.iter().filter(|format| !format.is_supplemental());
    let usable = || {
        let offered = offer.offered.iter().filter(|entry| is_audio(entry));
        offered.filter(|entry| support.converts(&entry.format))
    };
    let forced = if offer.is_static {
        usable().next()
    } else {
        usable().find(|entry| entry.is_used)
    };
    if let Some(forced) = forced {
        let same = audio().find(|format| is_same(format, &forced.format));
        return vec![
            same.cloned()
                .unwrap_or_else(|| as_partner(&forced.format, audio().next())),
        ];
    }
    let main = audio().map(|format| {
        let own = offer
            .offered
            .iter()
            .any(|entry| is_same(format, &entry.format));
        if own {
            return format.clone();
        }
        let liking = |entry: &&Offered| {
            let mut lines = options.preferences.iter().filter(|line| {
                line.source.matches(&entry.format) && line.destination.matches(format)
            });
            lines.next().map_or(0, |line| line.preference)
        };
        // The last of equals is what `max_by_key` takes, so they are counted backwards.
        let usable: Vec<&Offered> = usable().collect();
        let partner = usable.into_iter().rev().max_by_key(liking);
        partner.map_or_else(
            || {
                *has_no_partner = true;
                format.clone()
            },
            |partner| as_partner(&partner.format, Some(format)),
        )
    });
    main.collect()
}

/// A codec of the answer is one of the offer: passed through.
fn is_same(answered: &Format, offered: &Format) -> bool {
    answered.payload_type == offered.payload_type && fmtp::answers(answered, offered)
}

/// The offerer's codec, as we answer it for ourselves.
fn as_partner(offered: &Format, partner: Option<&Format>) -> Format {
    let mut format = offered.clone();
    if format.id() == Some(CodecId::Opus) {
        let channels = partner.map_or(1, |partner| partner.channels);
        format.fmtp = fmtp::opus::Parameters::parse(&format.fmtp)
            .answer(channels)
            .print();
    }
    format
}

/// The offerer's noise and events for the clock of what it is shown: if the receiver took any of
/// that kind, or the options ask for them.
fn supplementals(
    offer: &Offer,
    answered: &[Format],
    print: &[Format],
    is_single: bool,
) -> Vec<Format> {
    let clocks: Vec<u32> = print.iter().map(|format| format.clock).collect();
    let is_taken = |entry: &&Offered| {
        let format = &entry.format;
        let kind = format.id();
        let has_kind = answered.iter().any(|answer| answer.id() == kind);
        format.is_supplemental() && (entry.is_used || has_kind)
    };
    let taken: Vec<&Offered> = offer.offered.iter().filter(is_taken).collect();
    let has_clock = |entry: &&&Offered| clocks.contains(&entry.format.clock);
    let passed = |entry: &Offered| {
        let mut answered = answered.iter();
        answered.find(|format| is_same(format, &entry.format))
    };
    let kept = taken.iter().filter(|entry| {
        let is_passed = !is_single && passed(entry).is_some();
        has_clock(entry) || is_passed
    });
    // What passes is printed as the receiver says it.
    let kept = kept.map(|entry| passed(entry).unwrap_or(&entry.format).clone());
    let mut kept: Vec<Format> = kept.collect();
    kept.sort_by_key(Format::is_event);
    kept
}
