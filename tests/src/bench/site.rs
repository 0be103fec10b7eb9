//! What the benchmark's server shows at which path: `/ERA/TOOLS/…/mcp`.

use std::fmt::Write as _;

use crate::session::Era;

/// The names of the servers where the gateway has several.
pub(super) const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];
/// How many tools each of them has where lists are measured.
pub(super) const TOOLS: usize = 50;
/// What the server wants to see at a path with `/bearer/`.
pub(super) const TOKEN: &str = "token-of-the-benchmark";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) era: Era,
    tools: Tools,
    pub(super) wants_token: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tools {
    /// So many, of which the first is `echo`.
    Own(usize),
    /// Those of all servers, under the names that the gateway gives them.
    All,
}

impl Site {
    pub(super) fn at(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/');
        let era = match parts.next()? {
            "legacy" => Era::Legacy,
            "modern" => Era::Modern,
            _ => return None,
        };
        let tools = match parts.next()? {
            "all" => Tools::All,
            count => Tools::Own(count.parse().ok().filter(|count| *count <= 1000)?),
        };
        Some(Self {
            era,
            tools,
            wants_token: parts.any(|part| part == "bearer"),
        })
    }

    /// The items of its list, as JSON.
    pub(super) fn tools(self) -> String {
        match self.tools {
            Tools::Own(count) => items("", count),
            Tools::All => {
                let lists = NAMES.map(|name| items(&format!("{name}__"), TOOLS));
                lists.join(",")
            }
        }
    }
}

/// The path of a server; `kind` is the number of its tools, `all`, or one of these with more behind a slash.
pub(super) fn path(era: Era, kind: &str) -> String {
    let era = match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    };
    format!("/{era}/{kind}/mcp")
}

fn items(prefix: &str, count: usize) -> String {
    let mut items = String::new();
    for number in 0..count {
        let separator = if number == 0 { "" } else { "," };
        let name = match number {
            0 => "echo".to_owned(),
            _ => format!("tool-{number}"),
        };
        // Writing to a string cannot fail.
        write!(
            items,
            r#"{separator}{{"name":"{prefix}{name}","description":"Answers with its mark and as many characters as are asked for","inputSchema":{{"type":"object","properties":{{"mark":{{"type":"string"}},"bytes":{{"type":"integer","minimum":16}}}},"required":["mark","bytes"]}}}}"#
        )
        .ok();
    }
    items
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_path_says_era_tools_and_token() {
        let site = Site::at(&path(Era::Modern, "50/bearer/one")).unwrap();
        assert_eq!((site.era, site.wants_token), (Era::Modern, true));
        assert!(!Site::at(&path(Era::Legacy, "1")).unwrap().wants_token);
        for path in ["/mcp", "/legacy/many/mcp", "/modern", "/legacy/1001/mcp"] {
            assert_eq!(Site::at(path), None, "{path}");
        }
    }

    #[test]
    fn the_list_of_all_has_every_servers_tools() {
        let site = Site::at("/modern/all/mcp").unwrap();
        let tools: Value = serde_json::from_str(&format!("[{}]", site.tools())).unwrap();
        assert_eq!(tools.as_array().unwrap().len(), NAMES.len() * TOOLS);
        assert_eq!(tools[TOOLS]["name"], "two__echo");
        assert_eq!(tools[TOOLS + 1]["name"], "two__tool-1");
    }
}
