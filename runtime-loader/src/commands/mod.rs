//! The commands, one file each: what was typed in, an exit code out. What they print is data on standard output; why
//! not is a line on standard error.

pub mod apply;
pub mod gate;
pub mod hold;
pub mod map;
pub mod status;

use std::io::{self, Write};

use nodeplan::{json::Value, report::Exit};

use crate::{report, show};

/// Prints a value.
pub fn show(value: &Value, as_json: bool) -> Exit {
    let mut out = String::new();
    if as_json {
        show::json(&mut out, value);
        out.push('\n');
    } else {
        show::page(&mut out, value);
    }
    print(&out)
}

/// Prints data; a reader that went away is not an error.
pub fn print(text: &str) -> Exit {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            report::log(3, &format!("standard output: {error}"));
            Exit::CannotRun
        }
        _ => Exit::Done,
    }
}
