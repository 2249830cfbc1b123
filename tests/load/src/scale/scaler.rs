//! What KEDA and the HorizontalPodAutoscaler it drives make of a signal: the words are those of a `ScaledObject`.

use std::collections::VecDeque;
use std::time::Duration;

/// `spec` of the `ScaledObject`, as far as it matters here, and of the HPA's `behavior` in it.
#[derive(Clone, Debug)]
pub(crate) struct ScaledObject {
    pub(crate) polling_interval: Duration,
    pub(crate) min_replica_count: usize,
    pub(crate) max_replica_count: usize,
    /// `triggers[].metadata.threshold`, of a metric of type `AverageValue`: so much of the signal per replica.
    pub(crate) threshold: f64,
    pub(crate) scale_down: ScaleDown,
}

/// `advanced.horizontalPodAutoscalerConfig.behavior.scaleDown`, with one policy of type `Pods`.
#[derive(Clone, Debug)]
pub(crate) struct ScaleDown {
    pub(crate) stabilization_window: Duration,
    pub(crate) pods: usize,
    pub(crate) period: Duration,
}

/// The signal of the last window, and when replicas were taken away.
pub(crate) struct Scaler {
    spec: ScaledObject,
    wanted: VecDeque<(Duration, usize)>,
    removed: VecDeque<Duration>,
}

impl Scaler {
    pub(crate) fn new(spec: ScaledObject) -> Self {
        Self {
            spec,
            wanted: VecDeque::new(),
            removed: VecDeque::new(),
        }
    }

    pub(crate) fn spec(&self) -> &ScaledObject {
        &self.spec
    }

    /// How many replicas there should be. `now` never goes back. Without a signal all stays as it is.
    pub(crate) fn desired(&mut self, now: Duration, replicas: usize, signal: Option<f64>) -> usize {
        let Some(signal) = signal.filter(|signal| signal.is_finite()) else {
            return replicas;
        };
        let (least, most) = (self.spec.min_replica_count, self.spec.max_replica_count);
        let wanted = whole(signal / self.spec.threshold).clamp(least, most);
        self.wanted.push_back((now, wanted));
        let down = &self.spec.scale_down;
        forget(&mut self.wanted, |(at, _)| {
            now.saturating_sub(*at) > down.stabilization_window
        });
        forget(&mut self.removed, |at| {
            now.saturating_sub(*at) >= down.period
        });
        if wanted >= replicas {
            return wanted;
        }
        // Of what was wanted lately the most counts: a dip takes nobody away.
        let lately = self.wanted.iter().map(|(_, wanted)| *wanted).max();
        let floor = lately.unwrap_or(wanted).min(replicas);
        let may_go = down.pods.saturating_sub(self.removed.len());
        let desired = floor.max(replicas.saturating_sub(may_go));
        self.removed.extend((desired..replicas).map(|_| now));
        desired
    }
}

fn forget<T>(queue: &mut VecDeque<T>, is_old: impl Fn(&T) -> bool) {
    while queue.front().is_some_and(&is_old) {
        queue.pop_front();
    }
}

/// Rounded up; a replica more than there ever are is as good as any number of them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before"
)]
fn whole(replicas: f64) -> usize {
    replicas.ceil().clamp(0.0, 1e6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaler() -> Scaler {
        Scaler::new(ScaledObject {
            polling_interval: Duration::from_secs(5),
            min_replica_count: 1,
            max_replica_count: 4,
            threshold: 1.0,
            scale_down: ScaleDown {
                stabilization_window: Duration::from_secs(30),
                pods: 1,
                period: Duration::from_secs(10),
            },
        })
    }

    /// Signals, one per polling interval from `start_s` on, and how many replicas each makes.
    fn run(scaler: &mut Scaler, start_s: u64, replicas: usize, signals: &[f64]) -> Vec<usize> {
        let mut replicas = replicas;
        let steps = (start_s..).step_by(5).zip(signals);
        steps
            .map(|(at_s, signal)| {
                replicas = scaler.desired(Duration::from_secs(at_s), replicas, Some(*signal));
                replicas
            })
            .collect()
    }

    #[test]
    fn out_at_once_and_within_bounds() {
        assert_eq!(
            run(&mut scaler(), 0, 1, &[0.0, 1.0, 2.2, 9.0]),
            [1, 1, 3, 4]
        );
    }

    #[test]
    fn a_dip_takes_nobody_away() {
        let signals = [4.0, 1.0, 1.0, 4.0, 1.0, 1.0];
        assert_eq!(run(&mut scaler(), 0, 4, &signals), [4; 6]);
    }

    #[test]
    fn in_one_by_one_after_the_window() {
        let mut scaler = scaler();
        assert_eq!(run(&mut scaler, 0, 4, &[4.0]), [4]);
        let (window, after) = ([1.0; 6], [1.0; 7]);
        assert_eq!(run(&mut scaler, 5, 4, &window), [4; 6]);
        // One per period of 10 s, which is two polling intervals.
        assert_eq!(run(&mut scaler, 35, 4, &after), [3, 3, 2, 2, 1, 1, 1]);
    }

    #[test]
    fn no_signal_changes_nothing() {
        let mut scaler = scaler();
        assert_eq!(scaler.desired(Duration::ZERO, 3, None), 3);
        assert_eq!(scaler.desired(Duration::ZERO, 3, Some(f64::NAN)), 3);
    }
}
