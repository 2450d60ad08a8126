//! Names as types: each is checked once, where it enters, with the limit's source in [`crate::limits`].

use serde::Serialize;

use crate::{glob, json, limits};

/// Why a text is not a name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than the kernel, Kubernetes or nodebpf allows.
    #[error("has {len} bytes; {max} are allowed")]
    TooLong {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that may not stand there.
    #[error("has `{}` at byte {at}; allowed are {allowed}", char::from(*.byte).escape_default())]
    ForbiddenByte {
        /// Offset from the start, in bytes.
        at: usize,
        /// The byte found.
        byte: u8,
        /// What is allowed there, in words.
        allowed: &'static str,
    },
}

type Checked = Result<(), NameError>;

fn check(text: &str, max: usize, allowed: &'static str, ok: &dyn Fn(usize, u8) -> bool) -> Checked {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > max {
        return Err(NameError::TooLong { len: text.len(), max });
    }
    match text.bytes().enumerate().find(|&(at, byte)| !ok(at, byte)) {
        Some((at, byte)) => Err(NameError::ForbiddenByte { at, byte, allowed }),
        None => Ok(()),
    }
}

/// A DNS label as Kubernetes wants it (RFC 1123, lower case).
fn check_dns_label(text: &str, max: usize) -> Checked {
    let last = text.len().saturating_sub(1);
    check(text, max, "a-z, 0-9 and, not first or last, `-`", &|at, byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || (byte == b'-' && at != 0 && at != last)
    })
}

fn check_c_identifier(text: &str, max: usize) -> Checked {
    check(text, max, "a-z, A-Z, _ and, not first, 0-9", &|at, byte| {
        byte.is_ascii_alphabetic() || byte == b'_' || (at != 0 && byte.is_ascii_digit())
    })
}

fn check_if_name(text: &str, extra: &[u8], max: usize, allowed: &'static str) -> Checked {
    // `dev_valid_name` refuses ".", "..", "/", ":" and white space; linux net/core/dev.c. Wildcards would be ambiguous.
    if matches!(text, "." | "..") {
        let allowed = "names other than `.` and `..`";
        return Err(NameError::ForbiddenByte { at: 0, byte: b'.', allowed });
    }
    check(text, max, allowed, &|_, byte| {
        extra.contains(&byte) || (byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'*' | b'?'))
    })
}

/// A star may stand for nothing; all other characters stand for one each.
fn check_if_glob(text: &str) -> Checked {
    check_if_name(text, b"*?", limits::IF_NAME_MAX_BYTES * 2, "printable characters without / :")?;
    let (len, max) = (text.bytes().filter(|byte| *byte != b'*').count(), limits::IF_NAME_MAX_BYTES);
    if len > max { Err(NameError::TooLong { len, max }) } else { Ok(()) }
}

fn check_word(text: &str, extra: &[u8], max: usize, allowed: &'static str) -> Checked {
    check(text, max, allowed, &|_, byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

fn check_cgroup_path(text: &str) -> Checked {
    check(text, limits::CGROUP_PATH_MAX_BYTES, "printable characters, `/` first", &|at, byte| {
        if at == 0 { byte == b'/' } else { byte.is_ascii_graphic() }
    })?;
    // Only one spelling of a path, and none that leads elsewhere.
    let mut start = 1;
    for part in text[1..].split('/') {
        if text.len() > 1 && matches!(part, "" | "." | "..") {
            let allowed = "names between single slashes, none of them `.` or `..`";
            return Err(NameError::ForbiddenByte { at: start - 1, byte: b'/', allowed });
        }
        start += part.len() + 1;
    }
    Ok(())
}

/// Reads a name: one copy for all kinds.
#[inline(never)]
fn read_name(value: &json::Value, problem: &mut json::Problem, check: fn(&str) -> Checked) -> Option<String> {
    let text = problem.text(value)?;
    check(text).map_err(|error| problem.text_refused(text, &error)).ok()?;
    Some(text.to_owned())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $text:ident => $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from($text: &str) -> Result<Self, NameError> {
                $check?;
                Ok(Self($text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::try_from(text.as_str())
            }
        }

        impl json::Decode for $name {
            fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
                read_name(value, problem, |$text| $check).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// Name of a stream: what is signed, shipped, updated and removed as a whole. A DNS label of at most 40 bytes.
    StreamName, text => check_dns_label(text, limits::STREAM_NAME_MAX_BYTES)
);
name_type!(
    /// Name of an owner in the policy. A DNS label of at most 40 bytes.
    OwnerName, text => check_dns_label(text, limits::STREAM_NAME_MAX_BYTES)
);
name_type!(
    /// Name of a `MachineConfigPool`. A DNS label of at most 63 bytes.
    PoolName, text => check_dns_label(text, limits::POOL_NAME_MAX_BYTES)
);
name_type!(
    /// Name of a group of clusters or nodes that a bundle is meant for. A DNS label of at most 63 bytes.
    Audience, text => check_dns_label(text, limits::POOL_NAME_MAX_BYTES)
);
name_type!(
    /// Name of a BPF program: its C function. The kernel shows the first 15 bytes.
    ProgramName, text => check_c_identifier(text, limits::PROGRAM_NAME_MAX_BYTES)
);
name_type!(
    /// Name of a BPF map: its C variable.
    MapName, text => check_c_identifier(text, limits::MAP_NAME_MAX_BYTES)
);
name_type!(
    /// Name under which a map's value is shown by `status` and as a metric: a C identifier of at most 63 bytes.
    CounterName, text => check_c_identifier(text, limits::MAP_NAME_MAX_BYTES)
);
name_type!(
    /// Name of a network interface, at most 15 bytes, without white space, `/`, `:` and wildcards.
    IfName, text => check_if_name(text, b"", limits::IF_NAME_MAX_BYTES, "printable characters without / : * ?")
);
name_type!(
    /// Glob over interface names: [`IfName`] with `*` and `?`. May be longer than a name by its stars only.
    IfGlob, text => check_if_glob(text)
);
name_type!(
    /// Glob over stream names, with `*` and `?`.
    StreamGlob, text => check(text, limits::STREAM_NAME_MAX_BYTES, "a-z, 0-9, -, * and ?", &|_, byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'*' | b'?')
    })
);

name_type!(
    /// Name of a global variable of an object: its C variable.
    GlobalName, text => check_c_identifier(text, limits::PROGRAM_NAME_MAX_BYTES)
);
name_type!(
    /// Name of a network driver as `ethtool -i` shows it, at most 31 bytes.
    DriverName, text => check_word(text, b"_-", limits::DRIVER_NAME_MAX_BYTES, "a-z, A-Z, 0-9, _ and -")
);
name_type!(
    /// Category or name of a tracepoint, or name of a security hook.
    AttachPoint, text => check_word(text, b"_-", limits::SYMBOL_MAX_BYTES, "a-z, A-Z, 0-9, _ and -")
);
name_type!(
    /// Name of a kernel function as in `/proc/kallsyms`; compilers append parts such as `.isra.0`.
    KernelSymbol, text => check_word(text, b"_.$", limits::SYMBOL_MAX_BYTES, "a-z, A-Z, 0-9, _, . and $")
);
name_type!(
    /// Path of a cgroup from the root of the unified hierarchy: `/`, or names each behind a `/`.
    CgroupPath, text => check_cgroup_path(text)
);

impl IfGlob {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        glob::matches(&self.0, name)
    }

    /// Whether the glob stands for exactly one name.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?'])
    }
}

impl StreamGlob {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &StreamName) -> bool {
        glob::matches(&self.0, name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_name_rejects_what_the_kernel_rejects() {
        let allowed = "printable characters without / : * ?";
        for (name, input, want) in [
            ("empty", "", NameError::Empty),
            ("one byte too long", "abcdefghijklmnop", NameError::TooLong { len: 16, max: 15 }),
            ("slash", "br/0", NameError::ForbiddenByte { at: 2, byte: b'/', allowed }),
            ("NUL", "e\0", NameError::ForbiddenByte { at: 1, byte: 0, allowed }),
            ("white space", "e 0", NameError::ForbiddenByte { at: 1, byte: b' ', allowed }),
        ] {
            assert_eq!(IfName::try_from(input).unwrap_err(), want, "case: {name}");
        }
        assert_eq!(IfName::try_from("eth0.100").unwrap().as_str(), "eth0.100");
    }

    #[test]
    fn a_glob_can_mean_a_name() {
        for good in ["*", "eth0.100", "abcdefghijklmno", "*abcdefghijklmno*", "?.", ".*", "???????????????"] {
            assert!(IfGlob::try_from(good).is_ok(), "case: {good}");
        }
        for (input, len) in [("abcdefghijklmnop", 16), ("averyveryverylongname*", 21), ("????????????????", 16)] {
            assert_eq!(IfGlob::try_from(input).unwrap_err(), NameError::TooLong { len, max: 15 }, "case: {input}");
        }
        for bad in [".", ".."] {
            assert!(IfGlob::try_from(bad).is_err() && IfName::try_from(bad).is_err(), "case: {bad}");
        }
    }

    #[test]
    fn cgroup_paths_have_one_spelling() {
        for good in ["/", "/kubepods.slice", "/system.slice/crio.service"] {
            assert!(CgroupPath::try_from(good).is_ok(), "case: {good}");
        }
        for bad in ["", "a", "//", "/a/", "/a//b", "/../a", "/a/.", "/a b", "/\u{e9}"] {
            assert!(CgroupPath::try_from(bad).is_err(), "case: {bad}");
        }
    }

    #[test]
    fn kernel_names() {
        for good in ["tcp_connect", "foo.isra.0", "9p_client_req"] {
            assert!(KernelSymbol::try_from(good).is_ok(), "case: {good}");
        }
        assert!(AttachPoint::try_from("xhci-hcd").is_ok(), "a category");
        for bad in ["", "a/b", "a b", "tcp_connect+0x10"] {
            assert!(KernelSymbol::try_from(bad).is_err(), "case: {bad}");
            assert!(AttachPoint::try_from(bad).is_err(), "case: {bad}");
        }
    }

    #[test]
    fn stream_names_are_dns_labels() {
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(41)] {
            assert!(StreamName::try_from(bad).is_err(), "case: {bad}");
        }
        for good in ["a", "a-b", "9", &"a".repeat(40)] {
            assert!(StreamName::try_from(good).is_ok(), "case: {good}");
        }
    }

    #[test]
    fn the_message_names_byte_and_place() {
        let text = StreamName::try_from("a_b").unwrap_err().to_string();
        assert_eq!(text, "has `_` at byte 1; allowed are a-z, 0-9 and, not first or last, `-`");
    }
}
