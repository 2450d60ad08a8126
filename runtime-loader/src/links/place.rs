//! Place: what a link without order leads to, opened, and the link made.
//!
//! In: a place of a plan. Out: a descriptor; nothing for a place that is absent and waited for.
//! May fail with: NB1203 (the node lacks the place), NB1402.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::PathBuf,
    thread,
    time::Duration,
};

use nodeplan::{
    hook::TracepointAttachment,
    report::{Code, Reason},
};

use super::{CGROUPS, Place, Wanted};
use crate::{
    kernel::{Call, CallError, Kernel, PerfEvent},
    program::missing,
};

/// `PERF_TYPE_TRACEPOINT`, linux `include/uapi/linux/perf_event.h`.
const PERF_TRACEPOINT: u32 = 2;

const KPROBE_TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";

/// A failed call at a place, for the report.
pub(super) fn reason(wanted: &Wanted<'_>, error: &CallError) -> Reason {
    let hint = match (&wanted.place, error.errno) {
        (Place::Cgroup(_), libc::EPERM) => "; a program that shares with nobody holds this cgroup or one above it",
        (Place::Bound(_), libc::EBUSY) => "; something else patches this function (livepatch, ftrace)",
        // `BPF_MPROG_MAX` and `BPF_CGROUP_MAX_PROGS`.
        (Place::Tcx { .. }, libc::ERANGE) | (_, libc::E2BIG) => "; no room for another program there",
        _ => "",
    };
    let place = wanted.attachment.place();
    let at = if let Place::Tcx { interface, .. } = wanted.place { interface } else { "" };
    let message = format!("program `{}` at {place} {at}: {error}{hint}", wanted.program);
    Reason { code: Code::Kernel, message }
}

/// The reason for a failed call at a place that may be what is missing.
fn absent(wanted: &Wanted<'_>, error: &CallError) -> Reason {
    match error.errno {
        libc::ENOENT | libc::EADDRNOTAVAIL => {
            missing(format!("this kernel has no {}: {error}", wanted.attachment.place()))
        }
        _ => reason(wanted, error),
    }
}

/// Opens what a link leads to: a cgroup's directory or a perf event. `None`: it is absent, and waited for.
pub(super) fn open_place(kernel: &Kernel, wanted: &Wanted<'_>) -> Result<Option<OwnedFd>, Reason> {
    let event = match wanted.place {
        Place::Cgroup(at) => {
            return match File::open(cgroup_dir(at.path.as_str())) {
                Ok(dir) => Ok(Some(dir.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => {
                    let message = format!("{}: {error}", wanted.attachment.place());
                    Err(Reason { code: Code::Kernel, message })
                }
            };
        }
        Place::Tracepoint(at) => {
            PerfEvent { source: PERF_TRACEPOINT, config: tracefs_id(at)?, function: "", offset: 0 }
        }
        Place::Probe { function, offset, at_return } => {
            let source = number_in(KPROBE_TYPE).ok_or_else(|| missing("this kernel has no kprobes".to_owned()))?;
            let source = u32::try_from(source).unwrap_or(u32::MAX);
            // Bit 0: `/sys/bus/event_source/devices/kprobe/format/retprobe`.
            PerfEvent { source, config: at_return.into(), function, offset }
        }
        Place::Tcx { .. } | Place::Raw(_) | Place::Bound(_) => return Ok(None), // leads to nothing with a descriptor
    };
    kernel.perf_event(event).map(Some).map_err(|error| absent(wanted, &error))
}

/// Tries of a call for which the program is in its own way: together about a second.
const MAX_TRIES: u32 = 10;

/// Makes a link. A program has one at a place, and one that lost its last pin a moment ago is still there: a round that
/// is repeated, because an interface has left, finds its own links in the way.
pub(super) fn attach(make: &dyn Fn() -> Call<OwnedFd>) -> Call<OwnedFd> {
    for tried in 0..MAX_TRIES {
        match make() {
            Err(error) if matches!(error.errno, libc::EEXIST | libc::EBUSY) => {
                thread::sleep(Duration::from_millis(1 << tried));
            }
            made => return made,
        }
    }
    make()
}

/// Attaches a program to a place without order. `None`: the place is absent, and waited for.
pub fn create(kernel: &Kernel, wanted: &Wanted<'_>, prog: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Reason> {
    let what = wanted.attachment.place();
    let raw = |name| attach(&|| kernel.link_raw(&what, prog, name)).map(Some).map_err(|error| absent(wanted, &error));
    match wanted.place {
        Place::Raw(name) => return raw(Some(name)),
        Place::Bound(_) => return raw(None),
        _ => {}
    }
    let Some(place) = open_place(kernel, wanted)? else { return Ok(None) };
    let link = match wanted.place {
        Place::Cgroup(at) => {
            kernel.link_cgroup(&what, prog, place.as_fd(), at.attach_type.number()).map_err(|error| {
                if error.errno == libc::EBADF {
                    missing(format!("{CGROUPS} is not the unified hierarchy (cgroup v2)"))
                } else {
                    reason(wanted, &error)
                }
            })?
        }
        _ => attach(&|| kernel.link_perf(&what, prog, place.as_fd())).map_err(|error| reason(wanted, &error))?,
    };
    Ok(Some(link))
}

/// Where a cgroup is.
pub fn cgroup_dir(path: &str) -> PathBuf {
    PathBuf::from(format!("{CGROUPS}{path}"))
}

impl Wanted<'_> {
    /// Id of the cgroup that it leads to now.
    pub(super) fn cgroup(&self) -> Option<u64> {
        let Place::Cgroup(at) = self.place else { return None };
        Some(fs::metadata(cgroup_dir(at.path.as_str())).ok()?.ino())
    }
}

fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Number of a tracepoint.
pub fn tracefs_id(at: &TracepointAttachment) -> Result<u64, Reason> {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let id = places.iter().find_map(|root| number_in(&format!("{root}/events/{}/{}/id", at.category, at.name)));
    id.ok_or_else(|| {
        missing(format!("this kernel has no tracepoint `{}/{}`, or tracefs is absent", at.category, at.name))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_program_waits_for_its_own_link_to_go() {
        for (errno, fails, calls, works) in [
            (libc::EEXIST, 3, 4, true),
            (libc::EBUSY, 1, 2, true),
            (libc::EPERM, 1, 1, false),
            (libc::EEXIST, 1000, MAX_TRIES + 1, false),
        ] {
            let made = Cell::new(0);
            let attached = attach(&|| {
                made.set(made.get() + 1);
                if made.get() > fails {
                    return Ok(File::open("/dev/null").unwrap().into());
                }
                Err(CallError { call: "BPF_LINK_CREATE", what: String::new(), errno })
            });
            assert_eq!((made.get(), attached.is_ok()), (calls, works), "{errno}, {fails} times");
        }
    }
}
