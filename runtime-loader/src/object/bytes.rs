//! Little-endian numbers and texts out of bytes that may end anywhere.

/// Two bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Four bytes.
#[inline(never)]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Eight bytes.
#[inline(never)]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Eight bytes that count bytes in memory.
pub(super) fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64_at(bytes, at)?).ok()
}

/// Writes four bytes, if they are there.
pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_le_bytes();
    }
}

/// `size` bytes from `start`.
pub(super) fn slice(bytes: &[u8], start: usize, size: u64) -> Option<&[u8]> {
    bytes.get(start..)?.get(..usize::try_from(size).ok()?)
}

/// The bytes from `start` to the next NUL.
#[inline(never)]
pub(super) fn string_at(bytes: &[u8], start: u32) -> Option<&[u8]> {
    let rest = bytes.get(start as usize..)?;
    rest.get(..rest.iter().position(|&byte| byte == 0)?)
}

/// The text from `start` to the next NUL.
pub(super) fn text_at(bytes: &[u8], start: u32) -> Option<&str> {
    std::str::from_utf8(string_at(bytes, start)?).ok()
}
