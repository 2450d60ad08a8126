//! Reads YAML that nodebpf wrote itself, such as a lock: types only, no places.
//!
//! In:   bytes. Out: a value, or the reader's first line of complaint.

use serde::de::DeserializeOwned;

/// Values that a lock of the largest size has, and some.
const MAX_NODES: usize = 4_000_000;

/// Reads a document of at most `max_bytes`.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            // A lock has none; without them nothing can unfold.
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 2,
            max_total_scalar_bytes: max_bytes,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}
