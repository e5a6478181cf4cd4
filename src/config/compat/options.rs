//! Every option of rtpengine: its names, its argument, and whether it has a meaning here.

use windlass_toml::nearest;

/// One option.
#[derive(Debug)]
pub(super) struct OptionRow {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) takes: Takes,
    /// Name of its value in the help.
    value: &'static str,
    /// Purpose; empty if it has no meaning here.
    help: &'static str,
    /// The option has an effect; otherwise a warning names it.
    pub(super) is_used: bool,
}

/// Argument of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Flag,
    /// A value, and may be given again; in a file the values are separated by `;`.
    List,
    /// A whole number.
    Number,
    /// A value.
    Value,
}

impl OptionRow {
    /// The option of a long name.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.name == name)
    }

    /// The option of a letter.
    pub(super) fn of_letter(letter: char) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.short == Some(letter))
    }

    /// The long name that was probably meant.
    pub(super) fn near(name: &str) -> Option<&'static str> {
        // Names are compared with `_` for `-`.
        let names: Vec<String> = OPTIONS
            .iter()
            .map(|row| row.name.replace('-', "_"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = nearest(name, &names)?.replace('_', "-");
        Self::of(&near).map(|row| row.name)
    }

    const fn new(
        name: &'static str,
        takes: Takes,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            short: None,
            takes,
            value,
            help,
            is_used: true,
        }
    }

    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    const fn unused(mut self) -> Self {
        self.is_used = false;
        self
    }
}

/// A line per option; those without effect are only named.
pub(super) fn help() -> String {
    let mut text = String::new();
    for row in OPTIONS.iter().filter(|row| row.is_used) {
        let short = row
            .short
            .map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match row.takes {
            Takes::Flag => String::new(),
            _ => format!("={}", row.value),
        };
        let names = format!("  {short}--{}{value}", row.name);
        text.push_str(&format!("{names:<46} {}\n", row.help));
    }
    text.push_str("\nTaken, but without effect:\n ");
    let mut width = 1;
    for row in OPTIONS.iter().filter(|row| !row.is_used) {
        if width + row.name.len() + 3 > 90 {
            text.push_str("\n ");
            width = 1;
        }
        text.push_str(" --");
        text.push_str(row.name);
        width += row.name.len() + 3;
    }
    text.push('\n');
    text
}

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> OptionRow {
    OptionRow::new(name, Takes::Flag, value, help)
}

const fn list(name: &'static str, value: &'static str, help: &'static str) -> OptionRow {
    OptionRow::new(name, Takes::List, value, help)
}

const fn number(name: &'static str, value: &'static str, help: &'static str) -> OptionRow {
    OptionRow::new(name, Takes::Number, value, help)
}

const fn value(name: &'static str, value: &'static str, help: &'static str) -> OptionRow {
    OptionRow::new(name, Takes::Value, value, help)
}

/// All options (spec: media-behaviour §20), and Windlass's own for access and destinations, which
/// rtpengine does not have.
#[rustfmt::skip]
pub(super) static OPTIONS: [OptionRow; 226] = [
    // Start.
    value("config-file", "FILE", "settings are read from; none: from no file"),
    value("config-section", "NAME", "its section [rtpengine]"),
    flag("version", "", "print the version and exit").short('v'),
    flag("codecs", "", "print what is known of codecs and exit"),
    flag("foreground", "", "do not become a daemon").short('f'),
    value("pidfile", "FILE", "the process number is written to").short('p'),
    // Media addresses.
    list("interface", "[NAME/]ADDR[!ADVERTISED]", "a local address for media").short('i'),
    value("interfaces-config", "PREFIX", "sections [PREFIX-NAME] describe interfaces too"),
    flag("save-interface-ports", "", "ICE media has sockets on one address only").short('S'),
    number("port-min", "N", "lowest media port [30000]").short('m'),
    number("port-max", "N", "highest media port [39999]").short('M'),
    number("tos", "N", "TOS of media, 0-255 [0]").short('T'),
    // Control.
    list("listen-ng", "[IP:]PORT", "ng over UDP").short('n'),
    list("listen-tcp-ng", "[IP:]PORT", "ng over TCP").short('N'),
    list("listen-cli", "[IP:]PORT", "the command-line client").short('c'),
    list("listen-http", "[IP:]PORT", "HTTP and WebSocket"),
    list("listen-https", "[IP:]PORT", "HTTPS and secure WebSocket"),
    list("control-allow", "NETWORK", "(not in rtpengine) whose control requests are answered"),
    list("media-forbid", "NETWORK", "(not in rtpengine) media is never sent there"),
    list("media-host-ports", "PORTS", "(not in rtpengine) media ports of others on this host"),
    list("control-read", "NETWORK", "(not in rtpengine) who may list the ids of calls"),
    value("https-cert", "FILE", "certificate of HTTPS, PEM"),
    value("https-key", "FILE", "its private key, PEM"),
    number("http-idle-timeout", "N", "seconds without a request after which HTTP is closed [5]"),
    number("control-tos", "N", "TOS of replies over UDP [0]"),
    value("control-pmtu", "VALUE", "want or dont: path MTU discovery of replies"),
    number("ng-client-timeout", "N", "milliseconds an ng request of our own waits [50]"),
    number("ng-client-retries", "N", "how often it is repeated [5]"),
    list("listen-tcp", "", "").short('l').unused(),
    list("listen-udp", "", "").short('u').unused(),
    number("http-threads", "", "").unused(),
    number("http-buf-size", "", "").unused(),
    value("janus-secret", "", "").unused(),
    // Time-outs and limits.
    number("timeout", "N", "seconds without media that end a call [60]").short('o'),
    number("silent-timeout", "N", "the same on hold [3600]").short('s'),
    number("final-timeout", "N", "longest call, seconds; 0: none [0]").short('a'),
    number("offer-timeout", "N", "seconds without an answer [3600]"),
    number("delete-delay", "N", "seconds a deleted call is kept [30]").short('d'),
    number("max-sessions", "N", "refuse calls beyond this many; -1: no limit [-1]"),
    value("max-load", "VALUE", "refuse calls at this load average; 0: no limit [0]"),
    value("max-cpu", "VALUE", "refuse calls at this CPU use, per cent [0]"),
    number("max-bandwidth", "N", "refuse calls at this many bytes per second [0]"),
    number("num-threads", "N", "threads that move packets [one per core]"),
    // Signalling.
    flag("sip-source", "", "the SIP message's source counts, not the SDP's address"),
    value("endpoint-learning", "VALUE", "off, immediate, delayed, heuristic or guarded [guarded]"),
    flag("reject-invalid-sdp", "", "refuse SDP with a broken line"),
    value("templates", "NAME", "of the section with signalling templates"),
    value("software-id", "NAME", "in STUN and in certificates"),
    value("b2b-url", "URL", "told by XML-RPC of calls that timed out").short('b'),
    number("xmlrpc-format", "N", "0 SEMS, 1 call-id, 2 Kamailio [0]").short('x'),
    // DTLS.
    flag("dtls-passive", "", "prefer the passive role"),
    value("dtls-cert-cipher", "VALUE", "prime256v1 or RSA [prime256v1]"),
    number("dtls-rsa-key-size", "N", "bits of an RSA key [2048]"),
    value("dtls-signature", "VALUE", "SHA-256 or SHA-1 [SHA-256]"),
    number("dtls-mtu", "N", "path MTU, at least 576 [1200]"),
    value("dtls-ciphers", "VALUE", "cipher suites, as OpenSSL lists them"),
    // Quality.
    list("mos", "VALUE", "CQ or LQ, and legacy, g107 or g107.2 [CQ]"),
    flag("measure-rtp", "", "measure streams, not only by the peers' reports"),
    value("ssrc-reporting", "VALUE", "full, inline, global or none [full]"),
    number("rtcp-interval", "N", "milliseconds between generated RTCP [5000]"),
    number("jitter-buffer", "N", "packets it holds [0]"),
    flag("jb-clock-drift", "", "compensate clock drift"),
    flag("jb-adaptive", "", "let its length follow the jitter"),
    number("jb-adaptive-min", "N", "its least milliseconds then [0]"),
    number("jb-adaptive-max", "N", "its most milliseconds then [300]"),
    // Recording and DTMF.
    value("recording-dir", "DIR", "recordings go to"),
    value("recording-method", "VALUE", "pcap, proc or all [pcap]"),
    value("recording-format", "VALUE", "raw or eth [raw]"),
    flag("record-egress", "", "record media as it leaves"),
    flag("record-both", "", "record media as it comes and as it leaves"),
    value("vsc-start-rec", "DIGITS", "that start a recording"),
    value("vsc-stop-rec", "DIGITS", "that end it"),
    value("vsc-start-stop-rec", "DIGITS", "that start or end it"),
    value("vsc-pause-rec", "DIGITS", "that interrupt it"),
    value("vsc-pause-resume-rec", "DIGITS", "that interrupt it or go on"),
    value("vsc-start-pause-resume-rec", "DIGITS", "that start, interrupt it or go on"),
    value("dtmf-log-dest", "HOST:PORT", "digits are sent to"),
    flag("dtmf-log-ng-tcp", "", "tell digits to clients of ng over TCP"),
    flag("dtmf-no-suppress", "", "keep audio while a digit is pressed"),
    number("dtmf-digit-delay", "N", "milliseconds that end a sequence of digits [2500]"),
    flag("dtmf-no-log-injects", "", "do not report digits that were played"),
    // Logs.
    number("log-level", "N", "0 to 7 [6]").short('L'),
    number("log-level-core", "N", "0 to 7, of this part"),
    number("log-level-rtcp", "N", "0 to 7, of this part"),
    number("log-level-ice", "N", "0 to 7, of this part"),
    number("log-level-crypto", "N", "0 to 7, of this part"),
    number("log-level-srtp", "N", "0 to 7, of this part"),
    number("log-level-codec", "N", "0 to 7, of this part"),
    number("log-level-http", "N", "0 to 7, of this part"),
    number("log-level-control", "N", "0 to 7, of this part"),
    number("log-level-ffmpeg", "", "").unused(),
    number("log-level-internals", "", "").unused(),
    number("log-level-spandsp", "", "").unused(),
    number("log-level-transcoding", "", "").unused(),
    number("log-level-dtx", "", "").unused(),
    flag("log-stderr", "", "log to stderr, not to the syslog").short('E'),
    value("log-facility", "VALUE", "syslog facility [daemon]"),
    value("log-facility-cdr", "VALUE", "facility of a line per ended call"),
    value("log-facility-rtcp", "VALUE", "facility of RTCP"),
    value("log-facility-dtmf", "VALUE", "facility of DTMF digits"),
    value("log-format", "VALUE", "default or parsable [default]"),
    value("log-name", "NAME", "of this program in log lines"),
    flag("no-log-timestamps", "", "leave out the time"),
    flag("split-logs", "", "log texts of several lines line by line"),
    number("max-log-line-length", "N", "break longer lines; 0: never [500 for the syslog]"),
    value("log-mark-prefix", "TEXT", "before addresses and tags"),
    value("log-mark-suffix", "TEXT", "after addresses and tags"),
    flag("log-srtp-keys", "", "").unused(),
    flag("debug-srtp", "", "").unused(),
    // Redis.
    value("redis", "[PW@]HOST:PORT/DB", "calls are kept in").short('r'),
    value("redis-write", "[PW@]HOST:PORT/DB", "they are written to").short('w'),
    value("redis-subscribe", "[PW@]HOST:PORT/DB", "whose changes are followed"),
    list("subscribe-keyspace", "DB", "of another engine, to take over from").short('k'),
    number("redis-num-threads", "N", "threads that read calls at start"),
    number("redis-expires", "N", "seconds after which a call is forgotten [86400]"),
    flag("no-redis-required", "", "start without Redis, too").short('q'),
    number("redis-allowed-errors", "N", "errors in a row before Redis is left alone; -1: any [-1]"),
    number("redis-disable-time", "N", "seconds it is left alone [10]"),
    number("redis-cmd-timeout", "N", "milliseconds of a command; 0: no limit [0]"),
    number("redis-connect-timeout", "N", "milliseconds of a connection [1000]"),
    value("redis-format", "VALUE", "bencode or JSON [bencode]"),
    flag("redis-resolve-on-reconnect", "", "look the name up again"),
    number("redis-tcp-keepalive-time", "N", "idle seconds; 0: no keep-alives [0]"),
    number("redis-tcp-keepalive-intvl", "N", "seconds between keep-alives [1]"),
    number("redis-tcp-keepalive-probes", "N", "unanswered ones that end a connection [3]"),
    flag("active-switchover", "", "a packet makes a call of another engine ours"),
    flag("redis-delete-async", "", "").short('y').unused(),
    number("redis-delete-async-interval", "", "").unused(),
    // Statistics that are sent.
    value("homer", "HOST:PORT", "HEP is sent to"),
    value("homer-protocol", "VALUE", "udp or tcp [udp]"),
    number("homer-id", "N", "number of this agent [2001]"),
    flag("homer-disable-rtcp-stats", "", "do not send RTCP"),
    flag("homer-enable-ng", "", "send ng requests and replies"),
    number("homer-ng-capture-proto", "N", "HEP type of ng [61]"),
    value("graphite", "HOST:PORT", "carbon lines are sent to").short('g'),
    number("graphite-interval", "N", "seconds between them").short('G'),
    value("graphite-prefix", "TEXT", "before their names"),
    number("graphite-timeout", "N", "seconds of a connection; 0: the system's [0]"),
    value("mqtt-host", "HOST", "statistics are published at"),
    number("mqtt-port", "N", "its port [1883]"),
    value("mqtt-id", "NAME", "of this client"),
    number("mqtt-keepalive", "N", "seconds [30]"),
    value("mqtt-user", "USER", "to log in as"),
    value("mqtt-pass", "PASSWORD", "of the user"),
    value("mqtt-cafile", "FILE", "of accepted authorities"),
    value("mqtt-capath", "DIR", "of accepted authorities"),
    value("mqtt-certfile", "FILE", "with our certificate"),
    value("mqtt-keyfile", "FILE", "with our private key"),
    value("mqtt-tls-alpn", "NAME", "of the protocol in TLS"),
    number("mqtt-publish-qos", "N", "0, 1 or 2 [0]"),
    value("mqtt-publish-topic", "TOPIC", "statistics are published under"),
    number("mqtt-publish-interval", "N", "milliseconds [5000]"),
    value("mqtt-publish-scope", "VALUE", "global, summary, call or media [global]"),
    // Threads and sockets.
    number("media-num-threads", "", "").unused(),
    flag("poller-per-thread", "", "").unused(),
    number("poller-size", "", "").unused(),
    number("max-recv-iters", "", "").unused(),
    number("socket-cpu-affinity", "", "").unused(),
    number("thread-stack", "", "").unused(),
    value("scheduling", "", "").unused(),
    number("priority", "", "").unused(),
    value("idle-scheduling", "", "").unused(),
    number("idle-priority", "", "").unused(),
    number("timer-accuracy", "", "").unused(),
    flag("io-uring", "", "").unused(),
    number("io-uring-buffers", "", "").unused(),
    // Kernel module and firewall.
    number("table", "N", "-1: media is not forwarded in the kernel [0]").short('t'),
    flag("no-fallback", "", "").short('F').unused(),
    value("nftables-chain", "", "").unused(),
    value("nftables-base-chain", "", "").unused(),
    flag("nftables-append", "", "").unused(),
    value("nftables-family", "", "").unused(),
    flag("nftables-start", "", "nothing is to be done; exit"),
    flag("nftables-stop", "", "nothing is to be done; exit"),
    flag("nftables-status", "", "nothing is to be done; exit"),
    flag("xtables", "", "").unused(),
    value("iptables-chain", "", "").unused(),
    number("kernel-slots", "", "").unused(),
    number("kernel-num-threads", "", "").unused(),
    // Transcoding and playback.
    number("dtx-delay", "", "").unused(),
    number("max-dtx", "", "").unused(),
    number("dtx-buffer", "", "").unused(),
    number("dtx-lag", "", "").unused(),
    number("dtx-shift", "", "").unused(),
    list("dtx-cn-params", "", "").unused(),
    value("amr-dtx", "", "").unused(),
    value("evs-dtx", "", "").unused(),
    value("silence-detect", "PERCENT", "of the range, below which audio is comfort noise"),
    list("cn-payload", "N", "bytes of that comfort noise [32]"),
    flag("player-cache", "", "").unused(),
    number("kernel-player", "", "").unused(),
    number("kernel-player-media", "", "").unused(),
    list("preload-media-files", "", "").unused(),
    number("media-files-reload", "", "").unused(),
    number("media-files-expire", "", "").unused(),
    list("preload-db-media", "", "").unused(),
    number("db-media-reload", "", "").unused(),
    number("db-media-expire", "", "").unused(),
    value("db-media-cache", "", "").unused(),
    list("preload-db-cache", "", "").unused(),
    number("db-cache-reload", "", "").unused(),
    number("db-cache-expire", "", "").unused(),
    number("expiry-timer", "", "").unused(),
    value("mysql-host", "", "").unused(),
    number("mysql-port", "", "").unused(),
    value("mysql-user", "", "").unused(),
    value("mysql-pass", "", "").unused(),
    value("mysql-query", "", "").unused(),
    number("audio-buffer-length", "", "").unused(),
    number("audio-buffer-delay", "", "").unused(),
    value("audio-player", "", "").unused(),
    number("moh-max-duration", "", "").unused(),
    number("moh-max-repeats", "", "").unused(),
    value("moh-attr-name", "", "").unused(),
    flag("moh-prevent-double-hold", "", "").unused(),
    value("transcode-config", "PREFIX", "of the sections that say which conversions are liked"),
    number("codec-num-threads", "N", "threads of heavy codecs [one per core]"),
    value("evs-lib-path", "", "").unused(),
    value("codec-chain-lib-path", "", "").unused(),
    number("codec-chain-runners", "", "").unused(),
    number("codec-chain-concurrency", "", "").unused(),
    number("codec-chain-async", "", "").unused(),
    flag("codec-chain-nonblock", "", "").unused(),
    number("codec-chain-interval", "", "").unused(),
    value("codec-chain-opus-application", "", "").unused(),
    number("codec-chain-opus-complexity", "", "").unused(),
];
