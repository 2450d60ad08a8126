//! Program: what kind of program the kernel is to load for a hook, and whether the node has that hook at all.
//!
//! In: programs of a plan. Out: their [`Kind`]s.
//! May fail with: NB1203, naming what the node lacks; NB1403, one program for places that need two.

use std::fs;

use nodeplan::{
    applies::Architecture,
    hook::{Attachment, CgroupAttachType},
    name::ProgramName,
    plan::{NodePlan, Program},
    report::{Code, Reason},
};

use crate::{
    kernel::{Kernel, Kind},
    links::{TCX_INGRESS, tracefs_id},
    object::KernelBtf,
};

/// A feature that the node lacks.
pub fn missing(message: String) -> Reason {
    Reason { code: Code::FeatureMissing, message }
}

/// `enum bpf_prog_type` for a place in a cgroup.
fn cgroup_program(attach_type: CgroupAttachType) -> u32 {
    match attach_type.number() {
        0 | 1 => 8,            // CGROUP_SKB
        2 | 12 | 13 | 34 => 9, // CGROUP_SOCK
        3 => 13,               // SOCK_OPS
        18 => 23,              // CGROUP_SYSCTL
        21 | 22 => 25,         // CGROUP_SOCKOPT
        _ => 18,               // CGROUP_SOCK_ADDR
    }
}

/// The kind of program for one place. Extensions get their target later.
///
/// Source of the numbers: `enum bpf_prog_type` and `enum bpf_attach_type`, linux `include/uapi/linux/bpf.h`.
pub fn kind_for(attachment: &Attachment, btf: &KernelBtf) -> Result<Kind<'static>, Reason> {
    let kind = |prog_type, attach_type, btf_id| Kind { prog_type, attach_type, btf_id, target: None };
    let function = |name: &str| {
        btf.function(name).map_err(|error| missing(format!("this kernel has no function `{name}` with types: {error}")))
    };
    Ok(match attachment {
        Attachment::Xdp(_) => kind(Kind::EXTENSION, 0, 0),
        Attachment::Tc(_) => kind(3, 0, 0),
        Attachment::Cgroup(at) => kind(cgroup_program(at.attach_type), at.attach_type.number(), 0),
        Attachment::Tracepoint(_) => kind(5, 0, 0),
        Attachment::RawTracepoint(_) => kind(17, 0, 0),
        Attachment::Kprobe(_) | Attachment::Kretprobe(_) => kind(2, 0, 0),
        Attachment::BtfTracepoint(at) => {
            let id = btf.typedef(&format!("btf_trace_{}", at.name));
            kind(26, 23, id.map_err(|error| missing(format!("this kernel has no tracepoint `{}`: {error}", at.name)))?)
        }
        Attachment::Fentry(at) => kind(26, 24, function(at.function.as_str())?),
        Attachment::Fexit(at) => kind(26, 25, function(at.function.as_str())?),
        Attachment::Lsm(at) => kind(29, 27, function(&format!("bpf_lsm_{}", at.hook))?),
    })
}

fn same(a: &Kind<'_>, b: &Kind<'_>) -> bool {
    (a.prog_type, a.attach_type, a.btf_id) == (b.prog_type, b.attach_type, b.btf_id)
}

fn kind_of(program: &Program, btf: &KernelBtf) -> Result<Option<Kind<'static>>, Reason> {
    let mut kind: Option<Kind<'static>> = None;
    for attachment in &program.attach {
        let next = kind_for(attachment, btf)?;
        if kind.is_some_and(|kind| !same(&kind, &next)) {
            let message = format!(
                "program `{}` cannot be loaded for `{}` and for `{}` at once; make it two programs",
                program.name,
                program.attach[0].place(),
                attachment.place()
            );
            return Err(Reason { code: Code::Object, message });
        }
        kind = Some(next);
    }
    Ok(kind)
}

/// The programs of an object and what they become. One that only tail calls reach is of the kind of the others in its
/// object, because the kernel lets no call lead to another kind.
pub fn kinds<'a>(programs: &[&'a Program], btf: &KernelBtf) -> Result<Vec<(&'a ProgramName, Kind<'static>)>, Reason> {
    let mut kinds = Vec::new();
    let mut called = Vec::new();
    for program in programs {
        match kind_of(program, btf)? {
            Some(kind) => kinds.push((&program.name, kind)),
            None => called.push(&program.name),
        }
    }
    let first = kinds.first().map(|(_, kind)| *kind);
    for name in called {
        let Some(kind) = first.filter(|first| kinds.iter().all(|(_, kind)| same(first, kind))) else {
            let message = format!("it cannot be told what kind of program `{name}` is: its object has several kinds");
            return Err(Reason { code: Code::Object, message });
        };
        // An extension cannot be the end of a tail call; the calls of one are those of an XDP program.
        kinds.push((name, if kind.prog_type == Kind::EXTENSION { Kind::XDP } else { kind }));
    }
    Ok(kinds)
}

/// What the node must have for the hooks of a plan, as far as it can be asked without loading anything.
pub fn features(kernel: &Kernel, plan: &NodePlan) -> Result<(), Reason> {
    plan.attachments().into_iter().try_for_each(|attachment| feature(kernel, attachment))
}

/// The same for one hook.
pub fn feature(kernel: &Kernel, attachment: &Attachment) -> Result<(), Reason> {
    match attachment {
        Attachment::Tc(_) => {
            // Interface 1 is `lo`, in every network namespace.
            match kernel.tcx_list(1, TCX_INGRESS) {
                Err(error) if error.errno == libc::EINVAL => {
                    return Err(missing("this kernel has no TCX, which came with Linux 6.6".to_owned()));
                }
                Err(error) => return Err(Reason { code: Code::Kernel, message: error.to_string() }),
                Ok(_) => {}
            }
        }
        Attachment::Lsm(_) => {
            let active = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
            if !active.trim().split(',').any(|module| module == "bpf") {
                let active = active.trim();
                return Err(missing(format!("`bpf` is not among the active security modules: `{active}`")));
            }
        }
        Attachment::Tracepoint(at) => {
            tracefs_id(at)?;
        }
        _ => {}
    }
    Ok(())
}

/// A program that has no object for this node's architecture.
pub fn without_object(plan: &NodePlan, here: Option<Architecture>) -> Option<&ProgramName> {
    let lacks = |program: &&Program| here.is_none_or(|here| program.object.get(here).is_none());
    plan.programs.iter().find(lacks).map(|program| &program.name)
}
