//! Mutations: from sound inputs to damaged ones.
//!
//! In:   seeds, words worth inserting, a random number generator. Out: bytes. Cannot fail.

/// Small and fast random numbers, the same on every machine: xorshift64* (Marsaglia 2003, Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    /// Generator of input `n` of a run: neighbours must not look alike, so both are mixed first.
    pub(crate) fn of(seed: u64, n: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 31;
        Self(state.wrapping_mul(0x94d0_49bb_1331_11eb) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to `end`, which is excluded; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let value = usize::try_from(self.next() >> 33).unwrap_or(0);
        value.checked_rem(end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[5]
    }

    /// One of `items`.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// Largest input, in bytes: growth by repeated insertion must end somewhere.
const MAX_BYTES: usize = 256 * 1024;

/// Numbers at which lengths, offsets and counts go wrong.
const NUMBERS: [u64; 12] =
    [0, 1, 7, 8, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// One of `seeds`, damaged in one to eight places; sometimes noise, sometimes as it is.
pub(crate) fn input(seeds: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    if random.below(500) == 0 {
        let length = random.below(2000);
        return (0..length).map(|_| random.byte()).collect();
    }
    let mut bytes = random.pick(seeds).cloned().unwrap_or_default();
    let count = [0, 1, 1, 1, 2, 2, 3, 4, 8];
    for _ in 0..random.pick(&count).copied().unwrap_or(1) {
        damage(&mut bytes, seeds, words, random);
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn damage(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let rest = bytes.len() - at;
    let length = (1 << random.below(9)).min(rest);
    match random.below(12) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        3 => drop(bytes.drain(at..at + length)),
        4 => bytes.truncate(at),
        5 => insert(bytes, at, &random.byte().to_le_bytes()),
        6 => {
            let piece = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len() + 1);
            insert(bytes, to, &piece);
        }
        7 => {
            let piece = bytes[at..at + length].to_vec();
            let times = 1 << random.below(10);
            insert(bytes, at, &piece.repeat(times.min(MAX_BYTES / piece.len().max(1))));
        }
        8 | 9 => {
            let word = random.pick(words).copied().unwrap_or_default();
            let replaced = if random.below(2) == 0 { 0 } else { length.min(word.len()) };
            bytes.drain(at..at + replaced);
            insert(bytes, at, word.as_bytes());
        }
        10 => {
            // A number in place, of 1, 2, 4 or 8 bytes, little-endian as in ELF and BTF.
            let number = random.pick(&NUMBERS).copied().unwrap_or_default().to_le_bytes();
            let size = (1 << random.below(4)).min(rest);
            bytes[at..at + size].copy_from_slice(&number[..size]);
        }
        _ => {
            let other = random.pick(seeds).cloned().unwrap_or_default();
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= MAX_BYTES {
        bytes.splice(at..at, piece.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_can_be_made_again_and_no_two_are_alike() {
        let seeds = [b"apiVersion: nodebpf.io/v1alpha1".to_vec(), b"\x7fELF".to_vec()];
        let make = |n| input(&seeds, &["word"], &mut Random::of(7, n));
        let inputs: std::collections::BTreeSet<_> = (0..2000).map(make).collect();
        assert!(inputs.len() > 1000, "{} of 2000 differ", inputs.len());
        assert!((0..2000).all(|n| make(n) == make(n)));
        assert!(input(&[], &[], &mut Random::of(0, 0)).len() <= MAX_BYTES);
    }
}
