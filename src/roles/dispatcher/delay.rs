//! Measures how late the worker's one thread comes to what is due. lapin's loops over the sockets are tasks of that thread: while another
//! task has it, no frame is read or written, and no heartbeat.

use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a sample is taken: whatever keeps the thread for longer is always seen.
const PERIOD: Duration = Duration::from_millis(100);

/// For ever.
pub(super) async fn measure(metrics: Arc<Metrics>) -> String {
    loop {
        let due = Instant::now() + PERIOD;
        tokio::time::sleep_until(due).await;
        metrics.thread_delay.observe(due.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[tokio::test]
    async fn a_task_that_keeps_the_thread_shows() {
        let metrics = Arc::new(Metrics::new("w1", HashSet::new(), 0).unwrap());
        let measuring = tokio::spawn(measure(metrics.clone()));
        // Its timer is set.
        tokio::task::yield_now().await;
        std::thread::sleep(PERIOD * 3);
        while metrics.thread_delay.get_sample_count() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(metrics.thread_delay.get_sample_sum() >= 0.15);
        measuring.abort();
    }
}
