//! TLS in front of the simulator, with a certificate that can become one that nobody trusts.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Ends with its value.
pub(crate) struct Front {
    pub(crate) port: u16,
    /// The authority to trust, as PEM.
    pub(crate) authority: String,
    is_trusted: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Front {
    pub(crate) async fn start(target: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (ours, strange) = (authority()?, authority()?);
        let acceptors = [acceptor(&strange)?, acceptor(&ours)?];
        let (is_trusted, watched) = watch::channel(true);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, target, acceptors, watched));
        Ok(Self {
            port,
            authority: ours.pem(),
            is_trusted,
            _task: task,
        })
    }

    /// Connections of before end with the change.
    pub(crate) fn trust(&self, is_trusted: bool) {
        self.is_trusted.send_replace(is_trusted);
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(vec![])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>) -> Result<TlsAcceptor> {
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec!["localhost".to_owned()])?;
    let certificate = params.signed_by(&key, authority)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .context("a certificate of our own")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    listener: TcpListener,
    target: String,
    [strange, ours]: [TlsAcceptor; 2],
    is_trusted: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let acceptor = if *is_trusted.borrow() { &ours } else { &strange };
                connections.spawn(pass(client, acceptor.clone(), target.clone(), is_trusted.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(
    client: TcpStream,
    acceptor: TlsAcceptor,
    target: String,
    mut is_trusted: watch::Receiver<bool>,
) {
    drop(client.set_nodelay(true));
    is_trusted.mark_unchanged();
    // A client that does not trust us hangs up here.
    let Ok(mut client) = acceptor.accept(client).await else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    drop(server.set_nodelay(true));
    tokio::select! {
        // How either side ends is their business.
        passed = copy_bidirectional(&mut client, &mut server) => drop(passed),
        _ = is_trusted.changed() => {}
    }
}
