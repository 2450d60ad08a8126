//! Run one guest under software emulation.
//!
//! In:  a kernel image, a root file system, a time limit.
//! Out: what the guest printed on its report port, line by line and in `report.log`; its console in `console.log`.
//! May fail with: QEMU not starting. A guest that hangs is ended and that is part of the result, not an error.
//!
//! Chosen by measuring (two cores, no KVM, kernel 6.12): `-M pc` with the unpacked kernel by PVH is up in 3 s, with the
//! packed one in 5 s; `microvm` hangs before its first message in three boots of four; `-cpu max` has all that a kernel
//! asks for and boots as fast as smaller models once page tables of five levels are off (0.2 s); without the self-tests
//! of the ciphers 0.4 s less. `thread=single`: with a host thread for each processor, kernel text patching crashed one
//! boot in some twenty.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    initramfs::{self, Overlay},
    kernel::Kernel,
};
use crate::{files, setup};

/// Lines of the console that are shown when a guest goes wrong.
const TAIL_LINES: usize = 50;

/// Kernel command line. Without a check of the timer, which panics when the machine is too busy to deliver its ticks. The
/// PIT and the keyboard controller are there, so `reboot=t` always ends the machine.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 reboot=t oops=panic cryptomgr.notests no_timer_check";

/// What a guest of the guest tests has beside processors.
const SMALL: &[&str] = &["-m", "1024"];

/// The same with a clock that counts instructions, four nanoseconds each, and skips idle time: what else this machine does
/// changes no figure. Two processors do not come up so: one spins until the other's turn.
const COUNTED: &[&str] = &["-m", "1024", "-icount", "shift=2,sleep=off"];

/// One boot.
pub(crate) struct Boot<'a> {
    pub(crate) kernel: &'a Kernel,
    /// What the guest has beyond the programs of every guest.
    pub(crate) overlay: &'a Overlay,
    /// Shell script that the guest runs as root when it is up; what it prints is the report.
    pub(crate) script: &'a str,
    /// The guest is ended after this time.
    pub(crate) limit: Duration,
    /// One processor, whose clock counts instructions.
    pub(crate) counted: bool,
}

/// What became of a boot.
#[derive(Debug)]
pub(crate) struct Booted {
    /// Lines that the script printed.
    pub(crate) lines: Vec<String>,
    /// Exit status of the script; `None` when the guest did not get that far.
    pub(crate) status: Option<i32>,
    /// Why the guest was given up, in words.
    pub(crate) trouble: Option<String>,
    /// Where the messages of its kernel are.
    pub(crate) console: PathBuf,
    /// From starting QEMU to the start of the script; `None` when the guest did not get that far.
    pub(crate) up: Option<Duration>,
    /// From starting QEMU to its end.
    pub(crate) elapsed: Duration,
    /// How long QEMU was at work on a core of this machine, as far as it can be told: what other work on the machine
    /// does not change much.
    pub(crate) work: Option<Duration>,
}

impl Booted {
    /// The last lines of the console, for a person to read.
    pub(crate) fn console_tail(&self) -> String {
        tail(&String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()), TAIL_LINES)
    }
}

/// Boots, calls `on_line` for each line as it comes, and waits for the end.
///
/// Files of the boot stay in `folder`: `initramfs.cpio`, `console.log`, `report.log`.
pub(crate) fn boot(boot: &Boot, folder: &Path, on_line: &mut dyn FnMut(&str)) -> Result<Booted> {
    fs::create_dir_all(folder)?;
    let archive = folder.join("initramfs.cpio");
    files::write(&archive, initramfs::build(boot.kernel, boot.overlay, boot.script)?)?;
    let machine = Machine {
        image: &boot.kernel.image,
        archive: &archive,
        processors: if boot.counted { 1 } else { 2 },
        options: if boot.counted { COUNTED } else { SMALL },
        words: "",
        limit: boot.limit,
    };
    run(&machine, folder, on_line)
}

/// A machine whose root file system is an archive that somebody made.
pub(crate) struct Machine<'a> {
    pub(crate) image: &'a Path,
    pub(crate) archive: &'a Path,
    /// Processors; more than one take turns, and wait for each other.
    pub(crate) processors: u8,
    /// Memory and devices.
    pub(crate) options: &'a [&'a str],
    /// More words for the kernel's command line.
    pub(crate) words: &'a str,
    /// The guest is ended after this time.
    pub(crate) limit: Duration,
}

/// Starts a machine, calls `on_line` for each line of its report, and waits for the end.
pub(crate) fn run(machine: &Machine, folder: &Path, on_line: &mut dyn FnMut(&str)) -> Result<Booted> {
    let console = folder.join("console.log");
    files::write(&console, "")?;
    let started = Instant::now();
    let mut child = start(machine, &console)?;
    let mut talk = Talk::new(started);
    let late = follow(&mut child, started + machine.limit, &mut |line| {
        if talk.hear(line) {
            on_line(line);
        }
    })?;
    // Always: a guest that was given up still runs, one that ended only leaves its exit status.
    let _ = child.kill();
    let work = work_of(child.id());
    child.wait().context("waiting for QEMU")?;
    let Talk { lines, status, up, .. } = talk;
    files::write(&folder.join("report.log"), lines.join("\n"))?;
    let trouble = late
        .then(|| format!("the guest did not end within {} s", machine.limit.as_secs()))
        .or_else(|| status.is_none().then(|| "the guest ended before its work was done".to_owned()));
    Ok(Booted { lines, status, trouble, console, up, elapsed: started.elapsed(), work })
}

/// What came over the report port so far: `UP` and `STATUS n` are of `/init`, all else is of the script.
struct Talk {
    started: Instant,
    lines: Vec<String>,
    status: Option<i32>,
    up: Option<Duration>,
}

impl Talk {
    fn new(started: Instant) -> Self {
        Self { started, lines: Vec::new(), status: None, up: None }
    }

    /// Takes a line; tells whether it is one of the script's.
    fn hear(&mut self, line: &str) -> bool {
        if self.up.is_none() {
            // Before it, the firmware or a panicking shell may have said something.
            if line == "UP" {
                self.up = Some(self.started.elapsed());
                return false;
            }
        } else if let Some(status) = line.strip_prefix("STATUS ").and_then(|text| text.parse().ok()) {
            self.status = Some(status);
            return false;
        }
        self.lines.push(line.to_owned());
        true
    }
}

fn start(machine: &Machine, console: &Path) -> Result<Child> {
    let mut command = setup::qemu()?;
    command.args(["-M", "pc", "-accel", "tcg,thread=single", "-cpu", "max,-la57"]);
    command.args(["-smp", &machine.processors.to_string()]).args(machine.options);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"]);
    command.arg("-kernel").arg(machine.image).arg("-initrd").arg(machine.archive);
    command.args(["-append", format!("{COMMAND_LINE} {}", machine.words).trim_end()]);
    // A comma in a path would end the option; QEMU reads two as one.
    let path = console.to_str().context("the path of the workspace must be text")?.replace(',', ",,");
    command.args(["-chardev", &format!("file,id=console,path={path}"), "-serial", "chardev:console"]);
    command.args(["-serial", "stdio"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().with_context(|| format!("starting {command:?}"))
}

/// Reads the report port to its end; tells whether the time ran out.
fn follow(child: &mut Child, deadline: Instant, on_line: &mut dyn FnMut(&str)) -> Result<bool> {
    let stdout = child.stdout.take().context("invariant: stdout is a pipe")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => on_line(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) => return Ok(true),
        }
    }
}

/// What a process that nobody waited for has worked so far.
fn work_of(process: u32) -> Option<Duration> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// `proc_pid_stat(5)`: the name in parentheses may hold anything; utime and stime are fields 14 and 15, in ticks, of which
/// Linux on this machine has 100 a second.
fn parse_stat(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_init_are_told_from_those_of_the_script() {
        let mut talk = Talk::new(Instant::now());
        let heard = ["STATUS 0", "UP", "PASS a", "UP", "STATUS x", "STATUS 3"].map(|line| talk.hear(line));
        assert_eq!(heard, [true, false, true, true, true, false]);
        assert_eq!(talk.lines, ["STATUS 0", "PASS a", "UP", "STATUS x"]);
        assert_eq!(talk.status, Some(3));
        assert!(talk.up.is_some());
    }

    #[test]
    fn work_is_read_behind_the_name() {
        let stat = "7 (qemu (x) y) S 1 7 7 0 -1 4194560 500 0 0 0 250 51 0 0 20 0 4 0 100";
        assert_eq!(parse_stat(stat), Some(Duration::from_millis(3010)));
        assert_eq!(parse_stat("7 (qemu) S 1"), None);
        assert!(work_of(std::process::id()).is_some());
    }

    #[test]
    fn a_tail_is_never_longer_than_asked() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }
}
