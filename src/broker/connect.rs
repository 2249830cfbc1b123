//! Opening a connection to RabbitMQ, and what an error of one ends: a channel, the connection, or all of them.

use super::declare::TopologyError;
use crate::config::BrokerConfig;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use secrecy::ExposeSecret;
use std::time::Duration;

/// Longest wait for the topology: thousands of lanes on a slow cluster take their time.
pub(super) const PREPARE_TIMEOUT: Duration = Duration::from_secs(180);

/// Why no session could be opened. The texts name what an operator must look at; the URL's password is never part of them.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("broker.url: cannot be read as an AMQP URL")]
    Url,
    #[error("{key}: cannot be read: {error}")]
    File {
        key: &'static str,
        error: std::io::Error,
    },
    #[error("cannot connect to the broker within broker.connect_timeout_ms")]
    ConnectTimeout,
    #[error("the broker did not declare or check its objects within {PREPARE_TIMEOUT:?}")]
    PrepareTimeout,
    #[error("cannot connect to the broker: {0}")]
    Connect(lapin::Error),
    #[error("{0}")]
    Topology(#[from] TopologyError),
    #[error("cannot open a channel: {0}")]
    Channel(lapin::Error),
}

/// Within `broker.connect_timeout_ms`, TLS and login included.
pub(super) async fn connect(config: &BrokerConfig, role: &str) -> Result<Connection, SessionError> {
    tokio::time::timeout(config.connect_timeout, connect_at_all(config, role))
        .await
        .map_err(|_| SessionError::ConnectTimeout)?
}

async fn connect_at_all(config: &BrokerConfig, role: &str) -> Result<Connection, SessionError> {
    let read = |key, path: Option<&std::path::PathBuf>| match path {
        Some(path) => std::fs::read(path)
            .map(Some)
            .map_err(|error| SessionError::File { key, error }),
        None => Ok(None),
    };
    let ca = read("broker.ca_file", config.ca_file.as_ref())?;
    let ca = ca.map(|ca| String::from_utf8_lossy(&ca).into_owned());
    // lapin would go on with the system's authorities alone and say nothing.
    if ca
        .as_ref()
        .is_some_and(|ca| !ca.contains("-----BEGIN CERTIFICATE-----"))
    {
        let key = "broker.ca_file";
        let error =
            std::io::Error::new(std::io::ErrorKind::InvalidData, "holds no PEM certificate");
        return Err(SessionError::File { key, error });
    }
    let client = config.client_cert.as_ref();
    let certificate = read(
        "broker.client_cert_file",
        client.map(|client| &client.cert_file),
    )?;
    let key = read(
        "broker.client_key_file",
        client.map(|client| &client.key_file),
    )?;
    let tls = OwnedTLSConfig {
        identity: certificate
            .zip(key)
            .map(|(pem, key)| OwnedIdentity::PKCS8 { pem, key }),
        cert_chain: ca,
    };
    let mut uri: lapin::uri::AMQPUri =
        config.url.expose().parse().map_err(|_| SessionError::Url)?;
    if let Some(password) = &config.password {
        let key = "broker.password_file";
        let password = password.read();
        let password = password.map_err(|error| SessionError::File { key, error })?;
        uri.authority.userinfo.password = password.expose_secret().into();
    }
    uri.query.heartbeat = Some(u16::try_from(config.heartbeat.as_secs()).unwrap_or(u16::MAX));
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("whatsapp-dispatcher {role}").into());
    let runtime = lapin::runtime::default_runtime().map_err(SessionError::Connect)?;
    Connection::connect_uri_with_config(uri, properties, tls, runtime)
        .await
        .map_err(SessionError::Connect)
}

/// AMQP closes a channel for a soft error, such as 403, 404 or 406, and the connection for a hard one. What else was on its way on that
/// channel only hears that it is gone.
pub(super) fn is_of_a_channel(error: &lapin::Error) -> bool {
    let kind = error.kind();
    if let ErrorKind::ProtocolError(error) = kind {
        return matches!(error.kind(), AMQPErrorKind::Soft(_));
    }
    matches!(
        kind,
        ErrorKind::InvalidChannel(_) | ErrorKind::InvalidChannelState(..)
    )
}

/// The exchange is missing.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}

/// RabbitMQ shuts down, or an operator closes the connection.
pub(super) fn is_forced(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    *error.kind() == AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED)
}
