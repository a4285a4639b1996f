//! `--take-over`: ending the process that holds a data folder, after making sure that it is one of
//! ours.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process};

use super::error::{CliError, Exit};
use super::wait;
use crate::lock::{self, Holder, HolderState};
use crate::transport::BindError;

/// How long the holder has to stop by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether the folder is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The error for a folder that another process holds.
pub fn in_use(dir: &Path, holder: &Holder) -> CliError {
    let message = format!("another process uses {}", dir.display());
    let error = CliError::new("in-use", Exit::Conflict, message);
    let Some(pid) = holder.pid else {
        return error
            .detail("holder", "did not leave its pid")
            .help("stop it, or choose another folder with --config");
    };
    let (state, help) = match holder.state {
        HolderState::Stopped => (
            "suspended (^Z)",
            format!("let it go on: kill -CONT {pid}; or end it: --take-over"),
        ),
        HolderState::Running => (
            "running",
            format!("stop it: kill {pid}; or let this command do so: --take-over"),
        ),
        HolderState::Unknown => ("not visible from here", format!("stop process {pid}")),
    };
    error
        .detail("holder", format!("process {pid}, {state}"))
        .help(help)
}

/// Whether a daemon could bind `bind`, asked before it makes anything. The holder of its folder `dir`
/// is the better answer, if there is one: it is who has the port.
pub fn look_for_port(bind: SocketAddr, dir: &Path) -> Result<(), CliError> {
    match UdpSocket::bind(bind) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = lock::holder(dir).map(|holder| in_use(dir, &holder));
            Err(holder.unwrap_or_else(|| BindError::InUse { addr: bind }.into()))
        }
        // Any other trouble is told when the port is bound in earnest.
        _ => Ok(()),
    }
}

/// Ends the holder of `dir`, if there is one: politely, then not. Only a process of the same user
/// and the same program is touched.
pub async fn take_over(dir: &Path) -> Result<(), CliError> {
    let Some(holder) = lock::holder(dir) else {
        return Ok(());
    };
    let pid = ours(&holder, dir)?;
    tracing::warn!("ending {holder}, which holds {}", dir.display());
    signal(pid, Signal::TERM, dir)?;
    // A suspended process takes the signal only when it goes on.
    signal(pid, Signal::CONT, dir)?;
    let what = format!("{holder} to end");
    let ended = wait::saying(&what, tokio::time::timeout(GRACE, freed(dir, pid))).await;
    if ended.is_err() {
        signal(pid, Signal::KILL, dir)?;
        wait::within(GRACE, &what, freed(dir, pid)).await?;
    }
    Ok(())
}

/// Waits until the folder is free and the process is gone: it lets go of the folder before its ports.
async fn freed(dir: &Path, pid: Pid) {
    // A process that has ended has no program, also while nobody has waited for it.
    let program = format!("/proc/{}/exe", pid.as_raw_nonzero());
    while lock::holder(dir).is_some() || fs::read_link(&program).is_ok() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn ours(holder: &Holder, dir: &Path) -> Result<Pid, CliError> {
    let refuse = |why: &str| in_use(dir, holder).detail("not taken over", why.to_owned());
    let pid = holder
        .pid
        .ok_or_else(|| refuse("it did not leave its pid"))?;
    let owner = fs::metadata(format!("/proc/{pid}")).map(|process| process.uid());
    if owner.ok() != Some(getuid().as_raw()) {
        return Err(refuse("it belongs to another user"));
    }
    // A program that was replaced by a newer build is still the same path, marked as deleted.
    let program = |exe: &Path| {
        exe.to_string_lossy()
            .trim_end_matches(" (deleted)")
            .to_owned()
    };
    let own = std::env::current_exe().ok();
    let same = match (&holder.exe, &own) {
        (Some(theirs), Some(own)) => program(theirs) == program(own),
        _ => false,
    };
    if !same {
        return Err(refuse("it runs another program"));
    }
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| refuse("its pid is not one"))
}

fn signal(pid: Pid, signal: Signal, dir: &Path) -> Result<(), CliError> {
    match kill_process(pid, signal) {
        // It has ended by itself, which is what was wanted.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            let message = format!("cannot end the process that uses {}", dir.display());
            let error = CliError::new("in-use", Exit::Conflict, message).detail("cause", error);
            Err(error.help(format!("end it by hand: kill -9 {}", pid.as_raw_nonzero())))
        }
    }
}
