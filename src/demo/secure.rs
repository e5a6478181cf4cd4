//! A phone whose SIP is encrypted (TLS), in a call with the plain one.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, SanType};
use serde::Serialize;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::nat::Line;
use super::phone::{CallError, USER_AGENT, token};
use super::sip::{Message, audio_address, caller_routes, host_port, sdp, uri};
use super::{now, pause};
use crate::config::{CertificateConfig, Listen, ListenerKind, TlsConfig};

/// Audio packets that the phone sends.
const PACKETS: u64 = 25;

/// Time between two of them.
const FRAME: Duration = Duration::from_millis(20);

/// Longest wait for a response, and for the last packets.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that a response may have.
const MESSAGE: usize = 65_536;

/// The outcome of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SecureReport {
    /// Audio packets that the phone sent.
    pub sent: u64,
    /// Packets of those that the plain phone sent back.
    pub returned: u64,
}

impl SecureReport {
    /// Whether at least 99.9 % came back.
    pub(super) fn is_good(self) -> bool {
        self.sent > 0 && self.returned * 1000 >= self.sent * 999
    }
}

/// The edge's address for phones with TLS, with a certificate of the demo's own.
#[derive(Debug)]
pub(super) struct SecureEdge {
    pub(super) address: SocketAddr,
    certificate: CertificateDer<'static>,
    /// Chain and key, which the edge reads at its start.
    files: [PathBuf; 2],
}

impl SecureEdge {
    /// A free port of `ip`, and a certificate for it.
    pub(super) fn new(ip: IpAddr) -> io::Result<Self> {
        let address = TcpListener::bind((ip, 0))?.local_addr()?;
        let made = || -> Result<_, rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.subject_alt_names = vec![SanType::IpAddress(ip)];
            Ok((params.self_signed(&key)?, key))
        };
        let (certificate, key) = made().map_err(io::Error::other)?;
        let name = format!("windlass-demo-{}", token());
        let files =
            ["chain", "key"].map(|part| std::env::temp_dir().join(format!("{name}.{part}")));
        let this = Self {
            address,
            certificate: certificate.der().clone(),
            files,
        };
        let [chain, private] = &this.files;
        fs::write(chain, certificate.pem())?;
        fs::write(private, key.serialize_pem())?;
        Ok(this)
    }

    pub(super) fn listener(&self) -> Listen {
        let [chain, key] = self.files.clone();
        Listen {
            kind: ListenerKind::Tls(TlsConfig {
                certificates: vec![CertificateConfig {
                    names: vec!["*".to_owned()],
                    chain,
                    key,
                }],
                ..TlsConfig::default()
            }),
            bind: self.address,
            advertise: None,
        }
    }

    /// A call to the callee's echo.
    pub(super) fn call(&self) -> Result<SecureReport, CallError> {
        let mut phone = Phone::connect(self)?;
        let [rtp, rtcp] = Line::direct_pair(self.address.ip())?;
        let invite = phone
            .request("INVITE", 1)
            .with(
                "Contact",
                format!("<sip:secure@{};transport=tls>", phone.own),
            )
            .with_sdp(sdp("secure", rtp.believed()));
        let answer = phone.transact("INVITE", &invite)?;
        let bad = |what| CallError::BadAnswer {
            what,
            text: answer.start.clone(),
        };
        phone.target = uri(answer.header("Contact").ok_or_else(|| bad("contact"))?).to_owned();
        phone.routes = caller_routes(&answer);
        phone.to = answer
            .header("To")
            .ok_or_else(|| bad("To header"))?
            .to_owned();
        let to = audio_address(&answer.body).ok_or_else(|| bad("description"))?;
        let ack = phone.request("ACK", 1);
        phone.stream.write_all(&ack.bytes())?;
        let returned = talk(&rtp, to)?;
        drop(rtcp);
        let bye = phone.request("BYE", 2);
        phone.transact("BYE", &bye)?;
        Ok(SecureReport {
            sent: PACKETS,
            returned,
        })
    }
}

impl Drop for SecureEdge {
    fn drop(&mut self) {
        for file in &self.files {
            // It may never have been written.
            let _ = fs::remove_file(file);
        }
    }
}

/// Packets that came back of those that were sent.
fn talk(rtp: &Line, to: SocketAddr) -> io::Result<u64> {
    let mut buffer = [0; 2048];
    let mut returned = 0;
    let mut at = now();
    for number in 0..PACKETS {
        let sequence = u16::try_from(number).unwrap_or_default();
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        packet.extend_from_slice(&0x5ec0_5ec0_u32.to_be_bytes());
        packet.extend_from_slice(&[0xd5; 160]);
        rtp.send_to(&packet, to)?;
        at += FRAME;
        pause(at.saturating_duration_since(now()));
    }
    let until = now() + PATIENCE;
    while returned < PACKETS && now() < until {
        if rtp.receive(&mut buffer, FRAME)?.is_some() {
            returned += 1;
        }
    }
    Ok(returned)
}

struct Phone {
    stream: StreamOwned<ClientConnection, TcpStream>,
    own: String,
    from: String,
    to: String,
    target: String,
    routes: Vec<String>,
    call_id: String,
}

impl Phone {
    fn connect(edge: &SecureEdge) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots
            .add(edge.certificate.clone())
            .map_err(io::Error::other)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(edge.address.ip());
        let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(edge.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let own = host_port(socket.local_addr()?);
        let target = format!("sip:echo@{}", host_port(edge.address));
        Ok(Self {
            stream: StreamOwned::new(tls, socket),
            from: format!("<sip:secure@{own}>;tag={}", token()),
            own,
            to: format!("<{target}>"),
            target,
            routes: Vec::new(),
            call_id: format!("{}@windlass-demo", token()),
        })
    }

    fn request(&self, method: &str, number: u32) -> Message {
        let via = format!("SIP/2.0/TLS {};rport;branch=z9hG4bK{}", self.own, token());
        let request = Message::new(format!("{method} {} SIP/2.0", self.target))
            .with("Via", via)
            .with("Max-Forwards", "70");
        let routes = self.routes.iter();
        routes
            .fold(request, |request, route| request.with("Route", route))
            .with("From", &self.from)
            .with("To", &self.to)
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{number} {method}"))
            .with("User-Agent", USER_AGENT)
    }

    /// Sends a request and waits for its success.
    fn transact(&mut self, method: &'static str, request: &Message) -> Result<Message, CallError> {
        self.stream.write_all(&request.bytes())?;
        loop {
            let response = self.receive(method)?;
            match response.status() {
                Some(200..300) if response.cseq() == request.cseq() => return Ok(response),
                Some(300..) => {
                    return Err(CallError::Refused {
                        method,
                        status: response.start,
                    });
                }
                _ => {}
            }
        }
    }

    /// The next message, by its Content-Length.
    fn receive(&mut self, method: &'static str) -> Result<Message, CallError> {
        let mut read = Vec::new();
        let mut byte = [0];
        let mut length = None;
        while read.len() < MESSAGE && length.is_none_or(|length| read.len() < length) {
            match self.stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => read.extend_from_slice(&byte),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(CallError::NoAnswer(method));
                }
                Err(error) => return Err(error.into()),
            }
            if length.is_none() && read.ends_with(b"\r\n\r\n") {
                let head = Message::parse(&read);
                let body = head.as_ref().and_then(|head| head.header("Content-Length"));
                let body: usize = body.and_then(|body| body.parse().ok()).unwrap_or_default();
                length = Some(read.len() + body);
            }
        }
        Message::parse(&read).ok_or(CallError::NoAnswer(method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_certificate_go_with_the_demo() {
        let edge = SecureEdge::new(std::net::Ipv4Addr::LOCALHOST.into()).unwrap();
        let [chain, key] = edge.files.clone();
        assert!(
            fs::read_to_string(&chain)
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
        assert!(
            fs::read_to_string(&key)
                .unwrap()
                .contains("PRIVATE KEY-----")
        );
        drop(edge);
        assert!(!chain.exists() && !key.exists());
    }
}
