//! The dispatcher's configuration: the one value of its one map.
//!
//! Layout of version 2, 124 bytes: u8 magic, version, programs, `is_xdp_frags`; then three arrays of ten u32 in host
//! order: chain masks, run priorities, program flags. Version 1, 84 bytes: u8 programs, three unused; the first two of the
//! arrays at the same places. Version 3, 128 bytes: version 2, and u8 `is_xdp_devbound`, three unused.
//!
//! Source: xdp-tools `headers/xdp/prog_dispatcher.h`: 1.2.9 and older (1), 1.3.0 to 1.5.8 (2), 1.6.0 (3).

use nodeplan::limits::DISPATCHER_SLOTS;

/// `XDP_DISPATCHER_MAGIC`: 'X' + 'D' + 'P'.
const MAGIC: u8 = 236;
/// libxdp sets this bit in every chain mask: 31 is what an empty slot returns.
pub const ALWAYS_PROCEED: u32 = 1 << 31;
/// `BPF_F_XDP_HAS_FRAGS`, linux `include/uapi/linux/bpf.h`.
pub const F_XDP_HAS_FRAGS: u32 = 1 << 5;

const MASKS: usize = 4;
const PRIORITIES: usize = 44;
const FLAGS: usize = 84;
const BOUND: usize = 124;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// libxdp 1.2 and older: without flags.
    V1 = 1,
    /// libxdp 1.3 to 1.5: what all can see, so ours wherever nobody else is.
    #[default]
    V2 = 2,
    /// libxdp 1.6.
    V3 = 3,
}

impl Version {
    /// Size of its configuration.
    fn bytes(self) -> usize {
        match self {
            Self::V1 => FLAGS,
            Self::V2 => BOUND,
            Self::V3 => BOUND + 4,
        }
    }
}

/// One slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Verdicts after which the next slot runs, with [`ALWAYS_PROCEED`].
    pub mask: u32,
    /// Place in the chain.
    pub priority: u32,
    /// [`F_XDP_HAS_FRAGS`] if the component has it. Version 1 has no flags.
    pub flags: u32,
}

/// A dispatcher's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Layout.
    pub version: Version,
    /// Whether the dispatcher was loaded for multi-buffer packets.
    pub frags: bool,
    /// Slots in use, in running order.
    pub slots: Vec<Slot>,
}

/// Bytes that are no configuration of ours to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A version that came after this loader.
    Newer(u8),
    /// Version 3, bound to a device: programs of others cannot join.
    Bound,
    /// An impossible size or number of programs.
    Damaged,
}

impl Config {
    /// The bytes of the map's one value.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.version.bytes()];
        let count = u8::try_from(self.slots.len()).expect("invariant: a chain has at most ten programs");
        match self.version {
            Version::V1 => bytes[0] = count,
            version => bytes[..MASKS].copy_from_slice(&[MAGIC, version as u8, count, u8::from(self.frags)]),
        }
        for (i, slot) in self.slots.iter().take(DISPATCHER_SLOTS).enumerate() {
            for (base, value) in [(MASKS, slot.mask), (PRIORITIES, slot.priority), (FLAGS, slot.flags)] {
                // Version 1 ends before the flags.
                if let Some(place) = bytes.get_mut(base + 4 * i..base + 4 * i + 4) {
                    place.copy_from_slice(&value.to_ne_bytes());
                }
            }
        }
        bytes
    }

    /// Reads the map's value. Version 1 has no magic: whether it is one, the program's BTF has to say.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConfigError> {
        let (version, count, frags) = match *bytes {
            [MAGIC, 2, count, frags, ..] => (Version::V2, count, frags != 0),
            [MAGIC, 3, count, frags, ..] => (Version::V3, count, frags != 0),
            [MAGIC, version @ 4..=u8::MAX, ..] => return Err(ConfigError::Newer(version)),
            [count, ..] => (Version::V1, count, false),
            [] => return Err(ConfigError::Damaged),
        };
        let count = usize::from(count);
        if bytes.len() != version.bytes() || count > DISPATCHER_SLOTS {
            return Err(ConfigError::Damaged);
        }
        if bytes.get(BOUND).is_some_and(|bound| *bound != 0) {
            return Err(ConfigError::Bound);
        }
        let word = |at: usize| match bytes.get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_ne_bytes([a, b, c, d]),
            _ => 0,
        };
        let slots = (0..count).map(|i| Slot {
            mask: word(MASKS + 4 * i),
            priority: word(PRIORITIES + 4 * i),
            flags: word(FLAGS + 4 * i),
        });
        Ok(Self { version, frags, slots: slots.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(version: Version) -> Config {
        let slot = Slot { mask: ALWAYS_PROCEED | 4, priority: 50, flags: 0x20 };
        Config { version, frags: true, slots: vec![slot; 10] }
    }

    #[test]
    fn the_layout_is_libxdps() {
        let config = full(Version::V2);
        let bytes = config.encode();
        assert_eq!(bytes.len(), 124);
        assert_eq!(bytes[..4], [236, 2, 10, 1]);
        assert_eq!(bytes[4..8], (1u32 << 31 | 4).to_ne_bytes());
        assert_eq!(bytes[44..48], 50u32.to_ne_bytes());
        assert_eq!(bytes[120..124], 0x20u32.to_ne_bytes());
        assert_eq!(Config::decode(&bytes), Ok(config));
    }

    #[test]
    fn version_3_is_longer() {
        let config = full(Version::V3);
        let bytes = config.encode();
        let mut same = full(Version::V2).encode();
        same[1] = 3;
        assert_eq!((&bytes[..124], &bytes[124..]), (&same[..], &[0; 4][..]));
        assert_eq!(Config::decode(&bytes), Ok(config));
    }

    #[test]
    fn version_1_has_neither_magic_nor_flags() {
        let bytes = full(Version::V1).encode();
        assert_eq!(bytes.len(), 84);
        assert_eq!(bytes[..4], [10, 0, 0, 0]);
        assert_eq!(bytes[4..84], full(Version::V2).encode()[4..84]);
        let slot = Slot { flags: 0, ..full(Version::V1).slots[0] };
        let want = Config { version: Version::V1, frags: false, slots: vec![slot; 10] };
        assert_eq!(Config::decode(&bytes), Ok(want));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let changed = |version, at: usize, value| {
            let mut bytes = full(version).encode();
            bytes[at] = value;
            Config::decode(&bytes)
        };
        assert_eq!(changed(Version::V3, 1, 4), Err(ConfigError::Newer(4)));
        assert_eq!(changed(Version::V2, 1, 255), Err(ConfigError::Newer(255)));
        assert_eq!(changed(Version::V2, 1, 1), Err(ConfigError::Damaged), "magic came with version 2");
        assert_eq!(changed(Version::V2, 1, 3), Err(ConfigError::Damaged), "too short for a version 3");
        assert_eq!(changed(Version::V2, 2, 11), Err(ConfigError::Damaged));
        assert_eq!(changed(Version::V1, 0, 11), Err(ConfigError::Damaged));
        assert_eq!(changed(Version::V3, 124, 1), Err(ConfigError::Bound));
        for len in 0..84 {
            assert_eq!(Config::decode(&vec![0; len]), Err(ConfigError::Damaged));
        }
        assert_eq!(Config::decode(&[236, 2]), Err(ConfigError::Damaged));
    }
}
