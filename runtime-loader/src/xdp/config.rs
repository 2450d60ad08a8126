//! The dispatcher's configuration, version 2: 124 bytes in its one map.
//!
//! Layout: u8 magic, version, programs, `is_xdp_frags`; then three arrays of ten u32 in host order: chain masks, run
//! priorities, program flags. Source: xdp-tools 1.3.0 to 1.5.8, `headers/xdp/prog_dispatcher.h`.

use nodeplan::limits::DISPATCHER_SLOTS;

/// `XDP_DISPATCHER_MAGIC`: 'X' + 'D' + 'P'.
const MAGIC: u8 = 236;
/// `XDP_DISPATCHER_VERSION` of libxdp 1.3 to 1.5.
pub const VERSION: u8 = 2;
/// Size of version 2.
pub const BYTES: usize = 124;
/// libxdp sets this bit in every chain mask: 31 is what an empty slot returns.
pub const ALWAYS_PROCEED: u32 = 1 << 31;

const MASKS: usize = 4;
const PRIORITIES: usize = 44;
const FLAGS: usize = 84;

/// One slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Verdicts after which the next slot runs, with [`ALWAYS_PROCEED`].
    pub mask: u32,
    /// Place in the chain.
    pub priority: u32,
    /// `BPF_F_XDP_HAS_FRAGS` if the component has it.
    pub flags: u32,
}

/// A dispatcher's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether the dispatcher was loaded for multi-buffer packets.
    pub frags: bool,
    /// Slots in use, in running order.
    pub slots: Vec<Slot>,
}

/// Bytes that are not version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No magic: version 1 of libxdp 1.2 and older, or no dispatcher at all.
    NoMagic,
    /// Another version.
    Version(u8),
    /// Version 2 with an impossible size or number of programs.
    Damaged,
}

impl Config {
    /// The bytes of the map's one value.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let count = u8::try_from(self.slots.len()).expect("invariant: a chain has at most ten programs");
        bytes[..MASKS].copy_from_slice(&[MAGIC, VERSION, count, u8::from(self.frags)]);
        for (i, slot) in self.slots.iter().take(DISPATCHER_SLOTS).enumerate() {
            for (base, value) in [(MASKS, slot.mask), (PRIORITIES, slot.priority), (FLAGS, slot.flags)] {
                bytes[base + 4 * i..base + 4 * i + 4].copy_from_slice(&value.to_ne_bytes());
            }
        }
        bytes
    }

    /// Reads the map's value.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConfigError> {
        match bytes {
            [MAGIC, VERSION, ..] => {}
            [MAGIC, version, ..] => return Err(ConfigError::Version(*version)),
            _ => return Err(ConfigError::NoMagic),
        }
        let count = usize::from(*bytes.get(2).ok_or(ConfigError::Damaged)?);
        if bytes.len() != BYTES || count > DISPATCHER_SLOTS {
            return Err(ConfigError::Damaged);
        }
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let slots = (0..count).map(|i| Slot {
            mask: word(MASKS + 4 * i),
            priority: word(PRIORITIES + 4 * i),
            flags: word(FLAGS + 4 * i),
        });
        Ok(Self { frags: bytes[3] != 0, slots: slots.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_libxdps() {
        let slot = Slot { mask: ALWAYS_PROCEED | 4, priority: 50, flags: 0x20 };
        let config = Config { frags: true, slots: vec![slot; 10] };
        let bytes = config.encode();
        assert_eq!(bytes[..4], [236, 2, 10, 1]);
        assert_eq!(bytes[4..8], (1u32 << 31 | 4).to_ne_bytes());
        assert_eq!(bytes[44..48], 50u32.to_ne_bytes());
        assert_eq!(bytes[120..124], 0x20u32.to_ne_bytes());
        assert_eq!(Config::decode(&bytes), Ok(config));
    }

    #[test]
    fn other_versions_are_named() {
        let mut bytes = [0u8; 128];
        bytes[..3].copy_from_slice(&[236, 3, 1]);
        assert_eq!(Config::decode(&bytes), Err(ConfigError::Version(3)));
        assert_eq!(Config::decode(&[0; 84]), Err(ConfigError::NoMagic));
        assert_eq!(Config::decode(&[]), Err(ConfigError::NoMagic));
        assert_eq!(Config::decode(&[236, 2]), Err(ConfigError::Damaged));
        let mut eleven = Config { frags: false, slots: vec![] }.encode();
        eleven[2] = 11;
        assert_eq!(Config::decode(&eleven), Err(ConfigError::Damaged));
    }
}
