//! The `flags` of a request (§7).

use crate::names::names;

macro_rules! flags {
    ($( $(#[$meta:meta])* $Variant:ident $accessor:ident = $first:literal $(| $alias:literal)*; )+) => {
        names! {
            /// One literal flag.
            pub enum Flag {
                $( $(#[$meta])* $Variant = $first $(| $alias)* ),+
            }
        }

        impl FlagSet {
            $( $(#[$meta])* pub const fn $accessor(self) -> bool {
                self.has(Flag::$Variant)
            } )+
        }
    };
}

/// The literal flags a request carries.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FlagSet(u128);

impl FlagSet {
    /// Whether the flag was given.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u32) != 0
    }

    /// Adds a flag.
    pub const fn insert(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u32;
    }

    /// The given flags.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        FLAGS.iter().copied().filter(move |&flag| self.has(flag))
    }
}

impl std::fmt::Debug for FlagSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

macro_rules! flags_and_list {
    ($( $(#[$meta:meta])* $Variant:ident $accessor:ident = $first:literal $(| $alias:literal)*; )+) => {
        flags! { $( $(#[$meta])* $Variant $accessor = $first $(| $alias)*; )+ }
        const FLAGS: &[Flag] = &[ $( Flag::$Variant ),+ ];
        const _: () = assert!(FLAGS.len() <= 128, "one bit each");
    };
}

flags_and_list! {
    /// Use the addresses of the SDP (the default unless configured otherwise).
    TrustAddress trust_address = b"trust-address";
    /// Ignore addresses in the SDP, use `received-from`.
    SipSourceAddress sip_source_address = b"sip-source-address";
    /// The learned source is not used as destination.
    Asymmetric asymmetric = b"asymmetric";
    /// The default of the daemon; sent by OpenSIPS scripts for older relays.
    Symmetric symmetric = b"symmetric";
    /// Allow fast-path forwarding of one-way media.
    Unidirectional unidirectional = b"unidirectional";
    /// Drop packets from any but the learned source.
    StrictSource strict_source = b"strict-source";
    /// A changed source moves the endpoint.
    MediaHandover media_handover = b"media-handover";
    /// Keep local ports although the remote endpoint changed.
    PortLatching port_latching = b"port-latching";
    /// No implicit port latching.
    NoPortLatching no_port_latching = b"no-port-latching";
    /// Negotiate as on a first offer, restart ICE.
    Reset reset = b"reset";
    /// Send dummy packets until something is received.
    PierceNat pierce_nat = b"pierce-nat";
    /// Forward nothing to the peer before a packet of it arrived.
    NatWait nat_wait = b"nat-wait";
    /// Omit `a=rtcp`.
    NoRtcpAttribute no_rtcp_attribute = b"no-rtcp-attribute";
    /// Print `a=rtcp` with the address.
    FullRtcpAttribute full_rtcp_attribute = b"full-rtcp-attribute";
    /// Copy direction attributes verbatim.
    OriginalSendrecv original_sendrecv = b"original-sendrecv";
    /// Mark SDP and leave marked SDP alone.
    LoopProtect loop_protect = b"loop-protect";
    /// Add `a=mid` where missing.
    GenerateMid generate_mid = b"generate-mid";
    /// Same as the key with `on`.
    GenerateRtcp generate_rtcp = b"generate-rtcp";
    /// Offer trickle ICE; also [`super::IceOptions::trickle`].
    TrickleIce trickle_ice = b"trickle-ice";
    /// Do not answer the sender's ICE when removing ours.
    IceReject ice_reject = b"ice-reject" | b"reject-ice";
    /// The `sdp` is a trickle ICE fragment.
    Fragment fragment = b"fragment";
    /// Keep only the first codec of an answer.
    SingleCodec single_codec = b"single-codec";
    /// Keep the codecs negotiated before.
    ReuseCodecs reuse_codecs = b"reuse-codecs" | b"no-codec-renegotiation";
    /// Leave the codec lists as they are.
    StaticCodecs static_codecs = b"static-codecs";
    /// Different codecs in the two directions are fine.
    AllowAsymmetricCodecs allow_asymmetric_codecs = b"allow-asymmetric-codecs";
    /// An empty codec list rejects the media.
    AllowNoCodecMedia allow_no_codec_media = b"allow-no-codec-media";
    /// A subscription may be transcoded.
    AllowTranscoding allow_transcoding = b"allow-transcoding";
    /// Transcode although not necessary.
    ForceTranscoding force_transcoding = b"force-transcoding";
    /// Same as codec `accept` with all codecs.
    AlwaysTranscode always_transcode = b"always-transcode";
    /// Let DTMF be injected.
    InjectDtmf inject_dtmf = b"inject-dtmf";
    /// Detect in-band DTMF.
    DetectDtmf detect_dtmf = b"detect-dtmf";
    /// Block the sender's DTMF.
    BlockDtmf block_dtmf = b"block-dtmf";
    /// Drop RTP shorter than the learned fixed size.
    BlockShort block_short = b"block-short";
    /// Start recording.
    RecordCall record_call = b"record-call";
    /// Leave this party out of recordings.
    ExcludeRecording exclude_recording = b"exclude-recording";
    /// Throw the recording away.
    DiscardRecording discard_recording = b"discard-recording";
    /// The recorder writes no database entry.
    SkipRecordingDb skip_recording_db = b"skip-recording-db";
    /// DTMF codes control the recording.
    RecordingVsc recording_vsc = b"recording-vsc";
    /// Play an announcement when recording starts.
    RecordingAnnouncement recording_announcement = b"recording-announcement";
    /// Do not persist the call for this message.
    NoRedisUpdate no_redis_update = b"no-redis-update";
    /// Same as the key with `on`.
    Passthrough passthrough = b"passthrough";
    /// Same as the key with `off`.
    NoPassthrough no_passthrough = b"no-passthrough";
    /// Same as key `audio-player` with `on`.
    Player player = b"player" | b"audio-player";
    /// Same as key `audio-player` with `off`.
    NoPlayer no_player = b"no-player";
    /// Start the audio player on the offer already.
    EarlyMedia early_media = b"early-media";
    /// Always decrypt and encrypt again between SRTP legs.
    Recrypt recrypt = b"recrypt";
    /// Omit `a=tls-id`.
    NoTlsId no_tls_id = b"no-tls-id";
    /// No jitter buffer for this call.
    NoJitterBuffer no_jitter_buffer = b"no-jitter-buffer";
    /// Same as SDES `pad`.
    PadCrypto pad_crypto = b"pad-crypto";
    /// Same as extmap `strip` with all extensions.
    StripExtmap strip_extmap = b"strip-extmap";
    /// A new tag is a new party.
    NewBranch new_branch = b"new-branch";
    /// A new tag may replace the old one.
    Provisional provisional = b"provisional";
    /// Honour `from-tag` in operations that otherwise hit the whole call.
    Directional directional = b"directional";
    /// Both directions of a subscription.
    Bidirectional bidirectional = b"bidirectional";
    /// The whole call.
    All all = b"all";
    /// Subscribe to sent packets instead of received ones.
    Egress egress = b"egress";
    /// Mix the sources of a subscription.
    Mix mix = b"mix";
    /// Subscribe without media flowing yet.
    Inactive inactive = b"inactive";
    /// Send RTCP to the subscriber too.
    RtcpMirror rtcp_mirror = b"rtcp-mirror" | b"mirror-rtcp";
    /// Add the keys to the reply that a SIPREC client needs.
    Siprec siprec = b"siprec";
    /// Mesh: take subscriptions away.
    Unsubscribe unsubscribe = b"unsubscribe";
    /// Playback replaces the party's own media.
    BlockEgress block_egress = b"block-egress";
    /// Honour `to-tag` in a delete.
    ToTag to_tag = b"to-tag";
    /// An unknown call is an error of `delete`.
    Fatal fatal = b"fatal";
    /// `delete` replies without statistics.
    Fast fast = b"fast";
    /// Everything a browser needs; its parts are already applied by the parser.
    WebRtc web_rtc = b"webrtc";
    /// Debug logs for this call.
    Debug debug = b"debug";
    /// `stop recording` only pauses.
    Pause pause = b"pause";
    /// Accepted, without effect.
    SymmetricCodecs symmetric_codecs = b"symmetric-codecs";
    /// Accepted, without effect.
    AsymmetricCodecs asymmetric_codecs = b"asymmetric-codecs";
    /// Accepted, without effect.
    ReorderCodecs reorder_codecs = b"reorder-codecs";
}
