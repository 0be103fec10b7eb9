//! The MCP clients whose configuration this program can edit: where it is, and how it is written.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::folders;

/// An MCP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    ClaudeCode,
    ClaudeDesktop,
    Codex,
    Cursor,
    GeminiCli,
    Kiro,
    LmStudio,
    #[value(alias = "vscode")]
    VsCode,
    Windsurf,
    Zed,
}

/// What a client's configuration looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) syntax: Syntax,
    /// The section that holds the servers by name.
    pub(super) section: &'static str,
    /// How a server over HTTP is written; `None`: the client knows only servers that it starts.
    pub(super) http: Option<Http>,
    /// How a server is written that the client starts.
    pub(super) stdio: Stdio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// JSON, with comments and trailing commas where somebody wrote them.
    Json,
    Toml,
}

/// How a client writes down a server over HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Http {
    /// The field that holds the URL.
    pub(super) url: &'static str,
    /// Whether the field `type` has to say `http`.
    pub(super) has_type: bool,
    /// How a header takes its value from an environment variable.
    pub(super) variable: Option<Variable>,
}

/// A header whose value is an environment variable's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variable {
    /// The field that holds such headers.
    pub(super) field: &'static str,
    /// What stands before and after the variable's name.
    pub(super) around: (&'static str, &'static str),
}

/// How a client writes down a server that it starts, which all do with `command` and `args`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stdio {
    /// Whether the field `type` has to say `stdio`.
    pub(super) has_type: bool,
    /// How the server gets a variable of the client's environment.
    pub(super) variable: Passing,
}

/// How a client passes a variable of its environment on to a server that it starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Passing {
    /// Not at all.
    Never,
    /// As a value in `env`, with this before and after the variable's name.
    Value(&'static str, &'static str),
    /// By its name, in this list.
    Name(&'static str),
}

const JSON: Dialect = Dialect {
    syntax: Syntax::Json,
    section: "mcpServers",
    http: Some(HTTP),
    stdio: STDIO,
};
const STDIO: Stdio = Stdio {
    has_type: false,
    variable: Passing::Never,
};
const HTTP: Http = Http {
    url: "url",
    has_type: false,
    variable: None,
};
const SHELL_LIKE: Variable = Variable {
    field: "headers",
    around: ("${", "}"),
};
const ENV_PREFIX: Variable = Variable {
    field: "headers",
    around: ("${env:", "}"),
};

impl Client {
    /// The name by which commands know it.
    pub(super) fn name(self) -> String {
        // Every variant has a value: none is hidden.
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The name by which people know it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::Codex => "Codex",
            Self::Cursor => "Cursor",
            Self::GeminiCli => "Gemini CLI",
            Self::Kiro => "Kiro",
            Self::LmStudio => "LM Studio",
            Self::VsCode => "VS Code",
            Self::Windsurf => "Windsurf",
            Self::Zed => "Zed",
        }
    }

    pub(super) fn dialect(self) -> Dialect {
        let (section, syntax) = match self {
            Self::Codex => ("mcp_servers", Syntax::Toml),
            Self::VsCode => ("servers", Syntax::Json),
            Self::Zed => ("context_servers", Syntax::Json),
            _ => (JSON.section, Syntax::Json),
        };
        Dialect {
            syntax,
            section,
            http: self.http(),
            stdio: self.stdio(),
        }
    }

    fn http(self) -> Option<Http> {
        let with = |variable| Http {
            variable: Some(variable),
            ..HTTP
        };
        Some(match self {
            Self::ClaudeDesktop => return None,
            Self::ClaudeCode => Http {
                has_type: true,
                ..with(SHELL_LIKE)
            },
            Self::Codex => with(Variable {
                field: "env_http_headers",
                around: ("", ""),
            }),
            Self::Cursor => with(ENV_PREFIX),
            Self::GeminiCli => Http {
                url: "httpUrl",
                ..with(SHELL_LIKE)
            },
            Self::Kiro => with(SHELL_LIKE),
            Self::VsCode => Http {
                has_type: true,
                ..with(ENV_PREFIX)
            },
            Self::Windsurf => Http {
                url: "serverUrl",
                ..with(ENV_PREFIX)
            },
            Self::LmStudio | Self::Zed => HTTP,
        })
    }

    fn stdio(self) -> Stdio {
        Stdio {
            has_type: matches!(self, Self::ClaudeCode | Self::Cursor | Self::VsCode),
            variable: match self {
                Self::ClaudeCode | Self::GeminiCli | Self::Kiro => Passing::Value("${", "}"),
                Self::Cursor | Self::VsCode | Self::Windsurf => Passing::Value("${env:", "}"),
                Self::Codex => Passing::Name("env_vars"),
                Self::ClaudeDesktop | Self::LmStudio | Self::Zed => Passing::Never,
            },
        }
    }

    /// The file that holds for all of the user's projects; `None` without a home folder.
    pub(super) fn user_file(self) -> Option<PathBuf> {
        let home = folders::home()?;
        let file = match self {
            Self::ClaudeCode => home.join(".claude.json"),
            Self::ClaudeDesktop => folders::application("Claude/claude_desktop_config.json")?,
            Self::Codex => folders::variable("CODEX_HOME")
                .unwrap_or_else(|| home.join(".codex"))
                .join("config.toml"),
            Self::Cursor => home.join(".cursor/mcp.json"),
            Self::GeminiCli => home.join(".gemini/settings.json"),
            Self::Kiro => home.join(".kiro/settings/mcp.json"),
            Self::LmStudio => home.join(".lmstudio/mcp.json"),
            Self::VsCode => folders::application("Code/User/mcp.json")?,
            Self::Windsurf => home.join(".codeium/windsurf/mcp_config.json"),
            Self::Zed if cfg!(windows) => folders::application("Zed/settings.json")?,
            Self::Zed => folders::config()?.join("zed/settings.json"),
        };
        Some(file)
    }

    /// The file that holds for the project in `folder`; `None`: the client has no such thing.
    pub(super) fn project_file(self, folder: &Path) -> Option<PathBuf> {
        let file = match self {
            Self::ClaudeCode => ".mcp.json",
            Self::Codex => ".codex/config.toml",
            Self::Cursor => ".cursor/mcp.json",
            Self::GeminiCli => ".gemini/settings.json",
            Self::Kiro => ".kiro/settings/mcp.json",
            Self::VsCode => ".vscode/mcp.json",
            Self::Zed => ".zed/settings.json",
            Self::ClaudeDesktop | Self::LmStudio | Self::Windsurf => return None,
        };
        Some(folder.join(file))
    }

    /// Whether the client is there at all, by what it leaves where its configuration is.
    pub(super) fn is_installed(self) -> bool {
        let Some(file) = self.user_file() else {
            return false;
        };
        match self {
            // Its file lies in the home folder itself.
            Self::ClaudeCode => {
                file.exists() || folders::home().is_some_and(|home| home.join(".claude").is_dir())
            }
            _ => file.parent().is_some_and(Path::is_dir),
        }
    }
}
