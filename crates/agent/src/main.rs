//! The `agent` binary: reads the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;

use agent::cli::{self, Cli};
use agent::exit_code;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                exit_code::USAGE
            } else {
                exit_code::OK
            };
            // Nothing is left to do when even the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::from(exit_code::OK),
        Err(failure) => {
            eprintln!("agent: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
