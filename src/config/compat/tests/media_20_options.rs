//! media-behaviour §20: the table of options, row by row. Which field an option sets is tested in
//! `table`.

use super::super::options::OPTIONS;
use super::*;

/// Rows of the specification: names with their letters, and the default as `params` shows it; `-`:
/// none, `*`: the option has no effect here, or its default is the machine's or another program's.
const TABLE: &str = "
config-file * | config-section * | version:v * | codecs * | foreground:f * | pidfile:p -
interface:i * | interfaces-config * | save-interface-ports:S 0 | port-min:m 30000
port-max:M 39999 | listen-ng:n * | listen-tcp-ng:N  | listen-cli:c  | listen-tcp:l *
listen-udp:u * | listen-http  | listen-https  | https-cert - | https-key - | http-threads *
http-buf-size * | http-idle-timeout 5 | tos:T 0 | control-tos 0 | control-pmtu - | timeout:o 60
silent-timeout:s 3600 | final-timeout:a 0 | offer-timeout 3600 | delete-delay:d 30
max-sessions -1 | max-load 0.00 | max-cpu 0.0 | max-bandwidth 0 | sip-source 0 | dtls-passive 0
endpoint-learning guarded | templates * | reject-invalid-sdp 0 | software-id * | b2b-url:b -
xmlrpc-format:x 0 | log-level:L * | log-level-core * | log-level-ffmpeg *
log-level-internals * | log-level-spandsp * | log-level-transcoding * | log-level-codec *
log-level-rtcp * | log-level-ice * | log-level-crypto * | log-level-srtp * | log-level-http *
log-level-control * | log-level-dtx * | log-facility daemon | log-facility-cdr -
log-facility-rtcp - | log-facility-dtmf - | log-stderr:E 0 | no-log-timestamps 0 | split-logs 0
max-log-line-length - | log-format default | log-name rtpengine | log-mark-prefix
log-mark-suffix | log-srtp-keys * | debug-srtp * | num-threads 0 | media-num-threads *
poller-per-thread * | poller-size * | max-recv-iters * | socket-cpu-affinity *
thread-stack * | scheduling * | priority * | idle-scheduling * | idle-priority *
timer-accuracy * | io-uring * | io-uring-buffers * | table:t 0 | no-fallback:F *
nftables-chain * | nftables-base-chain * | nftables-append * | nftables-family *
nftables-start * | nftables-stop * | nftables-status * | xtables * | iptables-chain *
kernel-slots * | kernel-num-threads * | redis:r - | redis-write:w - | redis-subscribe -
subscribe-keyspace:k  | redis-num-threads * | redis-expires 86400 | no-redis-required:q 0
redis-allowed-errors -1 | redis-disable-time 10 | redis-cmd-timeout 0
redis-connect-timeout 1000 | redis-format bencode | redis-resolve-on-reconnect 0
redis-tcp-keepalive-time 0 | redis-tcp-keepalive-intvl 1 | redis-tcp-keepalive-probes 3
active-switchover 0 | homer - | homer-protocol udp | homer-id 2001
homer-disable-rtcp-stats 0 | homer-enable-ng 0 | homer-ng-capture-proto 61 | graphite:g -
graphite-interval:G 0 | graphite-prefix  | graphite-timeout 0 | mqtt-host - | mqtt-port 1883
mqtt-id - | mqtt-keepalive 30 | mqtt-user - | mqtt-pass - | mqtt-cafile - | mqtt-capath -
mqtt-certfile - | mqtt-keyfile - | mqtt-tls-alpn - | mqtt-publish-qos 0 | mqtt-publish-topic -
mqtt-publish-interval 5000 | mqtt-publish-scope global | mos CQ | measure-rtp 0
ssrc-reporting full | rtcp-interval 5000 | recording-dir - | recording-method pcap
recording-format raw | record-egress 0 | record-both 0 | vsc-start-rec - | vsc-stop-rec -
vsc-start-stop-rec - | vsc-pause-rec - | vsc-pause-resume-rec - | vsc-start-pause-resume-rec -
dtmf-log-dest - | dtmf-log-ng-tcp 0 | dtmf-no-suppress 0 | dtmf-digit-delay 2500
dtmf-no-log-injects 0 | dtls-cert-cipher prime256v1 | dtls-rsa-key-size 2048
dtls-signature SHA-256 | dtls-mtu 1200 | dtls-ciphers - | jitter-buffer 0 | jb-clock-drift 0
jb-adaptive 0 | jb-adaptive-min 0 | jb-adaptive-max 300 | dtx-delay * | max-dtx *
dtx-buffer * | dtx-lag * | dtx-shift * | dtx-cn-params * | amr-dtx * | evs-dtx *
silence-detect - | cn-payload 32 | player-cache * | kernel-player * | kernel-player-media *
preload-media-files * | media-files-reload * | media-files-expire * | preload-db-media *
db-media-reload * | db-media-expire * | db-media-cache * | preload-db-cache *
db-cache-reload * | db-cache-expire * | expiry-timer * | mysql-host * | mysql-port *
mysql-user * | mysql-pass * | mysql-query * | audio-buffer-length * | audio-buffer-delay *
audio-player * | moh-max-duration * | moh-max-repeats * | moh-attr-name *
moh-prevent-double-hold * | transcode-config * | codec-num-threads 0 | evs-lib-path *
codec-chain-lib-path * | codec-chain-runners * | codec-chain-concurrency *
codec-chain-async * | codec-chain-nonblock * | codec-chain-interval *
codec-chain-opus-application * | codec-chain-opus-complexity * | janus-secret *
ng-client-timeout 50 | ng-client-retries 5
";

/// Name, letter and default of each row.
fn rows() -> impl Iterator<Item = (&'static str, Option<char>, &'static str)> {
    let rows = TABLE.trim().lines().flat_map(|line| line.split('|'));
    rows.map(|row| {
        let row = row.trim();
        let (names, default) = row.split_once(' ').unwrap_or((row, ""));
        let (name, letter) = match names.split_once(':') {
            Some((name, letter)) => (name, letter.chars().next()),
            None => (names, None),
        };
        (name, letter, default.trim())
    })
}

#[test]
fn every_option_has_its_names() {
    for (name, letter, _) in rows() {
        let row = OPTIONS.iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(row.short, letter, "{name}");
    }
    // What stands beside the table: ours, and options of earlier releases.
    let others = OPTIONS.iter().map(|row| row.name);
    let others: Vec<&str> = others
        .filter(|name| rows().all(|(row, ..)| row != *name))
        .collect();
    assert_eq!(
        others,
        [
            "control-allow",
            "media-forbid",
            "media-host-ports",
            "control-read",
            "redis-delete-async",
            "redis-delete-async-interval"
        ]
    );
}

#[test]
fn every_option_has_its_default() {
    let options = config_of("", &MINIMAL).options();
    for (name, _, default) in rows() {
        let found = options.iter().find(|(option, _)| *option == name);
        let found = found.map(|(_, value)| value.as_str());
        match default {
            "*" => {}
            "-" => assert_eq!(found, Some("(null)"), "{name}"),
            default => assert_eq!(found, Some(default), "{name}"),
        }
    }
}

#[test]
fn without_an_address_a_port_is_one_of_both_families() {
    let config = config_of(
        "",
        &["-f", "-i192.0.2.1", "-n1", "-N2", "-c3", "--listen-http=4"],
    );
    let both = |port| [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    let shown = |list: &[std::net::SocketAddr]| -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    };
    assert_eq!(shown(&config.ng.udp), both(1));
    assert_eq!(shown(&config.ng.tcp), both(2));
    assert_eq!(shown(&config.control.cli), both(3));
    assert_eq!(shown(&config.control.http), both(4));
    for (given, expected) in [
        ("127.0.0.1:9", vec!["127.0.0.1:9"]),
        ("[::1]:9", vec!["[::1]:9"]),
        ("localhost:9", vec!["127.0.0.1:9"]),
        (
            "127.0.0.1:9;127.0.0.2:9",
            vec!["127.0.0.1:9", "127.0.0.2:9"],
        ),
    ] {
        let text = format!("[rtpengine]\ninterface=192.0.2.1\nlisten-ng={given}\n");
        assert_eq!(shown(&config_of(&text, &["-f"]).ng.udp), expected);
    }
}

#[test]
fn ranges_are_those_of_the_table() {
    for (option, accepted, refused) in [
        (
            "port-min",
            &["1024", "30000"][..],
            &["0", "65536", "-1"][..],
        ),
        ("tos", &["0", "255"], &["-1", "256"]),
        ("control-tos", &["0", "255"], &["256"]),
        ("control-pmtu", &["want", "dont"], &["do"]),
        ("timeout", &["-1", "0", "1"], &["x", "1s"]),
        ("silent-timeout", &["-1", "0", "1"], &["x"]),
        ("offer-timeout", &["-1", "0", "1"], &["x"]),
        ("final-timeout", &["-1", "0", "1"], &["x"]),
        ("delete-delay", &["0", "30"], &["-1", "x"]),
        ("max-sessions", &["-1", "0", "5"], &["x"]),
        ("xmlrpc-format", &["0", "1", "2"], &["3"]),
        ("log-level", &["0", "7"], &["8"]),
        ("log-level-internals", &["-1", "7"], &["8"]),
        ("log-format", &["default", "parsable"], &["json"]),
        ("log-facility", &["daemon", "local7"], &["nowhere"]),
        ("homer-protocol", &["udp", "tcp"], &["sctp"]),
        (
            "redis-format",
            &["bencode", "native", "JSON", "json"],
            &["xml"],
        ),
        ("redis-allowed-errors", &["-1", "0", "5"], &["x"]),
        (
            "mqtt-publish-scope",
            &["global", "summary", "call", "media"],
            &["all"],
        ),
        ("mqtt-publish-qos", &["0", "2"], &["3"]),
        ("mos", &["CQ", "LQ", "legacy", "g107", "g107.2"], &["best"]),
        (
            "ssrc-reporting",
            &["full", "inline", "global", "none"],
            &["some"],
        ),
        ("recording-method", &["pcap", "proc", "all"], &["wav"]),
        ("recording-format", &["raw", "eth"], &["mp3"]),
        ("dtls-cert-cipher", &["prime256v1", "RSA"], &["DSA"]),
        ("dtls-signature", &["SHA-256", "SHA-1"], &["MD5"]),
        ("dtls-mtu", &["576", "1500"], &["575"]),
        ("jb-adaptive-max", &["0", "1000"], &["1001"]),
        (
            "endpoint-learning",
            &["off", "immediate", "delayed", "heuristic"],
            &["fast"],
        ),
    ] {
        for (values, is_taken) in [(accepted, true), (refused, false)] {
            for value in values {
                let argument = format!("--{option}={value}");
                let read = read_line(&[&MINIMAL[..], &[&argument]].concat());
                assert_eq!(read.is_ok(), is_taken, "{argument}: {read:?}");
            }
        }
    }
}

#[test]
fn the_file_has_keys_lists_and_flags() {
    let text = "; a comment\n# another\n\n[other]\ntimeout = 1\n[rtpengine]\ntimeout = 20  \t\n\
                interface = a/192.0.2.1 ; b/192.0.2.2;\nlisten-ng=127.0.0.1:1;127.0.0.1:2\n\
                sip-source = true\nrecord-both = false\nmeasure-rtp=yes\nsplit-logs=no\n\
                log-mark-suffix =   \n";
    let config = config_of(text, &["-f"]);
    assert_eq!(config.timeouts.media.as_secs(), 20);
    assert_eq!((config.interfaces.len(), config.ng.udp.len()), (2, 2));
    assert!(config.signalling.sip_source && config.quality.measure_rtp);
    assert!(!config.recording.both && !config.syslog.split_lines);
    assert_eq!(config.syslog.mark_suffix, "");
    let other = config_of(
        text,
        &[
            "-f",
            "--config-section=other",
            "-i192.0.2.9",
            "-n127.0.0.1:9",
        ],
    );
    assert_eq!(other.timeouts.media.as_secs(), 1);
    // A list of the command line takes the place of that of the file.
    let over = config_of(text, &["-f", "-n", "127.0.0.1:3"]);
    assert_eq!(over.ng.udp.len(), 1);
}

#[test]
fn identifiers_have_letters_digits_and_dashes() {
    let config = |more: &[&str]| config_of("", &[&MINIMAL[..], more].concat());
    for (given, expected) in [
        ("--software-id=my relay/1.2", "my-relay-1-2"),
        ("--software-id=ok-9", "ok-9"),
    ] {
        assert_eq!(config(&[given]).signalling.software_id, expected);
    }
    let default = config(&[]).signalling.software_id;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    assert!(
        default.starts_with("rtpengine-windlass-") && default.chars().all(fits),
        "{default}"
    );
    // Not in our own place.
    let own = Config::default().signalling.software_id;
    assert!(own.starts_with("windlass-"), "{own}");
    let imported = import(
        "[rtpengine]\ninterface=127.0.0.1\nlisten-ng=127.0.0.1:2223\n",
        "rtpengine",
    )
    .unwrap();
    assert!(!imported.contains("software_id"), "{imported}");
}

#[test]
fn a_control_listener_is_required_and_the_command_line_is_none() {
    for (listener, is_enough) in [
        ("--listen-ng=127.0.0.1:9", true),
        ("--listen-tcp-ng=127.0.0.1:9", true),
        ("--listen-http=127.0.0.1:9", true),
        ("--listen-cli=127.0.0.1:9", false),
    ] {
        let read = read_line(&["-f", "-i192.0.2.1", listener]);
        assert_eq!(read.is_ok(), is_enough, "{listener}");
    }
    assert!(
        read_line(&["-f", "-n127.0.0.1:9"]).is_err(),
        "an interface, too"
    );
}
