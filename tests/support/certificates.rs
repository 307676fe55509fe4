//! Certificates for TLS, as QEMU wants them and in files that are named as it names them.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

/// A directory with a certificate authority of its own, and a server and a client that it vouches for. The server is
/// `localhost`.
pub fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).expect("written");
    let mut authority = parameters("authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    write("ca-cert.pem", authority.self_signed(&key).expect("a certificate").pem());
    let issuer = Issuer::new(authority, key);
    for (name, purpose) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut subject = parameters(name);
        subject.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        subject.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        write(&format!("{name}-cert.pem"), subject.signed_by(&key, &issuer).expect("a certificate").pem());
        write(&format!("{name}-key.pem"), key.serialize_pem());
    }
    directory
}

/// The option that creates these credentials.
pub fn object(id: &str, directory: &Path, endpoint: &str) -> String {
    format!("tls-creds-x509,id={id},dir={},endpoint={endpoint}", directory.display())
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec!["localhost".into()]).expect("a name");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}
