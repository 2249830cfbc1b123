//! TLS in front of a server, with certificates of its own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// A certificate authority, and what it signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What trusts it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn acceptor(&self, host: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Takes TLS off in front of a plain server, as long as the runtime lives.
pub struct Front {
    pub port: u16,
    acceptor: watch::Sender<TlsAcceptor>,
}

impl Front {
    pub async fn start(acceptor: TlsAcceptor, upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = watch::Sender::new(acceptor);
        let acceptors = acceptor.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, upstream.clone(), acceptors.subscribe()));
            }
        });
        Self { port, acceptor }
    }

    /// Another certificate from now on. Connections of before end with the change.
    pub fn change(&self, acceptor: TlsAcceptor) {
        self.acceptor.send_replace(acceptor);
    }
}

async fn pass(client: TcpStream, upstream: String, mut acceptors: watch::Receiver<TlsAcceptor>) {
    client.set_nodelay(true).ok();
    let acceptor = acceptors.borrow_and_update().clone();
    // A client that does not trust us hangs up here.
    let Ok(mut client) = acceptor.accept(client).await else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    server.set_nodelay(true).ok();
    tokio::select! {
        // How either side ends is their business.
        passed = copy_bidirectional(&mut client, &mut server) => drop(passed),
        _ = acceptors.changed() => {}
    }
}
