//! Note: an ELF note by which a binary for nodes says which one it is.
//!
//! In: the binary's name. Out: the bytes of its section `.note.nodebpf`, which `install` looks for: whoever gives one for
//! the other would have nodes that run nothing. It is no proof of anything else. Source of the layout: elf(5), `Nhdr`.

/// Section that has it.
pub const SECTION: &str = ".note.nodebpf";

/// Whose note it is, with the byte 0 that ends it.
pub const OWNER: [u8; 8] = *b"nodebpf\0";

/// `n_type`. Ours: the name of a binary.
pub const BINARY: u32 = 1;

const NAME_BYTES: usize = 16;

/// A note with the name of a binary, filled up with bytes 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Note {
    owner_bytes: u32,
    name_bytes: u32,
    kind: u32,
    owner: [u8; OWNER.len()],
    name: [u8; NAME_BYTES],
}

impl Note {
    /// The note of a binary whose name has at most 15 bytes; of a longer one it has the first.
    #[must_use]
    pub const fn of(binary: &str) -> Self {
        let mut name = [0; NAME_BYTES];
        let mut at = 0;
        while at < binary.len() && at + 1 < NAME_BYTES {
            name[at] = binary.as_bytes()[at];
            at += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "8 and 16")]
        Self { owner_bytes: OWNER.len() as u32, name_bytes: NAME_BYTES as u32, kind: BINARY, owner: OWNER, name }
    }

    /// Its bytes in a file for a little-endian machine.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = [self.owner_bytes, self.name_bytes, self.kind];
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.owner);
        bytes.extend(self.name);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_owner_and_name() {
        let bytes = Note::of("nodebpf-loader").to_bytes();
        assert_eq!(bytes.len(), size_of::<Note>());
        assert_eq!(bytes, b"\x08\0\0\0\x10\0\0\0\x01\0\0\0nodebpf\0nodebpf-loader\0\0");
        assert_eq!(Note::of("a-name-that-is-too-long").to_bytes()[20..], *b"a-name-that-is-\0");
    }
}
