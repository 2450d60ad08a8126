//! Self test: a program that does nothing, loaded, attached, replaced and detached on every hook; and what support asks
//! for first.
//!
//! In: the kernel. Out: one value, shown by `selftest`, and the worst of what happened.
//! Leaves nothing behind: interfaces are those of a private network namespace, the cgroup is removed, and links go with
//! their descriptors. The way is that of `apply`, but for XDP, which is attached without dispatcher there.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nodeplan::{
    hook::{Attachment, Hook},
    json::{self, Value},
    name::ProgramName,
    report::{Code, Exit, Reason},
    xdp::XdpMode,
};

use crate::{
    kernel::{Call, CallError, Kernel, Kind, Position, ProgSpec, SwapError},
    links,
    object::KernelBtf,
    program,
    show::{Row, cat},
    xdp::dispatcher::Dispatcher,
};

/// Places that every kernel of ours has. A program is there for a moment, and does nothing.
const PLACES: &[&str] = &[
    r#"{"cgroup":{"path":"/nodebpf-selftest","attachType":"connect4"}}"#,
    r#"{"tracepoint":{"category":"sched","name":"sched_process_exec"}}"#,
    r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#,
    r#"{"btfTracepoint":{"name":"sched_process_exec"}}"#,
    r#"{"kprobe":{"function":"hrtimer_nanosleep"}}"#,
    r#"{"kretprobe":{"function":"hrtimer_nanosleep"}}"#,
    r#"{"fentry":{"function":"hrtimer_nanosleep"}}"#,
    r#"{"fexit":{"function":"hrtimer_nanosleep"}}"#,
    r#"{"lsm":{"hook":"socket_create"}}"#,
];

const CGROUP: &str = "/nodebpf-selftest";

/// Interface `lo`, in every network namespace.
const LOOPBACK: u32 = 1;

/// What support asks for first: name and file, and what it means that there is no such file or nothing in it.
const FACTS: &[(&str, &str, &str)] = &[
    ("kernel", "/proc/sys/kernel/osrelease", UNKNOWN),
    // EINVAL where no security module has labels.
    ("selinux", "/proc/self/attr/current", NOT_ENABLED),
    ("lsm", LSM, "unknown: securityfs is not mounted"),
    ("lockdown", "/sys/kernel/security/lockdown", NOT_ENABLED),
    ("fips", "/proc/sys/crypto/fips_enabled", NOT_ENABLED),
    ("unprivilegedBpfDisabled", "/proc/sys/kernel/unprivileged_bpf_disabled", UNKNOWN),
    ("bpfJit", "/proc/sys/net/core/bpf_jit_enable", UNKNOWN),
    ("bpfJitHarden", "/proc/sys/net/core/bpf_jit_harden", UNKNOWN),
    ("possibleCpus", "/sys/devices/system/cpu/possible", UNKNOWN),
];

const LSM: &str = "/sys/kernel/security/lsm";
const NOT_ENABLED: &str = "not enabled";
const UNKNOWN: &str = "unknown";

const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// A program that returns `verdict` and does nothing else.
#[inline(never)]
fn nothing(kernel: &Kernel, kind: Kind<'_>, verdict: i32) -> Call<OwnedFd> {
    let [a, b, c, d] = verdict.to_ne_bytes();
    // r0 = verdict; exit
    let insns = [0xb7, 0, 0, 0, a, b, c, d, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let spec = ProgSpec {
        name: "selftest",
        insns: &insns,
        license: c"GPL",
        flags: 0,
        btf: None,
        func_info: (&[], 0),
        line_info: (&[], 0),
        kind,
        statistics: false,
    };
    kernel.prog_load(&spec).map(|(fd, _)| fd).map_err(|error| error.error)
}

/// How far a hook got before an error.
type Tried = Result<(), Reason>;

#[inline(never)]
fn step(error: &CallError) -> Reason {
    Reason { code: Code::Kernel, message: error.to_string() }
}

/// Attaches, replaces, detaches, as `apply` does it.
fn link(kernel: &Kernel, btf: &KernelBtf, attachment: &Attachment) -> Tried {
    let Ok(name) = ProgramName::try_from("selftest") else { return Ok(()) };
    let kind = program::kind_for(attachment, btf)?;
    program::feature(kernel, attachment)?;
    // A cgroup asks whether it may go on.
    let verdict = i32::from(matches!(attachment, Attachment::Cgroup(_)));
    let (old, new) = (nothing(kernel, kind, verdict), nothing(kernel, kind, verdict));
    let (old, new) = (old.map_err(|error| step(&error))?, new.map_err(|error| step(&error))?);
    let mut list = Vec::new();
    links::add(&mut list, &name, attachment, &[], &|_, _| false);
    for wanted in &list {
        let first = links::create(kernel, wanted, old.as_fd())?;
        let Some(first) = first else {
            return Err(Reason {
                code: Code::CgroupAbsent,
                message: format!("there is no {}", wanted.attachment.place()),
            });
        };
        if attachment.hook().updates_atomically() {
            let updated = kernel.link_update("", first.as_fd(), new.as_fd(), old.as_fd());
            updated.map_err(|error| step(&error))?;
        } else {
            links::create(kernel, wanted, new.as_fd())?;
        }
    }
    Ok(())
}

fn tc(kernel: &Kernel) -> Tried {
    if let Err(error) = kernel.tcx_list(LOOPBACK, links::TCX_INGRESS) {
        return Err(match error.errno {
            libc::EINVAL => program::missing("this kernel has no TCX, which came with Linux 6.6".to_owned()),
            _ => step(&error),
        });
    }
    let kind = Kind { prog_type: 3, attach_type: 0, btf_id: 0, target: None };
    let run = || {
        // -1: the next program decides.
        let (old, new) = (nothing(kernel, kind, -1)?, nothing(kernel, kind, -1)?);
        let place = (LOOPBACK, links::TCX_INGRESS);
        let link = kernel.link_tcx("tc", old.as_fd(), place, Position::Last, 0)?;
        kernel.link_update("tc", link.as_fd(), new.as_fd(), old.as_fd())
    };
    run().map_err(|error| step(&error))
}

fn xdp(kernel: &Kernel) -> Tried {
    let swap = |new: Option<BorrowedFd<'_>>, old: Option<BorrowedFd<'_>>| {
        kernel.xdp_swap(LOOPBACK, XdpMode::Skb, new, old).map_err(|error| match error {
            SwapError::Call(error) => step(&error),
            _ => Reason { code: Code::Kernel, message: "RTM_SETLINK: somebody else uses it".to_owned() },
        })
    };
    let load = || nothing(kernel, Kind::XDP, 2).map_err(|error| step(&error));
    let (old, new) = (load()?, load()?);
    swap(Some(old.as_fd()), None)?;
    swap(Some(new.as_fd()), Some(old.as_fd()))?;
    swap(None, Some(new.as_fd()))
}

/// Whether the dispatcher loads, and programs can be put into it.
fn dispatcher(kernel: &Kernel, btf: &KernelBtf) -> Tried {
    let reason = |error: crate::object::ObjectError| program::missing(error.to_string());
    Dispatcher::template(kernel, btf).map_err(reason)?.probe_extension(kernel, btf).map_err(reason)
}

/// What a file says, or what it means that it says nothing.
fn fact(found: io::Result<String>, absent: &str) -> String {
    match found {
        Ok(text) => match text.trim_end_matches(|end: char| end < ' ') {
            "" => absent.to_owned(),
            text => text.to_owned(),
        },
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => absent.to_owned(),
        Err(error) => cat(&[UNKNOWN, ": ", &error.to_string()]),
    }
}

fn facts(facts: &mut Row) {
    let seen = Path::new(LSM).exists();
    for (name, path, absent) in FACTS {
        // Without securityfs nothing below it says anything.
        let absent = if *name == "lockdown" && !seen { UNKNOWN } else { absent };
        facts.text(name, &fact(fs::read_to_string(path), absent));
    }
    // Four bytes of attributes, then the value.
    let secure = match fs::read(SECURE_BOOT).ok().and_then(|bytes| bytes.get(4).copied()) {
        Some(1) => "on",
        Some(_) => "off",
        None => "unknown: no EFI variable",
    };
    facts.text("secureBoot", secure);
    let types = Path::new("/sys/kernel/btf/vmlinux").exists();
    facts.text("kernelTypes", if types { "present" } else { "absent" });
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    facts.text("capabilities", capabilities.trim());
}

/// Tries everything.
pub fn run(kernel: &Kernel) -> (Value, Exit) {
    let btf = KernelBtf::default();
    let mut rows = Vec::new();
    let mut exit = Exit::Done;
    let mut note = |hook: Hook, tried: Tried| {
        let mut row = Row::default();
        row.text("hook", hook.as_str());
        match tried {
            Ok(()) => row.text("result", "works"),
            Err(Reason { code, message }) => {
                let missing = code == Code::FeatureMissing;
                exit = exit.max(if missing { Exit::FeatureMissing } else { Exit::Failed });
                row.text("result", if missing { "absent" } else { "failed" });
                row.text("code", code.as_str());
                row.text("reason", &message);
                if missing {
                    row.text("means", "streams with this hook are refused on this node; all others run");
                }
            }
        }
        rows.push(row.done());
    };
    // A program runs there in a dispatcher only: without it the hook is as good as absent.
    let dispatcher = dispatcher(kernel, &btf);
    let cgroup = links::cgroup_dir(CGROUP);
    // What a run that was ended left there is taken over.
    let made = fs::create_dir_all(&cgroup);
    for place in PLACES {
        let Ok(attachment) = json::parse::<Attachment>(place.as_bytes(), place.len()) else { continue };
        note(attachment.hook(), link(kernel, &btf, &attachment));
    }
    if made.is_ok() {
        let _ = fs::remove_dir(cgroup);
    }
    // Last: there is no way back, and none is needed.
    match kernel.private_network() {
        Ok(()) => {
            note(Hook::Tc, tc(kernel));
            note(Hook::Xdp, dispatcher.and_then(|()| xdp(kernel)));
        }
        Err(error) => {
            note(Hook::Tc, Err(step(&error)));
            note(Hook::Xdp, dispatcher.and_then(|()| Err(step(&error))));
        }
    }
    let mut page = Row::default();
    page.text("loader", env!("CARGO_PKG_VERSION"));
    facts(&mut page);
    page.put("hooks", Value::List(rows));
    (page.done(), exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_does_not_say_has_a_meaning() {
        let error = |errno| Err(io::Error::from_raw_os_error(errno));
        for (found, want) in [
            (Ok("system_u:system_r:init_t:s0\0".to_owned()), "system_u:system_r:init_t:s0"),
            (Ok("\n".to_owned()), NOT_ENABLED),
            (error(libc::EINVAL), NOT_ENABLED),
            (error(libc::ENOENT), NOT_ENABLED),
            (error(libc::EACCES), "unknown: Permission denied (os error 13)"),
        ] {
            assert_eq!(fact(found, NOT_ENABLED), want);
        }
    }

    #[test]
    fn every_hook_is_tried() {
        let hooks: Vec<Hook> = PLACES
            .iter()
            .map(|place| json::parse::<Attachment>(place.as_bytes(), place.len()).unwrap().hook())
            .chain([Hook::Tc, Hook::Xdp])
            .collect();
        for hook in Hook::ALL {
            assert!(hooks.contains(&hook), "{hook}");
        }
    }
}
