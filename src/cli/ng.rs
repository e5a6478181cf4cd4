//! `windlass ng`: one command to a running relay.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Outcome, print};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 1 if the relay answers with an error or not at all.

Examples:
  windlass ng ping
  windlass ng list limit=100
  windlass ng query call-id=abc@example.com
  windlass ng offer call-id=abc from-tag=1 'flags=[trust-address]' 'direction=[ext,int]' \\
              --sdp offer.sdp
  windlass ng delete call-id=abc delete-delay=0")]
pub(crate) struct NgArgs {
    /// Where the relay takes ng requests (UDP)
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:2223",
        env = "WINDLASS_RELAY",
        hide_env = true
    )]
    relay: SocketAddr,

    /// Read the SDP of the command from a file, or from standard input with '-'
    #[arg(long, value_name = "FILE")]
    sdp: Option<String>,

    /// Print the reply as JSON
    #[arg(long)]
    json: bool,

    /// ping, offer, answer, delete, query, list, statistics, ...; write a blank as '-':
    /// start-recording
    #[arg(value_name = "COMMAND")]
    command: String,

    /// Keys of the command. A list is written [a,b]; what starts with '{' is read as JSON
    #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
    pairs: Vec<(String, Value)>,
}

pub(crate) fn ng(args: &NgArgs) -> Outcome {
    let request = request(args)?;
    let reply = exchange(args.relay, &request)?;
    let is_error = reply.get("result").and_then(Value::as_str) == Some("error");
    let text = if args.json {
        format!("{reply:#}\n")
    } else {
        readable(&reply)
    };
    print(&text)?;
    Ok(if is_error {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn request(args: &NgArgs) -> io::Result<Value> {
    let mut request = Map::new();
    let command = args.command.replace(['-', '_'], " ");
    request.insert("command".to_owned(), Value::String(command));
    for (key, value) in &args.pairs {
        request.insert(key.clone(), value.clone());
    }
    if let Some(source) = &args.sdp {
        let text = if source == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        } else {
            fs::read_to_string(source)
                .map_err(|error| io::Error::new(error.kind(), format!("{source}: {error}")))?
        };
        request.insert("sdp".to_owned(), Value::String(with_crlf(&text)));
    }
    Ok(Value::Object(request))
}

/// SDP lines end with CR LF (RFC 4566 §5); editors leave LF.
fn with_crlf(text: &str) -> String {
    text.lines().fold(String::new(), |mut sdp, line| {
        sdp.push_str(line);
        sdp.push_str("\r\n");
        sdp
    })
}

fn parse_pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| format!("`{text}` is no KEY=VALUE; a flag is written flags=[{text}]"))?;
    let list = value
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let value = match list {
        Some("") => Value::Array(Vec::new()),
        Some(entries) => entries
            .split(',')
            .map(|entry| Value::String(entry.trim().to_owned()))
            .collect(),
        None if value.starts_with('{') => serde_json::from_str(value)
            .map_err(|error| format!("the value of `{key}` is no JSON: {error}"))?,
        None => Value::String(value.to_owned()),
    };
    Ok((key.to_owned(), value))
}

/// Sends the request in JSON, again if nothing comes back, and returns the reply.
fn exchange(relay: SocketAddr, request: &Value) -> Result<Value, String> {
    const TRIES: u32 = 3;
    let failed = |error: io::Error| format!("{relay}: {error}");
    let local = if relay.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(local).map_err(failed)?;
    socket.connect(relay).map_err(failed)?;
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .map_err(failed)?;
    let cookie = format!("{:016x}", rand::random::<u64>());
    let datagram = format!("{cookie} {request}");
    let mut buffer = vec![0; 65_536];
    for _ in 0..TRIES {
        socket.send(datagram.as_bytes()).map_err(failed)?;
        let received = match socket.recv(&mut buffer) {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(format!("no relay listens on {relay}"));
            }
            Err(error) => return Err(failed(error)),
        };
        let text = String::from_utf8_lossy(received);
        if let Some((answered, json)) = text.split_once(' ')
            && answered == cookie
        {
            return serde_json::from_str(json)
                .map_err(|error| format!("{relay} answered what is no JSON: {error}"));
        }
    }
    Err(format!("{relay} does not answer"))
}

/// The reply in lines: nested values indented, several lines of text as they are.
fn readable(reply: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, reply, 0);
    text
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                write_entry(text, &indent, &format!("{key}:"), value, depth);
            }
        }
        Value::Array(entries) => {
            for value in entries {
                write_entry(text, &indent, "-", value, depth);
            }
        }
        scalar => {
            let _ = writeln!(text, "{indent}{}", plain(scalar));
        }
    }
}

fn write_entry(text: &mut String, indent: &str, title: &str, value: &Value, depth: usize) {
    let is_empty = match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    };
    if is_empty {
        let _ = writeln!(text, "{indent}{title} {value}");
    } else if value.is_object() || value.is_array() {
        let _ = writeln!(text, "{indent}{title}");
        write_value(text, value, depth + 1);
    } else {
        let value = plain(value);
        if value.contains('\n') {
            let _ = writeln!(text, "{indent}{title}");
            for line in value.lines() {
                let _ = writeln!(text, "{indent}  {line}");
            }
        } else {
            let _ = writeln!(text, "{indent}{title} {value}");
        }
    }
}

fn plain(scalar: &Value) -> String {
    scalar
        .as_str()
        .map_or_else(|| scalar.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pairs_are_text_lists_or_json() {
        let value = |text| parse_pair(text).unwrap().1;
        assert_eq!(value("call-id=a=b"), json!("a=b"));
        assert_eq!(
            value("flags=[trust-address, symmetric]"),
            json!(["trust-address", "symmetric"])
        );
        assert_eq!(value("replace=[]"), json!([]));
        assert_eq!(
            value(r#"codec={"strip":["all"]}"#),
            json!({"strip": ["all"]})
        );
        for bad in ["trust-address", "=x", "codec={"] {
            assert!(parse_pair(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reply_reads_well() {
        let reply = json!({
            "result": "ok", "sdp": "v=0\r\ns=-\r\n",
            "calls": ["a", "b"], "totals": { "RTP": { "packets": 3 } }, "tags": {},
        });
        assert_eq!(
            readable(&reply),
            "result: ok\nsdp:\n  v=0\n  s=-\ncalls:\n  - a\n  - b\ntotals:\n  RTP:\n    packets: 3\n\
             tags: {}\n"
        );
    }

    #[test]
    fn sdp_lines_end_as_they_must() {
        assert_eq!(with_crlf("v=0\ns=-\r\n"), "v=0\r\ns=-\r\n");
    }

    #[test]
    fn exchange_returns_the_reply_of_its_cookie() {
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = relay.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut buffer = [0; 256];
            let (length, from) = relay.recv_from(&mut buffer).unwrap();
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let (cookie, body) = text.split_once(' ').unwrap();
            let reply = format!("{cookie} {{\"result\":\"pong\"}}");
            relay.send_to(reply.as_bytes(), from).unwrap();
            body.to_owned()
        });
        let reply = exchange(address, &json!({ "command": "ping" })).unwrap();
        assert_eq!(reply, json!({ "result": "pong" }));
        assert_eq!(server.join().unwrap(), r#"{"command":"ping"}"#);
    }
}
