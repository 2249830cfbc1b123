use crate::{ConnectionStatus, ErrorKind, internal_rpc::InternalRPCHandle, killswitch::KillSwitch};
use async_rs::{Runtime, traits::*};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tracing::error;

/// How long the IO loop may take to read what the server sent.
const GRACE: Duration = Duration::from_millis(10);

#[derive(Clone)]
pub(crate) struct Heartbeat<RK: RuntimeKit + Clone + Send + 'static> {
    connection_status: ConnectionStatus,
    killswitch: KillSwitch,
    runtime: Runtime<RK>,
    inner: Arc<Mutex<Inner>>,
}

impl<RK: RuntimeKit + Clone + Send + 'static> Heartbeat<RK> {
    pub(crate) fn new(connection_status: ConnectionStatus, runtime: Runtime<RK>) -> Self {
        let killswitch = Default::default();
        let inner = Default::default();
        Self {
            connection_status,
            killswitch,
            runtime,
            inner,
        }
    }

    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.lock_inner().timeout = Some(timeout);
    }

    pub(crate) fn killswitch(&self) -> KillSwitch {
        self.killswitch.clone()
    }

    pub(crate) fn start(&self, internal_rpc: InternalRPCHandle) {
        let heartbeat = self.clone();
        let poison = self.lock_inner().poison.clone();
        self.runtime.spawn(async move {
            while let Some(dur) = heartbeat.poll_timeout(&internal_rpc, &poison) {
                heartbeat.runtime.sleep(dur).await;
            }
        });
    }

    fn poll_timeout(
        &self,
        internal_rpc: &InternalRPCHandle,
        poison: &KillSwitch,
    ) -> Option<Duration> {
        if poison.killed() {
            return None;
        }

        if !self.connection_status.connected() {
            self.cancel();
            return None;
        }

        self.lock_inner()
            .poll_timeout(internal_rpc, &self.killswitch)
    }

    pub(crate) fn update_last_write(&self) {
        self.lock_inner().update_last_write();
    }

    pub(crate) fn update_last_read(&self) {
        self.lock_inner().update_last_read();
    }

    pub(crate) fn cancel(&self) {
        self.lock_inner().cancel();
    }

    pub(crate) fn reset(&self) {
        self.killswitch.reset();
        self.lock_inner().reset();
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl<RK: RuntimeKit + Clone + Send + 'static> fmt::Debug for Heartbeat<RK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").finish()
    }
}

struct Inner {
    last_read: Instant,
    last_write: Instant,
    timeout: Option<Duration>,
    /// The server was found silent for too long.
    silent: bool,
    poison: KillSwitch,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            last_read: Instant::now(),
            last_write: Instant::now(),
            timeout: None,
            silent: false,
            poison: KillSwitch::default(),
        }
    }
}

impl Inner {
    fn poll_timeout(
        &mut self,
        internal_rpc: &InternalRPCHandle,
        killswitch: &KillSwitch,
    ) -> Option<Duration> {
        let timeout = self.timeout?;

        // The value stored in timeout is half the configured heartbeat value as the spec recommends to send heartbeats at twice the configured pace.
        // The specs tells us to close the connection after twice the configured interval has passed.
        if Instant::now().duration_since(self.last_read) > timeout.saturating_mul(4) {
            // What it sent may not be read yet, if no task could run for a while: have the IO loop,
            // which shares the runtime with us, read before we judge.
            if !std::mem::replace(&mut self.silent, true) {
                internal_rpc.wake_io_loop();
                return Some(GRACE);
            }
            error!(
                "We haven't received anything from the server for too long, closing connection."
            );
            self.timeout = None;
            killswitch.kill();
            internal_rpc.set_connection_error(ErrorKind::MissingHeartbeatError.into());
            return None;
        }
        self.silent = false;

        timeout
            .checked_sub(self.last_write.elapsed())
            .map(|timeout| timeout.max(Duration::from_millis(1)))
            .or_else(|| {
                // Update last_write so that if we cannot write to the socket yet, we don't enqueue countless heartbeats
                self.update_last_write();
                internal_rpc.send_heartbeat();
                Some(timeout)
            })
    }

    fn update_last_write(&mut self) {
        self.last_write = Instant::now();
    }

    fn update_last_read(&mut self) {
        self.last_read = Instant::now();
    }

    fn cancel(&mut self) {
        self.timeout = None;
        self.poison.kill();
    }

    fn reset(&mut self) {
        self.cancel();
        self.silent = false;
        self.update_last_read();
        self.update_last_write();
        self.poison = KillSwitch::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frames::Frames, internal_rpc::InternalRPC, runtime, secret_update::SecretUpdate,
        socket_state::SocketState, uri::AMQPUri,
    };

    fn internal_rpc() -> InternalRPCHandle {
        let runtime = runtime::default_runtime().unwrap();
        let status = ConnectionStatus::new(&AMQPUri::default());
        let properties = crate::ConnectionProperties::default();
        let configuration =
            crate::configuration::Configuration::new(&AMQPUri::default(), properties);
        let provider = configuration.auth_provider.clone();
        InternalRPC::new(
            runtime.clone(),
            Heartbeat::new(status.clone(), runtime.clone()),
            SecretUpdate::new(status, runtime, provider),
            Frames::default(),
            SocketState::default().handle(),
        )
        .handle()
    }

    /// The server was heard of last before so long, with a heartbeat of one second.
    fn silent_for(seconds: u64) -> Inner {
        Inner {
            last_read: Instant::now() - Duration::from_secs(seconds),
            timeout: Some(Duration::from_millis(500)),
            ..Inner::default()
        }
    }

    #[test]
    fn what_the_server_sent_meanwhile_is_read_before_it_is_judged() {
        let (rpc, killswitch) = (internal_rpc(), KillSwitch::default());
        let mut inner = silent_for(10);
        assert_eq!(inner.poll_timeout(&rpc, &killswitch), Some(GRACE));
        inner.update_last_read();
        assert!(inner.poll_timeout(&rpc, &killswitch) > Some(GRACE));
        assert!(!inner.silent && !killswitch.killed());
    }

    #[test]
    fn a_silent_server_is_given_up_after_that() {
        let (rpc, killswitch) = (internal_rpc(), KillSwitch::default());
        let mut inner = silent_for(10);
        assert_eq!(inner.poll_timeout(&rpc, &killswitch), Some(GRACE));
        assert_eq!(inner.poll_timeout(&rpc, &killswitch), None);
        assert!(killswitch.killed());
    }
}
