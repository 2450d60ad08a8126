//! `hold`, `release` and `detach`: an administrator of this node stops the work on streams, and lets it go on.
//!
//! The file that holds is written first, under the lock of runs; then one run about these streams makes it so. A run
//! that is impossible leaves the file: what was asked for holds from the next run on. So it is without the lock, if
//! another run does not end: then a run is asked for as well. Where `/var` keeps nothing that is
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
    let mut done = Outcome::default();
    let outcome = this_node(paths).and_then(|node| {
        apply::require_root()?;
        let lock = lock::take(paths);
        done = write(paths, order, lock.is_err());
        let lock = lock?;
        apply::require_kernel(kernel)?;
        apply::apply_locked(kernel, paths, &node, &scope(order, &done.names)?, &lock)
    });
    let mut unknown = false;
    if let Ok((report, _)) = &outcome {
        for name in order.streams.iter().filter(|name| report.streams.iter().all(|one| one.stream != **name)) {
            let held = done.names.iter().any(|one| one == name.as_str());
            // A stream may be held before it comes. A misspelt name is no success where something is to happen now.
            unknown |= match order.what {
                What::Hold { detach, .. } => detach,
                What::Release => !held,
            };
            report::log(4, &not_there(name, &order.what, held));
        }
    }
    let (Ok(mut exit) | Err(mut exit)) = told(outcome);
    for reason in &done.wrong {
        report::log(3, &cat(&[reason.code.as_str(), " ", &reason.message]));
        exit = exit.max(Exit::CannotRun);
    }
    if unknown {
        exit = exit.max(Exit::CannotRun);
    }
    if order.what == What::Release { exit.max(still_held(paths, &order.streams)) } else { exit }
}

/// Writes what is asked for. `later`: this command has not got the lock, so another run is to make it so.
fn write(paths: &Paths, order: &Order, later: bool) -> Outcome {
    let (done, what) = match &order.what {
        What::Hold { detach, reason } => {
            if reason.len() > held::REASON_MAX_BYTES {
                report::log(4, &cat(&["the reason is cut after ", &digits(held::REASON_MAX_BYTES as u64), " bytes"]));
            }
            (held::hold(paths, &order.streams, *detach, (&who(), now(), reason)), "held")
        }
        What::Release => (held::release(paths, &order.streams), "released"),
    };
    if later && !done.names.is_empty() {
        // Not before it is written: that run must find it.
        lock::ask_again(paths);
        report::log(4, &cat(&[what, " from the next run on"]));
    }
    done
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

/// What an order comes to for a stream that is not there. `held`: its file was written or removed.
fn not_there(name: &StreamName, what: &What, held: bool) -> String {
    let comes = match what {
        What::Hold { .. } if !held => ": nothing was done",
        What::Hold { detach: false, .. } => ": held for when it comes",
        What::Hold { detach: true, .. } => ": nothing was detached; held and detached for when it comes",
        What::Release if held => ": its hold is released",
        What::Release => ", and no hold on it",
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
    use std::fs;

    use super::*;

    /// Whoever pulls the brake while another run hangs must not have to do it again.
    #[test]
    fn what_is_asked_for_without_the_lock_stands() {
        let root = std::env::temp_dir().join(format!("nodebpf-later-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let paths = Paths::new(&root);
        let name = StreamName::try_from("a").unwrap();
        let _held = lock::take(&paths).unwrap();
        let order = |what| Order { streams: [name.clone()].into(), what };
        let detach = || order(What::Hold { detach: true, reason: String::new() });
        let held = || Holds::read(&paths).0.of(&name).is_some_and(|hold| hold.detach);
        write(&paths, &detach(), true);
        assert!(held() && paths.dirty().exists());
        fs::remove_file(paths.dirty()).unwrap();
        write(&paths, &order(What::Release), true);
        assert!(!held() && paths.dirty().exists());
        fs::remove_file(paths.dirty()).unwrap();
        write(&paths, &detach(), false);
        assert!(held() && !paths.dirty().exists(), "the command runs itself");
        fs::remove_dir_all(root).unwrap();
    }

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
        let hold = |detach| What::Hold { detach, reason: String::new() };
        for (what, held, says) in [
            (hold(false), true, ": held for when it comes;"),
            (hold(true), true, ": nothing was detached; held and detached for when it"),
            (hold(true), false, ": nothing was done;"),
            (What::Release, true, "no stream `nope` on this node: its hold is released; `nodebpf-loader status`"),
            (What::Release, false, "no stream `nope` on this node, and no hold on it; `nodebpf-loader status`"),
        ] {
            let said = not_there(&name, &what, held);
            assert!(said.contains(says), "{said}");
        }
    }
}
