//! `rtc-dtls` behind the few calls that a handshake needs, and what has to be done so that it can be
//! trusted with bytes of strangers:
//!
//! - It sees whole handshake messages in their order, under record numbers of ours. (Its reassembly
//!   recurses per fragment, and what it has once cached is never corrected.)
//! - It never retransmits: its timer dies of any incomplete flight. Flights are kept and sent again
//!   by [`Association`](crate::association::Association).
//! - It asks every client for a cookie, but remembers the client first. We ask without a memory
//!   ([`crate::cookie`]), and play the first hello to it when the client has come back. The cookie
//!   goes in through the random numbers that it draws, so that it accepts the client's second hello,
//!   which both sides hash, as it is.
//! - As a server it does not compare the client's Finished. We do ([`Library::is_finished`]), with the
//!   secrets of its saved state.
//! - A panic in it ends the handshake, and not the thread.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::hmac;
use bytes::BytesMut;
use rtc_dtls::cipher_suite::{CipherSuite, CipherSuiteId, cipher_suite_for_id};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder};
use rtc_dtls::content::ContentType;
use rtc_dtls::crypto_provider::{
    CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom, providers::AwsLcRsProvider,
};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::record_layer::record_layer_header::{PROTOCOL_VERSION1_2, RecordLayerHeader};
use rtc_dtls::signature_hash_algorithm::SignatureScheme;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::certificate::{Certificate, KeyKind};
use crate::cookie;
use crate::limits;
use crate::profile::{Profile, Secret};
use crate::session::{FailReason, Role};
use crate::wire::{self, Record, Records};

/// The library keeps associations by address; ours has one each.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9));
/// What the library puts into its server_name extension, which it never leaves out.
const SERVER_NAME: &str = "dtls-srtp.invalid";
/// Bytes before the content of a fragment.
const FRAGMENT_HEADERS: usize = wire::RECORD_HEADER + wire::HANDSHAKE_HEADER;
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
const VERIFY_DATA: usize = 12;

const SUITES: [CipherSuiteId; 4] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
];

/// The suites of [`SUITES`] that a server with such a key can sign for.
pub(crate) fn suites(key: KeyKind) -> [u16; 2] {
    match key {
        KeyKind::EcdsaP256 => [0xc02b, 0xcca9],
        KeyKind::Rsa(_) => [0xc02f, 0xcca8],
    }
}

/// A record of ours.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// In the clear; numbered when it is sent.
    Plain { kind: u8, body: Vec<u8> },
    /// Under the new keys, a whole record with the number that it was sealed with.
    Sealed(Vec<u8>),
}

/// What both sides of an association need to protect its records (RFC 6347 §4.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) suite: u16,
    master_secret: Secret,
    client_random: Vec<u8>,
    server_random: Vec<u8>,
    /// Number of our next record in epoch 1.
    pub(crate) next_sequence: u64,
}

impl Secrets {
    /// The suite, ready to open the peer's records and to seal ours.
    pub(crate) fn protection(&self, role: Role) -> Option<Box<dyn CipherSuite>> {
        guard(|| self.init(role)).flatten()
    }

    fn init(&self, role: Role) -> Option<Box<dyn CipherSuite>> {
        let mut suite = cipher_suite_for_id(CipherSuiteId::from(self.suite)).ok()?;
        let provider = Arc::new(AwsLcRsProvider::new());
        let (client, server) = (&self.client_random, &self.server_random);
        let is_client = role == Role::Active;
        let secret = self.master_secret.as_bytes();
        suite
            .init(provider, secret, client, server, is_client)
            .ok()?;
        Some(suite)
    }
}

/// Layout of what `State::marshal_binary` writes, which has no accessors.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct SavedState {
    local_epoch: u16,
    remote_epoch: u16,
    local_random: [u8; 32],
    remote_random: [u8; 32],
    cipher_suite_id: u16,
    master_secret: Vec<u8>,
    sequence_number: u64,
    srtp_protection_profile: u16,
    peer_certificates: Vec<Vec<u8>>,
    identity_hint: Vec<u8>,
    is_client: bool,
}

/// What a finished handshake has agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) certificate: Vec<u8>,
    pub(crate) profile: Profile,
    /// Output of the exporter (RFC 5764 §4.2).
    pub(crate) material: Secret,
    pub(crate) secrets: Secrets,
}

/// One handshake of the library.
pub(crate) struct Library {
    endpoint: Endpoint,
    role: Role,
    /// Number of the next record that it is given.
    sequence: u64,
}

impl Library {
    /// A client; its ClientHello is in [`Library::take_output`].
    pub(crate) fn connect(
        certificate: &Certificate,
        profiles: &[Profile],
        mtu: usize,
        now: Instant,
    ) -> Result<Self, FailReason> {
        let provider = Arc::new(AwsLcRsProvider::new());
        let config = builder(certificate, profiles, mtu)
            .with_crypto_provider(provider)
            .build(true, None)
            .map_err(|error| FailReason::Setup(error.to_string()))?;
        let mut library = Self::new(Role::Active, None);
        library.guard(|endpoint| {
            let connected = endpoint.connect(now, PEER, Arc::new(config), None);
            connected.map_err(|error| error.to_string())
        })?;
        Ok(library)
    }

    /// A server that has asked for `cookie`. The first message that it is to be fed is number 1,
    /// the ClientHello with that cookie; `first_hello` is the body of the one without.
    pub(crate) fn accept(
        certificate: &Certificate,
        profile: Profile,
        mtu: usize,
        cookie: [u8; cookie::LEN],
        first_hello: &[u8],
        now: Instant,
    ) -> Result<Self, FailReason> {
        let provider = Arc::new(CookieProvider {
            provider: AwsLcRsProvider::new(),
            cookie,
        });
        let config = builder(certificate, &[profile], mtu)
            .with_crypto_provider(provider)
            .build(false, None)
            .map_err(|error| FailReason::Setup(error.to_string()))?;
        let mut library = Self::new(Role::Passive, Some(config));
        let first_hello = wire::message(wire::CLIENT_HELLO, 0, first_hello);
        library.feed(wire::HANDSHAKE, &first_hello, now)?;
        // Its HelloVerifyRequest, which the client has had from us.
        library.take_output();
        Ok(library)
    }

    fn new(role: Role, config: Option<rtc_dtls::config::HandshakeConfig>) -> Self {
        // Neither address nor protocol is looked at; they label what comes out.
        let endpoint = Endpoint::new(PEER, Default::default(), config.map(Arc::new));
        let sequence = 0;
        Self {
            endpoint,
            role,
            sequence,
        }
    }

    /// A record in the clear. Returns whether the handshake is complete.
    pub(crate) fn feed(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<bool, FailReason> {
        let record = wire::record(kind, wire::DTLS_1_2, 0, self.sequence, body);
        self.sequence += 1;
        self.feed_sealed(&record, now)
    }

    /// A record under the new keys, as it came. Returns whether the handshake is complete.
    pub(crate) fn feed_sealed(&mut self, record: &[u8], now: Instant) -> Result<bool, FailReason> {
        let record = BytesMut::from(record);
        let events = self.guard(|endpoint| {
            let events = endpoint.read(now, PEER, None, record);
            events.map_err(|error| error.to_string())
        })?;
        Ok(events
            .iter()
            .any(|event| matches!(event, EndpointEvent::HandshakeComplete)))
    }

    /// Everything that it wants to send, in order.
    pub(crate) fn take_output(&mut self) -> Vec<Sent> {
        let mut output = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            for record in Records::new(&transmit.message).flatten() {
                output.push(match record.epoch {
                    0 => Sent::Plain {
                        kind: record.kind,
                        body: record.body.to_vec(),
                    },
                    _ => Sent::Sealed(record.bytes.to_vec()),
                });
            }
        }
        output
    }

    /// The outcome of a handshake that is complete.
    pub(crate) fn agreed(&self) -> Result<Agreed, FailReason> {
        guard(|| self.read_agreed()).unwrap_or(Err(FailReason::Panicked))
    }

    fn read_agreed(&self) -> Result<Agreed, FailReason> {
        let failed = |what: String| FailReason::Handshake(what);
        let state = self.endpoint.get_connection_state(PEER);
        let state = state.ok_or_else(|| failed("no association".into()))?;
        let certificate = state.peer_certificates.first();
        let certificate = certificate.ok_or(FailReason::NoCertificate)?.clone();
        let profile = Profile::from_id(state.srtp_protection_profile() as u16)
            .ok_or(FailReason::NoCommonProfile)?;
        let length = 2 * (profile.key_len() + profile.salt_len());
        let material = state
            .export_keying_material(EXPORTER, &[], length)
            .map_err(|error| failed(error.to_string()))?;
        let saved = state.marshal_binary();
        let saved = Secret::new(saved.map_err(|error| failed(error.to_string()))?);
        let mut aligned = rkyv::util::AlignedVec::<16>::new();
        aligned.extend_from_slice(saved.as_bytes());
        let saved = rkyv::from_bytes::<SavedState, rkyv::rancor::Error>(&aligned);
        aligned.as_mut_slice().zeroize();
        let saved = saved.map_err(|error| failed(error.to_string()))?;
        let (local, remote) = (saved.local_random.to_vec(), saved.remote_random.to_vec());
        let (client_random, server_random) = match self.role {
            Role::Active => (local, remote),
            Role::Passive => (remote, local),
        };
        Ok(Agreed {
            certificate,
            profile,
            material: Secret::new(material.into_bytes()),
            secrets: Secrets {
                suite: saved.cipher_suite_id,
                master_secret: Secret::new(saved.master_secret),
                client_random,
                server_random,
                next_sequence: saved.sequence_number,
            },
        })
    }

    /// Whether `record` is the client's Finished over `transcript`, the SHA-256 of all messages before
    /// it (RFC 5246 §7.4.9). Every suite of [`SUITES`] has SHA-256 as its hash.
    pub(crate) fn is_finished(secrets: &Secrets, record: &[u8], transcript: &[u8]) -> bool {
        let Some(mut protection) = secrets.protection(Role::Passive) else {
            return false;
        };
        let Some(Ok(record)) = Records::new(record).next() else {
            return false;
        };
        let Some(message) = open(protection.as_mut(), &record) else {
            return false;
        };
        let mut fragments = wire::Fragments::new(&message);
        let Some(Ok(finished)) = fragments.next() else {
            return false;
        };
        let expected = prf(
            secrets.master_secret.as_bytes(),
            &[b"client finished", transcript].concat(),
            VERIFY_DATA,
        );
        finished.kind == wire::FINISHED
            && aws_lc_rs::constant_time::verify_slices_are_equal(finished.body, &expected).is_ok()
    }

    /// Calls the library so that neither a panic nor a long text of it gets out.
    fn guard<T>(
        &mut self,
        call: impl FnOnce(&mut Endpoint) -> Result<T, String>,
    ) -> Result<T, FailReason> {
        let endpoint = &mut self.endpoint;
        match catch_unwind(AssertUnwindSafe(|| call(endpoint))) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                let text = error.chars().take(limits::REASON_CHARS).collect();
                Err(FailReason::Handshake(text))
            }
            Err(_) => {
                // Half changed; it is dropped with its association, and says nothing more.
                self.endpoint = Endpoint::new(PEER, Default::default(), None);
                Err(FailReason::Panicked)
            }
        }
    }
}

fn builder(certificate: &Certificate, profiles: &[Profile], mtu: usize) -> ConfigBuilder {
    let profiles = profiles
        .iter()
        .map(|profile| profile.to_library())
        .collect();
    ConfigBuilder::default()
        .with_certificates(vec![certificate.library.clone()])
        .with_cipher_suites(SUITES.to_vec())
        .with_signature_schemes(vec![
            SignatureScheme::EcdsaWithP256AndSha256,
            SignatureScheme::EcdsaWithP384AndSha384,
            SignatureScheme::Pkcs1WithSha256,
            SignatureScheme::Pkcs1WithSha384,
            SignatureScheme::Pkcs1WithSha512,
        ])
        .with_srtp_protection_profiles(profiles)
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // Certificates are self-signed; the fingerprint says whose it is.
        .with_insecure_skip_verify(true)
        .with_server_name(SERVER_NAME.to_owned())
        .with_mtu(mtu.saturating_sub(FRAGMENT_HEADERS))
}

/// The pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246 §5); `seed` begins with the label.
fn prf(secret: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut a = hmac::sign(&key, seed);
    let mut output = Vec::new();
    while output.len() < length {
        let block = hmac::sign(&key, &[a.as_ref(), seed].concat());
        output.extend_from_slice(block.as_ref());
        a = hmac::sign(&key, a.as_ref());
    }
    output.truncate(length);
    output
}

/// The library's provider with one number drawn beforehand.
struct CookieProvider {
    provider: AwsLcRsProvider,
    cookie: [u8; cookie::LEN],
}

impl RTCCryptoProvider for CookieProvider {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.provider.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        self
    }
}

impl RTCRandom for CookieProvider {
    /// A cookie is all that a server draws with 20 bytes: randoms have 28, nonces 8.
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        if output.len() == self.cookie.len() {
            output.copy_from_slice(&self.cookie);
            return Ok(());
        }
        self.provider.random().fill(output)
    }
}

/// The content of a record of the peer's epoch 1; [`None`] if it is not the peer's.
pub(crate) fn open(protection: &mut dyn CipherSuite, record: &Record<'_>) -> Option<Vec<u8>> {
    // The library gives a ChangeCipherSpec back as it came, opened or not.
    if record.kind == wire::CHANGE_CIPHER_SPEC {
        return None;
    }
    let opened = guard(|| protection.decrypt(record.bytes))?.ok()?;
    opened.get(wire::RECORD_HEADER..).map(<[u8]>::to_vec)
}

/// Seals an alert of ours in epoch 1.
pub(crate) fn seal_alert(
    protection: &mut dyn CipherSuite,
    alert: [u8; 2],
    sequence: u64,
) -> Option<Vec<u8>> {
    let plain = wire::record(wire::ALERT, wire::DTLS_1_2, 1, sequence, &alert);
    let header = RecordLayerHeader {
        content_type: ContentType::Alert,
        protocol_version: PROTOCOL_VERSION1_2,
        epoch: 1,
        sequence_number: sequence,
        content_len: 2,
    };
    guard(|| protection.encrypt(&header, &plain))?.ok()
}

/// Calls the library so that no panic gets out; [`None`] if there was one. For calls that leave nothing
/// half done behind.
fn guard<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_of_the_library_does_not_get_out() {
        assert_eq!(guard(|| 1), Some(1));
        assert_eq!(guard(|| [0u8; 0].len().checked_sub(1).unwrap()), None);
    }

    #[test]
    fn prf_is_that_of_the_standard() {
        // The IETF's test vector for P_SHA256 (mailing list of TLS, 2008).
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let seed = hex("a0ba9f936cda311827a6f796ffd5198c");
        let output = prf(&secret, &[b"test label".as_slice(), &seed].concat(), 100);
        assert_eq!(
            output[..32],
            hex("e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a")
        );
        assert_eq!(output[96..], hex("87347b66"));
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
