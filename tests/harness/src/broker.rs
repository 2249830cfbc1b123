//! The RabbitMQ that the environment names, and a virtual host of it for one test alone.

use super::http::{self, Answer};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where AMQP and the management API are. Without a broker tests and benches fail: a skipped test proves nothing.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this needs a RabbitMQ. Run `deploy/dev test` (a bench: `deploy/dev bench`), or `deploy/dev up` and `eval \"$(deploy/dev url)\"`")
    })
}

/// `scheme://login@address` without a path.
fn parts(url: &str) -> (String, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    let (login, address) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
    (login.to_owned(), address.to_owned())
}

/// A virtual host, deleted with everything in it when dropped.
pub struct VirtualHost {
    pub name: String,
    users: std::sync::Mutex<Vec<String>>,
}

impl VirtualHost {
    pub fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(format!("it-{}-{count}", std::process::id()))
    }

    /// The only one of this name: what an interrupted run has left goes first.
    pub fn anew(name: &str) -> Self {
        let path = format!("/api/vhosts/{name}");
        let left = manage("DELETE", &path, None).unwrap();
        let is_gone = matches!(left.status, 200..300 | 404);
        assert!(is_gone, "DELETE {path}: {} {}", left.status, left.body);
        Self::named(name.to_owned())
    }

    fn named(name: String) -> Self {
        let vhost = Self {
            name,
            users: std::sync::Mutex::default(),
        };
        vhost.manage("PUT", &format!("/api/vhosts/{}", vhost.name), None);
        vhost.permit("guest", ".*", ".*", ".*");
        vhost
    }

    /// `host:port` of the broker itself.
    pub fn address() -> String {
        parts(&variable("DISPATCHER_TEST_AMQP")).1
    }

    /// `host:port` of its management API.
    pub fn management() -> String {
        parts(&variable("DISPATCHER_TEST_MANAGEMENT")).1
    }

    /// The broker's URL for this virtual host, through `address` (a proxy's, or the broker's own).
    pub fn url(&self, address: &str) -> String {
        let (login, _) = parts(&variable("DISPATCHER_TEST_AMQP"));
        self.url_as(&login, address)
    }

    pub fn url_as(&self, login: &str, address: &str) -> String {
        format!("amqp://{login}@{address}/{}", self.name)
    }

    /// Asks the management API and panics unless it agrees.
    pub fn manage(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let answer = manage(method, path, body.as_ref())
            .unwrap_or_else(|error| panic!("RabbitMQ's management API does not answer: {error}"));
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {} {}",
            answer.status,
            answer.body
        );
        answer
    }

    fn permit(&self, user: &str, configure: &str, write: &str, read: &str) {
        self.manage(
            "PUT",
            &format!("/api/permissions/{}/{user}", self.name),
            Some(json!({ "configure": configure, "write": write, "read": read })),
        );
    }

    /// A user of this virtual host alone; returns `user:password`.
    pub fn user(&self, role: &str, configure: &str, write: &str, read: &str) -> String {
        let name = format!("{}-{role}", self.name);
        self.change_password(&name, "it-password");
        self.users.lock().unwrap().push(name.clone());
        self.permit(&name, configure, write, read);
        format!("{name}:it-password")
    }

    pub fn change_password(&self, user: &str, password: &str) {
        let account = json!({ "password": password, "tags": "" });
        self.manage("PUT", &format!("/api/users/{user}"), Some(account));
    }

    /// A user that the test made in another way: deleted with the rest.
    pub fn adopt_user(&self, name: &str) {
        self.users.lock().unwrap().push(name.to_owned());
    }

    pub fn delete_queue(&self, queue: &str) {
        let path = format!("/api/queues/{}/{queue}", self.name);
        self.manage("DELETE", &path, None);
    }
}

fn manage(method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Answer> {
    let (login, address) = parts(&variable("DISPATCHER_TEST_MANAGEMENT"));
    http::ask(&address, method, path, Some(&login), body)
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        // Best effort: what is left is only rubbish on a private broker.
        drop(manage(
            "DELETE",
            &format!("/api/vhosts/{}", self.name),
            None,
        ));
        for user in self.users.lock().unwrap().iter() {
            drop(manage("DELETE", &format!("/api/users/{user}"), None));
        }
    }
}
