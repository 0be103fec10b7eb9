//! A PostgreSQL server of the tests' own: on a unix socket in a temporary folder, and gone with the process.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::wait::PATIENCE;

/// Where Debian has the programs, below a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// PostgreSQL refuses to run as root; then it runs as `nobody`.
const NOBODY: u32 = 65534;

const PAUSE: Duration = Duration::from_millis(20);

/// Runs the server until its own standard input ends, as it does with whoever started it, however that ends. Then
/// removes the folder as well, unless it has read by which signal to stop it for now.
const KEEPER: &str =
    r#""$@" & read -r signal; kill -"${signal:-INT}" $!; wait $!; [ "$signal" ] || rm -rf "$PWD""#;

/// The role of this name has a password, every other needs none.
pub const GUARDED: &str = "guarded";

/// What may be lost when the machine fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing, as PostgreSQL comes.
    Disk,
    /// Everything: quicker, and the same for whoever asks.
    None,
}

/// One server. Stopped and removed when dropped, and when the process ends.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    programs: PathBuf,
    durability: Durability,
    running: Option<Running>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    /// Closed, it ends the server.
    input: Option<ChildStdin>,
}

impl Postgres {
    /// Makes a cluster and starts its server. Waits for both, a second or two.
    pub fn start(durability: Durability) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("gateway-postgres-")
            .tempdir()?;
        let mut postgres = Self {
            directory,
            programs: programs()?,
            durability,
            running: None,
            databases: AtomicU32::new(0),
        };
        if is_root() {
            chown(postgres.directory.path(), Some(NOBODY), Some(NOBODY))?;
        }
        postgres.initialize()?;
        postgres.resume()?;
        postgres.sql("CREATE ROLE guarded LOGIN PASSWORD 'zq-secret-database'")?;
        Ok(postgres)
    }

    fn initialize(&self) -> anyhow::Result<()> {
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(self.data());
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        initdb.args(["--locale=C", "--no-sync", "--no-instructions"]);
        succeed(&mut initdb)?;
        let rules = format!("local all {GUARDED} scram-sha-256\nlocal all all trust\n");
        Ok(fs::write(self.data().join("pg_hba.conf"), rules)?)
    }

    /// Starts the server again, where its connections were before.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "PostgreSQL runs already");
        let log = fs::File::create(self.directory.path().join("log"))?;
        let mut keeper = as_nobody("sh");
        keeper.args(["-c", KEEPER, "sh"]);
        keeper.arg(self.programs.join("postgres"));
        keeper.arg("-D").arg(self.data());
        keeper.arg("-k").arg(self.directory.path());
        keeper.args(["-c", "listen_addresses=", "-c", "shared_buffers=32MB"]);
        if self.durability == Durability::None {
            keeper.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let mut keeper = keeper
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting PostgreSQL")?;
        let input = keeper.stdin.take();
        self.running = Some(Running { keeper, input });
        self.wait_until_ready()
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.sql("SELECT 1").is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.path().join("log"));
                bail!("PostgreSQL does not answer: {}", log.unwrap_or_default());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Stops the server and ends every connection.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.stop("INT")
    }

    /// The same without finishing anything: what was committed is read from the log of writes at the next start.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.stop("QUIT")
    }

    fn stop(&mut self, signal: &str) -> anyhow::Result<()> {
        let mut running = self.running.take().context("PostgreSQL does not run")?;
        if let Some(mut input) = running.input.take() {
            writeln!(input, "{signal}")?;
        }
        running.keeper.wait()?;
        Ok(())
    }

    /// Makes an empty database and gives its name.
    pub fn database(&self) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("gateway_{number}");
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// The URL of a database for a role.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        let socket = self.directory.path().display().to_string();
        format!(
            "postgres://{role}@{}/{database}",
            socket.replace('/', "%2F")
        )
    }

    /// The same for who may do everything.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// Has one statement executed in the database `postgres`, and gives what it says.
    pub fn sql(&self, statement: &str) -> anyhow::Result<String> {
        self.sql_in("postgres", statement)
    }

    pub fn sql_in(&self, database: &str, statement: &str) -> anyhow::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]);
        psql.args(["-U", "postgres", "-d", database, "-c", statement]);
        succeed(psql.arg("-h").arg(self.directory.path()))
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        as_nobody(self.programs.join(name))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.input.take());
            running.keeper.wait().ok();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program as a user under whom PostgreSQL runs.
fn as_nobody(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={NOBODY}"));
    command.arg(format!("--regid={NOBODY}"));
    command.arg("--clear-groups").arg(program);
    command
}

/// Runs a program to its end and gives what it wrote.
fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

/// The folder of PostgreSQL's programs. Without them tests fail: nothing is left out in silence.
fn programs() -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).find_map(|folder| with_initdb(&folder));
    let newest_of_debian = || {
        let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let folders = versions.filter_map(|version| with_initdb(&version.path().join("bin")));
        folders.max()
    };
    on_path.or_else(newest_of_debian).context("PostgreSQL is not installed (its initdb is neither on the PATH nor below /usr/lib/postgresql), and these tests need a real one: on Debian, apt-get install postgresql")
}

/// Where its `initdb` really is, the others are beside it.
fn with_initdb(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("initdb").canonicalize();
    Some(path.ok()?.parent()?.to_owned())
}
