//! A host of files, over TLS, that says what it was asked.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use harness::tls::{Authority, Front};
use harness::worker::Folder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One file.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) etag: Option<&'static str>,
    pub(super) bytes: Vec<u8>,
    pub(super) delay: Duration,
}

impl Served {
    pub(super) fn new(kind: &'static str, bytes: &[u8]) -> Self {
        Self {
            status: 200,
            kind,
            etag: None,
            bytes: bytes.to_vec(),
            delay: Duration::ZERO,
        }
    }

    pub(super) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(super) fn etag(self, etag: &'static str) -> Self {
        Self {
            etag: Some(etag),
            ..self
        }
    }
}

#[derive(Default)]
struct Known {
    files: HashMap<String, Served>,
    /// How often each path was asked for.
    asked: HashMap<String, usize>,
    headers: Vec<HeaderMap>,
}

/// The host, as long as the runtime lives.
pub(super) struct Source {
    known: Arc<Mutex<Known>>,
    pub(super) port: u16,
    /// Holds the certificate of its authority.
    _folder: Folder,
    pub(super) ca_file: String,
}

impl Source {
    pub(super) async fn start() -> Self {
        let known: Arc<Mutex<Known>> = Arc::default();
        let app = Router::new().fallback(serve).with_state(known.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let authority = Authority::new();
        let front = Front::start(authority.acceptor("localhost"), address).await;
        let folder = Folder::create();
        let ca_file = folder.write("ca.pem", &authority.pem());
        Self {
            known,
            port: front.port,
            ca_file: format!("{ca_file:?}"),
            _folder: folder,
        }
    }

    pub(super) fn put(&self, path: &str, file: Served) -> String {
        let mut known = self.known.lock().unwrap();
        known.files.insert(path.to_owned(), file);
        self.link(path)
    }

    pub(super) fn link(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub(super) fn asked(&self, path: &str) -> usize {
        *self.known.lock().unwrap().asked.get(path).unwrap_or(&0)
    }

    /// All headers that it was ever asked with.
    pub(super) fn headers(&self) -> Vec<HeaderMap> {
        self.known.lock().unwrap().headers.clone()
    }
}

async fn serve(
    State(known): State<Arc<Mutex<Known>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let file = {
        let mut known = known.lock().unwrap();
        *known.asked.entry(uri.path().to_owned()).or_default() += 1;
        known.headers.push(headers.clone());
        known.files.get(uri.path()).cloned()
    };
    let answer = Response::builder();
    let Some(file) = file else {
        let status = StatusCode::NOT_FOUND;
        return answer.status(status).body("no such file".into()).unwrap();
    };
    tokio::time::sleep(file.delay).await;
    let had = headers.get("if-none-match");
    if file
        .etag
        .is_some_and(|etag| had.is_some_and(|had| had == etag))
    {
        let status = StatusCode::NOT_MODIFIED;
        return answer.status(status).body(Body::empty()).unwrap();
    }
    let mut answer = answer
        .status(file.status)
        .header("content-type", file.kind)
        .header("location", "https://localhost/elsewhere");
    if let Some(etag) = file.etag {
        answer = answer.header("etag", etag);
    }
    answer.body(file.bytes.into()).unwrap()
}
