//! TLS of a listener: certificate, key, and the authority of client certificates.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject as _},
        },
        server::{VerifierBuilderError, WebPkiClientVerifier},
    },
};

/// A certificate with its key, ready to use. TLS 1.2 and 1.3, crypto of aws-lc.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

/// Reasons why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Certificate and key do not belong together, or are of no use.
    #[error("certificate {certificate} and key {key} cannot be used: {source}")]
    Certificate {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Error of rustls.
        source: rustls::Error,
    },
    /// The authority of client certificates is of no use.
    #[error("client authority {path} cannot be used: {source}")]
    ClientAuthority {
        /// File that was read.
        path: PathBuf,
        /// Error of rustls.
        source: VerifierBuilderError,
    },
    /// A file holds nothing of the kind.
    #[error("{path} has no PEM section with a {wanted}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// Content that the file should have.
        wanted: &'static str,
    },
    /// A file cannot be read as PEM.
    #[error("{path} cannot be read as PEM: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Error of the PEM reader.
        source: pem::Error,
    },
}

impl Tls {
    /// Reads a certificate chain, leaf first, and its key, both PEM. With `client_ca`, clients
    /// must have a certificate signed by one of those in that file.
    ///
    /// # Errors
    /// If a file cannot be read, or its contents not be used.
    pub fn load(
        certificate: &Path,
        key: &Path,
        client_ca: Option<&Path>,
    ) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| match source {
            pem::Error::NoItemsFound => TlsError::Empty {
                path: key.to_owned(),
                wanted: "private key",
            },
            source => pem_error(key, source),
        })?;
        let unusable = |source| TlsError::Certificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let config = match client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|source| TlsError::ClientAuthority {
                        path: path.to_owned(),
                        source,
                    })?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let mut config = config.with_single_cert(chain, private).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(self) -> TlsAcceptor {
        TlsAcceptor::from(self.0)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates = certificates.map_err(|source| pem_error(path, source))?;
    if certificates.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
            wanted: "certificate",
        });
    }
    Ok(certificates)
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| pem_error(path, pem::Error::Io(io::Error::other(error))))?;
    }
    Ok(roots)
}

fn pem_error(path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        source,
    }
}
