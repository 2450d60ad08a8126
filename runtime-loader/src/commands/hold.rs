//! `hold`, `release` and `detach`: an administrator of this node stops the work on streams, and lets it go on.
//!
//! The file that holds is written first, under the lock of runs; then one run about these streams makes it so. A run
//! that is impossible leaves the file: what was asked for holds from the next run on. Where `/var` keeps nothing that is
//! believed it holds until the next boot, and the exit code says that this is less than was asked for.

use std::env;

use nodeplan::{
    name::StreamName,
    report::{Code, Exit},
    sorted::SortedSet,
};

use super::apply::{now, this_node, told};
use crate::{
    apply::{self, CannotRun},
    held::{self, Holds, Outcome},
    kernel::Kernel,
    lock,
    paths::Paths,
    read, report,
    show::{cat, digits},
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
    let mut wrong = Vec::new();
    let outcome = this_node(paths).and_then(|node| {
        apply::require_root()?;
        let lock = lock::take(paths)?;
        let done = write(paths, order)?;
        wrong = done.wrong;
        apply::require_kernel(kernel)?;
        apply::apply_locked(kernel, paths, &node, &scope(order, &done.names)?, &lock)
    });
    let mut unknown = false;
    if let Ok((report, _)) = &outcome {
        for name in order.streams.iter().filter(|name| report.streams.iter().all(|one| one.stream != **name)) {
            unknown = true;
            report::log(4, &not_there(name, &order.what));
        }
    }
    let (Ok(mut exit) | Err(mut exit)) = told(outcome);
    for reason in wrong {
        report::log(3, &cat(&[reason.code.as_str(), " ", &reason.message]));
        exit = exit.max(Exit::CannotRun);
    }
    exit.max(match order.what {
        What::Release => still_held(paths, &order.streams),
        // A stream may be held before it comes. Who detaches one means what runs: a misspelt name is no success.
        What::Hold { detach: true, .. } if unknown => Exit::CannotRun,
        What::Hold { .. } => Exit::Done,
    })
}

/// Writes what is asked for.
fn write(paths: &Paths, order: &Order) -> Result<Outcome, CannotRun> {
    match &order.what {
        What::Hold { detach, reason } => {
            if reason.len() > held::REASON_MAX_BYTES {
                report::log(4, &cat(&["the reason is cut after ", &digits(held::REASON_MAX_BYTES as u64), " bytes"]));
            }
            Ok(held::hold(paths, &order.streams, *detach, (&who(), now(), reason)))
        }
        What::Release => held::release(paths, &order.streams)
            .map(|()| Outcome::default())
            .map_err(|error| apply::cannot_run(format!("{}: {error}", paths.held().display()))),
    }
}

/// What the run is about: not those that are not held although it was asked for, which might change.
fn scope(order: &Order, held: &[String]) -> Result<Scope, CannotRun> {
    let holds = order.what != What::Release;
    if holds && held.is_empty() {
        return Err(apply::cannot_run("nothing could be held".to_owned()));
    }
    if order.streams.is_empty() {
        return Ok(Scope::All);
    }
    let mut streams = order.streams.clone();
    if holds {
        streams = streams.into_iter().filter(|name| held.iter().any(|one| one == name.as_str())).collect();
    }
    Ok(Scope::Only(streams))
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
    fn a_run_is_about_what_is_held() {
        let name = |text: &str| StreamName::try_from(text).unwrap();
        let hold = What::Hold { detach: true, reason: String::new() };
        let both = || SortedSet::from([name("a"), name("b")]);
        for (case, what, streams, held, want) in [
            ("all of them", &hold, both(), &["a", "b"][..], Some(Scope::Only(both()))),
            ("one", &hold, both(), &["b"], Some(Scope::Only([name("b")].into()))),
            ("none", &hold, both(), &[], None),
            ("everything", &hold, SortedSet::default(), &[".all"], Some(Scope::All)),
            ("not everything", &hold, SortedSet::default(), &[], None),
            ("released", &What::Release, both(), &[], Some(Scope::Only(both()))),
        ] {
            let held: Vec<String> = held.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(scope(&Order { streams, what: what.clone() }, &held).ok(), want, "{case}");
        }
    }

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
