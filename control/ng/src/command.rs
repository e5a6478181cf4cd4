//! The commands of the protocol (spec: ng-protocol §5, §13).

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident $name:literal $short:literal;)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Command {
            /// All commands, in the order of the statistics.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name in the counters of `statistics`.
            pub fn statistics_name(self) -> &'static str {
                match self { $(Self::$variant => $short,)* }
            }

            /// The command of this exact name; `CLI` counts as `cli`.
            pub fn from_bytes(name: &[u8]) -> Option<Self> {
                match name {
                    $(name if name == $name.as_bytes() => Some(Self::$variant),)*
                    b"CLI" => Some(Self::Cli),
                    _ => None,
                }
            }
        }
    };
}

commands! {
    Ping "ping" "ping";
    Offer "offer" "offer";
    Answer "answer" "answer";
    Delete "delete" "delete";
    Query "query" "query";
    List "list" "list";
    StartRecording "start recording" "startrec";
    StopRecording "stop recording" "stoprec";
    PauseRecording "pause recording" "pauserec";
    StartForwarding "start forwarding" "startfwd";
    StopForwarding "stop forwarding" "stopfwd";
    BlockDtmf "block DTMF" "blkdtmf";
    UnblockDtmf "unblock DTMF" "unblkdtmf";
    BlockMedia "block media" "blkmedia";
    UnblockMedia "unblock media" "unblkmedia";
    PlayMedia "play media" "playmedia";
    StopMedia "stop media" "stopmedia";
    PlayDtmf "play DTMF" "playdtmf";
    Statistics "statistics" "stats";
    SilenceMedia "silence media" "slnmedia";
    UnsilenceMedia "unsilence media" "unslnmedia";
    Publish "publish" "pub";
    SubscribeRequest "subscribe request" "subreq";
    SubscribeAnswer "subscribe answer" "subans";
    Unsubscribe "unsubscribe" "unsub";
    InjectStart "inject start" "injstart";
    InjectStop "inject stop" "injstop";
    Connect "connect" "conn";
    Cli "cli" "cli";
    Transform "transform" "trnsfm";
    Create "create" "create";
    CreateAnswer "create answer" "crtansw";
    Mesh "mesh" "mesh";
}
