//! The data directory and the audit files: whose they are, and whether they can be written to.

use std::io::{self, Write as _};
use std::path::Path;

use super::finding::quoted;
use super::{Finding, Patient, Readable, permissions};

/// With less space than this a gateway soon stands still: databases, logs and audit files grow.
const LEAST_SPACE: u64 = 32 * 1024 * 1024;

/// What is written to see whether there is room.
const SAMPLE: [u8; 4096] = [0; 4096];

/// Looks at the data directory.
pub(super) fn look(patient: &Patient) -> Vec<Finding> {
    let path = &patient.data_dir;
    let shown = path.display().to_string();
    let mut findings = Vec::new();
    if let Some(holder) = &patient.holder {
        let what = format!("a gateway runs on the data directory: process {holder}");
        findings.push(Finding::note(what).at(&*shown));
    }
    let Some(existing) = path.ancestors().find(|folder| folder.exists()) else {
        return findings;
    };
    if let Some(trouble) = unwritable(existing, path) {
        findings.push(trouble);
        return findings;
    }
    findings.extend(too_full(existing));
    if existing != path {
        let what = "there is no data directory yet; the first start makes it";
        findings.push(Finding::ok(what).at(shown));
        return findings;
    }
    let exposed = [
        permissions::of_folder(path, "the data directory"),
        permissions::of_file(&path.join("session.key"), "the key of the sessions"),
    ];
    let exposed: Vec<Finding> = exposed.into_iter().flatten().collect();
    if exposed.is_empty() {
        let what = "the data directory can be written to, and is its user's alone";
        findings.push(Finding::ok(what).at(shown));
    }
    findings.extend(exposed);
    findings
}

/// Why nothing can be kept in `wanted`, of which `existing` is what there is.
fn unwritable(existing: &Path, wanted: &Path) -> Option<Finding> {
    let elsewhere = || "mcp-gateway desktop --data-dir DIRECTORY".to_owned();
    let at = existing.display().to_string();
    if !existing.is_dir() {
        let what = "the data directory cannot be made: this is no folder; name another";
        return Some(Finding::trouble(what, elsewhere()).at(at));
    }
    let error = try_to_write(existing).err()?;
    let mend = match error.kind() {
        io::ErrorKind::PermissionDenied => give_access(existing).unwrap_or_else(elsewhere),
        _ if is_about_room(&error) => format!("df -h {}", quoted(existing)),
        _ => elsewhere(),
    };
    let what = match existing == wanted {
        true => format!("the data directory cannot be written to: {error}"),
        false => format!("the data directory cannot be made here: {error}"),
    };
    Some(Finding::trouble(what, mend).at(at))
}

/// Writes a file that has no name once this returns.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&SAMPLE)?;
    file.sync_all()
}

fn is_about_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The command by which this user may write to what is there; `None` where none helps.
#[cfg(unix)]
fn give_access(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    let shown = quoted(path);
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Some(format!("sudo chown -R \"$USER\" {shown}"));
    }
    (found.mode() & 0o200 == 0 || found.is_dir() && found.mode() & 0o300 != 0o300)
        .then(|| format!("chmod u+rwX {shown}"))
}

#[cfg(not(unix))]
fn give_access(_path: &Path) -> Option<String> {
    None
}

#[cfg(unix)]
fn too_full(folder: &Path) -> Option<Finding> {
    let space = rustix::fs::statvfs(folder).ok()?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    (free < LEAST_SPACE).then(|| {
        let what = format!("only {} MiB of space are left", free / (1024 * 1024));
        Finding::trouble(what, format!("df -h {}", quoted(folder))).at(folder.display().to_string())
    })
}

#[cfg(not(unix))]
fn too_full(_folder: &Path) -> Option<Finding> {
    None
}

/// Looks at the files that audit events go to.
pub(super) fn look_at_audit(readable: Readable<'_>) -> Vec<Finding> {
    let sinks = readable.document.config.plugins.audit_sink.iter();
    let files = sinks.filter(|sink| sink.implementation.as_deref() == Some("file"));
    let mut findings = Vec::new();
    for sink in files {
        let named = sink.settings.as_map().get("path");
        let name = named
            .and_then(|path| path.as_str())
            .unwrap_or("audit.jsonl");
        let data_dir = &readable.patient.data_dir;
        let path = data_dir.join(name);
        match audit_file(&path, data_dir) {
            Ok(()) => {
                let ok = Finding::ok("the audit file can be written to");
                findings.push(ok.at(path.display().to_string()));
            }
            Err(error) => findings.push(no_audit(readable, &path, &error)),
        }
    }
    findings
}

/// Whether a file can be appended to, or made. Nothing is written to one that is there.
fn audit_file(path: &Path, data_dir: &Path) -> io::Result<()> {
    if path.exists() {
        let file = std::fs::OpenOptions::new().append(true).open(path)?;
        return match file.metadata()?.is_file() {
            true => Ok(()),
            false => Err(io::Error::other("it is no regular file")),
        };
    }
    match path.parent() {
        // Made by the first start; whether it can be is a finding of its own.
        Some(folder) if folder == data_dir => Ok(()),
        Some(folder) => try_to_write(folder),
        None => Ok(()),
    }
}

fn no_audit(readable: Readable<'_>, path: &Path, error: &io::Error) -> Finding {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let there = if path.exists() { path } else { folder };
    let mend = match error.kind() {
        io::ErrorKind::NotFound => Some(format!("(umask 077 && mkdir -p {})", quoted(folder))),
        io::ErrorKind::PermissionDenied => give_access(there),
        _ if is_about_room(error) => Some(format!("df -h {}", quoted(folder))),
        _ => None,
    };
    let mend = mend.unwrap_or_else(|| readable.edit("plugins.audit_sink"));
    let what = format!("the audit file cannot be written to: {error}");
    Finding::trouble(what, mend).at(path.display().to_string())
}
