//! Observe: what is attached to an interface, in the words of [`super::chain`].
//!
//! In: an interface from rtnetlink. Out: [`Observed`] and the descriptors of the programs in a shared dispatcher.
//! Call it with the protocol's lock held: libxdp changes pins only under it.

use nodeplan::sorted::SortedMap;
use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
};

use nodeplan::{digest::to_hex, report::Code};

use super::{
    chain::{Attached, Lost, Member, Observed, Refused},
    config::{ALWAYS_PROCEED, Config, ConfigError, Version},
    dispatch_dir,
    names::full_name,
};
use crate::{
    kernel::{Call, Interface, Kernel, ProgInfo, XdpAttached, XdpState},
    object::Btf,
};

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;

/// Largest configuration that is looked at; that of version 2 has 124 bytes.
const CONFIG_MAX_BYTES: u32 = 4096;

/// `BPF_F_RDONLY_PROG`.
const F_RDONLY_PROG: u32 = 1 << 7;

/// The bit of `XDP_PASS` in a mask.
const PASS: u32 = 1 << 2;

/// `BTF_KIND_FUNC`.
const FUNC: u32 = 12;

/// How the name of the map of a dispatcher begins that replaced another one. With the largest id it has 14 bytes.
const WAS: &str = "was_";

/// A configuration, and the id of the dispatcher that was replaced.
type Read = (Result<Config, ConfigError>, Option<u32>);

/// Descriptors of loaded programs by id.
pub type Programs = SortedMap<u32, Rc<OwnedFd>>;

fn held(code: Code, message: String) -> Observed {
    Observed::Held(Refused { code, message })
}

/// Looks at one interface. Adds the programs of a shared dispatcher to `programs`.
pub fn observe(kernel: &Kernel, interface: &Interface, programs: &mut Programs) -> Call<Observed> {
    let attached = match interface.xdp {
        XdpState::Empty => return Ok(Observed::Empty),
        XdpState::Other => {
            let message = "XDP runs there in hardware or in several modes; detach it with `ip link set … xdp off`";
            return Ok(held(Code::ModeConflict, message.to_owned()));
        }
        XdpState::One(attached) => attached,
    };
    let fd = kernel.prog_by_id(attached.prog_id)?;
    let info = kernel.prog_info(fd.as_fd())?;
    let holder = format!("program `{}` (id {}, tag {})", info.name, info.id, to_hex(&info.tag));
    let links = kernel.xdp_links(interface.ifindex, attached.prog_id)?;
    if let Some(link) = links.holder {
        let message = format!(
            "{holder} holds `{}` by bpf_link {link}, which excludes everybody else (Ingress Node Firewall, bpfman and \
             Cilium attach so)",
            interface.name
        );
        return Ok(held(Code::HeldByLink, message));
    }
    let legacy = |why: &str| {
        let message = format!("{holder} holds `{}` and {why}", interface.name);
        Ok(held(Code::HeldByLegacy, message))
    };
    let (config, former) = match read_config(kernel, &info)? {
        Some((Ok(config), former)) => (config, former),
        Some((Err(ConfigError::Newer(version)), _)) => {
            let message = format!(
                "{holder} is a dispatcher of version {version}; this loader knows 1 to 3. Unload it with \
                 `xdp-loader unload`, or keep all users of the interface on one version of libxdp"
            );
            return Ok(held(Code::DispatcherTooNew, message));
        }
        Some((Err(ConfigError::Bound), _)) => {
            return legacy("is a dispatcher bound to the device, which nobody can join");
        }
        Some((Err(ConfigError::Damaged), _)) => return legacy("is a dispatcher with an impossible configuration"),
        None => return legacy("is not a libxdp dispatcher, so the interface cannot be shared"),
    };
    if let Some(there) = read_members(kernel, interface.ifindex, attached, (&config, info.btf_id), programs)? {
        return Ok(Observed::Dispatcher(Attached { former, ..there }));
    }
    let message =
        format!("{holder} holds `{}` and is a dispatcher whose pins below /sys/fs/bpf/xdp are gone", interface.name);
    let refused = Refused { code: Code::HeldByLegacy, message };
    let XdpAttached { mode, prog_id } = attached;
    Ok(Observed::Lost(Lost {
        mode,
        prog_id,
        version: config.version,
        runs: links.extensions,
        kept: Vec::new(),
        refused,
    }))
}

/// The name of the map of a dispatcher of ours, by the one that it replaces. libxdp does not look at it.
pub fn map_name(former: Option<u32>) -> String {
    former.map_or_else(|| ".rodata".to_owned(), |id| format!("{WAS}{id}"))
}

/// The configuration of a dispatcher, and the one that it says it replaced; `None` if the program is none. The rules are libxdp's own
/// (`check_dispatcher_version`): BTF, exact name, exactly one map, read-only for programs. Anybody may load a program
/// of that name: of a per-CPU map the kernel would write more than one value behind our buffer.
fn read_config(kernel: &Kernel, info: &ProgInfo) -> Call<Option<Read>> {
    let [map_id] = info.map_ids[..] else { return Ok(None) };
    if info.btf_id == 0 || info.name != "xdp_dispatcher" {
        return Ok(None);
    }
    let map = kernel.map_by_id(map_id)?;
    let map_info = kernel.map_info(map.as_fd())?;
    let one_value = map_info.map_type == ARRAY && map_info.key_size == 4 && map_info.max_entries == 1;
    if !one_value || map_info.value_size > CONFIG_MAX_BYTES || map_info.flags & F_RDONLY_PROG == 0 {
        return Ok(None);
    }
    let mut value = vec![0; map_info.value_size as usize];
    kernel.map_lookup(map.as_fd(), &0u32.to_ne_bytes(), &mut value)?;
    let config = Config::decode(&value);
    // Without magic only the BTF tells a version 1 from what merely looks like one.
    let is_v1 = config.as_ref().is_ok_and(|config| config.version == Version::V1);
    if is_v1 && Btf::parse(kernel.btf_bytes(info.btf_id)?).and_then(|btf| btf.length("dispatcher_version")) != Some(1) {
        return Ok(None);
    }
    let former = map_info.name.strip_prefix(WAS).and_then(|id| id.parse().ok());
    Ok(Some((config, former)))
}

/// The programs behind the slots, from their pins; `None` if a pin is missing.
fn read_members(
    kernel: &Kernel,
    ifindex: u32,
    attached: XdpAttached,
    (config, btf_id): (&Config, u32),
    programs: &mut Programs,
) -> Call<Option<Attached>> {
    let dir = dispatch_dir(ifindex, attached.prog_id);
    let mut members = Vec::new();
    let mut linked = true;
    for (i, slot) in config.slots.iter().enumerate() {
        let fd = match kernel.open_pin(&dir.join(format!("prog{i}-prog"))) {
            Ok(fd) => fd,
            Err(error) if error.errno == libc::ENOENT => return Ok(None),
            Err(error) => return Err(error),
        };
        let function = leads_to(kernel, &link_pin(ifindex, attached.prog_id, i), attached.prog_id)?;
        linked &= match function {
            // libxdp lets a lone program replace the main function. What stands in its own mask would be final then, and
            // not pass: docs/adr/0005-xdp-one-program-chain.md.
            Some(function) if config.slots.len() == 1 && slot.mask & !(ALWAYS_PROCEED | PASS) != 0 => {
                let btf = Btf::parse(kernel.btf_bytes(btf_id)?);
                btf.and_then(|btf| btf.find(FUNC, "xdp_dispatcher")) != Some(function)
            }
            function => function.is_some(),
        };
        let member = describe(kernel, &fd, slot.priority, slot.mask, slot.flags)?;
        programs.insert(member.prog_id, Rc::new(fd));
        members.push(member);
    }
    let XdpAttached { mode, prog_id } = attached;
    let (version, frags) = (config.version, config.frags);
    Ok(Some(Attached { mode, prog_id, version, frags, members, linked, former: None }))
}

/// The pin of the link in a slot of a dispatcher.
pub fn link_pin(ifindex: u32, dispatcher: u32, slot: usize) -> PathBuf {
    dispatch_dir(ifindex, dispatcher).join(format!("prog{slot}-link"))
}

/// BTF id of the function that a pinned link replaces, if one is pinned there and leads to this dispatcher.
pub fn leads_to(kernel: &Kernel, pin: &Path, dispatcher: u32) -> Call<Option<u32>> {
    match kernel.open_pin(pin) {
        Ok(link) => Ok(Some(kernel.link_target(link.as_fd())?).filter(|to| to.0 == dispatcher).map(|to| to.1)),
        Err(error) if error.errno == libc::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// A loaded program as a member of a chain.
pub fn describe(kernel: &Kernel, fd: &OwnedFd, priority: u32, mask: u32, flags: u32) -> Call<Member> {
    let info = kernel.prog_info(fd.as_fd())?;
    let name = match info.btf_id {
        0 => info.name,
        id => full_name(&info.name, kernel.btf_bytes(id)?),
    };
    Ok(Member { prog_id: info.id, name, tag: info.tag, load_time: info.load_time, priority, mask, flags })
}
