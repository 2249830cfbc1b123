//! A TCP connection that can end in a reset, and a body that can end too early.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// A request to reset one connection.
#[derive(Debug, Default)]
pub(crate) struct Abort {
    asked: AtomicBool,
    notify: Notify,
}

impl Abort {
    /// Asks for the reset; whoever drives the connection then drops it.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    pub(crate) async fn asked(&self) {
        self.notify.notified().await;
    }
}

/// A TCP stream whose drop resets the connection if that was asked for.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    abort: Arc<Abort>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, abort: Arc<Abort>) -> Self {
        Self { stream, abort }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.abort.asked.load(Ordering::Acquire) {
            // With a linger time of zero, closing sends RST instead of FIN. If it
            // fails, the connection is gone already.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An answer's body.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Option<Bytes>),
    /// Part of a body, then an error, which ends the connection.
    Cut {
        part: Option<Bytes>,
        /// Time for the part to be written before the error discards it.
        pause: Option<Pin<Box<tokio::time::Sleep>>>,
    },
}

impl Content {
    pub(crate) fn whole(body: Vec<u8>) -> Self {
        Self::Whole(Some(body.into()).filter(|body: &Bytes| !body.is_empty()))
    }

    pub(crate) fn cut(mut body: Vec<u8>, bytes: usize) -> Self {
        body.truncate(bytes);
        Self::Cut {
            part: Some(body.into()),
            pause: None,
        }
    }
}

const CUT_PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Cut { part, pause } => {
                if let Some(part) = part.take() {
                    return Poll::Ready(Some(Ok(Frame::data(part))));
                }
                let pause = pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(CUT_PAUSE)));
                ready!(pause.as_mut().poll(context));
                Poll::Ready(Some(Err(io::Error::other("cut by the script"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Self::Cut { .. } => SizeHint::default(),
        }
    }
}
