//! The addresses that a gateway is to listen on: whether they are free, and who has them otherwise.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Finding, Patient};

/// How many further ports are tried to name one that is free.
const CANDIDATES: u16 = 50;

/// The ports that a gateway has other uses for.
const TAKEN: std::ops::RangeInclusive<u16> = 8811..=8815;

/// A process that listens.
struct Listener {
    id: String,
    name: String,
}

pub(super) async fn look(patient: &Patient) -> Vec<Finding> {
    let mut findings = vec![address(patient, patient.listen, "--listen", "MCP clients").await];
    if !patient.listen.ip().is_loopback() {
        let what = "other machines reach the address for MCP clients: `desktop` listens there with --tls-cert and --tls-key only";
        findings.push(Finding::note(what).at(patient.listen.to_string()));
    }
    let operations = patient.ops_listen;
    findings.push(if operations.ip().is_loopback() {
        address(patient, operations, "--ops-listen", "operations").await
    } else {
        let mend = format!("--ops-listen 127.0.0.1:{}", operations.port());
        let what = "the operations endpoints ask nobody who they are, so they listen on loopback addresses only";
        Finding::trouble(what, format!("mcp-gateway desktop {mend}")).at(operations.to_string())
    });
    findings
}

async fn address(patient: &Patient, address: SocketAddr, flag: &str, whom: &str) -> Finding {
    let Err(error) = TcpListener::bind(address).await else {
        return Finding::ok(format!("the address for {whom} is free")).at(address.to_string());
    };
    let at = address.to_string();
    let elsewhere = elsewhere(address, flag).await;
    if error.kind() != io::ErrorKind::AddrInUse {
        let what = format!("the address for {whom} cannot be listened on: {error}");
        return Finding::trouble(what, elsewhere).at(at);
    }
    match (listener(address.port()), &patient.holder) {
        (Some(listener), Some(holder)) if listener.id == *holder => {
            Finding::ok(format!("the gateway that runs serves {whom} here")).at(at)
        }
        (Some(Listener { id, name }), _) => {
            let what = format!(
                "the address for {whom} is taken by {name} (process {id}): end that, or listen elsewhere"
            );
            Finding::trouble(what, elsewhere).at(at)
        }
        (None, Some(_)) => {
            let what = format!(
                "the address for {whom} is taken, as it is if the gateway that runs has it"
            );
            Finding::note(what).at(at)
        }
        (None, None) => {
            let what = format!(
                "the address for {whom} is taken by another process: end that, or listen elsewhere"
            );
            Finding::trouble(what, elsewhere).at(at)
        }
    }
}

/// The command that listens at a port that is free.
async fn elsewhere(address: SocketAddr, flag: &str) -> String {
    let mut free = address;
    for further in 1..=CANDIDATES {
        let port = address
            .port()
            .checked_add(further)
            .unwrap_or(further + 1024);
        free.set_port(port);
        if !TAKEN.contains(&port) && TcpListener::bind(free).await.is_ok() {
            return format!("mcp-gateway desktop {flag} {free}");
        }
    }
    format!("mcp-gateway desktop {flag} {}:PORT", address.ip())
}

/// Who listens at a port, as far as `/proc` tells.
fn listener(port: u16) -> Option<Listener> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        // Beside processes there are other entries, and names for this process itself.
        let id = process.file_name().to_string_lossy().into_owned();
        if !id.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has_it = open.flatten().any(|file| {
            std::fs::read_link(file.path())
                .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
        });
        if has_it {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Listener {
                id,
                name: name.trim().to_owned(),
            });
        }
    }
    None
}

/// The inodes of the sockets that listen at a port, in a table of `/proc/net`.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let ending = format!(":{port:04X}");
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let mut fields = row.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        (local.ends_with(&ending) && state == LISTENS).then(|| inode.to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_sockets_says_who_listens() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:226B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 48211 1 0 100 0
   1: 0100007F:226B 0100007F:B2A4 01 00000000:00000000 00:00000000 00000000  1000        0 48219 1 0 20 4
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1201 1 0 100 0
";
        assert_eq!(listening(table, 8811), ["48211"]);
        assert_eq!(listening(table, 22), ["1201"]);
        assert_eq!(listening(table, 80), Vec::<String>::new());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_listener_is_found_by_its_port() {
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = own.local_addr().unwrap().port();
        let found = listener(port).unwrap();
        assert_eq!(found.id, std::process::id().to_string());
        assert!(!found.name.is_empty());
    }
}
