//! The commands of the protocol.

macro_rules! commands {
    ($( $(#[$meta:meta])* $Variant:ident = $name:literal, $short:literal; )+) => {
        /// Commands of the protocol (§5 of the protocol reference).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $( $(#[$meta])* #[doc = concat!("`", $name, "`")] $Variant ),+
        }

        impl Command {
            /// Every command, in the order statistics list them.
            pub const ALL: &'static [Self] = &[ $( Self::$Variant ),+ ];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$Variant => $name ),+ }
            }

            /// The short name in statistics keys (`offercount`, `totaloffercount`).
            pub const fn short_name(self) -> &'static str {
                match self { $( Self::$Variant => $short ),+ }
            }

            /// The command of that exact name; `CLI` is accepted for `cli`.
            pub fn from_bytes(name: &[u8]) -> Option<Self> {
                $( if name == $name.as_bytes() { return Some(Self::$Variant); } )+
                (name == b"CLI").then_some(Self::Cli)
            }
        }
    };
}

commands! {
    Ping = "ping", "ping";
    Offer = "offer", "offer";
    Answer = "answer", "answer";
    Delete = "delete", "delete";
    Query = "query", "query";
    List = "list", "list";
    StartRecording = "start recording", "startrec";
    StopRecording = "stop recording", "stoprec";
    PauseRecording = "pause recording", "pauserec";
    StartForwarding = "start forwarding", "startfwd";
    StopForwarding = "stop forwarding", "stopfwd";
    BlockDtmf = "block DTMF", "blkdtmf";
    UnblockDtmf = "unblock DTMF", "unblkdtmf";
    BlockMedia = "block media", "blkmedia";
    UnblockMedia = "unblock media", "unblkmedia";
    PlayMedia = "play media", "playmedia";
    StopMedia = "stop media", "stopmedia";
    PlayDtmf = "play DTMF", "playdtmf";
    Statistics = "statistics", "stats";
    SilenceMedia = "silence media", "slnmedia";
    UnsilenceMedia = "unsilence media", "unslnmedia";
    Publish = "publish", "pub";
    SubscribeRequest = "subscribe request", "subreq";
    SubscribeAnswer = "subscribe answer", "subans";
    Unsubscribe = "unsubscribe", "unsub";
    InjectStart = "inject start", "injstart";
    InjectStop = "inject stop", "injstop";
    Connect = "connect", "conn";
    Cli = "cli", "cli";
    Transform = "transform", "trnsfm";
    Create = "create", "create";
    CreateAnswer = "create answer", "crtansw";
    Mesh = "mesh", "mesh";
}

impl Command {
    /// Whether the full key parser, and with it templates, runs for this command.
    pub const fn takes_options(self) -> bool {
        !matches!(
            self,
            Self::Ping | Self::Query | Self::List | Self::Statistics | Self::Cli
        )
    }

    /// Whether transcoding options of `codec` apply to the command; otherwise they are left out
    /// silently (§8.7).
    pub(crate) const fn takes_transcoding(self) -> bool {
        matches!(
            self,
            Self::Offer | Self::SubscribeRequest | Self::Publish | Self::PlayMedia
        )
    }

    /// Index into [`Self::ALL`], for counters per command.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_exact() {
        for (i, &command) in Command::ALL.iter().enumerate() {
            assert_eq!(
                Command::from_bytes(command.name().as_bytes()),
                Some(command)
            );
            assert_eq!(command.index(), i);
        }
        assert_eq!(Command::from_bytes(b"CLI"), Some(Command::Cli));
        assert_eq!(Command::from_bytes(b"Offer"), None);
        assert_eq!(Command::from_bytes(b"start-recording"), None);
    }
}
