//! A deterministic uncompressed ustar archive: regular files only, all metadata fixed, `tar tvf` shows it.
//!
//! Source of the format: POSIX.1-2017, pax, "ustar Interchange Format".
//!
//! Decoding reads a name and a size and then demands that header and padding are those that [`encode`] writes for them,
//! block by block and without a copy: what is compared was signed by nobody yet. So every bit of an archive is either
//! content or fixed: there is no padding, owner, time or checksum spelling to hide in.

const BLOCK: usize = 512;

/// Longest member name, in bytes: the `name` field; the `prefix` field is not used.
pub const NAME_MAX_BYTES: usize = 100;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Relative path with `/`.
    pub name: &'a str,
    /// Content.
    pub bytes: &'a [u8],
}

/// Why bytes are not an archive of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The end came before the end of the archive.
    #[error("ends after {0} bytes, in the middle of a member")]
    Truncated(usize),
    /// A header that no tar program writes.
    #[error("has a damaged header at byte {0}")]
    Header(usize),
    /// More members than allowed.
    #[error("has more than {0} members")]
    TooManyMembers(usize),
    /// Well-formed for tar, but not the one encoding that nodebpf writes.
    #[error("differs from its canonical encoding at byte {0}")]
    NotCanonical(usize),
}

/// The archive that holds `members`, in the given order.
///
/// # Panics
///
/// If a name is empty or longer than [`NAME_MAX_BYTES`], or a member has 8 GiB: callers' names and sizes are bounded.
pub fn encode(members: &[Member<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        out.extend_from_slice(&header(member.name, member.bytes.len()));
        out.extend_from_slice(member.bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn header(name: &str, size: usize) -> [u8; BLOCK] {
    assert!(!name.is_empty() && name.len() <= NAME_MAX_BYTES, "invariant: member names are bounded");
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0"); // mode
    put(108, b"0000000\0"); // uid
    put(116, b"0000000\0"); // gid
    let size = format!("{size:011o}\0");
    assert_eq!(size.len(), 12, "invariant: member sizes are bounded");
    put(124, size.as_bytes());
    put(136, b"00000000000\0"); // mtime
    put(148, b"        "); // checksum, as spaces while it is computed
    put(156, b"0"); // regular file
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The members of `archive`, in order, borrowed from it.
pub fn decode(archive: &[u8], max_members: usize) -> Result<Vec<Member<'_>>, ArchiveError> {
    let truncated = || ArchiveError::Truncated(archive.len());
    let mut members = Vec::new();
    let mut at = 0;
    loop {
        let block = archive.get(at..at + BLOCK).ok_or_else(truncated)?;
        if block.iter().all(|&byte| byte == 0) {
            break;
        }
        if members.len() == max_members {
            return Err(ArchiveError::TooManyMembers(max_members));
        }
        let (name, size) = read_header(block).ok_or(ArchiveError::Header(at))?;
        let start = at + BLOCK;
        let end = start.checked_add(size).ok_or_else(truncated)?;
        let bytes = archive.get(start..end).ok_or_else(truncated)?;
        members.push(Member { name, bytes });
        let header = header(name, size);
        if let Some(other) = (0..BLOCK).find(|&byte| header[byte] != block[byte]) {
            return Err(ArchiveError::NotCanonical(at + other));
        }
        at = end.next_multiple_of(BLOCK);
        zeros(archive, end, at)?;
    }
    zeros(archive, at, at + 2 * BLOCK)?;
    if archive.len() > at + 2 * BLOCK {
        return Err(ArchiveError::NotCanonical(at + 2 * BLOCK));
    }
    Ok(members)
}

/// Whether the archive has nothing but zeros from `start` to `end`.
fn zeros(archive: &[u8], start: usize, end: usize) -> Result<(), ArchiveError> {
    let found = archive.get(start..end).ok_or(ArchiveError::Truncated(archive.len()))?;
    match found.iter().position(|&byte| byte != 0) {
        Some(other) => Err(ArchiveError::NotCanonical(start + other)),
        None => Ok(()),
    }
}

fn read_header(block: &[u8]) -> Option<(&str, usize)> {
    let name = &block[..NAME_MAX_BYTES];
    let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(NAME_MAX_BYTES)];
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    let digits = &block[124..135];
    if !digits.iter().all(|byte| (b'0'..=b'7').contains(byte)) {
        return None;
    }
    let size = digits.iter().fold(0usize, |size, byte| size << 3 | usize::from(byte - b'0'));
    Some((name, size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Vec<u8> {
        encode(&[Member { name: "a", bytes: b"hello" }, Member { name: "d/b", bytes: b"" }])
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let archive = sample();
        assert_eq!(archive.len(), 512 * 5);
        let members = decode(&archive, 2).unwrap();
        assert_eq!(members[0], Member { name: "a", bytes: b"hello" });
        assert_eq!(members[1], Member { name: "d/b", bytes: b"" });
    }

    #[test]
    fn every_flipped_bit_is_seen_or_changes_a_member() {
        let archive = sample();
        let members = decode(&archive, 2).unwrap();
        for at in 0..archive.len() * 8 {
            let mut bad = archive.clone();
            bad[at / 8] ^= 1 << (at % 8);
            if let Ok(changed) = decode(&bad, 2) {
                assert_ne!(changed, members, "bit {at} is outside the check");
            }
        }
    }

    #[test]
    fn an_archive_ends_where_it_ends() {
        let archive = sample();
        let cut = &archive[..archive.len() - BLOCK];
        assert_eq!(decode(cut, 2), Err(ArchiveError::Truncated(cut.len())), "one block of zeros at the end");
        let longer = [archive.as_slice(), &[0; BLOCK]].concat();
        assert_eq!(decode(&longer, 2), Err(ArchiveError::NotCanonical(archive.len())));
    }

    #[test]
    fn names_fill_their_field_and_no_more() {
        let name = "n".repeat(NAME_MAX_BYTES);
        let archive = encode(&[Member { name: &name, bytes: b"x" }]);
        assert_eq!(decode(&archive, 1).unwrap()[0].name, name);
        for bad in [String::new(), format!("{name}n")] {
            let encoded = std::panic::catch_unwind(|| encode(&[Member { name: &bad, bytes: b"x" }]));
            assert!(encoded.is_err(), "a name of {} bytes", bad.len());
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let archive = sample();
        for len in 0..archive.len() {
            assert!(decode(&archive[..len], 2).is_err(), "length {len}");
        }
        let mut longer = archive.clone();
        longer.push(0);
        assert_eq!(decode(&longer, 2), Err(ArchiveError::NotCanonical(archive.len())));
        assert_eq!(decode(&archive, 1), Err(ArchiveError::TooManyMembers(1)));
    }

    proptest! {
        /// What is compared in place is what `encode` writes: the same verdict on any damage.
        #[test]
        fn what_is_accepted_is_what_would_be_written(
            at in 0..5 * BLOCK, byte: u8, cut in 0..6 * BLOCK, sizes in proptest::collection::vec(0..1100usize, 0..3)
        ) {
            let content = [7; 1100];
            let members: Vec<_> = sizes.iter().map(|&size| Member { name: "m", bytes: &content[..size] }).collect();
            let mut archive = encode(&members);
            prop_assert_eq!(decode(&archive, 3), Ok(members));
            if let Some(place) = archive.get_mut(at) {
                *place = byte;
            }
            archive.truncate(archive.len().max(cut) - cut.min(BLOCK));
            if let Ok(members) = decode(&archive, 3) {
                prop_assert_eq!(encode(&members), archive);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = decode(&bytes, 8);
        }
    }
}
