//! An `AF_XDP` socket: frames that an XDP program redirects to it are read from memory that it shares with the kernel.
//!
//! In:  an interface of this thread's network; the map of sockets of the program that redirects.
//! Out: frames. Copy mode, queue 0, frames of half a page.
//! May fail with: calls of the kernel, named.
//!
//! Layout and order: `Documentation/networking/af_xdp.rst`, `include/uapi/linux/if_xdp.h`.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::sys::{self, checked};

/// Slots of each ring, and frames of the memory; a power of two.
const FRAMES: u32 = 64;
const FRAME_BYTES: u32 = 2048;

/// How long a frame that must come may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel maps into this process; never unmapped, the process of a test is short.
struct Shared {
    start: NonNull<u8>,
    bytes: usize,
}

impl Shared {
    fn map(fd: Option<&OwnedFd>, bytes: usize, offset: i64) -> Result<Self> {
        let (fd, kind) = match fd {
            Some(fd) => (fd.as_raw_fd(), libc::MAP_SHARED | libc::MAP_POPULATE),
            None => (-1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        };
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, kind, fd, offset) };
        ensure!(start != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        Ok(Self { start: NonNull::new(start.cast()).context("mmap: nothing")?, bytes })
    }

    /// A counter that the kernel reads or writes.
    fn counter(&self, at: u64) -> Result<&AtomicU32> {
        let at = usize::try_from(at)?;
        ensure!(at % 4 == 0 && at + 4 <= self.bytes, "a counter at {at} of {}", self.bytes);
        // SAFETY: inside the mapping, aligned, and only ever read and written as an atomic.
        Ok(unsafe { self.start.add(at).cast::<AtomicU32>().as_ref() })
    }

    fn bytes(&self, at: usize, length: usize) -> Result<Vec<u8>> {
        ensure!(
            at.checked_add(length).is_some_and(|end| end <= self.bytes),
            "{length} bytes at {at} of {}",
            self.bytes
        );
        // SAFETY: inside the mapping; the kernel has handed this frame over and does not write to it.
        Ok(unsafe { std::slice::from_raw_parts(self.start.add(at).as_ptr(), length) }.to_vec())
    }

    fn write(&self, at: usize, value: u64) -> Result<()> {
        ensure!(at + 8 <= self.bytes, "a word at {at} of {}", self.bytes);
        // SAFETY: inside the mapping; the slot is ours until its ring's producer moves on.
        unsafe { self.start.add(at).cast::<u64>().write_unaligned(value) };
        Ok(())
    }
}

/// A socket that is bound.
pub(crate) struct XskSocket {
    socket: OwnedFd,
    memory: Shared,
    received: Shared,
    offsets: libc::xdp_ring_offset,
}

fn set<T>(socket: &OwnedFd, name: libc::c_int, value: &T) -> Result<()> {
    let length = u32::try_from(size_of::<T>())?;
    // SAFETY: a value of this length.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, name, std::ptr::from_ref(value).cast(), length) };
    checked(result).with_context(|| format!("setsockopt {name} of SOL_XDP")).map(drop)
}

impl XskSocket {
    /// Binds to queue 0 of an interface of this thread's network.
    pub(crate) fn bind(interface: &str) -> Result<Self> {
        let index = sys::interface_index(interface)?;
        // SAFETY: no pointers; the descriptor is owned at once.
        let socket = unsafe {
            OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_XDP, libc::SOCK_RAW, 0)).context("socket of AF_XDP")?)
        };
        let memory = Shared::map(None, usize::try_from(FRAMES * FRAME_BYTES)?, 0)?;
        let area = libc::xdp_umem_reg {
            addr: memory.start.as_ptr() as u64,
            len: u64::from(FRAMES * FRAME_BYTES),
            chunk_size: FRAME_BYTES,
            // SAFETY: a structure of integers.
            ..unsafe { std::mem::zeroed() }
        };
        set(&socket, libc::XDP_UMEM_REG, &area)?;
        for ring in [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING] {
            set(&socket, ring, &FRAMES)?;
        }
        // SAFETY: a structure of integers.
        let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
        let mut length = u32::try_from(size_of_val(&offsets))?;
        // SAFETY: room of this length.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_XDP,
                libc::XDP_MMAP_OFFSETS,
                (&raw mut offsets).cast(),
                &raw mut length,
            )
        };
        checked(result).context("getsockopt XDP_MMAP_OFFSETS")?;
        // All frames are the kernel's to fill; it has as many as a test sends.
        let slots = usize::try_from(FRAMES)?;
        let fill_bytes = usize::try_from(offsets.fr.desc)? + slots * size_of::<u64>();
        let fill = Shared::map(Some(&socket), fill_bytes, i64::try_from(libc::XDP_UMEM_PGOFF_FILL_RING)?)?;
        for slot in 0..FRAMES {
            let at = usize::try_from(offsets.fr.desc)? + usize::try_from(slot)? * size_of::<u64>();
            fill.write(at, u64::from(slot * FRAME_BYTES))?;
        }
        fill.counter(offsets.fr.producer)?.store(FRAMES, Ordering::Release);
        let bytes = usize::try_from(offsets.rx.desc)? + slots * size_of::<libc::xdp_desc>();
        let received = Shared::map(Some(&socket), bytes, libc::XDP_PGOFF_RX_RING)?;
        // SAFETY: a structure of integers.
        let mut address: libc::sockaddr_xdp = unsafe { std::mem::zeroed() };
        address.sxdp_family = u16::try_from(libc::AF_XDP)?;
        address.sxdp_flags = libc::XDP_COPY;
        address.sxdp_ifindex = index;
        let length = u32::try_from(size_of_val(&address))?;
        // SAFETY: an address of this length.
        checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
            .context("bind of AF_XDP")?;
        Ok(Self { socket, memory, received, offsets: offsets.rx })
    }

    /// For the map of sockets.
    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// The next frame, if one comes; nothing is given back to the kernel: a socket takes [`FRAMES`] frames in all.
    pub(crate) fn receive(&self, patience: Option<Duration>) -> Result<Option<Vec<u8>>> {
        let (producer, consumer) =
            (self.received.counter(self.offsets.producer)?, self.received.counter(self.offsets.consumer)?);
        let deadline = Instant::now() + patience.unwrap_or(PATIENCE);
        let next = consumer.load(Ordering::Relaxed);
        while producer.load(Ordering::Acquire) == next {
            if Instant::now() > deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(2));
        }
        ensure!(next < FRAMES, "the socket has had all {FRAMES} frames");
        let at = usize::try_from(self.offsets.desc)? + usize::try_from(next)? * size_of::<libc::xdp_desc>();
        let slot = self.received.bytes(at, size_of::<libc::xdp_desc>())?;
        // `struct xdp_desc`: address, length, options.
        let address = u64::from_ne_bytes(slot[..8].try_into()?);
        let length = u32::from_ne_bytes(slot[8..12].try_into()?);
        let frame = self.memory.bytes(usize::try_from(address)?, usize::try_from(length)?)?;
        consumer.store(next + 1, Ordering::Release);
        Ok(Some(frame))
    }
}
