//! Base64 (RFC 4648 section 4): with padding, one spelling for each text of bytes, nothing else taken.
//!
//! What it carries is public, so it need not take the same time for all bytes; that is what a crate for secrets costs
//! the loader 2 KB for.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bits of a digit.
const DIGIT_BITS: usize = 6;

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[bits >> (DIGIT_BITS * (3 - at)) & 63];
            text.push(char::from(if at > three.len() { b'=' } else { digit }));
        }
    }
    text
}

/// The bytes of `text`. `None`: it is not what [`encode`] writes.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let digits = text.trim_end_matches('=');
    let (mut bits, mut count) = (0, 0);
    for digit in digits.bytes() {
        bits = bits << DIGIT_BITS | DIGITS.iter().position(|known| *known == digit)?;
        count += DIGIT_BITS;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
            bits &= (1 << count) - 1;
        }
    }
    // Left over are less than a digit, all zero, and padding makes the digits a multiple of four.
    let padded = digits.len().next_multiple_of(4) == text.len();
    (count < DIGIT_BITS && bits == 0 && padded).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding as _};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_are_written_and_read_as_by_others(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = Base64::encode_string(&bytes);
            prop_assert_eq!(super::encode(&bytes), &*text);
            prop_assert_eq!(super::decode(&text), Some(bytes));
        }

        #[test]
        fn what_others_refuse_is_refused(text in "[A-Da-d01+/=\n_-]{0,9}|[AQgw]{0,7}={0,4}") {
            prop_assert_eq!(super::decode(&text), Base64::decode_vec(&text).ok());
        }
    }
}
