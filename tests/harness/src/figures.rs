//! Figures of a measurement: percentiles, and what a process has used.

use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// What a process has used so far, by `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub cpu: Duration,
    pub rss_mb: f64,
    pub peak_rss_mb: f64,
}

impl Used {
    /// By the process with this id.
    pub fn by(pid: u32) -> Result<Self> {
        let proc = Path::new("/proc").join(pid.to_string());
        let status = std::fs::read_to_string(proc.join("status"))?;
        let megabytes = |name: &'static str| -> Result<f64> {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name));
            let value = value.context(name)?.trim().trim_end_matches("kB");
            Ok(value.trim().parse::<f64>()? / 1024.0)
        };
        Ok(Self {
            cpu: cpu(&proc)?,
            rss_mb: megabytes("VmRSS:")?,
            peak_rss_mb: megabytes("VmHWM:")?,
        })
    }
}

/// CPU time of the process or thread whose folder in `/proc` this is.
pub fn cpu(folder: &Path) -> Result<Duration> {
    let stat = std::fs::read_to_string(folder.join("stat"))?;
    // Fields 14 and 15 (utime and stime) as proc(5) counts them, from 1; in ticks of 1/100 s on every Linux we run on. Field 2 is the name in
    // brackets, which may hold spaces and brackets itself: behind the last bracket field 3 comes first.
    let behind_name = stat.rsplit_once(')').context("stat")?.1;
    let times = behind_name.split_whitespace().skip(14 - 3).take(2);
    let ticks: u64 = times.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Nearest rank; `None` when there is nothing to rank. `sorted` ascends.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&sorted[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 99), None);
    }
}
