//! The process as the kernel sees it. Linux only; elsewhere, and where /proc is not mounted, these series are missing.

use std::fs;

/// Ticks per second of the times in /proc: the kernel's interface to user space has 100, whatever it runs at.
/// Source: proc(5), sysconf(3).
const TICKS_PER_S: f64 = 100.0;

/// Source: proc(5); a kernel built for larger pages says so here as well.
const STATUS_KB: f64 = 1_024.0;

pub(super) struct Process {
    pub(super) cpu_s: f64,
    pub(super) resident_bytes: f64,
    pub(super) open_fds: f64,
    pub(super) max_fds: f64,
    pub(super) started_s: f64,
}

pub(super) fn read() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The file's second field is the name in brackets, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Numbered from the state, which is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident_kb = first_number(status.lines().find(|line| line.starts_with("VmRSS:"))?)?;
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let max_fds = first_number(
        limits
            .lines()
            .find(|line| line.starts_with("Max open files"))?,
    )?;
    let booted = fs::read_to_string("/proc/stat").ok()?;
    let booted_s = first_number(booted.lines().find(|line| line.starts_with("btime"))?)?;
    let open_fds = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    Some(Process {
        cpu_s: (field(14)? + field(15)?) / TICKS_PER_S,
        resident_bytes: resident_kb * STATUS_KB,
        open_fds: open_fds.into(),
        max_fds,
        started_s: booted_s + field(22)? / TICKS_PER_S,
    })
}

fn first_number(line: &str) -> Option<f64> {
    line.split_whitespace().find_map(|word| word.parse().ok())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn this_process_is_there() {
        let process = super::read().unwrap();
        assert!(process.resident_bytes > 1e6 && process.resident_bytes < 1e11);
        assert!(process.open_fds >= 3.0 && process.open_fds <= process.max_fds);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age_s = now.unwrap().as_secs_f64() - process.started_s;
        assert!((-2.0..86_400.0).contains(&age_s), "{age_s}");
        assert!(process.cpu_s < 1e5);
    }
}
