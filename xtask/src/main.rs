//! Developer chores: `cargo xtask gen` prints the code that operator declarations stand for.

mod decl;
mod diag;
mod emit;
mod expr;
mod generate;
mod lex;
mod lower;
mod signature;

use generate::Files;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const USAGE: &str = "usage: cargo xtask gen [--check]

  gen           write everything that is generated from crates/flambeau/ops/*.ops
  gen --check   write nothing; fail if something is out of date";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["gen"] => gen_files(false),
        ["gen", "--check"] => gen_files(true),
        _ => Err(USAGE.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn gen_files(check: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace root")?;
    let mut files = generate::generate(root)
        .map_err(|errors| errors.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("\n"))?;
    for (path, text) in &mut files {
        if path.extension().is_some_and(|e| e == "rs") {
            *text = rustfmt(root, text).map_err(|e| format!("rustfmt on {}: {e}", path.display()))?;
        }
    }
    let stale = stale_files(root, &files);
    if check {
        if stale.is_empty() {
            return Ok(());
        }
        let list: String = stale.iter().map(|p| format!("\n  {}", p.display())).collect();
        return Err(format!("out of date (run `cargo xtask gen`):{list}"));
    }
    for path in &stale {
        let full = root.join(path);
        let done = match files.get(path) {
            Some(text) => full
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&full, text)),
            None => std::fs::remove_file(&full),
        };
        done.map_err(|e| format!("{}: {e}", full.display()))?;
    }
    Ok(())
}

/// Generated files that differ from what they should be, and files that should not be there.
fn stale_files(root: &Path, files: &Files) -> Vec<PathBuf> {
    let mut stale: Vec<PathBuf> = files
        .iter()
        .filter(|(path, text)| std::fs::read_to_string(root.join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path.clone())
        .collect();
    let mut folders = vec![PathBuf::from(generate::RUST)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if !files.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    stale
}

/// Formats Rust text with the workspace's settings.
fn rustfmt(root: &Path, text: &str) -> Result<String, String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let input = text.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    writer.join().map_err(|_| "writer failed")?.map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}
