//! `[[zone]]` and its `[[zone.listen]]`.

use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;
use windlass_ng::Family;
use windlass_toml::{Place, Placed, Reader};

use super::{SOCKET_ADDRESS, is_host_port, link, refuse_double, set};
use crate::config::{
    CertificateConfig, ClientCertificates, Listen, ListenerKind, OnBadToken, Profile, Protocol,
    ServerVerification, TlsConfig, Trust, WsConfig, Zone,
};

/// Zones, and what the rest of the file has to be held against.
#[derive(Debug, Default)]
pub(super) struct Zones {
    pub(super) zones: Vec<Zone>,
    pub(super) interfaces: Vec<Placed<String>>,
    pub(super) datagrams: Vec<Placed<SocketAddr>>,
}

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, dir: &Path) -> Zones {
    const KEYS: [&str; 9] = [
        "name",
        "bad_token",
        "strip",
        "trust",
        "media",
        "media_interface",
        "address_family",
        "calls_out",
        "listen",
    ];
    let mut found = Zones::default();
    for (at, table) in reader.tables(root, "zone", &KEYS) {
        let Some(name) = reader.string(table, "name") else {
            if !table.contains_key("name") {
                reader.missing(at, "a zone", "name");
            }
            continue;
        };
        refuse_double(
            reader,
            &name,
            "zone",
            found.zones.iter().map(|zone| &*zone.name),
        );
        // Nobody is believed by mistake.
        let trust = reader.word(table, "trust", &TRUST);
        let trust = trust.map_or(Trust::Untrusted, |trust| trust.value);
        let mut zone = Zone::new(&name.value, trust);
        set(&mut zone.media, reader.word(table, "media", &PROFILE));
        set(&mut zone.calls_out, reader.flag(table, "calls_out"));
        let bad_token = reader.word(table, "bad_token", &ON_BAD_TOKEN);
        set(&mut zone.on_bad_token, bad_token);
        zone.strip = link::read_strip(reader, table);
        let family = reader.word(table, "address_family", &FAMILY);
        zone.address_family = family.map(|family| family.value);
        if let Some(interface) = reader.string(table, "media_interface") {
            zone.media_interface = Some(interface.value.clone());
            found.interfaces.push(interface);
        }
        for (at, listen) in reader.tables(table, "listen", &LISTEN_KEYS) {
            if let Some((bind, listen)) = read_listener(reader, listen, at, dir) {
                if bind.value.port() != 0 && is_taken(&found.zones, &zone, &listen) {
                    let message = format!("{} is listened on twice", bind.value);
                    reader.problem_at(bind.at, message);
                } else if listen.kind.protocol() == Protocol::Udp {
                    found.datagrams.push(bind);
                }
                zone.listeners.push(listen);
            }
        }
        found.zones.push(zone);
    }
    found
}

/// Whether another listener has the address, and the same kind of socket.
fn is_taken(before: &[Zone], own: &Zone, listen: &Listen) -> bool {
    let is_udp = |listen: &Listen| listen.kind.protocol() == Protocol::Udp;
    let mut others = before
        .iter()
        .flat_map(|zone| &zone.listeners)
        .chain(&own.listeners);
    others.any(|other| other.bind == listen.bind && is_udp(other) == is_udp(listen))
}

const LISTEN_KEYS: [&str; 9] = [
    "proto",
    "bind",
    "advertise",
    "cert",
    "client_ca",
    "require_client_cert",
    "server_ca",
    "origins",
    "path",
];

fn read_listener(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    dir: &Path,
) -> Option<(Placed<SocketAddr>, Listen)> {
    for key in ["proto", "bind"] {
        if !table.contains_key(key) {
            reader.missing(at, "a listener", key);
        }
    }
    let protocol = reader.word(table, "proto", &PROTOCOL);
    let bind = reader.parsed::<SocketAddr>(table, "bind", SOCKET_ADDRESS);
    let advertise = reader.string(table, "advertise");
    if let Some(advertise) = &advertise
        && !is_host_port(&advertise.value)
    {
        let message = format!(
            "`advertise` is \"{}\", expected a host or a host and port such as \
             \"sip.example.com:5061\"",
            advertise.value
        );
        reader.problem_at(advertise.at, message);
    }
    let protocol = protocol?.value;
    let tls = match protocol {
        Protocol::Tls | Protocol::Wss => Some(read_tls(reader, table, at, dir)),
        Protocol::Udp | Protocol::Tcp | Protocol::Ws => {
            refuse(reader, table, protocol, &TLS_KEYS);
            None
        }
    };
    let ws = match protocol {
        Protocol::Ws | Protocol::Wss => {
            let origins = reader.list::<String>(table, "origins", "an origin");
            let origins = origins.unwrap_or_default();
            WsConfig {
                origins: origins.into_iter().map(|origin| origin.value).collect(),
                path: reader.string(table, "path").map(|path| path.value),
            }
        }
        Protocol::Udp | Protocol::Tcp | Protocol::Tls => {
            refuse(reader, table, protocol, &["origins", "path"]);
            WsConfig::default()
        }
    };
    let kind = match (protocol, tls) {
        (Protocol::Tls, Some(tls)) => ListenerKind::Tls(tls),
        (Protocol::Wss, Some(tls)) => ListenerKind::Wss(tls, ws),
        (Protocol::Ws, _) => ListenerKind::Ws(ws),
        (Protocol::Tcp, _) => ListenerKind::Tcp,
        _ => ListenerKind::Udp,
    };
    let bind = bind?;
    let listen = Listen {
        kind,
        bind: bind.value,
        advertise: advertise.map(|advertise| advertise.value),
    };
    Some((bind, listen))
}

const TLS_KEYS: [&str; 4] = ["cert", "client_ca", "require_client_cert", "server_ca"];

/// Keys that mean nothing for a protocol.
fn refuse(reader: &mut Reader<'_>, table: &DeTable<'_>, protocol: Protocol, keys: &[&str]) {
    for key in keys {
        if let Some(value) = table.get(*key) {
            let name = protocol.name();
            reader.problem(
                value,
                &format!("`{key}` has no meaning for `proto = \"{name}\"`"),
            );
        }
    }
}

fn read_tls(reader: &mut Reader<'_>, table: &DeTable<'_>, at: Place, dir: &Path) -> TlsConfig {
    let mut tls = TlsConfig::default();
    for (at, cert) in reader.tables(table, "cert", &["names", "chain", "key"]) {
        for key in ["chain", "key"] {
            if !cert.contains_key(key) {
                reader.missing(at, "a certificate", key);
            }
        }
        let names = reader.list::<String>(cert, "names", "a host name");
        let names = names.map(|names| names.into_iter().map(|name| name.value).collect());
        let chain = reader.string(cert, "chain");
        let key = reader.string(cert, "key");
        if let (Some(chain), Some(key)) = (chain, key) {
            tls.certificates.push(CertificateConfig {
                names: names.unwrap_or_else(|| vec!["*".to_owned()]),
                chain: dir.join(chain.value),
                key: dir.join(key.value),
            });
        }
    }
    if tls.certificates.is_empty() && !table.contains_key("cert") {
        reader.missing(at, "a listener for TLS", "cert");
    }
    let required = reader.flag(table, "require_client_cert");
    match (reader.string(table, "client_ca"), required) {
        (Some(ca), Some(required)) if required.value => {
            tls.clients = ClientCertificates::Require(dir.join(ca.value));
        }
        (Some(ca), _) => tls.clients = ClientCertificates::Optional(dir.join(ca.value)),
        (None, Some(required)) if required.value => {
            let message = "client certificates need `client_ca`, the authorities that issue them";
            reader.problem_at(required.at, message.to_owned());
        }
        (None, _) => {}
    }
    if let Some(ca) = reader.string(table, "server_ca") {
        tls.servers = match &*ca.value {
            "off" => ServerVerification::Off,
            path => ServerVerification::Authorities(dir.join(path)),
        };
    }
    tls
}

const TRUST: [(&str, Trust); 3] = [
    ("untrusted", Trust::Untrusted),
    ("peer", Trust::Peer),
    ("inside", Trust::Inside),
];

const ON_BAD_TOKEN: [(&str, OnBadToken); 2] =
    [("reject", OnBadToken::Reject), ("drop", OnBadToken::Drop)];

const PROFILE: [(&str, Profile); 5] = [
    ("keep", Profile::Keep),
    ("plain", Profile::Plain),
    ("sdes", Profile::Sdes),
    ("webrtc", Profile::Webrtc),
    ("opportunistic", Profile::Opportunistic),
];

const PROTOCOL: [(&str, Protocol); 5] = [
    ("udp", Protocol::Udp),
    ("tcp", Protocol::Tcp),
    ("tls", Protocol::Tls),
    ("ws", Protocol::Ws),
    ("wss", Protocol::Wss),
];

const FAMILY: [(&str, Family); 2] = [("IP4", Family::Ip4), ("IP6", Family::Ip6)];
