//! Which processors a process runs on.
//!
//! A request and its reply take 25 µs between two processes on one core, 115 on two that sleep meanwhile (raw
//! QUIC, two virtual cores): the scheduler's choice would decide more than what is measured. So servers and load
//! generators are kept apart, as on two machines.

use std::fs;
use std::path::PathBuf;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Gives servers the first half of this process's processors, and load generators the others. Where there is only one,
/// or the system refuses, they stay where they are.
pub fn keep_apart(servers: &[u32], generators: &[u32]) {
    let Ok(mine) = sched_getaffinity(None) else {
        return;
    };
    let (first, second) = halves(&mine);
    // Servers of a running deployment are not ours to move, and may be elsewhere.
    if servers.is_empty() || second.count() == 0 {
        return;
    }
    for (pids, half) in [(servers, first), (generators, second)] {
        for thread in pids.iter().flat_map(|pid| threads(*pid)) {
            // One that has ended meanwhile needs no place.
            let _ = sched_setaffinity(Some(thread), &half);
        }
    }
}

fn halves(all: &CpuSet) -> (CpuSet, CpuSet) {
    let of_servers = all.count().div_ceil(2) as usize;
    let (mut first, mut second) = (CpuSet::new(), CpuSet::new());
    let cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu));
    for (at, cpu) in cpus.enumerate() {
        match at < of_servers {
            true => first.set(cpu),
            false => second.set(cpu),
        }
    }
    (first, second)
}

/// The threads of a process; further ones run where the one that starts them does.
fn threads(pid: u32) -> Vec<Pid> {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cpus: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|&cpu| set.set(cpu));
        set
    }

    #[test]
    fn servers_get_the_first_half() {
        let of = |cpus: &[usize]| halves(&set(cpus));
        assert_eq!(of(&[0, 1]), (set(&[0]), set(&[1])));
        assert_eq!(of(&[1, 3, 4, 7, 9]), (set(&[1, 3, 4]), set(&[7, 9])));
        assert_eq!(of(&[5]), (set(&[5]), set(&[])));
    }

    #[test]
    fn every_thread_is_found() {
        let mine = threads(std::process::id());
        assert!(mine.contains(&rustix::thread::gettid()));
        assert!(threads(u32::MAX).is_empty());
    }
}
