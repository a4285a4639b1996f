//! What the end-to-end tests share: a deployment in a folder of its own on ports of its own, made of
//! real processes of the built binary.
//!
//! Nothing here sleeps to wait for something: conditions are waited for, with a deadline after which
//! the test fails and shows what the processes printed.
#![allow(dead_code)] // each test file uses its part

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use waypost::clock;

/// How long anything may take before the test fails; far above what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A UDP port that was free a moment ago.
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}

/// Waits until `check` answers something.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::mono_now().plus(PATIENCE);
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(clock::mono_now() < deadline, "gave up waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A folder with a config, and how to start things in it.
pub struct Deployment {
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Default for Deployment {
    fn default() -> Self {
        Self::new()
    }
}

impl Deployment {
    /// A new deployment on free ports of loopback.
    pub fn new() -> Self {
        Self::with_config(|_| {})
    }

    /// A new deployment whose config `change` may extend.
    pub fn with_config(change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut config = serde_json::json!({
            "indexing_server": { "ip": "127.0.0.1", "port": port },
            "peer_node": { "ip": "127.0.0.1", "base_port": free_port().min(65_000) },
        });
        change(&mut config);
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("config.json");
        Deployment { folder, port }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("config.json")
    }

    /// The binary with this deployment's folder as current folder and none of the caller's settings.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        clear_environment(&mut command);
        command.current_dir(self.path()).args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.run_with_input(args, b"")
    }

    /// Runs a command to its end with `input` on its standard input.
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Ran {
        run_to_end(self.command(args), input)
    }

    /// Starts a process that runs on, and collects what it prints.
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Process {
        Process::spawn(self.command(args))
    }

    /// Starts the index and waits until it serves.
    pub fn index(&self) -> Process {
        let index = self.spawn(["index"]);
        index.wait_for("Indexing server starting on");
        index
    }

    /// Starts a peer and waits until its session is open.
    pub fn peer(&self, name: &str) -> Process {
        let peer = self.spawn(["peer", "--id", name]);
        peer.wait_for("session with the index");
        peer
    }
}

/// Runs a command to its end with `input` on its standard input.
pub fn run_to_end(command: Command, input: &[u8]) -> Ran {
    run_within(command, input, PATIENCE)
}

/// As [`run_to_end`], for commands that take long by what they do.
pub fn run_within(mut command: Command, input: &[u8], limit: Duration) -> Ran {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // The command may end before it has read everything.
    let writing = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = wait_with_deadline(child, &format!("{command:?}"), limit);
    writing.join().expect("the writer does not panic");
    Ran::new(output)
}

/// The variables that would change what a command does.
pub fn clear_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAYPOST_") {
            command.env_remove(name);
        }
    }
}

fn wait_with_deadline(child: Child, what: &str, limit: Duration) -> Output {
    let pid = child.id();
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let watchdog = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let (ended, changed) = &*done;
            let ended = ended.lock().expect("not poisoned");
            let waited = changed.wait_timeout_while(ended, limit, |ended| !*ended);
            let timed_out = waited.expect("not poisoned").1.timed_out();
            if timed_out {
                signal(pid, rustix::process::Signal::KILL);
            }
            timed_out
        })
    };
    let output = child.wait_with_output().expect("the child's output");
    *done.0.lock().expect("not poisoned") = true;
    done.1.notify_all();
    let timed_out = watchdog.join().expect("the watchdog does not panic");
    assert!(
        !timed_out,
        "{what} did not end in {limit:?}; it printed {output:?}"
    );
    output
}

/// Sends a signal.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
    // A process that has ended already is what most callers want.
    let _ = rustix::process::kill_process(pid, signal);
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that it ended with 0; answers its output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Asserts that it ended with `code` and that stderr holds each of `texts`.
    #[track_caller]
    pub fn fails(self, code: i32, texts: &[&str]) -> Ran {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "no {text:?} in stderr: {}",
                self.stderr
            );
        }
        self
    }
}

#[derive(Default)]
struct Printed {
    lines: Mutex<(Vec<String>, usize)>,
    changed: Condvar,
}

impl Printed {
    fn collect(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let printed = Arc::clone(self);
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = vec![];
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                printed.lines.lock().expect("not poisoned").0.push(text);
                printed.changed.notify_all();
                line.clear();
            }
            printed.lines.lock().expect("not poisoned").1 += 1;
            printed.changed.notify_all();
        });
    }
}

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    printed: Arc<Printed>,
}

impl Process {
    pub fn spawn(mut command: Command) -> Process {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the process starts");
        let printed = Arc::new(Printed::default());
        printed.collect(child.stdout.take().expect("stdout is piped"));
        printed.collect(child.stderr.take().expect("stderr is piped"));
        Process { child, printed }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{line}").expect("the process reads");
    }

    /// Closes its standard input.
    pub fn end_input(&mut self) {
        self.child.stdin.take();
    }

    /// Everything printed so far, stdout and stderr in the order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.printed.lines.lock().expect("not poisoned").0.clone()
    }

    /// Waits for a line that contains `text`; answers it.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits for the `nth` line that contains `text`.
    #[track_caller]
    pub fn wait_for_nth(&self, text: &str, nth: usize) -> String {
        let lines = self.printed.lines.lock().expect("not poisoned");
        let find = |lines: &(Vec<String>, usize)| {
            lines
                .0
                .iter()
                .filter(|line| line.contains(text))
                .nth(nth - 1)
                .cloned()
        };
        let waited = self
            .printed
            .changed
            .wait_timeout_while(lines, PATIENCE, |lines| {
                find(lines).is_none() && lines.1 < 2
            });
        let (lines, _) = waited.expect("not poisoned");
        match find(&lines) {
            Some(line) => line,
            None => panic!(
                "no {text:?} (number {nth}) was printed, but:\n{}",
                lines.0.join("\n")
            ),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(self) -> Option<i32> {
        signal(self.pid(), rustix::process::Signal::TERM);
        self.wait().code()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        let pid = self.pid();
        eventually(&format!("process {pid} to end"), || {
            self.child
                .try_wait()
                .expect("the process can be waited for")
        })
    }

    /// Suspends it, like ^Z.
    pub fn suspend(&self) {
        signal(self.pid(), rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal(self.pid(), rustix::process::Signal::CONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail harmlessly if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
