//! `gate`: waits until what the trust file requires runs; then kubelet may start. Whatever is damaged, the node boots.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    thread,
    time::{Duration, Instant},
};

use nodeplan::{
    name::StreamName,
    report::{Code, Exit, Report, StreamState},
    sorted::SortedSet,
};

use crate::{gate, held, paths::Paths, report, trust_chain};

/// How often the report is looked at: a `stat` of one file in memory.
const LOOK: Duration = Duration::from_millis(500);

/// Waits, at most as long as the trust file says. The exit code is 0 in every case.
pub fn run(paths: &Paths) -> Exit {
    let trust = match trust_chain::known(paths).trust {
        Ok(trust) => trust,
        Err(reason) => {
            if reason.code != Code::TrustMissing {
                say(&format!("{} {}: nothing is known to be required", reason.code.as_str(), reason.message));
            }
            return Exit::Done;
        }
    };
    let required = &trust.document().required_streams;
    if required.is_empty() {
        return Exit::Done;
    }
    for (argument, value) in [("nodebpf.hold", "0"), ("nodebpf", "off")] {
        if held::argument(paths, argument).as_deref() == Some(value) {
            say(&format!("{argument}={value} on the kernel command line: not waiting"));
            return Exit::Done;
        }
    }
    wait(paths, required, Duration::from_secs(trust.document().hold_seconds.into()));
    Exit::Done
}

fn wait(paths: &Paths, required: &SortedSet<StreamName>, longest: Duration) {
    let started = Instant::now();
    let (mut seen, mut said): (Option<(u64, i64, i64)>, Option<Report>) = (None, None);
    loop {
        // Each report is a file of its own, so a new one has another inode or time.
        let file = fs::metadata(paths.report()).ok().map(|file| (file.ino(), file.mtime(), file.mtime_nsec()));
        if file != seen {
            seen = file;
            // One that cannot be read satisfies nobody; the next run writes it anew.
            said = report::last(paths).ok().flatten();
        }
        let has_bundle = |name: &StreamName| fs::symlink_metadata(paths.bundle(name)).is_ok();
        let missing = gate::missing(required, said.as_ref(), &has_bundle);
        if missing.is_empty() {
            let held = said.iter().flat_map(|report| &report.streams).filter(|one| one.state == StreamState::Held);
            for one in held.filter(|one| required.contains(&one.stream)) {
                say(&gate::words(&one.stream, Some(one)));
            }
            return;
        }
        if started.elapsed() >= longest {
            say(&format!("waited {} seconds; the node boots without:", longest.as_secs()));
            for (name, one) in missing {
                say(&gate::words(name, one));
            }
            return;
        }
        thread::sleep(LOOK.min(longest.saturating_sub(started.elapsed())));
    }
}

fn say(what: &str) {
    report::log(2, &format!("{} gate: {what}", Code::Unsatisfied.as_str()));
}
