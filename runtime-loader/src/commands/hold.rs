//! `hold`, `release` and `detach`: an administrator of this node stops the work on streams, and lets it go on.
//!
//! The file that holds is written first, under the lock of runs; then one run about these streams makes it so. A run
//! that is impossible leaves the file: what was asked for holds from the next run on. With `/var` full it holds until
//! the next boot, and the exit code says that this is less than was asked for.

use std::env;

use nodeplan::{
    name::StreamName,
    report::{Code, Exit},
    sorted::SortedSet,
};

use super::apply::{now, this_node, told};
use crate::{
    apply,
    held::{self, Holds},
    kernel::Kernel,
    lock,
    paths::Paths,
    read, report,
    show::cat,
    stream::Scope,
};

/// What is to be done to which streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which; none means all.
    pub streams: SortedSet<StreamName>,
    /// What.
    pub what: What,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Hold.
    Hold {
        /// What runs is to go now.
        detach: bool,
        /// Why, for whoever finds it.
        reason: String,
    },
    /// Release.
    Release,
}

/// Does it.
pub fn run(kernel: &Kernel, paths: &Paths, order: &Order) -> Exit {
    let mut unkept = None;
    let outcome = this_node(paths).and_then(|node| {
        if read::effective_uid() != 0 {
            return Err(apply::cannot_run("this needs root: run it with sudo".to_owned()));
        }
        let lock = lock::take(paths)?;
        let written = match &order.what {
            What::Hold { detach, reason } => held::hold(paths, &order.streams, *detach, (&who(), now(), reason)),
            What::Release => held::release(paths, &order.streams).map(|()| None),
        };
        unkept = written.map_err(|error| apply::cannot_run(format!("{}: {error}", paths.held().display())))?;
        apply::require_kernel(kernel)?;
        let scope = if order.streams.is_empty() { Scope::All } else { Scope::Only(order.streams.clone()) };
        apply::apply_locked(kernel, paths, &node, &scope, &lock)
    });
    let mut unknown = false;
    if let Ok((report, _)) = &outcome {
        for name in order.streams.iter().filter(|name| report.streams.iter().all(|one| one.stream != **name)) {
            unknown = true;
            report::log(4, &not_there(name, &order.what));
        }
    }
    let (Ok(mut exit) | Err(mut exit)) = told(outcome);
    if let Some(error) = unkept {
        let (code, held) = (Code::MemoryNotKept.as_str(), paths.held());
        report::log(3, &format!("{code} held until the next boot only: {}: {error}", held.display()));
        exit = exit.max(Exit::CannotRun);
    }
    exit.max(match order.what {
        What::Release => still_held(paths, &order.streams),
        // A stream may be held before it comes. Who detaches one means what runs: a misspelt name is no success.
        What::Hold { detach: true, .. } if unknown => Exit::CannotRun,
        What::Hold { .. } => Exit::Done,
    })
}

/// What an order comes to for a stream that is not there.
fn not_there(name: &StreamName, what: &What) -> String {
    let comes = match what {
        What::Hold { detach: false, .. } => ": held for when it comes",
        What::Hold { detach: true, .. } => ": nothing was detached; held and detached for when it comes",
        What::Release => "",
    };
    cat(&["there is no stream `", name.as_str(), "` on this node", comes, "; `nodebpf-loader status` lists them"])
}

/// Says what a release did not release.
fn still_held(paths: &Paths, streams: &SortedSet<StreamName>) -> Exit {
    let (holds, _) = Holds::read(paths);
    let mut exit = Exit::Done;
    let mut say = |what: &str, why: &str| {
        report::log(3, &format!("{} {what}: {why}", Code::StillHeld.as_str()));
        exit = Exit::CannotRun;
    };
    if streams.is_empty() && holds.off {
        say("all streams", "the kernel argument nodebpf=off holds every stream");
    }
    for stream in streams {
        if let Some(why) = holds.beyond(stream) {
            say(stream.as_str(), why);
        }
    }
    exit
}

/// Who runs this command, as far as the environment tells.
fn who() -> String {
    let name = ["SUDO_USER", "USER"].iter().find_map(|name| env::var(name).ok()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| format!("uid {}", read::effective_uid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_on_what_is_not_there_is_said_to_hold() {
        let name = StreamName::try_from("nope").unwrap();
        for (what, says) in [
            (What::Hold { detach: false, reason: String::new() }, ": held for when it comes;"),
            (
                What::Hold { detach: true, reason: String::new() },
                ": nothing was detached; held and detached for when it",
            ),
            (What::Release, "no stream `nope` on this node; `nodebpf-loader status`"),
        ] {
            let said = not_there(&name, &what);
            assert!(said.contains(says), "{said}");
            assert_eq!(said.contains("held"), what != What::Release, "{said}");
        }
    }
}
