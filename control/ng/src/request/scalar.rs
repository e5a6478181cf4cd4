//! Keys with a single value: names, numbers, addresses, keywords.

use super::{
    AllSelection, AudioPlayer, CallId, MohOptions, PartyAddress, PlayOptions, RecordCall, Tag,
    escape::unescape,
    key::RequestKey,
    media::{self, FamilyValue},
    options::IceLiteValue,
    parser::Parser,
    read::{ip, name, push, switch, text, text_or_int, unsigned, update},
};
use crate::{names::same, tape::Node};

impl Parser<'_> {
    /// Single values.
    pub(super) fn scalar(&mut self, key: RequestKey, value: Node<'_>) {
        use RequestKey as K;
        let r = &mut self.request;
        let address = || value.as_bytes().and_then(ip);
        match key {
            K::Address => {
                let given = value.as_bytes().is_some_and(|text| !text.is_empty());
                let party = address().map_or(PartyAddress::Unreadable, PartyAddress::At);
                update(&mut r.rare.address, given.then_some(party));
            }
            K::MediaAddress => update(&mut r.media_address, address()),
            K::InboundPeer => update(&mut r.direction_peer[0], address()),
            K::OutboundPeer => update(&mut r.direction_peer[1], address()),
            K::Peer => update(&mut r.interface_peer, address()),
            K::XmlrpcCallback => update(&mut r.rare.xmlrpc_callback, address()),

            K::FromInterface => update(&mut r.direction[0], text(value)),
            K::ToInterface => update(&mut r.direction[1], text(value)),
            K::Interface => update(&mut r.interface, text(value)),
            K::Label => update(&mut r.label, name(value)),
            K::SetLabel => update(&mut r.set_label, name(value)),
            K::ToLabel => update(&mut r.rare.to_label, name(value)),
            K::SourceTag => update(&mut r.rare.source_tag, name(value)),
            K::SourceCallId => update(&mut r.rare.source_call_id, name(value)),
            K::ToCallId => update(&mut r.rare.to_call_id, name(value)),
            K::Instance => update(&mut r.rare.instance, text(value)),
            K::Body => update(&mut r.rare.body, text(value)),
            K::Metadata => update(&mut r.metadata, text(value)),
            K::FromTags => {
                for tag in value.strings() {
                    push(&mut r.from_tags, Tag::from(&*unescape(tag)));
                }
            }
            K::Calls => {
                for call in value.strings() {
                    push(&mut r.rare.calls, CallId::from(call));
                }
            }

            K::Tos => {
                if let Some(int) = value.to_int() {
                    r.tos = media::Tos::from_int(int);
                }
            }
            K::DeleteDelay => {
                if let Some(seconds) = value.to_int() {
                    r.delete_delay = media::delay(seconds);
                }
            }
            K::Limit => update(&mut r.limit, value.to_int()),
            K::Ptime => update(&mut r.ptime, unsigned(value).filter(|&ms| ms > 0)),
            K::PtimeReverse => update(&mut r.ptime_reverse, unsigned(value).filter(|&ms| ms > 0)),
            K::SipCode => r.sip_code = value.to_int().unwrap_or(r.sip_code),
            K::T38Version => update(&mut r.t38.version, value.to_int()),
            K::GenerateRtcp => update(&mut r.generate_rtcp, switch(value)),
            K::Passthrough => update(&mut r.passthrough, switch(value)),

            K::RecordingFile => update(&mut r.recording.file, text(value)),
            K::RecordingDir => update(&mut r.recording.dir, text(value)),
            K::RecordingPattern => update(&mut r.recording.pattern, text(value)),
            K::RecordingSlotOffer => set_int(&mut r.recording.slot_offer, value),
            K::RecordingSlotAnswer => set_int(&mut r.recording.slot_answer, value),
            K::RecordingSlots => set_int(&mut r.recording.slots, value),
            K::VscStartRec => update(&mut r.recording.vsc.start, text(value)),
            K::VscStopRec => update(&mut r.recording.vsc.stop, text(value)),
            K::VscStartStopRec => update(&mut r.recording.vsc.start_stop, text(value)),
            K::VscPauseRec => update(&mut r.recording.vsc.pause, text(value)),
            K::VscPauseResumeRec => update(&mut r.recording.vsc.pause_resume, text(value)),
            K::VscStartPauseResumeRec => {
                update(&mut r.recording.vsc.start_pause_resume, text(value));
            }

            K::Trigger => update(&mut r.dtmf.trigger, text(value)),
            K::TriggerEnd => update(&mut r.dtmf.trigger_end, text(value)),
            K::TriggerEndTime => update(&mut r.dtmf.trigger_end_time, value.to_int()),
            K::TriggerEndDigits => update(&mut r.dtmf.trigger_end_digits, value.to_int()),
            K::DelayBuffer => update(&mut r.dtmf.delay_buffer, value.to_int()),
            K::DtmfDelay => update(&mut r.dtmf.delay, value.to_int()),
            K::DtmfLogDest => update(&mut r.dtmf.log_destination, text(value)),
            K::Code => update(&mut r.dtmf.digit, text_or_int(value)),
            K::Volume => update(&mut r.dtmf.volume, value.to_int()),
            K::Duration => update(&mut r.dtmf.duration, value.to_int()),
            K::Pause => {
                update(&mut r.dtmf.pause, value.to_int());
                r.recording.pause |= value.as_bytes().is_some() && switch(value) == Some(true);
            }
            K::Frequency => frequencies(&mut r.dtmf.frequencies, value),

            K::Moh => {
                if value.is_dict() {
                    let moh = r.moh.get_or_insert_default();
                    music_on_hold(moh, value);
                }
            }
            _ if play(&mut r.play, key, value) => {}
            _ => self.keyword(key, value),
        }
    }

    /// Single keywords.
    fn keyword(&mut self, key: RequestKey, value: Node<'_>) {
        use RequestKey as K;
        // A keyword may come as an integer (`audio-player=1`), which means nothing here.
        let Some(word) = value.as_bytes() else { return };
        let r = &mut self.request;
        macro_rules! keyword {
            ($Table:path => $field:expr) => {
                match <$Table>::lookup(word) {
                    Some(known) => {
                        $field = Some(known.into());
                        return;
                    }
                    None => <$Table>::SPELLINGS,
                }
            };
        }
        let known = match key {
            K::AddressFamily => keyword!(FamilyValue => r.address_family),
            K::AliasKey => keyword!(super::AliasKey => r.alias_key),
            K::All => keyword!(AllSelection => r.all),
            K::AudioPlayer => keyword!(AudioPlayer => r.audio_player),
            K::DropTraffic => keyword!(super::DropTraffic => r.drop_traffic),
            K::DtlsFingerprint => keyword!(super::FingerprintHash => r.dtls.fingerprint),
            K::DtmfSecurity => keyword!(super::DtmfSecurity => r.dtmf.security),
            K::DtmfSecurityTrigger => keyword!(super::DtmfSecurity => r.dtmf.security_trigger),
            K::DtmfSecurityTriggerEnd => {
                keyword!(super::DtmfSecurity => r.dtmf.security_trigger_end)
            }
            K::EndpointLearning => keyword!(super::EndpointLearning => r.endpoint_learning),
            K::IceLite => keyword!(IceLiteValue => r.ice_lite),
            K::MediaEcho => keyword!(super::MediaEcho => r.media_echo),
            K::SipMessageType => keyword!(super::SipMessageType => r.sip_message_type),
            K::RecordCall => match word {
                b"yes" | b"on" => {
                    r.recording.record_call = Some(RecordCall::Start);
                    return;
                }
                b"no" | b"off" => {
                    r.recording.record_call = Some(RecordCall::Stop);
                    return;
                }
                b"discard" => {
                    r.recording.record_call = Some(RecordCall::Discard);
                    return;
                }
                _ => &["yes", "on", "no", "off", "discard"],
            },
            _ => &[],
        };
        self.ignored_value(key.name(), word, known);
    }
}

fn set_int(field: &mut i64, value: Node<'_>) {
    *field = value.to_int().unwrap_or(*field);
}

fn frequencies(list: &mut Vec<i64>, value: Node<'_>) {
    if let Some(int) = value.to_int() {
        push(list, int);
    } else if value.is_list() {
        for int in value.members().filter_map(Node::to_int) {
            push(list, int);
        }
    } else {
        for word in value.strings() {
            if let Some(int) = std::str::from_utf8(word)
                .ok()
                .and_then(|w| w.trim().parse().ok())
            {
                push(list, int);
            }
        }
    }
}

fn play(source: &mut PlayOptions, key: RequestKey, value: Node<'_>) -> bool {
    match key {
        RequestKey::File => update(&mut source.file, text(value)),
        RequestKey::Blob => update(&mut source.blob, value.as_bytes().map(Vec::from)),
        RequestKey::Blob64 => update(&mut source.blob64, value.as_bytes().map(Vec::from)),
        RequestKey::DbId => update(&mut source.db_id, value.to_int()),
        RequestKey::RepeatTimes => update(&mut source.repeat_times, value.to_int()),
        RequestKey::RepeatDuration => update(&mut source.repeat_duration, value.to_int()),
        RequestKey::StartPos => update(&mut source.start_pos, value.to_int()),
        _ => return false,
    }
    true
}

fn music_on_hold(moh: &mut MohOptions, value: Node<'_>) {
    for (key, value) in value.entries() {
        if let Some(key) = RequestKey::lookup(key) {
            play(&mut moh.source, key, value);
        } else if same(key, b"mode") {
            update(
                &mut moh.mode,
                value.as_bytes().and_then(super::MohMode::lookup),
            );
        } else if same(key, b"connection") {
            moh.zero_connection = value.as_bytes().is_some_and(|word| same(word, b"zero"));
        }
    }
}
