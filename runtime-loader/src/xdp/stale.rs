//! Stale: directories of dispatchers that no interface runs, left by a run that was killed or by an interface that is gone.
//! Each keeps its programs in the kernel.
//!
//! In: the interfaces now, which programs are ours, the tag of our dispatcher. Out: the directories; then nothing. Call
//! both steps with the protocol's lock held, and let go of it for [`AT_WORK`] in between: libxdp swaps and unpins
//! without it, and what it works on looks the same for that moment.
//!
//! The BPF file system may be shared with other network namespaces, whose dispatchers this one does not see. So only
//! what is dead or provably ours is removed: the dispatcher is gone; all its programs are ours; or its interface is here
//! and runs another one, and some of its programs are ours, or the dispatcher itself is one of our making. The last is
//! what a run leaves that stopped between pinning the programs of others, without ours, and the swap.
//!
//! A dispatcher of others' making with programs of ours may be what a libxdp process that does not get the processor is
//! about to swap in. It goes when it is [`OLD`].

use std::{ffi::OsStr, os::fd::AsFd, path::PathBuf, time::Duration};

use super::{dispatch_dir, root};
use crate::kernel::{Call, CallError, Interface, Kernel, ProgInfo, XdpState};

/// Interface and dispatcher that a directory is named after.
pub type Dir = (u32, u32);

/// How long libxdp may be between pinning a new dispatcher, swapping it in and unpinning the former one: a few
/// system calls. Chosen generously; only what a crash left costs it.
pub const AT_WORK: Duration = Duration::from_millis(200);

/// Age, in nanoseconds, from which on a dispatcher that nobody runs is not on its way to an interface: ten minutes. It is
/// counted from the load of its program by the kernel's clock since boot, which nobody sets; the times of the directory
/// are those of the clock of the day.
const OLD: u64 = 600_000_000_000;

fn parse(name: &str) -> Option<Dir> {
    let (ifindex, id) = name.strip_prefix("dispatch-")?.split_once('-')?;
    Some((ifindex.parse().ok()?, id.parse().ok()?))
}

fn runs(interfaces: &[Interface], (ifindex, id): Dir) -> bool {
    interfaces.iter().find(|one| one.ifindex == ifindex).is_some_and(|one| match one.xdp {
        XdpState::One(attached) => attached.prog_id == id,
        XdpState::Empty => false,
        // In several modes, and nobody knows which.
        XdpState::Other => true,
    })
}

/// What tells ours from others'.
pub struct Ours<'a> {
    /// Whether a program is of one of our streams.
    pub program: &'a dyn Fn(u32) -> bool,
    /// A dispatcher of ours, loaded now. Its tag is the digest of its instructions, equal for all of them whatever their
    /// configuration. Asked for only if it matters.
    pub dispatcher: &'a dyn Fn() -> Option<ProgInfo>,
}

/// The directories that are stale, or at work, or cannot be looked at.
pub fn suspects(kernel: &Kernel, before: &[Interface], ours: &Ours<'_>) -> Call<Vec<Dir>> {
    let mut dirs: Vec<Dir> = kernel.names(&root())?.iter().filter_map(|name| parse(name)).collect();
    dirs.retain(|dir| !runs(before, *dir));
    if dirs.is_empty() {
        return Ok(dirs);
    }
    // What was swapped in since is not stale.
    let now = kernel.interfaces()?;
    dirs.retain(|dir| !runs(&now, *dir) && is_stale(kernel, *dir, &now, ours).unwrap_or(true));
    Ok(dirs)
}

/// Removes those of the suspects that are stale still.
pub fn sweep(kernel: &Kernel, suspects: &[Dir], ours: &Ours<'_>) -> Call<()> {
    let now = kernel.interfaces()?;
    // One that cannot be looked at does not protect the others.
    let mut result = Ok(());
    for dir in suspects.iter().filter(|dir| !runs(&now, **dir)) {
        let swept = is_stale(kernel, *dir, &now, ours)
            .and_then(|stale| if stale { kernel.remove_dir(&dispatch_dir(dir.0, dir.1)) } else { Ok(()) });
        result = result.and(swept);
    }
    result
}

/// Removes directories that were to go, but for those of what is attached after all.
pub fn remove(kernel: &Kernel, dirs: &[PathBuf]) -> Call<()> {
    let now = kernel.interfaces()?;
    let attached = |dir: &PathBuf| {
        let name = dir.file_name().and_then(OsStr::to_str);
        name.and_then(parse).is_some_and(|dir| runs(&now, dir))
    };
    let removed = dirs.iter().filter(|dir| !attached(dir)).map(|dir| kernel.remove_dir(dir));
    // One that cannot be removed does not protect the others.
    removed.fold(Ok(()), Result::and)
}

fn is_stale(kernel: &Kernel, (ifindex, id): Dir, now: &[Interface], ours: &Ours<'_>) -> Call<bool> {
    let here = now.iter().any(|one| one.ifindex == ifindex);
    let dispatcher = match kernel.prog_by_id(id) {
        Err(error) if error.errno == libc::ENOENT => return Ok(true),
        dispatcher => dispatcher?,
    };
    let dir = dispatch_dir(ifindex, id);
    let (mut all, mut any) = (true, false);
    // An empty one is not stale by that: libxdp 1.3 has such for a moment while others can take the lock, and loses its
    // program if it goes (seen with `xdp-loader load` on 6.1).
    for name in kernel.names(&dir)? {
        let Some((_, kind @ ("prog" | "link"))) = name.rsplit_once('-') else { return Ok(false) };
        // A run that stopped between two pins left a link without its program.
        let pin = kernel.open_pin(&dir.join(&name))?;
        let id =
            if kind == "prog" { kernel.prog_info(pin.as_fd())?.id } else { kernel.link_info(pin.as_fd())?.prog_id };
        let is_ours = (ours.program)(id);
        all &= is_ours;
        any |= is_ours;
    }
    if !(here || (any && all)) {
        return Ok(false);
    }
    let Some(own) = (ours.dispatcher)() else { return Ok(false) };
    let info = kernel.prog_info(dispatcher.as_fd())?;
    if any && info.tag != own.tag && own.load_time.saturating_sub(info.load_time) <= OLD {
        // What is pruned meanwhile nobody would know as ours.
        return Err(CallError { call: "libxdp may swap in", what: dir.display().to_string(), errno: libc::EBUSY });
    }
    Ok(any || info.tag == own.tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_its_name() {
        for (name, want) in [
            ("dispatch-3-77", Some((3, 77))),
            ("dispatch-3-77-1", None),
            ("dispatch-3", None),
            ("dispatch--3-7", None),
            ("other", None),
        ] {
            assert_eq!(parse(name), want, "{name}");
        }
    }
}
