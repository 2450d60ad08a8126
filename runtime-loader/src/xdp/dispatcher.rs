//! Dispatcher: load ours, put programs into it, pin them, swap it in.
//!
//! The order is the protocol's, with the lock held by the caller from the directory to the swap, because
//! `xdp-loader clean` would take a directory whose dispatcher is not attached yet for a stale one:
//! load, link, pin, swap, unpin the old.
//!
//! A [`Staged`] dispatcher that is dropped or [`Staged::discard`]ed was never attached: packets do not see it.

use nodeplan::sorted::SortedMap;
use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use nodeplan::{name::ProgramName, xdp::XdpMode};

use super::{
    chain::{self, Member, Observed},
    config::{Config, F_XDP_HAS_FRAGS, Slot, Version},
    dispatch_dir,
    observe::{self, Programs},
};
use crate::{
    kernel::{Call, CallError, Kernel, Kind, ProgInfo, SwapError},
    object::{Image, KernelBtf, ObjectError, Request},
};

static OBJECT: &[u8] = include_bytes!("../../../bpf/prebuilt/xdp_dispatcher.bpf.o");

/// A loaded dispatcher that is attached to nothing.
#[derive(Debug)]
pub struct Dispatcher {
    fd: OwnedFd,
    id: u32,
    /// BTF ids of `prog0` to `prog9`.
    slots: Vec<u32>,
}

/// A dispatcher with all its programs, pinned and ready to be swapped in.
#[derive(Debug)]
pub struct Staged {
    ifindex: u32,
    mode: XdpMode,
    dispatcher: Dispatcher,
    /// Links by program id, in running order.
    links: Vec<(u32, OwnedFd)>,
    dir: PathBuf,
    expected: Expected,
}

/// What must be attached at the moment of a swap.
#[derive(Debug)]
struct Expected {
    fd: Option<OwnedFd>,
    dir: Option<PathBuf>,
}

impl Expected {
    fn of(kernel: &Kernel, ifindex: u32, observed: &Observed) -> Result<Self, CallError> {
        Ok(match observed.dispatcher() {
            Some((_, id)) => Self { fd: Some(kernel.prog_by_id(id)?), dir: Some(dispatch_dir(ifindex, id)) },
            None => Self { fd: None, dir: None },
        })
    }
}

/// Whether a call failed because what was observed is not in the kernel any more: others do not wait for the lock.
pub fn is_gone(error: &CallError) -> bool {
    (error.call, error.errno) == ("BPF_PROG_GET_FD_BY_ID", libc::ENOENT)
}

impl Dispatcher {
    /// Loads a dispatcher for exactly `config.slots.len()` programs: the verifier removes the code of the others.
    /// `former` is the dispatcher that it is to replace: the name of its map says so.
    fn load(
        kernel: &Kernel,
        kernel_btf: &KernelBtf,
        config: &Config,
        former: Option<u32>,
    ) -> Result<Self, ObjectError> {
        let name = observe::map_name(former);
        let mut image = Image::parse(OBJECT, &[])?;
        image.set_constants(&name, config.encode());
        // Where libxdp looks if the configuration has no magic.
        image.set_length("dispatcher_version", config.version as u32)?;
        let mut slots = Vec::new();
        for i in 0..config.slots.len() {
            slots.push(image.function(&format!("prog{i}"))?);
        }
        let main = ProgramName::try_from("xdp_dispatcher").expect("invariant: a constant name");
        let request = Request {
            programs: &[(&main, Kind::XDP)],
            maps: &SortedMap::new(),
            kept: &|_| Ok(None),
            called: None,
            xdp_flags: if config.frags { F_XDP_HAS_FRAGS } else { 0 },
            rehearsal: None,
        };
        let mut loaded = image.load(kernel, kernel_btf, &request)?;
        let fd = loaded.programs.remove(&main).expect("invariant: load returns what was wanted");
        let id = kernel.prog_info(fd.as_fd())?.id;
        Ok(Self { fd, id, slots })
    }

    /// A dispatcher with one slot that is never attached: what extensions are loaded against. They can be linked to
    /// any slot of any other dispatcher afterwards.
    pub fn template(kernel: &Kernel, kernel_btf: &KernelBtf) -> Result<Self, ObjectError> {
        let slot = Slot { mask: u32::MAX, priority: 0, flags: 0 };
        Self::load(kernel, kernel_btf, &Config { version: Version::default(), frags: false, slots: vec![slot] }, None)
    }

    /// What the kernel says of it.
    pub fn info(&self, kernel: &Kernel) -> Call<ProgInfo> {
        kernel.prog_info(self.fd.as_fd())
    }

    /// Its first slot, as something to be extended.
    pub fn target(&self) -> Kind<'_> {
        Kind::extension(self.fd.as_fd(), self.slots[0])
    }

    /// Whether this kernel can replace functions of programs at all: loads the smallest possible extension.
    pub fn probe_extension(&self, kernel: &Kernel, kernel_btf: &KernelBtf) -> Result<(), ObjectError> {
        let image = Image::parse(OBJECT, &[])?;
        let name = ProgramName::try_from("xdp_pass").expect("invariant: a constant name");
        let request = Request {
            programs: &[(&name, self.target())],
            maps: &SortedMap::new(),
            kept: &|_| Ok(None),
            called: None,
            xdp_flags: 0,
            rehearsal: None,
        };
        image.load(kernel, kernel_btf, &request).map(drop)
    }
}

impl Staged {
    /// Loads, links and pins. On an error nothing is left behind.
    pub fn build(
        kernel: &Kernel,
        kernel_btf: &KernelBtf,
        ifindex: u32,
        observed: &Observed,
        step: (XdpMode, Version, &[Member]),
        programs: &Programs,
    ) -> Result<Self, ObjectError> {
        let (mode, version, members) = step;
        let slot = |member: &Member| Slot { mask: member.mask, priority: member.priority, flags: member.flags };
        let frags = chain::takes_frags(members);
        let config = Config { version, frags, slots: members.iter().map(slot).collect() };
        let dispatcher = Dispatcher::load(kernel, kernel_btf, &config, observed.dispatcher().map(|(_, id)| id))?;
        let mut links = Vec::new();
        for (member, function) in members.iter().zip(&dispatcher.slots) {
            let program = programs.get(&member.prog_id).expect("invariant: every member was opened or loaded");
            // Also for a chain of one: `prog0`, not the main function, so that a verdict means the same alone and
            // beside others (docs/adr/0005-xdp-one-program-chain.md).
            let name = format!("{} (id {})", member.name, member.prog_id);
            let link = kernel.link_extension(&name, program.as_fd(), dispatcher.fd.as_fd(), *function)?;
            links.push((member.prog_id, link));
        }
        let dir = dispatch_dir(ifindex, dispatcher.id);
        let expected = Expected::of(kernel, ifindex, observed)?;
        let staged = Self { ifindex, mode, dispatcher, links, dir, expected };
        match staged.pin(kernel, programs) {
            Ok(()) => Ok(staged),
            Err(error) => {
                // The first error is the cause; what cannot be removed is a directory of a dispatcher that is gone,
                // which libxdp and the next run clean.
                let _ = staged.discard(kernel);
                Err(error.into())
            }
        }
    }

    /// Where it is pinned.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn pin(&self, kernel: &Kernel, programs: &Programs) -> Result<(), CallError> {
        kernel.make_dir(&self.dir)?;
        for (i, (prog_id, link)) in self.links.iter().enumerate() {
            kernel.pin(link.as_fd(), &self.dir.join(format!("prog{i}-link")))?;
            let program = programs.get(prog_id).expect("invariant: every member was opened or loaded");
            kernel.pin(program.as_fd(), &self.dir.join(format!("prog{i}-prog")))?;
        }
        Ok(())
    }

    /// Takes the pins away again; the dispatcher goes with its last descriptor.
    pub fn discard(self, kernel: &Kernel) -> Result<(), CallError> {
        kernel.remove_dir(&self.dir)
    }

    /// Swaps the dispatcher in. On an error what was attached stays attached, and the caller removes
    /// [`Staged::dir`].
    pub fn commit(self, kernel: &Kernel) -> Result<Committed, SwapError> {
        let new = Some(self.dispatcher.fd.as_fd());
        kernel.xdp_swap(self.ifindex, self.mode, new, self.expected.fd.as_ref().map(AsFd::as_fd))?;
        Ok(Committed { links: self.links, old: self.expected.dir })
    }
}

/// A dispatcher that is attached now, or that none is.
#[derive(Debug)]
pub struct Committed {
    /// Links by program id: to be pinned a second time, so that programs survive the loss of libxdp's directory.
    pub links: Vec<(u32, OwnedFd)>,
    old: Option<PathBuf>,
}

impl Committed {
    /// Where the dispatcher that was replaced is pinned.
    pub fn old_dir(&self) -> Option<PathBuf> {
        self.old.clone()
    }

    /// Removes the pins of the dispatcher that was replaced. Others may have done so already.
    pub fn unpin_old(&self, kernel: &Kernel) -> Result<(), CallError> {
        self.old.as_ref().map_or(Ok(()), |dir| kernel.remove_dir(dir))
    }
}

/// Takes the attached dispatcher off an interface, if it is still the one that was observed.
pub fn detach(kernel: &Kernel, ifindex: u32, observed: &Observed) -> Result<Committed, SwapError> {
    let expected = Expected::of(kernel, ifindex, observed)
        .map_err(|error| if is_gone(&error) { SwapError::Raced } else { SwapError::Call(error) })?;
    if let Some((mode, _)) = observed.dispatcher() {
        kernel.xdp_swap(ifindex, mode, None, expected.fd.as_ref().map(AsFd::as_fd))?;
    }
    Ok(Committed { links: Vec::new(), old: expected.dir })
}
