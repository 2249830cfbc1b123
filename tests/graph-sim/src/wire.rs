//! A TCP connection that can end in a reset, and a body that can end too early.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
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

/// A step of an answer's body.
#[derive(Debug)]
enum Piece {
    Data(Bytes),
    /// So many bytes of padding.
    Padding(usize),
    Pause(Duration),
    /// An error, which ends the connection.
    Fail,
}

/// An answer's body.
#[derive(Debug)]
pub(crate) struct Content {
    pieces: VecDeque<Piece>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Of all that is still to come; unknown if not all of it will.
    left: Option<usize>,
}

/// Time for a part to be written before an error discards it.
const CUT_PAUSE: Duration = Duration::from_millis(2);

/// What a body is padded with, again and again.
static PADDING: [u8; 65_536] = [b'x'; 65_536];

/// Into how many pieces a body is cut that trickles.
const DROPS: usize = 16;

impl Content {
    fn of(pieces: impl Into<VecDeque<Piece>>, left: Option<usize>) -> Self {
        Self {
            pieces: pieces.into(),
            pause: None,
            left,
        }
    }

    pub(crate) fn whole(body: Vec<u8>) -> Self {
        let left = body.len();
        let pieces = if body.is_empty() {
            vec![]
        } else {
            vec![Piece::Data(body.into())]
        };
        Self::of(pieces, Some(left))
    }

    /// With so many bytes of padding before its last two.
    pub(crate) fn padded(body: Vec<u8>, padding: usize) -> Self {
        if padding == 0 {
            return Self::whole(body);
        }
        let (left, body) = (body.len() + padding, Bytes::from(body));
        let end = body.len().saturating_sub(2);
        let pieces = [
            Piece::Data(body.slice(..end)),
            Piece::Padding(padding),
            Piece::Data(body.slice(end..)),
        ];
        Self::of(pieces, Some(left))
    }

    /// Part of a body, and then an end of the connection.
    pub(crate) fn cut(mut body: Vec<u8>, bytes: usize) -> Self {
        body.truncate(bytes);
        let pieces = [
            Piece::Data(body.into()),
            Piece::Pause(CUT_PAUSE),
            Piece::Fail,
        ];
        Self::of(pieces, None)
    }

    /// All of it, but slowly.
    pub(crate) fn trickle(body: Vec<u8>, over: Duration) -> Self {
        let body = Bytes::from(body);
        let size = body.len().div_ceil(DROPS).max(1);
        let mut pieces = VecDeque::new();
        for start in (0..body.len()).step_by(size) {
            pieces.push_back(Piece::Data(body.slice(start..body.len().min(start + size))));
            pieces.push_back(Piece::Pause(over / u32::try_from(DROPS).unwrap_or(1)));
        }
        pieces.pop_back();
        Self::of(pieces, Some(body.len()))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            match this.pieces.pop_front() {
                Some(Piece::Data(data)) => {
                    this.left = this.left.map(|left| left - data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Piece::Padding(bytes)) => {
                    let now = bytes.min(PADDING.len());
                    if bytes > now {
                        this.pieces.push_front(Piece::Padding(bytes - now));
                    }
                    this.left = this.left.map(|left| left - now);
                    let data = Bytes::from_static(PADDING.get(..now).unwrap_or_default());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Piece::Pause(pause)) => {
                    this.pause = Some(Box::pin(tokio::time::sleep(pause)));
                }
                Some(Piece::Fail) => {
                    let error = io::Error::other("cut by the script");
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, |left| SizeHint::with_exact(left as u64))
    }
}
