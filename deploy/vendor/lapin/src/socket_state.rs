use crate::Result;
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tracing::trace;

pub(crate) struct SocketState {
    readable: bool,
    writable: bool,
    handle: SocketStateHandle,
}

impl Default for SocketState {
    fn default() -> Self {
        Self {
            readable: true,
            writable: true,
            handle: SocketStateHandle::default(),
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct SocketStateHandle {
    shared: Arc<Shared>,
}

/// What happened since the IO loop last looked, and how to wake it. Of events that come before the
/// loop looks the first one wakes it.
#[derive(Default)]
struct Shared {
    events: AtomicU8,
    io_loop: Mutex<Option<Waker>>,
}

#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum SocketEvent {
    Readable = 1,
    Writable = 2,
    Wake = 4,
}

impl SocketEvent {
    const ALL: [Self; 3] = [Self::Readable, Self::Writable, Self::Wake];
}

pub(crate) struct SocketStateWaker {
    handle: SocketStateHandle,
    event: SocketEvent,
}

impl SocketState {
    pub(crate) fn readable(&mut self) -> bool {
        self.readable
    }

    pub(crate) fn writable(&mut self) -> bool {
        self.writable
    }

    /// Hand control back to the executor, once at least: other tasks must run between two passes of
    /// the IO loop, and an executor that bounds the IO of a task's turn only renews that bound in the
    /// next turn. With `for_event` the loop goes on once there is an event.
    pub(crate) async fn pause(&mut self, for_event: bool) {
        let mut paused = false;
        poll_fn(|cx| {
            // Registered before looking: an event from now on wakes us.
            self.handle.shared.register(cx);
            let ready = !for_event || self.handle.shared.has_events();
            if ready && paused {
                return Poll::Ready(());
            }
            if ready {
                cx.waker().wake_by_ref();
            }
            paused = true;
            Poll::Pending
        })
        .await;
        self.poll_events();
    }

    pub(crate) fn reset(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    pub(crate) fn handle(&self) -> SocketStateHandle {
        self.handle.clone()
    }

    pub(crate) fn handle_read_poll(&mut self, poll: Poll<usize>) -> Option<usize> {
        match poll {
            Poll::Ready(sz) => Some(sz),
            Poll::Pending => {
                self.readable = false;
                None
            }
        }
    }

    pub(crate) fn handle_write_poll<T>(&mut self, poll: Poll<T>) -> Option<T> {
        match poll {
            Poll::Ready(sz) => Some(sz),
            Poll::Pending => {
                self.writable = false;
                None
            }
        }
    }

    pub(crate) fn handle_io_result(&mut self, result: Result<()>) -> Result<()> {
        if let Err(err) = result {
            if err.interrupted() {
                self.handle.wake();
            } else if err.wouldblock() {
                // ignore, let the reactor handle that
            } else {
                if err.is_io_error() {
                    self.readable = false;
                    self.writable = false;
                }
                return Err(err);
            }
        }
        Ok(())
    }

    pub(crate) fn poll_events(&mut self) {
        for event in self.handle.shared.take_events() {
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: SocketEvent) {
        trace!(?event, "Got event for socket");
        match event {
            SocketEvent::Readable => self.readable = true,
            SocketEvent::Writable => self.writable = true,
            SocketEvent::Wake => {}
        }
    }

    pub(crate) fn readable_waker(&self) -> Waker {
        self.waker(SocketEvent::Readable)
    }

    pub(crate) fn writable_waker(&self) -> Waker {
        self.waker(SocketEvent::Writable)
    }

    fn waker(&self, event: SocketEvent) -> Waker {
        let handle = self.handle();
        let waker = SocketStateWaker { handle, event };
        Waker::from(Arc::new(waker))
    }
}

impl SocketStateHandle {
    pub(crate) fn send(&self, event: SocketEvent) {
        self.shared.send(event);
    }

    pub(crate) fn wake(&self) {
        self.send(SocketEvent::Wake);
    }
}

impl Shared {
    fn send(&self, event: SocketEvent) {
        if self.events.fetch_or(event as u8, Ordering::AcqRel) == 0 {
            let waker = self.lock_io_loop().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn has_events(&self) -> bool {
        self.events.load(Ordering::Acquire) != 0
    }

    fn take_events(&self) -> impl Iterator<Item = SocketEvent> + use<> {
        let events = self.events.swap(0, Ordering::AcqRel);
        SocketEvent::ALL
            .into_iter()
            .filter(move |event| events & *event as u8 != 0)
    }

    fn register(&self, cx: &Context<'_>) {
        let mut io_loop = self.lock_io_loop();
        match io_loop.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *io_loop = Some(cx.waker().clone()),
        }
    }

    fn lock_io_loop(&self) -> MutexGuard<'_, Option<Waker>> {
        self.io_loop.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Wake for SocketStateWaker {
    fn wake(self: Arc<Self>) {
        self.handle.send(self.event)
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.handle.send(self.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn a_pause_hands_control_back_once_whatever_there_is() {
        let mut state = SocketState::default();
        state.handle().wake();
        block_on(async {
            let mut pause = Box::pin(state.pause(true));
            assert!(poll_once(&mut pause).await.is_none());
            assert!(poll_once(&mut pause).await.is_some());
        });
    }

    #[test]
    fn a_pause_for_an_event_waits_for_it() {
        let mut state = SocketState::default();
        state.readable = false;
        let handle = state.handle();
        let readable = state.readable_waker();
        block_on(async {
            let mut pause = Box::pin(state.pause(true));
            assert!(poll_once(&mut pause).await.is_none());
            assert!(poll_once(&mut pause).await.is_none());
            handle.wake();
            readable.wake();
            assert!(poll_once(&mut pause).await.is_some());
        });
        assert!(state.readable());
        assert!(!handle.shared.has_events());
    }
}
