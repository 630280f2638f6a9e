//! The `lanai` program. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    lanai_cli::main()
}
