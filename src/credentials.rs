//! Access tokens: read from their files, re-read when these change, never printed.

use crate::config::{AccountConfig, Secret};
use reqwest::header::HeaderValue;
use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// How often token files are looked at. The content is compared, so a secret mount that swaps symbolic links is noticed too.
pub const RELOAD_PERIOD: Duration = Duration::from_secs(2);

/// What authenticates one request.
#[derive(Clone)]
pub struct Token {
    /// `Authorization: Bearer …`, marked sensitive.
    pub(crate) authorization: HeaderValue,
    /// hex(HMAC-SHA256(app secret, token)), which apps that "require app secret" demand.
    /// Source: Graph API, "Securing requests".
    pub(crate) appsecret_proof: Option<String>,
    /// Tells this token from others, in logs and to other workers: the first 64 bits of its SHA-256, in hex.
    pub fingerprint: Arc<str>,
}

impl Token {
    fn new(
        token: &SecretString,
        app_secret: Option<&SecretString>,
    ) -> Result<Self, CredentialError> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| CredentialError::Unprintable)?;
        authorization.set_sensitive(true);
        let appsecret_proof =
            app_secret.map(|secret| proof(secret.expose_secret(), token.expose_secret()));
        Ok(Self {
            authorization,
            appsecret_proof,
            fingerprint: fingerprint(token.expose_secret()),
        })
    }
}

fn proof(app_secret: &str, token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    hex(hmac::sign(&key, token.as_bytes()).as_ref())
}

/// A token is too long to be guessed from a hash of it.
fn fingerprint(token: &str) -> Arc<str> {
    let whole = digest::digest(&digest::SHA256, token.as_bytes());
    hex(&whole.as_ref()[..8]).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("holds characters that an HTTP header cannot carry")]
    Unprintable,
}

/// The current token of one account.
pub struct TokenSlot {
    source: Secret,
    app_secret: Option<Secret>,
    current: RwLock<(SecretString, Arc<Token>)>,
}

impl TokenSlot {
    pub fn load(
        account: &AccountConfig,
        app_secret: Option<&Secret>,
    ) -> Result<Self, CredentialError> {
        let (secret, token) = read(&account.token, app_secret)?;
        Ok(Self {
            source: account.token.clone(),
            app_secret: app_secret.cloned(),
            current: RwLock::new((secret, Arc::new(token))),
        })
    }

    pub fn token(&self) -> Arc<Token> {
        self.current
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .1
            .clone()
    }

    /// Reads the file again; the token, if it is a new one.
    pub fn reload(&self) -> Result<Option<Arc<Token>>, CredentialError> {
        let (secret, token) = read(&self.source, self.app_secret.as_ref())?;
        let mut current = self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = current.0.expose_secret() != secret.expose_secret()
            || current.1.appsecret_proof != token.appsecret_proof;
        if !changed {
            return Ok(None);
        }
        let token = Arc::new(token);
        *current = (secret, token.clone());
        Ok(Some(token))
    }
}

fn read(
    source: &Secret,
    app_secret: Option<&Secret>,
) -> Result<(SecretString, Token), CredentialError> {
    let secret = source.read()?;
    let app_secret = app_secret.map(Secret::read).transpose()?;
    let token = Token::new(&secret, app_secret.as_ref())?;
    Ok((secret, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_is_the_hmac_in_hex() {
        // RFC 4231's test case 2: key "Jefe", data "what do ya want for nothing?".
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(proof("Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn the_header_does_not_print_itself() {
        let token = Token::new(&"EAAsecret".into(), None).unwrap();
        assert!(!format!("{:?}", token.authorization).contains("EAAsecret"));
    }
}
