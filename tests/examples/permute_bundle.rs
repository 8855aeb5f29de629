//! Makes a bundle that is whole and yet wrong, to see what the nets carry:
//!
//! `cargo run -p aiops-tests --example permute_bundle -- IN OUT permute-generator|constant-critic`

#[path = "../support/surgery.rs"]
mod surgery;

use std::path::Path;
use std::process::ExitCode;

use surgery::Surgery;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, what] = arguments.as_slice() else {
        eprintln!("usage: permute_bundle IN OUT permute-generator|constant-critic");
        return ExitCode::from(64);
    };
    let Some(surgery) = Surgery::named(what) else {
        eprintln!("`{what}` is neither permute-generator nor constant-critic");
        return ExitCode::from(64);
    };
    if let Err(error) = surgery::operate(Path::new(from), Path::new(to), surgery) {
        eprintln!("{error}");
        return ExitCode::from(74);
    }
    ExitCode::SUCCESS
}
