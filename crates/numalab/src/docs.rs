//! Reference pages made from the declarations.

use crate::error::EXIT_CODES;

/// The exit codes, below `numalab --help`.
pub(crate) fn exit_codes_help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for code in EXIT_CODES {
        text += &format!("  {:>3}  {}\n", code.code, code.meaning);
    }
    text + "\nBegin with: numalab compare configs/experiments/numa02.toml"
}

#[cfg(test)]
mod pages;
