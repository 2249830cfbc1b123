//! What a child process wrote, line by line.

use super::within;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

impl Log {
    /// Reads until the child closes its end.
    pub async fn read(self, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::new(from);
        let mut line = vec![];
        while from.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text);
            self.count.send_modify(|count| *count += 1);
            line.clear();
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for the first line that holds `text`.
    pub async fn line(&self, text: &str) -> String {
        let mut count = self.count.subscribe();
        let waiting = async {
            loop {
                let found = self.lines().into_iter().find(|line| line.contains(text));
                if let Some(line) = found {
                    return line;
                }
                count.changed().await.unwrap();
            }
        };
        within(&format!("a line that says {text:?}"), waiting).await
    }
}
