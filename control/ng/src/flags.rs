//! The members of `flags`, and how keys, flags and keyword values are compared
//! (spec: ng-protocol §2, §7).

/// Spelling does not matter: hyphen, underscore and space are one, and so are upper and lower
/// case (ASCII).
pub(crate) fn normalised(name: &[u8]) -> Vec<u8> {
    let map = |byte: &u8| match byte {
        b'_' | b' ' => b'-',
        other => other.to_ascii_lowercase(),
    };
    name.iter().map(map).collect()
}

macro_rules! flags {
    ($($(#[$doc:meta])* $field:ident $($name:literal)|+;)*) => {
        /// Flags that a request set.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct FlagSet {
            $(
                #[doc = concat!("`", stringify!($field), "`")]
                pub $field: bool,
            )*
        }

        impl FlagSet {
            /// Sets the flag of this normalised name; `false` if there is none.
            pub(crate) fn set(&mut self, name: &[u8]) -> bool {
                $(if [$($name),+].iter().any(|known| known.as_bytes() == name) {
                    self.$field = true;
                    return true;
                })*
                false
            }

            /// All names, normalised.
            pub(crate) const NAMES: &'static [&'static str] = &[$($($name),+),*];
        }
    };
}

flags! {
    trust_address "trust-address";
    sip_source_address "sip-source-address";
    asymmetric "asymmetric";
    symmetric "symmetric";
    unidirectional "unidirectional";
    strict_source "strict-source";
    media_handover "media-handover";
    port_latching "port-latching";
    no_port_latching "no-port-latching";
    reset "reset";
    pierce_nat "pierce-nat";
    nat_wait "nat-wait";
    no_rtcp_attribute "no-rtcp-attribute";
    full_rtcp_attribute "full-rtcp-attribute";
    original_sendrecv "original-sendrecv";
    loop_protect "loop-protect";
    generate_mid "generate-mid";
    generate_rtcp "generate-rtcp";
    trickle_ice "trickle-ice";
    ice_reject "ice-reject" | "reject-ice";
    fragment "fragment";
    single_codec "single-codec";
    reuse_codecs "reuse-codecs" | "no-codec-renegotiation";
    static_codecs "static-codecs";
    allow_asymmetric_codecs "allow-asymmetric-codecs";
    allow_no_codec_media "allow-no-codec-media";
    allow_transcoding "allow-transcoding";
    force_transcoding "force-transcoding";
    always_transcode "always-transcode";
    inject_dtmf "inject-dtmf";
    detect_dtmf "detect-dtmf";
    block_dtmf "block-dtmf";
    block_short "block-short";
    record_call "record-call";
    exclude_recording "exclude-recording";
    discard_recording "discard-recording";
    skip_recording_db "skip-recording-db";
    recording_vsc "recording-vsc";
    recording_announcement "recording-announcement";
    no_redis_update "no-redis-update";
    passthrough "passthrough";
    no_passthrough "no-passthrough";
    audio_player "player" | "audio-player";
    no_player "no-player";
    early_media "early-media";
    recrypt "recrypt";
    no_tls_id "no-tls-id";
    no_jitter_buffer "no-jitter-buffer";
    pad_crypto "pad-crypto";
    strip_extmap "strip-extmap";
    new_branch "new-branch";
    provisional "provisional";
    directional "directional";
    bidirectional "bidirectional";
    all "all";
    egress "egress";
    mix "mix";
    inactive "inactive";
    rtcp_mirror "rtcp-mirror" | "mirror-rtcp";
    siprec "siprec";
    unsubscribe "unsubscribe";
    block_egress "block-egress";
    to_tag "to-tag";
    fatal "fatal";
    fast "fast";
    webrtc "webrtc";
    debug "debug";
    symmetric_codecs "symmetric-codecs";
    asymmetric_codecs "asymmetric-codecs";
    reorder_codecs "reorder-codecs";
    pause "pause";
}

/// Flags that name a group and a value in it (ng-protocol §7, prefix forms). Those of the first
/// list are understood by the request; those of the second are known and have no effect yet.
pub(crate) const EFFECTIVE_PREFIXES: &[(&str, &str)] = &[
    ("endpoint-learning-", "endpoint-learning"),
    ("replace-", "replace"),
    ("rtcp-mux-", "rtcp-mux"),
];

pub(crate) const INERT_PREFIXES: &[&str] = &[
    "from-tags-",
    "osrtp-",
    "bundle-",
    "codec-except-",
    "codec-offer-",
    "codec-strip-",
    "codec-ignore-",
    "codec-accept-",
    "codec-consume-",
    "codec-set-",
    "sdes-",
    "sdp-attr-add-",
    "sdp-attr-remove-",
    "sdp-attr-substitute-",
    "transcode-",
    "codec-transcode-",
    "codec-mask-",
    "t38-",
    "t.38-",
];

/// The known name that is nearest to an unknown one, if it is near at all.
pub(crate) fn nearest(
    name: &[u8],
    known: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    if name.len() > 40 {
        return None;
    }
    let limit = name.len() / 3 + 1;
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance of two short strings.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(other) {
            let above = *cell;
            let cost = usize::from(a != b);
            left = (diagonal + cost).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
