//! Certificates and keys from files that are named as QEMU names them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qapi_schema::crypto::QCryptoTLSCredsEndpoint as Endpoint;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::session::Session;
use crate::error::invalid;

/// What a TLS connection is made with.
#[derive(Clone, Debug)]
pub struct Credentials(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Server { config: Arc<ServerConfig>, verifies_peer: bool },
    Client(Arc<ClientConfig>),
}

/// The same object, not equal ones.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Server { config: one, .. }, Kind::Server { config: other, .. }) => Arc::ptr_eq(one, other),
            (Kind::Client(one), Kind::Client(other)) => Arc::ptr_eq(one, other),
            (Kind::Server { .. }, Kind::Client(_)) | (Kind::Client(_), Kind::Server { .. }) => false,
        }
    }
}

impl Eq for Credentials {}

impl Credentials {
    /// Reads the files in `dir`.
    pub(crate) fn load(dir: &Path, endpoint: Endpoint, verify_peer: bool) -> Result<Self, String> {
        let files = Files(dir);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        match endpoint {
            Endpoint::Server => server(&files, provider, verify_peer)
                .map(|config| Self(Kind::Server { config: Arc::new(config), verifies_peer: verify_peer })),
            Endpoint::Client if verify_peer => {
                client(&files, provider).map(|config| Self(Kind::Client(Arc::new(config))))
            }
            Endpoint::Client => Err("'verify-peer=off' is for endpoint=server: a client that does not care \
                                     whom it talks to can do without TLS"
                .into()),
        }
    }

    /// The side they are for.
    pub const fn endpoint(&self) -> Endpoint {
        match self.0 {
            Kind::Server { .. } => Endpoint::Server,
            Kind::Client(_) => Endpoint::Client,
        }
    }

    /// Whether the peer must prove who it is.
    pub const fn verifies_peer(&self) -> bool {
        match self.0 {
            Kind::Server { verifies_peer, .. } => verifies_peer,
            Kind::Client(_) => true,
        }
    }

    /// The server's side of a new connection.
    ///
    /// # Errors
    /// They are a client's.
    pub fn accept(&self) -> io::Result<Session> {
        match &self.0 {
            Kind::Server { config, .. } => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Ok(Session::new(connection.into()))
            }
            Kind::Client(_) => Err(invalid("TLS credentials for a client can't serve")),
        }
    }

    /// The client's side of a new connection to the server of this name.
    ///
    /// # Errors
    /// They are a server's, or the name is none.
    pub fn connect(&self, name: &str) -> io::Result<Session> {
        match &self.0 {
            Kind::Client(config) => {
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|_| invalid(&format!("'{name}' is no name that a certificate could have")))?;
                let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Ok(Session::new(connection.into()))
            }
            Kind::Server { .. } => Err(invalid("TLS credentials for a server can't connect")),
        }
    }
}

fn server(files: &Files<'_>, provider: Arc<CryptoProvider>, verify_peer: bool) -> Result<ServerConfig, String> {
    let roots = files.roots()?;
    let (chain, key) = files.identity("server")?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(text)?;
    let builder = if verify_peer {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.with_crls(files.revoked()?).allow_unknown_revocation_status().build();
        builder.with_client_cert_verifier(verifier.map_err(text)?)
    } else {
        builder.with_no_client_auth()
    };
    let path = files.path("server-cert.pem");
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(&path, &error.to_string()))?;
    // Clients come seldom and stay: remembering them would cost more than it saves.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(files: &Files<'_>, provider: Arc<CryptoProvider>) -> Result<ClientConfig, String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(files.roots()?), Arc::clone(&provider));
    let verifier = verifier.with_crls(files.revoked()?).allow_unknown_revocation_status().build().map_err(text)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(text)?.with_webpki_verifier(verifier);
    if !files.path("client-cert.pem").exists() {
        return Ok(builder.with_no_client_auth());
    }
    let (chain, key) = files.identity("client")?;
    let path = files.path("client-cert.pem");
    builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&path, &error.to_string()))
}

/// The directory.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let path = self.path("ca-cert.pem");
        let mut roots = RootCertStore::empty();
        for certificate in all::<CertificateDer<'static>>(&path)? {
            roots.add(certificate).map_err(|error| unusable(&path, &error.to_string()))?;
        }
        Ok(roots)
    }

    fn revoked(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        let path = self.path("ca-crl.pem");
        if path.exists() { all(&path) } else { Ok(Vec::new()) }
    }

    fn identity(&self, side: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let chain = all(&self.path(&format!("{side}-cert.pem")))?;
        let path = self.path(&format!("{side}-key.pem"));
        let key = PrivateKeyDer::from_pem_file(&path).map_err(|error| {
            let missing = matches!(error, pem::Error::NoItemsFound);
            if missing { unusable(&path, "no private key in it, or an encrypted one") } else { failure(&path, &error) }
        })?;
        Ok((chain, key))
    }
}

/// All items of a kind in a file, at least one.
fn all<T: PemObject>(path: &Path) -> Result<Vec<T>, String> {
    let items: Vec<T> = T::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| failure(path, &error))?;
    if items.is_empty() { Err(unusable(path, "nothing in it that should be there")) } else { Ok(items) }
}

fn failure(path: &Path, error: &pem::Error) -> String {
    // Its own text is one for programmers.
    if let pem::Error::Io(error) = error {
        return unusable(path, &crate::error::message(error));
    }
    unusable(path, &error.to_string())
}

fn unusable(path: &Path, why: &str) -> String {
    format!("cannot use TLS credentials '{}': {why}", path.display())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
