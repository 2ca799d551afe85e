//! What this process has of the system, and what the system has for it. What cannot be known here is `None`.

use std::fs;
use std::time::Duration;

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

/// Memory that is in use, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// Memory that there is for this process: of its control group, or of the machine.
pub(crate) fn memory_bytes() -> Option<u64> {
    [machine_bytes(), group_bytes()].into_iter().flatten().min()
}

fn machine_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The least that this group and those above it may have (control groups, version 2, then 1).
fn group_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let unified = path.into_iter().flat_map(|path| {
        let mut above: Vec<_> = path.trim().match_indices('/').map(|(at, _)| &path[..at]).collect();
        above.push(path.trim().trim_end_matches('/'));
        above.into_iter().map(|path| format!("/sys/fs/cgroup{path}/memory.max")).collect::<Vec<_>>()
    });
    let files = unified.chain(["/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned()]);
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// Files and sockets that are open.
pub(crate) fn open_files() -> Option<u64> {
    // The directory itself is one while it is read.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

/// CPU time that was used, of all threads.
pub(crate) fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_something_of_everything() {
        let resident = resident_bytes().expect("it is known here");
        assert!((1 << 20..memory_bytes().expect("it is known here")).contains(&resident), "{resident}");
        assert!(open_files().expect("it is known here") >= 3);
        assert!(!cpu_time().is_zero());
    }
}
