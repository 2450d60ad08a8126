//! Drivers of interfaces, by ioctl(2).
//!
//! Source: linux `include/uapi/linux/ethtool.h`, `struct ethtool_drvinfo`.
#![expect(unsafe_code, reason = "socket(2), ioctl(2)")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Call, CallError, Kernel, netlink::text};

impl Kernel {
    /// Name of the driver of an interface, as `ethtool -i` shows it; empty if it has none.
    pub fn driver(&self, interface: &str) -> Call<String> {
        const SIOCETHTOOL: libc::c_ulong = 0x8946;
        const ETHTOOL_GDRVINFO: u32 = 3;
        self.enter("ETHTOOL_GDRVINFO")?;
        // `struct ethtool_drvinfo`: the command, then the driver's name in 32 bytes, then 160 bytes of other things.
        let mut info = [0u32; 49];
        info[0] = ETHTOOL_GDRVINFO;
        // `struct ifreq`: a name in 16 bytes, then an address; 40 bytes in all.
        let mut request = [0u64; 5];
        let mut name = [0; 16];
        for (to, from) in name[..15].iter_mut().zip(interface.bytes()) {
            *to = from;
        }
        let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| name[at + byte]));
        (request[0], request[1], request[2]) = (half(0), half(8), info.as_mut_ptr() as u64);
        // SAFETY: plain system calls; the request has the size of a `struct ifreq`, and its address leads to the 196
        // bytes of a `struct ethtool_drvinfo`.
        let result = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(CallError::last("socket", ""));
            }
            let socket = OwnedFd::from_raw_fd(fd);
            libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, request.as_mut_ptr())
        };
        if result < 0 {
            let error = CallError::last("ETHTOOL_GDRVINFO", interface);
            let none = matches!(error.errno, libc::EOPNOTSUPP | libc::ENODEV);
            return if none { Ok(String::new()) } else { Err(error) };
        }
        let bytes: Vec<u8> = info[1..9].iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(text(bytes.split(|&byte| byte == 0).next().unwrap_or_default()))
    }
}
