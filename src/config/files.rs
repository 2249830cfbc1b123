//! The files that the config names, as `check` looks at them: by the very parsers that `run` reads them with.

use super::settings::{ClientCert, Config};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::io;
use std::path::Path;

impl Config {
    /// Files that are named but cannot be used, one line each. For `check`: `run` finds out where it reads them.
    pub fn check_files(&self) -> Vec<String> {
        let authorities = [
            ("broker.ca_file", self.broker.ca_file.as_deref()),
            ("graph.ca_file", self.graph.ca_file.as_deref()),
        ];
        let authorities = authorities.into_iter().filter_map(|(key, path)| {
            let error = authorities_of(path?).err()?;
            Some(unusable(key, path?, &error))
        });
        let client = self.broker.client_cert.as_ref();
        let client = client.map(check_client).unwrap_or_default();
        let broker = [(
            "broker.password_file".to_owned(),
            self.broker.password.as_ref(),
        )];
        let accounts = self.accounts.iter().enumerate().flat_map(|(i, account)| {
            [
                (format!("accounts[{i}].token_file"), Some(&account.token)),
                (
                    format!("accounts[{i}].app_secret_file"),
                    account.app_secret.as_ref(),
                ),
            ]
        });
        let secrets = broker.into_iter().chain(accounts);
        let secrets = secrets.filter_map(|(key, secret)| {
            let secret = secret?;
            Some(unusable(&key, secret.file()?, &secret.read().err()?))
        });
        authorities.chain(client).chain(secrets).collect()
    }
}

fn unusable(key: &str, path: &Path, error: &io::Error) -> String {
    format!("{key}: {}: {error}", path.display())
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(invalid("holds no PEM certificate")),
    }
}

fn authorities_of(path: &Path) -> io::Result<()> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = store.add(certificate);
        added.map_err(|_| invalid("holds a certificate that cannot be read"))?;
    }
    Ok(())
}

fn check_client(client: &ClientCert) -> Vec<String> {
    let certificates = certificates(&client.cert_file).and_then(|found| {
        let is_sound = found
            .iter()
            .all(|certificate| ParsedCertificate::try_from(certificate).is_ok());
        is_sound
            .then_some(found)
            .ok_or_else(|| invalid("holds a certificate that cannot be read"))
    });
    let key = std::fs::read(&client.key_file).and_then(|pem| {
        let key = PrivateKeyDer::from_pem_slice(&pem);
        let key = key.map_err(|_| invalid("holds no PEM key"))?;
        rustls::crypto::ring::sign::any_supported_type(&key)
            .map_err(|_| invalid("holds a key that cannot be read"))
    });
    let (cert_at, key_at) = ("broker.client_cert_file", "broker.client_key_file");
    match (certificates, key) {
        (Ok(certificates), Ok(key)) => {
            let is_pair = CertifiedKey::new(certificates, key).keys_match().is_ok();
            let another = invalid("holds the key of another certificate");
            (!is_pair)
                .then(|| unusable(key_at, &client.key_file, &another))
                .into_iter()
                .collect()
        }
        (certificates, key) => {
            let cert = certificates.err();
            let cert = cert.map(|error| unusable(cert_at, &client.cert_file, &error));
            let key = key.err();
            let key = key.map(|error| unusable(key_at, &client.key_file, &error));
            cert.into_iter().chain(key).collect()
        }
    }
}
