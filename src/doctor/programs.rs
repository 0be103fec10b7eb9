//! The programs that servers are started with: whether they are there, and how to install them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gateway_core::ServerName;
use gateway_core::config::{ServerSpec, Setting};

use super::finding::quoted;
use super::{Finding, Readable};

/// Package managers, in the order in which they are looked for, and how each installs a package.
const MANAGERS: [(&str, &str); 5] = [
    ("brew", "brew install"),
    ("apt-get", "sudo apt-get install"),
    ("dnf", "sudo dnf install"),
    ("pacman", "sudo pacman -S"),
    ("apk", "sudo apk add"),
];

/// Where a program comes from.
struct Origin {
    programs: &'static [&'static str],
    /// The packages, in the order of the managers; empty where a manager has none.
    packages: [&'static str; MANAGERS.len()],
    /// The command, or where it is said how, if there is no such package.
    otherwise: &'static str,
}

const ORIGINS: [Origin; 6] = [
    Origin {
        programs: &["node", "npm", "npx"],
        packages: [
            "node",
            "nodejs npm",
            "nodejs npm",
            "nodejs npm",
            "nodejs npm",
        ],
        otherwise: "see https://nodejs.org/en/download",
    },
    Origin {
        programs: &["uv", "uvx"],
        packages: ["uv", "", "uv", "uv", "uv"],
        otherwise: "curl -LsSf https://astral.sh/uv/install.sh | sh",
    },
    Origin {
        programs: &["docker"],
        packages: ["--cask docker", "docker.io", "", "docker", "docker"],
        otherwise: "see https://docs.docker.com/engine/install/",
    },
    Origin {
        programs: &["python", "python3"],
        packages: ["python", "python3", "python3", "python", "python3"],
        otherwise: "see https://www.python.org/downloads/",
    },
    Origin {
        programs: &["bun", "bunx"],
        packages: ["oven-sh/bun/bun", "", "", "", ""],
        otherwise: "curl -fsSL https://bun.sh/install | bash",
    },
    Origin {
        programs: &["deno"],
        packages: ["deno", "", "", "deno", "deno"],
        otherwise: "curl -fsSL https://deno.land/install.sh | sh",
    },
];

/// Looks for the program of every server. Gives those that cannot be started for want of it, too.
pub(super) fn look(readable: Readable<'_>) -> (BTreeSet<ServerName>, Vec<Finding>) {
    let mut unstartable = BTreeSet::new();
    let mut found = BTreeSet::new();
    let mut findings = Vec::new();
    for (name, server) in &readable.document.config.servers {
        let ServerSpec::Command {
            command, env, cwd, ..
        } = &server.spec
        else {
            continue;
        };
        let trouble = match cwd.as_deref().filter(|folder| !folder.is_dir()) {
            Some(folder) => Some(no_folder(readable, name, folder)),
            None if find(command, &path_of(env), cwd.as_deref()).is_some() => None,
            None => Some(no_program(readable, name, command)),
        };
        match trouble {
            Some(trouble) => {
                unstartable.insert(name.clone());
                findings.push(trouble);
            }
            None => drop(found.insert(command.as_str())),
        }
    }
    if !found.is_empty() {
        let found: Vec<_> = found.into_iter().collect();
        let ok = Finding::ok(format!(
            "programs of servers are there: {}",
            found.join(", ")
        ));
        findings.insert(0, ok);
    }
    (unstartable, findings)
}

fn no_program(readable: Readable<'_>, server: &ServerName, program: &str) -> Finding {
    let field = format!("servers.{server}.command");
    let what = match program.contains('/') {
        true => format!("server `{server}`: there is no program {program} that can be run"),
        false => format!(
            "server `{server}`: the program `{program}` is not on PATH: install it, or write its whole path"
        ),
    };
    let mend = match program.contains('/') {
        true => None,
        false => installation(program),
    };
    let mend = mend.unwrap_or_else(|| readable.edit(&field));
    Finding::trouble(what, mend).at(readable.place(&field))
}

fn no_folder(readable: Readable<'_>, server: &ServerName, folder: &Path) -> Finding {
    let what = format!(
        "server `{server}`: its working directory {} is missing",
        folder.display()
    );
    let place = readable.place(&format!("servers.{server}.cwd"));
    Finding::trouble(what, format!("mkdir -p {}", quoted(folder))).at(place)
}

/// How a well-known program is installed on this machine.
pub(super) fn installation(program: &str) -> Option<String> {
    let origin = ORIGINS
        .iter()
        .find(|origin| origin.programs.contains(&program))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut offers = MANAGERS.iter().zip(origin.packages);
    let offered = offers.find(|((manager, _), package)| {
        !package.is_empty() && find(manager, &path, None).is_some()
    });
    Some(match offered {
        Some(((_, command), package)) => format!("{command} {package}"),
        None => origin.otherwise.to_owned(),
    })
}

/// In which folders a server's programs are looked for.
pub(super) fn path_of(env: &BTreeMap<String, Setting>) -> OsString {
    match env.get("PATH") {
        Some(Setting::Literal(path)) => path.into(),
        _ => std::env::var_os("PATH").unwrap_or_default(),
    }
}

/// The file that is run for a program.
pub(super) fn find(program: &str, path: &OsString, cwd: Option<&Path>) -> Option<PathBuf> {
    if program.contains('/') {
        let file = cwd.unwrap_or(Path::new("")).join(program);
        return can_be_run(&file).then_some(file);
    }
    let files = std::env::split_paths(path).map(|folder| folder.join(program));
    files.into_iter().find(|file| can_be_run(file))
}

#[cfg(unix)]
fn can_be_run(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn can_be_run(file: &Path) -> bool {
    file.is_file() || file.with_extension("exe").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_a_server_would_find_it() {
        let path = OsString::from("/no/such/folder:/bin");
        assert_eq!(find("sh", &path, None), Some("/bin/sh".into()));
        assert_eq!(
            find("/bin/sh", &OsString::new(), None),
            Some("/bin/sh".into())
        );
        assert_eq!(
            find("./sh", &OsString::new(), Some(Path::new("/bin"))),
            Some("/bin/./sh".into())
        );
        assert_eq!(find("passwd", &OsString::from("/etc"), None), None);
        assert_eq!(find("no-such-program", &path, None), None);
    }

    #[test]
    fn well_known_programs_can_be_installed() {
        for program in ["npx", "uvx", "docker", "python3", "bunx", "deno"] {
            assert!(installation(program).is_some(), "{program}");
        }
        assert_eq!(installation("my-own-server"), None);
    }
}
