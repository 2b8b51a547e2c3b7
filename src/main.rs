//! The program: everything it does is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use pymd::cli::Cli;

fn main() -> ExitCode {
    pymd::cli::main(Cli::parse())
}
