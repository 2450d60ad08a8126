//! Everything that bpf(2) can list: programs, maps, links and BTF by id, and what is attached to a place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Call, Kernel, XdpLinks, attr};

/// What has ids of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Programs.
    Program,
    /// Maps.
    Map,
    /// BTF.
    Btf,
    /// Links.
    Link,
}

impl Listed {
    /// The commands `*_GET_NEXT_ID` and `*_GET_FD_BY_ID`.
    fn commands(self) -> ((libc::c_int, &'static str), (libc::c_int, &'static str)) {
        match self {
            Self::Program => ((11, "BPF_PROG_GET_NEXT_ID"), (13, "BPF_PROG_GET_FD_BY_ID")),
            Self::Map => ((12, "BPF_MAP_GET_NEXT_ID"), (14, "BPF_MAP_GET_FD_BY_ID")),
            Self::Btf => ((23, "BPF_BTF_GET_NEXT_ID"), (19, "BPF_BTF_GET_FD_BY_ID")),
            Self::Link => ((31, "BPF_LINK_GET_NEXT_ID"), (30, "BPF_LINK_GET_FD_BY_ID")),
        }
    }
}

/// A link in detail.
#[derive(Clone, Debug)]
pub struct LinkDetail {
    /// `enum bpf_link_type`.
    pub link_type: u32,
    /// Id of its program; 0 for none.
    pub prog_id: u32,
    /// What `struct bpf_link_info` has for its type.
    pub words: [u32; 12],
    /// Of a tracepoint or function, where the kernel tells.
    pub name: String,
}

/// `struct bpf_link_info` with its union as words.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawLink {
    link_type: u32,
    id: u32,
    prog_id: u32,
    pad: u32,
    words: [u32; 12],
}

/// `struct bpf_btf_info` up to `kernel_btf`.
#[repr(C)]
#[derive(Default)]
struct BtfName {
    btf: u64,
    btf_size: u32,
    id: u32,
    name: u64,
    name_len: u32,
    kernel_btf: u32,
}

impl Kernel {
    /// The next id after `id`; `None`: there is none.
    pub fn next_id(&self, of: Listed, id: u32) -> Call<Option<u32>> {
        let mut next = attr::ById { id, ..Default::default() };
        match self.bpf(of.commands().0, "", &mut next) {
            Ok(_) => Ok(Some(next.next_id)),
            Err(error) if error.errno == libc::ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens one by id.
    pub fn by_id(&self, of: Listed, id: u32) -> Call<OwnedFd> {
        let mut attr = attr::ById { id, ..Default::default() };
        self.bpf_fd(of.commands().1, &id.to_string(), &mut attr)
    }

    /// Describes a link.
    pub fn link_detail(&self, link: BorrowedFd<'_>) -> Call<LinkDetail> {
        let mut raw = RawLink::default();
        self.info(link, &mut raw)?;
        let mut name = [0u8; 128];
        // Where the address and length of the name go: `raw_tracepoint.tp_name`; `perf_event.*.func_name` and the like.
        let place = match raw.link_type {
            1 => Some(0),
            7 if raw.words[0] != 0 => Some(2),
            _ => None,
        };
        if let Some(at) = place {
            let address = name.as_mut_ptr() as u64;
            let mut named = RawLink::default();
            // Little-endian machines only, as all of the loader: the low half first.
            named.words[at] = u32::try_from(address & 0xffff_ffff).unwrap_or_default();
            named.words[at + 1] = u32::try_from(address >> 32).unwrap_or_default();
            named.words[at + 2] = 127;
            // A kernel that does not tell names leaves the buffer alone.
            let _ = self.info(link, &mut named);
        }
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        Ok(LinkDetail { link_type: raw.link_type, prog_id: raw.prog_id, words: raw.words, name })
    }

    /// Name of BTF, and whether it is the kernel's or a module's.
    pub fn btf_name(&self, btf: BorrowedFd<'_>) -> Call<(String, bool)> {
        let mut name = [0u8; 64];
        let mut info = BtfName { name: name.as_mut_ptr() as u64, name_len: 64, ..Default::default() };
        self.info(btf, &mut info)?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
        Ok((String::from_utf8_lossy(&name[..end]).into_owned(), info.kernel_btf != 0))
    }

    /// Ids of programs attached to a place: a descriptor or an interface, by attach type. Returns how many there are.
    pub fn attached(&self, target: u32, attach_type: u32, ids: &mut [u32; 64]) -> Call<usize> {
        let mut attr =
            attr::ProgQuery { target, attach_type, prog_ids: ids.as_mut_ptr() as u64, count: 64, ..Default::default() };
        self.bpf((attr::PROG_QUERY, "BPF_PROG_QUERY"), "", &mut attr)?;
        Ok((attr.count as usize).min(64))
    }

    /// What links have to do with the XDP program `prog_id` of an interface.
    pub fn xdp_links(&self, ifindex: u32, prog_id: u32) -> Call<XdpLinks> {
        let mut found = XdpLinks { holder: None, extensions: Vec::new() };
        let mut id = 0;
        while let Some(next) = self.next_id(Listed::Link, id)? {
            id = next;
            let Ok(fd) = self.by_id(Listed::Link, id) else {
                continue; // gone between the two calls
            };
            let mut info = attr::LinkInfo::default();
            self.info(fd.as_fd(), &mut info)?;
            match info.link_type {
                attr::LINK_TYPE_XDP if info.word0 == ifindex && info.prog_id == prog_id => {
                    found.holder = Some(info.id);
                    break;
                }
                // Links to functions of the kernel (BPF_TRACE_RAW_TP to BPF_LSM_MAC) name a BTF object there.
                attr::LINK_TYPE_TRACING if info.target_obj_id == prog_id && !(23..=27).contains(&info.word0) => {
                    found.extensions.push(info.prog_id);
                }
                _ => {}
            }
        }
        Ok(found)
    }
}
