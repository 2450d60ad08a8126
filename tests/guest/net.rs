//! Networks for tests: namespaces, veth pairs, raw frames.
//!
//! In:  names of interfaces; frames.
//! Out: frames that arrived, counters of interfaces.
//! May fail with: what `ip` or the kernel says.
//!
//! A test starts in an empty network of its own, its *home*. [`Pair::new`] makes a veth pair with one end at home and
//! the other in a second network, so that a frame sent at one end really crosses the kernel.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::sys::{self, Direction};

/// Runs `ip` (iproute2) with these words.
pub(crate) fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split_whitespace()).output().context("starting ip")?;
    if !output.status.success() {
        bail!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Brings an interface up.
pub(crate) fn up(interface: &str) -> Result<()> {
    ip(&format!("link set dev {interface} up"))
}

/// A network of its own.
pub(crate) struct Namespace {
    file: OwnedFd,
}

impl Namespace {
    /// Makes an empty network; it goes when this value and everything in it is gone.
    pub(crate) fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<OwnedFd> {
            sys::unshare_network()?;
            Ok(File::open("/proc/thread-self/ns/net").context("opening a network")?.into())
        });
        Ok(Self { file: joined(made.join())? })
    }

    /// Runs `work` inside: its sockets, its programs and the programs that it starts see this network only.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                sys::enter_network(self.file.as_fd())?;
                work()
            });
            joined(inside.join())
        })
    }

    /// A path by which `ip` finds it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// The result of a thread; a panic in it goes on here.
fn joined<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A veth pair: what goes in at one end comes out at the other.
pub(crate) struct Pair {
    /// The network of the far end.
    pub(crate) far: Namespace,
    /// Name of the end at home.
    pub(crate) near_name: &'static str,
    /// Name of the other end.
    pub(crate) far_name: &'static str,
}

impl Pair {
    /// Makes a pair, both ends up, without addresses and without IPv6, so that nobody sends on his own.
    pub(crate) fn new(near_name: &'static str, far_name: &'static str) -> Result<Self> {
        let far = Namespace::new()?;
        ip(&format!("link add {near_name} type veth peer name {far_name}"))?;
        ip(&format!("link set {far_name} netns {}", far.path()))?;
        quiet_up(near_name)?;
        far.run(|| quiet_up(far_name))?;
        Ok(Self { far, near_name, far_name })
    }

    /// A socket on the end at home.
    pub(crate) fn near_socket(&self) -> Result<FrameSocket> {
        FrameSocket::open(self.near_name)
    }

    /// A socket on the far end. It can be used from anywhere.
    pub(crate) fn far_socket(&self) -> Result<FrameSocket> {
        self.far.run(|| FrameSocket::open(self.far_name))
    }

    /// Counters of the end at home.
    pub(crate) fn near_counters(&self) -> Result<Counters> {
        Counters::of(self.near_name)
    }

    /// Counters of the far end.
    pub(crate) fn far_counters(&self) -> Result<Counters> {
        self.far.run(|| Counters::of(self.far_name))
    }
}

/// Brings an interface up that sends nothing on its own.
fn quiet_up(interface: &str) -> Result<()> {
    let file = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    fs::write(&file, "1").with_context(|| format!("writing {file}"))?;
    up(interface)
}

/// Packets that an interface counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Counters {
    /// Reads the counters of an interface of this thread's network.
    pub(crate) fn of(interface: &str) -> Result<Self> {
        // /proc/net would be the network of the process.
        let text = fs::read_to_string("/proc/thread-self/net/dev").context("reading net/dev")?;
        Self::parse(&text, interface).with_context(|| format!("net/dev has no {interface}"))
    }

    /// A line is `name: bytes packets errs drop fifo frame compressed multicast`, and the same for sending.
    fn parse(text: &str, interface: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        Some(Self { received: *fields.get(1)?, sent: *fields.get(9)? })
    }
}

/// Sends and receives whole Ethernet frames.
pub(crate) struct FrameSocket {
    socket: OwnedFd,
}

impl FrameSocket {
    /// Opens a socket on an interface of this thread's network.
    pub(crate) fn open(interface: &str) -> Result<Self> {
        Ok(Self { socket: sys::packet_socket(sys::interface_index(interface)?)? })
    }

    /// Sends one frame.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<()> {
        sys::send(self.socket.as_fd(), frame)
    }

    /// Frames that arrive in this time.
    pub(crate) fn receive_for(&self, time: Duration) -> Result<Vec<Vec<u8>>> {
        let (mut frames, deadline) = (Vec::new(), Instant::now() + time);
        while Instant::now() < deadline {
            match sys::receive(self.socket.as_fd(), deadline.saturating_duration_since(Instant::now()))? {
                None => break,
                Some((frame, Direction::In)) => frames.push(frame),
                Some((_, Direction::Out)) => {}
            }
        }
        Ok(frames)
    }

    /// Waits for `count` arriving frames and a moment longer for one too many; returns what came.
    ///
    /// `receive(0)` waits for a moment in which nothing must come.
    /// A veth pair keeps the order: what was sent before a frame that arrived has arrived too, or is lost.
    pub(crate) fn receive(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut deadline = Instant::now() + PATIENCE;
        while frames.len() <= count {
            if frames.len() == count {
                deadline = deadline.min(Instant::now() + AFTERWARDS);
            }
            match sys::receive(self.socket.as_fd(), deadline.saturating_duration_since(Instant::now()))? {
                None => break,
                Some((frame, Direction::In)) => frames.push(frame),
                Some((_, Direction::Out)) => {}
            }
        }
        Ok(frames)
    }
}

/// Longest wait for frames that must come: an emulated processor may be slow.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wait for frames that must not come.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// A UDP packet for IPv4 in an Ethernet frame, with checksums, at least 60 bytes long.
pub(crate) fn udp_frame(from: [u8; 4], to: [u8; 4], port: u16, payload: &[u8]) -> Result<Vec<u8>> {
    let udp_length = u16::try_from(8 + payload.len()).context("the payload is too long")?;
    let mut udp = Vec::new();
    for field in [40000, port, udp_length, 0] {
        udp.extend_from_slice(&u16::to_be_bytes(field));
    }
    udp.extend_from_slice(payload);
    let pseudo = [&from[..], &to, &[0, 17], &udp_length.to_be_bytes(), &udp].concat();
    udp[6..8].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    ipv4_frame(from, to, 17, &udp)
}

/// An IPv4 packet with this protocol and content in an Ethernet frame to everybody, at least 60 bytes long.
pub(crate) fn ipv4_frame(from: [u8; 4], to: [u8; 4], protocol: u8, content: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(20 + content.len()).context("the content is too long")?.to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend([from, to].concat());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend(header);
    frame.extend_from_slice(content);
    frame.resize(frame.len().max(60), 0);
    Ok(frame)
}

/// The checksum of RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("invariant: folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_the_whole_name() {
        let text =
            "Inter-|   Receive\n face |bytes\n  eth10: 9 9 0 0 0 0 0 0 9 9 0\n   eth1: 100 3 0 0 0 0 0 0 200 5 0 0\n";
        assert_eq!(Counters::parse(text, "eth1"), Some(Counters { received: 3, sent: 5 }));
        assert_eq!(Counters::parse(text, "eth"), None);
    }

    #[test]
    fn a_header_with_its_checksum_sums_up_to_nothing() {
        let frame = udp_frame([10, 0, 0, 1], [10, 0, 0, 2], 7, b"hello").unwrap();
        assert_eq!(frame.len(), 60);
        assert_eq!(checksum(&frame[14..34]), 0);
        let udp = &frame[34..34 + 13];
        let pseudo = [&[10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 13][..], udp].concat();
        assert_eq!(checksum(&pseudo), 0);
    }
}
