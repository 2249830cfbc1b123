//! Access tokens: read from their files, re-read when these change, never printed, and overwritten in memory when they are not
//! used any more (but for what the HTTP and TLS libraries have copied into buffers of theirs).

use crate::config::{AccountConfig, Secret};
use bytes::Bytes;
use reqwest::header::HeaderValue;
use ring::{digest, hmac};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// How often token files are looked at. The content is compared, so a secret mount that swaps symbolic links is noticed too.
pub const RELOAD_PERIOD: Duration = Duration::from_secs(2);

/// The credentials of one request.
#[derive(Clone)]
pub struct Token {
    /// `Authorization: Bearer …`, marked sensitive.
    pub(crate) authorization: HeaderValue,
    /// hex(HMAC-SHA256(app secret, token)), which apps that "require app secret" demand.
    /// Source: Graph API, "Securing requests".
    appsecret_proof: Option<SecretString>,
    /// Tells this token from others, in logs and to other workers: the first 64 bits of its SHA-256, in hex.
    pub fingerprint: Arc<str>,
}

impl Token {
    fn new(
        token: &SecretString,
        app_secret: Option<&SecretString>,
    ) -> Result<Self, CredentialError> {
        let token_text = token.expose_secret();
        // As long as it will be: a text that grows leaves copies behind.
        let mut bearer = Vec::with_capacity(SCHEME.len() + token_text.len());
        bearer.extend_from_slice(SCHEME.as_bytes());
        bearer.extend_from_slice(token_text.as_bytes());
        let bearer = Bytes::from_owner(Zeroizing::new(bearer));
        let mut authorization =
            HeaderValue::from_maybe_shared(bearer).map_err(|_| CredentialError::Unprintable)?;
        authorization.set_sensitive(true);
        let appsecret_proof = app_secret
            .map(|secret| SecretString::from(proof(secret.expose_secret(), token_text).as_str()));
        Ok(Self {
            authorization,
            appsecret_proof,
            fingerprint: fingerprint(token_text),
        })
    }

    pub(crate) fn appsecret_proof(&self) -> Option<&str> {
        self.appsecret_proof
            .as_ref()
            .map(|proof| proof.expose_secret())
    }

    /// The token itself.
    pub(crate) fn bare(&self) -> &str {
        let header = self.authorization.to_str().unwrap_or_default();
        header.strip_prefix(SCHEME).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(***, {})", self.fingerprint)
    }
}

const SCHEME: &str = "Bearer ";

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
            || current.1.appsecret_proof() != token.appsecret_proof();
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

/// Which Meta app each account's token belongs to, as the API says, by the name that the config gives the app.
#[derive(Default)]
pub struct Apps(Mutex<HashMap<Arc<str>, BTreeMap<String, String>>>);

impl Apps {
    /// Notes an account's. Returns another account of this name whose token is of another app, once each time that it changes: what
    /// Meta does to one of them would stop the other.
    pub fn note(&self, app: &Arc<str>, waba_id: &str, app_id: &str) -> Option<String> {
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = apps.entry(app.clone()).or_default();
        let before = known.insert(waba_id.to_owned(), app_id.to_owned());
        let other = known.iter().find(|(_, other)| *other != app_id);
        let is_news = before.as_deref() != Some(app_id);
        other
            .filter(|_| is_news)
            .map(|(waba_id, _)| waba_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_two_apps_under_one_name_are_told_once() {
        let (apps, name, other) = (Apps::default(), Arc::from("default"), Arc::from("b"));
        assert_eq!(apps.note(&name, "1", "app-a"), None);
        assert_eq!(apps.note(&name, "2", "app-a"), None, "the same app");
        assert_eq!(apps.note(&other, "3", "app-b"), None, "another name");
        assert_eq!(apps.note(&name, "4", "app-b").as_deref(), Some("1"));
        assert_eq!(apps.note(&name, "4", "app-b"), None, "no news");
        assert_eq!(apps.note(&name, "4", "app-a"), None, "mended");
    }

    #[test]
    fn proof_is_the_hmac_in_hex() {
        // RFC 4231's test case 2: key "Jefe", data "what do ya want for nothing?".
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(proof("Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn the_token_does_not_print_itself() {
        let token = Token::new(&"EAAsecret".into(), Some(&"shh".into())).unwrap();
        assert_eq!(token.bare(), "EAAsecret");
        let printed = format!("{:?} {:?}", token.authorization, token);
        assert!(printed.contains("***") && !printed.contains("EAAsecret"));
        assert!(!printed.contains(token.appsecret_proof().unwrap()));
    }

    /// What functions that have returned left on the stack, any other call overwrites.
    #[cfg(target_os = "linux")]
    fn scrub_stack() {
        std::hint::black_box([0_u8; 256 * 1024]);
    }

    /// How often a text stands in this process's memory. It is given with its bits turned, so as not to be found itself.
    #[cfg(target_os = "linux")]
    fn found_in_memory(turned: &[u8]) -> usize {
        use std::io::{Read, Seek, SeekFrom};
        const PIECE: usize = 4096;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let at = |text| u64::from_str_radix(text, 16).unwrap();
            // A small piece at a time, overlapping, and wiped after it was looked at: a copy must not be found.
            let step = u64::try_from(PIECE - turned.len()).unwrap();
            for start in (at(from)..at(to)).step_by(usize::try_from(step).unwrap()) {
                let mut piece = [0; PIECE];
                let left = usize::try_from(at(to) - start).unwrap().min(PIECE);
                memory.seek(SeekFrom::Start(start)).unwrap();
                let read = memory.read(&mut piece[..left]).unwrap_or(0);
                let is_it = |window: &[u8]| window.iter().zip(turned).all(|(a, b)| *a == !*b);
                let windows = piece[..read]
                    .windows(turned.len())
                    .take(PIECE - turned.len());
                found += windows.filter(|window| is_it(window)).count();
                std::hint::black_box(&mut piece).fill(0);
            }
        }
        found
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_token_that_is_not_used_any_more_is_not_in_memory_any_more() {
        let turned: Vec<u8> = (0..40).map(|_| !fastrand::u8(b'a'..=b'z')).collect();
        let token = {
            let mut bare = Zeroizing::new(String::with_capacity(turned.len()));
            bare.extend(turned.iter().map(|byte| char::from(!*byte)));
            let secret = SecretString::from(bare.as_str());
            Token::new(&secret, None).unwrap()
        };
        scrub_stack();
        assert_eq!(found_in_memory(&turned), 1, "in the header");
        drop(token);
        assert_eq!(found_in_memory(&turned), 0);
    }
}
