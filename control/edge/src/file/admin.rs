//! `[admin]` (spec §17, §19).

use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;
use windlass_toml::{Place, Reader, Value};

use super::SOCKET_ADDRESS;
use crate::admin::{AdminConfig, HttpAdmin, HttpTls, UnixSocket};

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, dir: &Path) -> AdminConfig {
    let mut config = AdminConfig::default();
    let Some(table) = reader.section(root, "admin", &["unix", "http"]) else {
        return config;
    };
    if let Some(value) = table.get("unix") {
        config.unix = read_unix(reader, table, value, dir);
    }
    if let Some(value) = table.get("http") {
        let at = reader.place(value);
        config.http = read_http(reader, table, at, dir);
    }
    config
}

/// A path, or a table with `path`.
fn read_unix(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    value: &Value<'_>,
    dir: &Path,
) -> Option<UnixSocket> {
    if let Some(path) = value.get_ref().as_str() {
        return Some(UnixSocket::new(dir.join(path)));
    }
    let at = reader.place(value);
    let table = reader.section(table, "unix", &["path", "mode", "group"])?;
    if !table.contains_key("path") {
        reader.missing(at, "a Unix socket", "path");
    }
    let mode = reader.string(table, "mode");
    let group = reader.string(table, "group");
    let mut socket = UnixSocket::new(dir.join(reader.string(table, "path")?.value));
    socket.group = group.map(|group| group.value);
    if let Some(mode) = mode {
        let number = u32::from_str_radix(&mode.value, 8).ok();
        match number.filter(|number| *number <= 0o777) {
            Some(number) => socket.mode = number,
            None => reader.problem_at(
                mode.at,
                format!(
                    "`mode` is \"{}\", expected rights such as \"0660\"",
                    mode.value
                ),
            ),
        }
    }
    Some(socket)
}

fn read_http(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    dir: &Path,
) -> Option<HttpAdmin> {
    let table = reader.section(table, "http", &["bind", "tokens", "cert", "client_ca"])?;
    for key in ["bind", "tokens"] {
        if !table.contains_key(key) {
            reader.missing(at, "admin over HTTP", key);
        }
    }
    let bind = reader.parsed::<SocketAddr>(table, "bind", SOCKET_ADDRESS);
    let tokens = reader.string(table, "tokens");
    let client_ca = reader.string(table, "client_ca");
    let mut tls = None;
    if let Some(value) = table.get("cert") {
        let at = reader.place(value);
        if let Some(cert) = reader.section(table, "cert", &["chain", "key"]) {
            for key in ["chain", "key"] {
                if !cert.contains_key(key) {
                    reader.missing(at, "a certificate", key);
                }
            }
            let files = (reader.string(cert, "chain"), reader.string(cert, "key"));
            if let (Some(chain), Some(key)) = files {
                tls = Some(HttpTls {
                    chain: dir.join(chain.value),
                    key: dir.join(key.value),
                    client_ca: client_ca.as_ref().map(|ca| dir.join(&ca.value)),
                });
            }
        }
    } else if let Some(ca) = &client_ca {
        let message = "`client_ca` is for TLS, and there is no `cert`".to_owned();
        reader.problem_at(ca.at, message);
    }
    let bind = bind?;
    if !bind.value.ip().is_loopback() && !table.contains_key("cert") {
        let message = format!(
            "{} is no loopback address: tokens would cross the network in the clear; give `cert`",
            bind.value
        );
        reader.problem_at(bind.at, message);
    }
    Some(HttpAdmin {
        bind: bind.value,
        tokens: dir.join(tokens?.value),
        tls,
    })
}
