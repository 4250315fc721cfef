//! What live capture promises, on real interfaces: each test runs as a process of its own inside a
//! network namespace, on one end of a cable (a veth pair) whose other end is the plant's.
//!
//! A program of its own instead of the usual test main, because a test needs a process without
//! other threads (rights are dropped for ever) and because a missing right must be named as a skip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cable;
mod ring;
mod sandbox;

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use cable::{Cable, Namespaces};

/// Name and body of a test.
type Test = (&'static str, fn(&Cable));

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tests: Vec<Test> = ring::TESTS.iter().chain(sandbox::TESTS).copied().collect();
    match arguments.first().map(String::as_str) {
        Some("--inside") => return inside(&tests, &arguments[1], &arguments[2]),
        Some("--sandboxed") => return sandbox::sandboxed(&arguments[1..]),
        Some("--plant") => return cable::plant(&arguments[1..]),
        Some("--list") => {
            for (name, _) in tests {
                println!("{name}: test");
            }
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    println!("\nrunning {} tests", tests.len());
    for (name, _) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let namespaces = match Namespaces::make() {
            Ok(namespaces) => namespaces,
            Err(why) => {
                println!("test {name} ... ignored, the kernel withholds network namespaces: {why}");
                ignored += 1;
                continue;
            }
        };
        let done = Command::new("ip")
            .args(["netns", "exec", namespaces.sensor()])
            .arg(std::env::current_exe().unwrap())
            .args(["--inside", name, namespaces.plant()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if done.status.success() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED ({})", done.status);
            std::io::stdout().write_all(&done.stdout).unwrap();
            std::io::stdout().write_all(&done.stderr).unwrap();
            failed += 1;
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored;");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one test in this process; a panic ends it with a failure.
fn inside(tests: &[Test], name: &str, plant: &str) -> ExitCode {
    let (_, test) = tests.iter().find(|(known, _)| *known == name).unwrap();
    test(&Cable::new(plant));
    ExitCode::SUCCESS
}
