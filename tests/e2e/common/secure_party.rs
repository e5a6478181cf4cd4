//! DTLS of OpenSSL and SRTP of libsrtp behind a socket of the test, driven over pipes. The program is
//! `secure_party.py`, run by the Python of [`super::aiortc`], which has both.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use windlass_sdp::CryptoLine;

/// A party; it ends with the test.
pub(crate) struct SecureParty {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// How a party speaks DTLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    /// It sends the ClientHello.
    pub(crate) is_client: bool,
    /// `1.0` or `1.2`.
    pub(crate) version: &'a str,
    /// As OpenSSL lists them.
    pub(crate) ciphers: &'a str,
    /// `P-256`, `P-384` or `RSA`.
    pub(crate) key: &'a str,
    /// Of its fingerprint.
    pub(crate) hash: &'a str,
    /// By the names of SDES.
    pub(crate) profiles: &'a [&'a str],
    /// Bytes of its datagrams.
    pub(crate) mtu: usize,
}

impl Default for Manner<'_> {
    fn default() -> Self {
        Self {
            is_client: true,
            version: "1.2",
            ciphers: "DEFAULT",
            key: "P-256",
            hash: "sha-256",
            profiles: &["AES_CM_128_HMAC_SHA1_80"],
            mtu: 1200,
        }
    }
}

/// How far its handshake is.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) send: Vec<Vec<u8>>,
    pub(crate) connected: Option<Agreed>,
    pub(crate) error: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) profile: String,
    pub(crate) cipher: String,
    /// Fingerprints of the other side's certificate, as SDP writes them.
    pub(crate) peer: Vec<String>,
}

impl SecureParty {
    pub(crate) fn start(python: &Path) -> Self {
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/e2e/common/secure_party.py"
        );
        let mut child = Command::new(python)
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn order(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{order}: {line:?} {error}"))
    }

    /// SRTP under the keys of two crypto lines of one suite.
    pub(crate) fn has_keys(&mut self, sends: &CryptoLine, opens: &CryptoLine) {
        let key = |line: &CryptoLine| hex(&line.key_salt().unwrap());
        let profile = sends.suite.known_name().unwrap();
        self.order(&json!({
            "do": "srtp", "profile": profile, "sends": key(sends), "opens": key(opens),
        }));
    }

    /// An RTP or RTCP packet, sealed.
    pub(crate) fn seal(&mut self, packet: &[u8]) -> Vec<u8> {
        self.change("seal", packet).unwrap()
    }

    /// A packet of the other side, or why it is none.
    pub(crate) fn open(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        self.change("open", packet)
    }

    fn change(&mut self, what: &str, packet: &[u8]) -> Result<Vec<u8>, String> {
        let reply = self.order(&json!({"do": what, "packet": hex(packet)}));
        match reply["packet"].as_str() {
            Some(packet) => Ok(bytes(packet)),
            None => Err(reply["error"].as_str().unwrap().to_owned()),
        }
    }

    /// Begins DTLS with a new certificate, whose fingerprint it gives back.
    pub(crate) fn speaks_dtls(&mut self, manner: &Manner<'_>) -> String {
        let reply = self.order(&json!({
            "do": "dtls",
            "role": if manner.is_client { "client" } else { "server" },
            "version": manner.version,
            "ciphers": manner.ciphers,
            "key": manner.key,
            "hash": manner.hash,
            "profiles": manner.profiles,
            "mtu": manner.mtu,
        }));
        format!("{} {}", manner.hash, reply["fingerprint"].as_str().unwrap())
    }

    /// Takes datagrams in, and repeats what is due.
    pub(crate) fn turn(&mut self, datagrams: &[Vec<u8>]) -> Progress {
        let datagrams: Vec<String> = datagrams.iter().map(|it| hex(it)).collect();
        let reply = self.order(&json!({"do": "turn", "datagrams": datagrams}));
        let send = reply["send"].as_array().unwrap().iter();
        let connected = reply["connected"].as_object().map(|agreed| {
            let text = |key: &str| agreed[key].as_str().unwrap().to_owned();
            Agreed {
                profile: text("profile"),
                cipher: text("cipher"),
                peer: fingerprints(&agreed["peer"]),
            }
        });
        Progress {
            send: send.map(|it| bytes(it.as_str().unwrap())).collect(),
            connected,
            error: reply["error"].as_str().map(str::to_owned),
        }
    }
}

impl Drop for SecureParty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fingerprints(of_hash: &Value) -> Vec<String> {
    let of_hash = of_hash.as_object().unwrap().iter();
    of_hash
        .map(|(hash, digest)| format!("{hash} {}", digest.as_str().unwrap()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}
