//! DSSE v1: the bytes that a signature covers.
//!
//! Source: secure-systems-lab/dsse `protocol.md`, "Signature Definition".

/// Payload type of a bundle's statement.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// Payload type of a trust document.
pub const TRUST_TYPE: &str = "application/vnd.nodebpf.trust+json";

/// Pre-authentication encoding: `DSSEv1 LEN(type) type LEN(payload) payload`, joined by single spaces.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_own_vector() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
