//! The process of a command server: how it is started, watched and ended, its group included.

use std::env;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::error::ClientError;
use super::last_words::LastWords;

/// A command that speaks MCP on its standard input and output.
#[derive(Clone)]
pub struct ChildCommand {
    /// The server's name in logs and errors.
    pub label: String,
    /// A path, or a name to look for in PATH.
    pub program: String,
    pub args: Vec<String>,
    /// Variables in addition to, or in the place of, the gateway's own.
    pub env: Vec<(String, String)>,
    /// Whether the child gets none of the gateway's own variables.
    pub clear_env: bool,
    pub cwd: Option<PathBuf>,
    /// The longest message the child may write.
    pub max_line_bytes: usize,
    /// How long a server that does not answer `server/discover` is waited for before it is taken
    /// for a legacy one.
    pub probe_timeout: Duration,
    /// How long the child may take to end: first by itself, then once more after SIGTERM.
    pub close_grace: Duration,
    /// Where the last of what it writes to standard error is kept, instead of all of it in the log.
    pub last_words: Option<LastWords>,
    /// Where the child is watched over, however its connection ends: who waits for these tasks waits
    /// until it is gone.
    pub tasks: TaskTracker,
}

impl ChildCommand {
    /// The command without arguments, in the gateway's environment and directory.
    pub fn new(label: impl Into<String>, program: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            cwd: None,
            max_line_bytes: 16 * 1024 * 1024,
            probe_timeout: Duration::from_secs(5),
            close_grace: Duration::from_secs(2),
            last_words: None,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts the command in a process group of its own.
    pub(super) fn start(&self) -> Result<(Process, Pipes), ClientError> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if self.clear_env {
            command.env_clear();
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn().map_err(|error| self.explain(error))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Process {
            child,
            group,
            grace: self.close_grace,
        };
        match pipes {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((
                process,
                Pipes {
                    stdin,
                    stdout,
                    stderr,
                },
            )),
            _ => Err(self.not_started("its standard streams cannot be opened", None)),
        }
    }

    fn explain(&self, error: io::Error) -> ClientError {
        if let Some(cwd) = self.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
            let reason = format!("its working directory {} does not exist", cwd.display());
            return self.not_started(reason, None);
        }
        match error.kind() {
            io::ErrorKind::NotFound => ClientError::CommandNotFound {
                program: self.program.clone(),
                searched: self.searched(),
            },
            io::ErrorKind::PermissionDenied => {
                self.not_started("it is not executable by this user", Some(error))
            }
            _ => self.not_started("the operating system refused", Some(error)),
        }
    }

    fn not_started(&self, reason: impl Into<String>, source: Option<io::Error>) -> ClientError {
        ClientError::NotStarted {
            program: self.program.clone(),
            reason: reason.into(),
            source,
        }
    }

    /// Where the program was looked for, in words.
    fn searched(&self) -> String {
        if self.program.contains('/') {
            return "(no such file, or the interpreter it names is missing)".to_owned();
        }
        let own = self.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = match own {
            Some((_, path)) => path.clone(),
            None if self.clear_env => return "(its environment has no PATH)".to_owned(),
            None => env::var("PATH").unwrap_or_default(),
        };
        format!("in PATH ({path})")
    }
}

/// Arguments and the values of variables are left out: they may be secrets.
impl fmt::Debug for ChildCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            label,
            program,
            args,
            env,
            clear_env,
            cwd,
            ..
        } = self;
        f.debug_struct("ChildCommand")
            .field("label", label)
            .field("program", program)
            .field("args", &args.len())
            .field("env", &env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("clear_env", clear_env)
            .field("cwd", cwd)
            .finish_non_exhaustive()
    }
}

/// How a child came to its end; the status is unknown if it could not be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ChildEnd {
    pub(super) status: Option<ExitStatus>,
}

/// The child's standard streams.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A running child and everything it started in its group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
    grace: Duration,
}

impl Process {
    /// Waits until the child has ended by itself.
    pub(super) async fn wait(&mut self) -> ChildEnd {
        ChildEnd {
            status: self.child.wait().await.ok(),
        }
    }

    /// Ends the child, whose standard input must be closed by now: that is the polite request.
    pub(super) async fn end(&mut self) -> ChildEnd {
        if let Ok(end) = timeout(self.grace, self.wait()).await {
            return end;
        }
        self.group.signal(Signal::TERM);
        if let Ok(end) = timeout(self.grace, self.wait()).await {
            return end;
        }
        self.group.signal(Signal::KILL);
        self.wait().await
    }
}

/// A process group. Whatever is left of it is killed when this is dropped, so that neither a
/// helper that outlives its parent nor a runtime that shuts down early leaves processes behind.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        let Some(group) = self.0 else { return };
        // That the group is gone already is the usual case. Its number is not given to another
        // process while a member is left, nor, in practice, in the moment after.
        if let Err(error) = kill_process_group(group, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::debug!(%error, "cannot signal a process group");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(command: &ChildCommand) -> ClientError {
        command.start().map(|_| ()).unwrap_err()
    }

    #[tokio::test]
    async fn says_where_a_missing_command_was_looked_for() {
        let mut command = ChildCommand::new("time", "no-such-command-anywhere");
        let error = start(&command);
        let path = env::var("PATH").unwrap();
        assert!(
            matches!(&error, ClientError::CommandNotFound { program, .. } if program == "no-such-command-anywhere")
        );
        assert!(error.to_string().contains(&path), "{error}");
        assert!(error.to_string().contains("install it"), "{error}");

        command.env.push(("PATH".into(), "/opt/elsewhere".into()));
        assert!(start(&command).to_string().contains("/opt/elsewhere"));
        command.program = "/no/such/file".into();
        assert!(start(&command).to_string().contains("no such file"));
    }

    #[tokio::test]
    async fn tells_a_missing_directory_and_a_missing_permission_from_a_missing_command() {
        let mut command = ChildCommand::new("time", "/etc/passwd");
        assert!(start(&command).to_string().contains("not executable"));
        command.cwd = Some("/no/such/directory".into());
        assert!(start(&command).to_string().contains("/no/such/directory"));
    }

    #[test]
    fn shows_neither_arguments_nor_values_of_variables() {
        let mut command = ChildCommand::new("time", "sh");
        command.args.push("--key=hunter2".into());
        command.env.push(("KEY".into(), "hunter2".into()));
        let shown = format!("{command:?}");
        assert!(
            shown.contains("KEY") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
