//! The codecs of a line: what each party is shown, and what is agreed (spec: ng-protocol §8.7,
//! media-services §3, sdp-rewriting §12). The rules are those of [`windlass_audio::negotiate`]; here
//! are a request's options, and the lists of SDP.

use windlass_audio::format::Format;
use windlass_audio::negotiate::{
    self, AnswerOptions, CodecSpec as Named, Offer, Options, Preference, Support,
};
use windlass_ng::Request;
use windlass_ng::request::CodecSpec;
use windlass_sdp::{Codec, MediaKind};

use super::MediaExchange;
use super::extensions::is_named;
use crate::call::model::call::Call;
use crate::call::model::codecs::{Codecs, Times, Wish};
use crate::call::model::dialogue::{Parties, Role};
use crate::call::model::media::{Media, Said};
use crate::limits::AUDIO_CHAINS_PER_CALL;

/// What signalling knows of decoded audio: which codecs are there, and how they are to be used.
#[derive(Clone, Debug)]
pub struct AudioDefaults {
    /// The codecs that can be converted.
    pub support: Support,
    /// Which conversions are liked (`transcode-config`).
    pub preferences: Vec<Preference>,
    /// Samples that are nearer to 0 than this are silence; 0: nothing is (`silence-detect`).
    pub silence_below: u16,
    /// What comfort noise of ours says (`cn-payload`).
    pub noise: Vec<u8>,
    /// Audio that arrives during an event goes on (`dtmf-no-suppress`).
    pub keep_audio_in_events: bool,
    /// Timestamps that leave jump over lost packets, too.
    pub timestamp_gaps: bool,
    /// Directions of one call that are converted at a time; further ones pass as they are.
    pub max_chains: u32,
}

impl Default for AudioDefaults {
    fn default() -> Self {
        Self {
            support: Support::default(),
            preferences: Vec::new(),
            silence_below: 0,
            noise: vec![32],
            keep_audio_in_events: false,
            timestamp_gaps: false,
            max_chains: AUDIO_CHAINS_PER_CALL,
        }
    }
}

impl MediaExchange<'_> {
    /// Applies the request's codec options to the line. `before` is what the sender said of it last.
    pub(super) fn negotiate_codecs(&mut self, before: Option<&Before>) {
        let options = &self.request.extmap;
        let mut extensions = self.description.extmaps.iter();
        let is_hidden =
            |extmap| is_named(extmap, &options.strip) || is_named(extmap, &options.mask);
        let is_offer = self.role == Role::Offer;
        if is_offer && self.sender.is_passed_through() && extensions.any(is_hidden) {
            tracing::warn!("header extensions are left out of SDP alone: packets pass unread");
        }
        if !self.description.transport.is_rtp() || !self.receiver.transport.is_rtp() {
            return;
        }
        match self.role {
            Role::Offer => self.offer_codecs(before),
            Role::Answer => self.answer_codecs(),
        }
        self.note_wishes();
    }

    fn offer_codecs(&mut self, before: Option<&Before>) {
        let is_asked = asks_for_codecs(self.request) || self.by_relay;
        if !is_asked && self.receiver.codecs().is_none() {
            return;
        }
        let own = self.receiver.said.as_ref().and_then(Said::read);
        let own = own.map(|own| formats(&own.codecs)).unwrap_or_default();
        let shown = match self.receiver.codecs() {
            Some(codecs) if !codecs.shown.is_empty() => codecs.shown.clone(),
            _ => before.map(|before| before.shown(&own)).unwrap_or_default(),
        };
        // A party that deals with the relay alone is shown each offer as if it were the first.
        let known = match self.by_relay {
            true => negotiate::Before::default(),
            false => negotiate::Before {
                receiver: &own,
                shown: &shown,
            },
        };
        let list = formats(&self.description.codecs);
        let options = options_of(self.request, self.description.kind);
        let offer = negotiate::offer(&list, &options, known, &self.support);
        if offer.was_restored {
            tracing::warn!("the codec options leave none; all stay");
        }
        for spec in &options.transcode {
            let is_meant =
                |shown: &negotiate::Shown| spec.name.eq_ignore_ascii_case(&shown.format.name);
            if !offer.shown.iter().any(is_meant) {
                tracing::warn!(codec = %spec.name, "not added to an offer: it cannot be converted here");
            }
        }
        self.receiver.codecs_mut().offer(offer);
    }

    fn answer_codecs(&mut self) {
        let flags = &self.request.flags;
        let is_known = self.sender.codecs().is_some() || self.receiver.codecs().is_some();
        if !is_known && !flags.force_transcoding() && !flags.inject_dtmf() && !flags.detect_dtmf() {
            return;
        }
        let own = self.receiver.said.as_ref().and_then(Said::read);
        let offered = self.sender.codecs().and_then(Codecs::answerable);
        let offered = offered
            .or_else(|| Some(Offer::plain(&formats(&own.as_ref()?.codecs))))
            .unwrap_or_default();
        let shown = codecs_of(&offered.receiver_list(), &[]);
        let list = explained(&self.description.codecs, &shown);
        let list = formats(&filtered(&list, self.request));
        let mut offered = offered;
        if flags.allow_transcoding() {
            // A subscriber may take what it was not offered.
            let more = list.iter().filter(|format| self.support.converts(format));
            offered.shown.extend(more.map(negotiate::Shown::plain));
        }
        let options = AnswerOptions {
            preferences: self.host.defaults.audio.preferences.clone(),
            ..answer_options(self.request)
        };
        let agreement = negotiate::answer(&offered, &list, &options, &self.support);
        if agreement.has_no_partner {
            tracing::warn!(
                "the offerer is answered a codec that it did not offer: nothing converts it"
            );
        }
        let time = |media: Option<&windlass_sdp::Media>, times: Times| Times {
            said: media.and_then(|media| media.ptime),
            maximum: media.and_then(|media| media.maxptime),
            ..times
        };
        let is_agreed = !agreement.answered.is_empty();
        let receiver = self.receiver.codecs_mut();
        receiver.times = time(own.as_ref(), receiver.times);
        receiver.agreed = match is_agreed {
            true => agreement.to_print.clone(),
            false => Vec::new(),
        };
        receiver.shown = agreement.to_print;
        let sender = self.sender.codecs_mut();
        sender.times = time(Some(self.description), sender.times);
        sender.agreed = agreement.answered;
    }

    /// What the request wants of the audio beside the lists.
    fn note_wishes(&mut self) {
        let request = self.request;
        let flags = &request.flags;
        let is_offer = self.role == Role::Offer;
        let forced = [request.ptime_reverse, request.ptime].map(|ptime| ptime.filter(|_| is_offer));
        for (media, forced) in [&mut *self.sender, &mut *self.receiver]
            .into_iter()
            .zip(forced)
        {
            let has_wish = forced.is_some()
                || flags.force_transcoding()
                || flags.inject_dtmf()
                || flags.detect_dtmf();
            if !has_wish && media.codecs().is_none() {
                continue;
            }
            let codecs = media.codecs_mut();
            codecs.times.forced = forced.or(codecs.times.forced);
            codecs.converts_all = flags.force_transcoding()
                || flags.inject_dtmf()
                || codecs.converts_all && !is_offer;
            codecs.detects = flags.detect_dtmf() || codecs.detects;
        }
        // The offerer is sent its own codecs as `set` has them.
        let set = &request.codec.set;
        if is_offer && !set.is_empty() {
            let specs: Vec<Named> = set.iter().map(named).collect();
            let wish = |format: &Format| {
                let spec = specs.iter().find(|spec| spec.matches(format))?;
                Some(Wish {
                    payload_type: format.payload_type,
                    bit_rate: spec.bit_rate,
                    ptime: spec.ptime,
                    options: spec.options.clone(),
                })
            };
            let list = formats(&self.description.codecs);
            self.sender.codecs_mut().wishes = list.iter().filter_map(wish).collect();
        }
    }
}

impl Call {
    /// The codecs that may be converted between two parties with so many lines: none, if others of
    /// the call use up what one call may have.
    pub(super) fn support(&self, parties: Parties, lines: usize, audio: &AudioDefaults) -> Support {
        let others = self.legs.iter().enumerate();
        let others =
            others.filter(|(index, _)| *index != parties.sender && *index != parties.receiver);
        let medias = others.flat_map(|(_, leg)| &leg.medias);
        let is_converted = |media: &&Media| {
            media
                .codecs()
                .is_some_and(|codecs| !codecs.agreed.is_empty())
        };
        let chains = medias
            .filter(is_converted)
            .count()
            .saturating_add(2 * lines);
        match chains > usize::try_from(audio.max_chains).unwrap_or(usize::MAX) {
            true => Support::none(),
            false => audio.support,
        }
    }
}

/// Whether an offer's lists may be other than the offerer's, or what is sent to them.
fn asks_for_codecs(request: &Request) -> bool {
    let flags = &request.flags;
    !request.codec.is_empty()
        || flags.always_transcode()
        || flags.reuse_codecs()
        || flags.static_codecs()
        || request.ptime.is_some()
        || request.ptime_reverse.is_some()
}

/// The options of a request for a media of this type.
fn options_of(request: &Request, kind: MediaKind) -> Options {
    let codec = &request.codec;
    let flags = &request.flags;
    let mut options = Options {
        allow_no_codec: flags.allow_no_codec_media(),
        reuse: flags.reuse_codecs(),
        keep_static: flags.static_codecs(),
        ..Options::default()
    };
    // Options that convert are about audio, and others beside them, too.
    if kind != MediaKind::Audio && !codec.transcode.is_empty() {
        return options;
    }
    let specs = |list: &[CodecSpec]| list.iter().map(named).collect();
    options.strip = specs(&codec.strip);
    options.except = specs(&codec.except);
    options.offer = specs(&codec.offer);
    options.ignore = specs(&codec.ignore);
    options.transcode = specs(&codec.transcode);
    options.mask = specs(&codec.mask);
    options.accept = specs(&codec.accept);
    options.consume = specs(&codec.consume);
    options.set = specs(&codec.set);
    options.always_transcode = flags.always_transcode();
    options
}

fn named(spec: &CodecSpec) -> Named {
    Named {
        name: spec.name.clone(),
        clock: spec.clock_rate,
        // More than any codec has matches none.
        channels: spec
            .channels
            .map(|count| u8::try_from(count).unwrap_or(u8::MAX)),
        bit_rate: spec.bitrate,
        ptime: spec.ptime,
        fmtp: spec.format.clone(),
        options: spec.options.clone(),
    }
}

fn answer_options(request: &Request) -> AnswerOptions {
    let flags = &request.flags;
    AnswerOptions {
        single_codec: flags.single_codec(),
        allow_asymmetric: flags.allow_asymmetric_codecs(),
        force_transcoding: flags.force_transcoding(),
        preferences: Vec::new(),
    }
}

/// What the sender said of the line last.
pub(super) struct Before {
    pub(super) said: Said,
    pub(super) was_answer: bool,
}

impl Before {
    /// What the receiver was shown then, where nothing was kept of it: what the sender offered, or
    /// the answer to the receiver's `own` offer.
    fn shown(&self, own: &[Format]) -> Vec<Format> {
        let Some(said) = self.said.read() else {
            return Vec::new();
        };
        let list = formats(&said.codecs);
        if !self.was_answer || own.is_empty() {
            return list;
        }
        let options = AnswerOptions::default();
        negotiate::answer(&Offer::plain(own), &list, &options, &Support::none()).to_print
    }
}

/// A list of SDP, as negotiation has it.
pub(crate) fn formats(codecs: &[Codec]) -> Vec<Format> {
    codecs.iter().map(format_of).collect()
}

fn format_of(codec: &Codec) -> Format {
    let parameters: Vec<_> = codec.fmtp.iter().map(|text| text.as_str_lossy()).collect();
    Format {
        payload_type: codec.payload_type,
        name: codec.name.as_str_lossy().into_owned(),
        clock: codec.clock_rate,
        channels: codec.channels_or_one(),
        fmtp: parameters.join("; "),
    }
}

/// A negotiated list as SDP prints it: what a party said of a codec stays as it said it.
pub(crate) fn codecs_of(list: &[Format], said: &[&[Codec]]) -> Vec<Codec> {
    let codec = |format: &Format| {
        let known = || said.iter().flat_map(|codecs| codecs.iter());
        if let Some(same) = known().find(|codec| format_of(codec) == *format) {
            return same.clone();
        }
        let is_number = |codec: &&Codec| codec.payload_type == format.payload_type;
        let is_named = |codec: &&Codec| is_number(codec) && format_of(codec).is_named_like(format);
        let mut codec = known().find(is_named).cloned().unwrap_or_else(|| {
            let channels = (format.channels > 1).then_some(format.channels);
            let name = format.name.as_str().into();
            Codec::new(format.payload_type, name, format.clock, channels)
        });
        codec.fmtp.clear();
        if !format.fmtp.is_empty() {
            codec.fmtp.push(format.fmtp.as_str().into());
        }
        codec
    };
    list.iter().map(codec).collect()
}

/// The codecs of an offer of the relay's own, from those that it would have. Empty: none is left,
/// and that is what was asked for (`allow-no-codec-media`).
pub(crate) fn offered_codecs(
    input: &[Codec],
    request: &Request,
    kind: MediaKind,
    support: &Support,
) -> Vec<Codec> {
    let options = options_of(request, kind);
    let offer = negotiate::offer(
        &formats(input),
        &options,
        negotiate::Before::default(),
        support,
    );
    codecs_of(&offer.receiver_list(), &[input])
}

/// The codecs that a publisher is to send (ng-protocol §5, Publish codec choice): the first of its
/// `accept` list that it offers, else the first that a codec engine could convert for subscribers;
/// with `any` whatever comes first. The supplementary codecs of its clock rate stay beside it.
/// `all` keeps every convertible codec, with `any` the whole list. `None`: nothing that the media
/// offers is acceptable.
pub(crate) fn published_codecs(
    input: &[Codec],
    request: &Request,
    kind: MediaKind,
) -> Option<Vec<Codec>> {
    // Of what a publisher sends nothing is made here that it does not have.
    let options = Options {
        transcode: Vec::new(),
        accept: Vec::new(),
        ..options_of(request, kind)
    };
    let offer = negotiate::offer(
        &formats(input),
        &options,
        negotiate::Before::default(),
        &Support::none(),
    );
    let offered = codecs_of(&offer.receiver_list(), &[input]);
    let accepted = &request.codec.accept;
    let has = |word: &str| {
        let mut specs = accepted.iter();
        specs.any(|spec| spec.name.eq_ignore_ascii_case(word))
    };
    let is_kept = |codec: &Codec| has("any") || is_convertible(codec) || is_supplementary(codec);
    if has("all")
        && offered
            .iter()
            .any(|codec| is_kept(codec) && !is_supplementary(codec))
    {
        return Some(
            offered
                .iter()
                .filter(|codec| is_kept(codec))
                .cloned()
                .collect(),
        );
    }
    let main = || offered.iter().filter(|codec| !is_supplementary(codec));
    let preferred = accepted
        .iter()
        .find_map(|spec| main().find(|codec| spec_matches(spec, codec)));
    let convertible = || main().find(|codec| has("any") || is_convertible(codec));
    let mut chosen = preferred.or_else(convertible);
    if chosen.is_none() && main().next().is_none() {
        // A media of events alone.
        chosen = offered.first();
    }
    let Some(chosen) = chosen else {
        return offered.is_empty().then(Vec::new);
    };
    let goes_beside =
        |codec: &&Codec| is_supplementary(codec) && codec.clock_rate == chosen.clock_rate;
    let is_kept = |codec: &&Codec| codec.payload_type == chosen.payload_type || goes_beside(codec);
    Some(offered.iter().filter(is_kept).cloned().collect())
}

/// Whether a codec goes beside another one: events, comfort noise, redundancy.
fn is_supplementary(codec: &Codec) -> bool {
    ["telephone-event", "CN", "red"]
        .iter()
        .any(|name| codec.name.eq_ignore_ascii_case(name))
}

/// Whether the reference can decode the codec (media-behaviour §14).
fn is_convertible(codec: &Codec) -> bool {
    const KNOWN: [&str; 23] = [
        "PCMU",
        "PCMA",
        "G722",
        "G723",
        "G729",
        "G729a",
        "opus",
        "speex",
        "GSM",
        "G726-16",
        "G726-24",
        "G726-32",
        "G726-40",
        "L16",
        "telephone-event",
        "CN",
        "red",
        "AMR",
        "AMR-WB",
        "iLBC",
        "EVRC",
        "QCELP",
        "EVS",
    ];
    KNOWN
        .iter()
        .any(|name| codec.name.eq_ignore_ascii_case(name))
}

/// The codecs of an answer for the offerer, where nothing is converted: those common to both, in
/// the answerer's order. If the answerer chose one that was not offered, the offerer's first.
pub(crate) fn answered_codecs(
    answered: &[Codec],
    offered: &[Codec],
    request: &Request,
) -> Vec<Codec> {
    let answered = filtered(&explained(answered, offered), request);
    if offered.is_empty() {
        return answered;
    }
    in_common(&answered, offered, &answer_options(request))
}

/// The codecs that an offer and its answer have in common, as the answer describes them.
pub(crate) fn common_codecs(answered: &[Codec], offered: &[Codec]) -> Vec<Codec> {
    let answered = explained(answered, offered);
    if offered.is_empty() {
        return answered;
    }
    let is_offered = |codec: &Codec| {
        let mut offered = offered.iter();
        offered.any(|other| other.payload_type == codec.payload_type && codec.answers(other))
    };
    // Numbers of the answerer's own count where the offerer took them.
    let options = AnswerOptions {
        allow_asymmetric: !answered.iter().any(is_offered),
        ..AnswerOptions::default()
    };
    in_common(&answered, offered, &options)
}

/// What of an answer was offered; the first codec of the offer, if nothing was.
fn in_common(answered: &[Codec], offered: &[Codec], options: &AnswerOptions) -> Vec<Codec> {
    let offer = Offer::plain(&formats(offered));
    let list = formats(answered);
    let agreement = negotiate::answer(&offer, &list, options, &Support::none());
    codecs_of(&agreement.to_print, &[answered, offered])
}

/// The codecs of an answer, with what the offer says of their payload types where the answer says
/// nothing: phones leave out the rtpmap of what was just offered to them.
fn explained(answered: &[Codec], offered: &[Codec]) -> Vec<Codec> {
    let explain = |codec: &Codec| {
        let mut codec = codec.clone();
        let same = |other: &&Codec| other.payload_type == codec.payload_type;
        if !codec.is_known()
            && let Some(offer) = offered.iter().find(same)
        {
            codec.name.clone_from(&offer.name);
            (codec.clock_rate, codec.channels) = (offer.clock_rate, offer.channels);
        }
        codec
    };
    answered.iter().map(explain).collect()
}

/// `strip` and `offer` of an answer.
fn filtered(answered: &[Codec], request: &Request) -> Vec<Codec> {
    let options = &request.codec;
    if options.strip.is_empty() {
        return answered.to_vec();
    }
    let strips_all = options.strip.iter().any(CodecSpec::is_all);
    let is_left = |codec: &&Codec| {
        !matches_any(&options.strip, codec) && (!strips_all || matches_any(&options.except, codec))
    };
    let mut left: Vec<Codec> = answered.iter().filter(is_left).cloned().collect();
    for spec in &options.offer {
        for codec in answered.iter().filter(|codec| spec_matches(spec, codec)) {
            if !left
                .iter()
                .any(|known| known.payload_type == codec.payload_type)
            {
                left.push(codec.clone());
            }
        }
    }
    restored(left, answered, request)
}

/// An operation that leaves nothing is undone, unless the request says that it may.
fn restored(left: Vec<Codec>, input: &[Codec], request: &Request) -> Vec<Codec> {
    if !left.is_empty() || request.flags.allow_no_codec_media() {
        return left;
    }
    if !input.is_empty() {
        tracing::warn!("the codec options leave none; all stay");
    }
    input.to_vec()
}

fn matches_any(specs: &[CodecSpec], codec: &Codec) -> bool {
    specs.iter().any(|spec| spec_matches(spec, codec))
}

fn spec_matches(spec: &CodecSpec, codec: &Codec) -> bool {
    spec.matches(
        &codec.name.as_str_lossy(),
        codec.clock_rate,
        u32::from(codec.channels_or_one()),
    )
}
