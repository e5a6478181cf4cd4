//! Certificates: which one is shown, and who the peer is (RFC 5922).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::config::{CertificateConfig, ClientCertificates, ServerVerification, TlsConfig};
use super::limits::CERTIFICATE_NAMES;

/// The two sides of TLS of one listener, as they are until the next reload.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) connector: TlsConnector,
    /// Servers are verified.
    pub(super) verifies: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Why the certificates of a listener cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{path}: no certificate that can be used")]
    Empty { path: PathBuf },
    #[error("{path}: {error}")]
    File {
        path: PathBuf,
        error: rustls::pki_types::pem::Error,
    },
    #[error("{path}: {error}")]
    Key { path: PathBuf, error: rustls::Error },
    #[error("a TLS listener needs at least one certificate")]
    NoCertificate,
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    #[error("{path}: {error}")]
    Verifier {
        path: PathBuf,
        error: rustls::server::VerifierBuilderError,
    },
}

impl Tls {
    /// Reads all files that `config` names.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or a key does not belong to its certificate.
    pub(crate) fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let certificates = Arc::new(Certificates::load(&config.certificates, &provider)?);
        let clients = match &config.clients {
            ClientCertificates::Ignore => None,
            ClientCertificates::Optional(path) => Some((path, true)),
            ClientCertificates::Require(path) => Some((path, false)),
        };
        let versions = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let verified = match clients {
            None => versions.with_no_client_auth(),
            Some((path, optional)) => {
                let roots = Arc::new(authorities(path)?);
                let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
                let builder = if optional {
                    builder.allow_unauthenticated()
                } else {
                    builder
                };
                let verifier = builder.build().map_err(|error| TlsError::Verifier {
                    path: path.clone(),
                    error,
                })?;
                versions.with_client_cert_verifier(verifier)
            }
        };
        let mut server = verified.with_cert_resolver(certificates.clone());
        // Phones come back after a restart of theirs all at once; tickets spare them and us the keys.
        server.ticketer = Ticketer::new()?;
        let roots = match &config.servers {
            ServerVerification::System => Some(system_authorities(system_places())),
            ServerVerification::Authorities(path) => Some(authorities(path)?),
            ServerVerification::Off => None,
        };
        let verifier = SipVerifier {
            algorithms: provider.signature_verification_algorithms,
            roots,
        };
        let verifies = verifier.roots.is_some();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(certificates);
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            verifies,
        })
    }
}

/// The certificates of a listener by the names that clients ask for.
#[derive(Debug)]
struct Certificates {
    /// Names in small letters; `*.` names without the asterisk.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl Certificates {
    fn load(configs: &[CertificateConfig], provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut by_name = HashMap::new();
        let mut default = None;
        let mut first = None;
        for config in configs {
            let certified = Arc::new(certified(config, provider)?);
            first.get_or_insert_with(|| certified.clone());
            for name in &config.names {
                let name = name.to_ascii_lowercase();
                if name == "*" {
                    default.get_or_insert_with(|| certified.clone());
                } else {
                    let name = name.strip_prefix('*').unwrap_or(&name);
                    by_name
                        .entry(name.to_owned())
                        .or_insert_with(|| certified.clone());
                }
            }
        }
        Ok(Self {
            by_name,
            default,
            first: first.ok_or(TlsError::NoCertificate)?,
        })
    }

    /// Exact names before wildcards, both before the default. A name that nothing is for is refused:
    /// a certificate of another name would not be accepted anyway.
    fn choose(&self, asked: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let Some(asked) = asked else {
            return Some(self.default.as_ref().unwrap_or(&self.first));
        };
        let asked = asked.to_ascii_lowercase();
        let wildcard = asked.find('.').and_then(|dot| asked.get(dot..));
        self.by_name
            .get(&asked)
            .or_else(|| self.by_name.get(wildcard?))
            .or(self.default.as_ref())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name()).cloned()
    }
}

/// As a client we show the certificate of clients that name nobody: our own identity.
impl rustls::client::ResolvesClientCert for Certificates {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(None).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(
    config: &CertificateConfig,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&config.chain)?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| TlsError::File {
        path: config.key.clone(),
        error,
    })?;
    let wrong_key = |error| TlsError::Key {
        path: config.key.clone(),
        error,
    };
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(wrong_key)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(error) => return Err(wrong_key(error)),
    }
    Ok(certified)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let chain: Vec<_> = read.map_err(|error| TlsError::File {
        path: path.to_owned(),
        error,
    })?;
    if chain.is_empty() {
        let path = path.to_owned();
        return Err(TlsError::Empty { path });
    }
    Ok(chain)
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read_chain(path)?);
    if roots.is_empty() {
        let path = path.to_owned();
        return Err(TlsError::Empty { path });
    }
    Ok(roots)
}

/// Where distributions keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    // Debian, Ubuntu, Arch, Gentoo.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    // Alpine.
    "/etc/ssl/cert.pem",
];

/// `SSL_CERT_FILE`, or the first of the known places.
fn system_places() -> impl Iterator<Item = PathBuf> {
    let asked = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let known = SYSTEM_AUTHORITIES.map(PathBuf::from);
    asked.into_iter().chain(known)
}

/// The authorities of the first place that has some. Without any no server is trusted; whoever never
/// connects to one need not have them.
pub(super) fn system_authorities(mut places: impl Iterator<Item = PathBuf>) -> RootCertStore {
    places
        .find_map(|path| authorities(&path).ok())
        .unwrap_or_else(|| {
            tracing::warn!("the system trusts no authority: TLS servers cannot be verified");
            RootCertStore::empty()
        })
}

/// Verifies that a server speaks for a SIP domain (RFC 5922 §7.2); without `roots`, nothing but that
/// it has the key of the certificate it shows.
#[derive(Debug)]
struct SipVerifier {
    algorithms: WebPkiSupportedAlgorithms,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for SipVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        match server_name {
            ServerName::DnsName(domain) => {
                let identities = identities(end_entity);
                if !identities
                    .iter()
                    .any(|i| i.eq_ignore_ascii_case(domain.as_ref()))
                {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
            address => verify_server_name(&certificate, address)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The SIP domains that a certificate is for (RFC 5922 §7.1): those of its `sip:` URIs, or else its
/// DNS names. A name with an asterisk is for no domain (§7.2).
pub(super) fn identities(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let uris = parsed.valid_uri_names().take(CERTIFICATE_NAMES);
    let domains: Vec<Box<str>> = uris.filter_map(sip_domain).map(Box::from).collect();
    if !domains.is_empty() {
        return domains;
    }
    let names = parsed.valid_dns_names().take(CERTIFICATE_NAMES);
    names
        .filter(|name| !name.contains('*'))
        .map(Box::from)
        .collect()
}

/// The domain of `sip:domain`; a URI with a user names a person.
fn sip_domain(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let domain = rest.split([';', '?', ':']).next()?;
    (scheme.eq_ignore_ascii_case("sip") && !rest.contains('@')).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_with_a_user_is_no_domain() {
        assert_eq!(sip_domain("sip:example.com"), Some("example.com"));
        assert_eq!(sip_domain("SIP:example.com;lr"), Some("example.com"));
        assert_eq!(sip_domain("sip:alice@example.com"), None);
        assert_eq!(sip_domain("sips:example.com"), None);
        assert_eq!(sip_domain("https://example.com"), None);
    }
}
