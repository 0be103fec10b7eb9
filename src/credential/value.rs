//! A secret value from its user: typed unseen at a prompt, or piped in. Never an argument, which
//! other processes can see and shells remember.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use gateway_core::SecretString;

use crate::exit::Failure;

/// More is no credential; what storages take is less.
const MAX_BYTES: u64 = 1024 * 1024;

/// Asks for the value, or reads standard input to its end. One line end after it is not its own.
pub(super) fn read(prompt: &str) -> Result<SecretString, Failure> {
    let input = std::io::stdin();
    let mut text = if input.is_terminal() {
        rpassword::prompt_password(prompt).context("the value cannot be asked for")?
    } else {
        let mut text = String::new();
        let mut bounded = input.lock().take(MAX_BYTES + 1);
        let read = bounded.read_to_string(&mut text);
        read.context("the value on standard input cannot be read")?;
        text
    };
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::invalid("the value on standard input is too long"));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(Failure::invalid(
            "no value was given: type it when asked, or pipe it to standard input",
        ));
    }
    Ok(SecretString::from(text))
}
