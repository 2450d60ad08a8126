//! Selectors: which interfaces of a node are meant, before anybody has seen the node.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    glob,
    json::{self, Problem, Value},
    name::{DriverName, IfGlob, IfName},
};

/// A MAC address: six bytes, written `52:54:00:12:34:56` in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct MacAddress([u8; 6]);

/// Text that is not a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be six pairs of lower-case hexadecimal digits with `:` between them, such as 52:54:00:12:34:56")]
pub struct MacAddressError;

impl MacAddress {
    /// The bytes, in the order of the wire.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl TryFrom<&str> for MacAddress {
    type Error = MacAddressError;

    fn try_from(text: &str) -> Result<Self, MacAddressError> {
        let (pairs, mut bytes) = (text.as_bytes(), [0; 6]);
        if pairs.len() != 17 {
            return Err(MacAddressError);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digit = |at: usize| match pairs[at] {
                digit @ b'0'..=b'9' => Ok(digit - b'0'),
                digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(MacAddressError),
            };
            *byte = digit(3 * at)? << 4 | digit(3 * at + 1)?;
            if at < 5 && pairs[3 * at + 2] != b':' {
                return Err(MacAddressError);
            }
        }
        Ok(Self(bytes))
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl std::fmt::Display for MacAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// What makes an interface be meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Its name, with `*` and `?`.
    Name(IfGlob),
    /// It is the physical uplink below the default route, looked through OVS, VLAN and bond.
    Primary,
    /// The name of its driver.
    Driver(DriverName),
    /// Its MAC address.
    Mac(MacAddress),
    /// It is a member of this bond.
    MembersOf(IfName),
}

/// Selects interfaces of the node. Written as one key for the target, and `exclude` if it is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// What makes an interface be meant.
    pub target: Target,
    /// Names that are not meant nevertheless. Sorted, each once.
    pub exclude: Vec<IfGlob>,
}

/// Whether two selectors mean the same interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overlap {
    /// On no node.
    Never,
    /// On some node, for all that can be known without the node.
    Perhaps,
}

impl Selector {
    /// The interfaces that `glob` names.
    pub fn name(glob: IfGlob) -> Self {
        Self { target: Target::Name(glob), exclude: Vec::new() }
    }

    /// The key of the target.
    pub fn kind(&self) -> &'static str {
        match self.target {
            Target::Name(_) => "name",
            Target::Primary => "primary",
            Target::Driver(_) => "driver",
            Target::Mac(_) => "mac",
            Target::MembersOf(_) => "membersOf",
        }
    }

    /// Whether the name `interface` is excluded.
    pub fn excludes(&self, interface: &str) -> bool {
        self.exclude.iter().any(|glob| glob.matches(interface))
    }

    /// Whether it can be told before the network is up: name, driver and MAC address are the interface's own.
    pub fn is_early(&self) -> bool {
        matches!(self.target, Target::Name(_) | Target::Driver(_) | Target::Mac(_))
    }

    /// Whether some interface of some node is meant by both.
    pub fn overlap(&self, other: &Self) -> Overlap {
        let disjoint = match (&self.target, &other.target) {
            (Target::Name(a), Target::Name(b)) => !glob::overlap(a.as_str(), b.as_str()),
            (Target::Driver(a), Target::Driver(b)) => a != b,
            (Target::Mac(a), Target::Mac(b)) => a != b,
            // An interface has one master.
            (Target::MembersOf(a), Target::MembersOf(b)) => a != b,
            _ => false,
        };
        if disjoint || self.is_outside(other) || other.is_outside(self) { Overlap::Never } else { Overlap::Perhaps }
    }

    /// Whether everything `self` means by name is excluded by `other`, or one of them itself.
    fn is_outside(&self, other: &Self) -> bool {
        let Target::Name(name) = &self.target else { return false };
        let covers = |exclude: &IfGlob| glob::covers(exclude.as_str(), name.as_str());
        other.exclude.iter().chain(&self.exclude).any(covers)
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Target::Name(glob) => f.write_str(glob.as_str())?,
            Target::Primary => f.write_str("primary")?,
            Target::Driver(driver) => write!(f, "driver {driver}")?,
            Target::Mac(mac) => write!(f, "mac {mac}")?,
            Target::MembersOf(bond) => write!(f, "members of {bond}")?,
        }
        for (at, glob) in self.exclude.iter().enumerate() {
            write!(f, "{} {glob}", if at == 0 { " except" } else { "," })?;
        }
        Ok(())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.target {
            Target::Name(glob) => map.serialize_entry("name", glob)?,
            Target::Primary => map.serialize_entry("primary", &true)?,
            Target::Driver(driver) => map.serialize_entry("driver", driver)?,
            Target::Mac(mac) => map.serialize_entry("mac", mac)?,
            Target::MembersOf(bond) => map.serialize_entry("membersOf", bond)?,
        }
        if !self.exclude.is_empty() {
            map.serialize_entry("exclude", &self.exclude)?;
        }
        map.end()
    }
}

json::decode_text!(MacAddress);

impl json::Decode for Selector {
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        let fields = problem.object(value)?;
        let mut exclude = Vec::new();
        let mut targets = Vec::new();
        for (key, value) in fields {
            let target = match (key.as_str(), value) {
                ("name", _) => Target::Name(IfGlob::read(value, problem)?),
                ("primary", Value::Bool(true)) => Target::Primary,
                ("driver", _) => Target::Driver(DriverName::read(value, problem)?),
                ("mac", _) => Target::Mac(MacAddress::read(value, problem)?),
                ("membersOf", _) => Target::MembersOf(IfName::read(value, problem)?),
                ("exclude", _) => {
                    exclude = Vec::read(value, problem)?;
                    continue;
                }
                _ => {
                    problem.say(format_args!("unknown selector `{key}`"));
                    return None;
                }
            };
            targets.push(target);
        }
        if targets.len() > 1 {
            targets.clear();
        }
        let target = targets.pop();
        if target.is_none() {
            problem.say(format_args!("a selector has one of name, primary, driver, mac, membersOf"));
        }
        target.map(|target| Self { target, exclude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Selector {
        json::parse(text.as_bytes(), 999).unwrap()
    }

    #[test]
    fn one_value_has_one_text() {
        for (text, shown) in [
            (r#"{"name":"ens*"}"#, "ens*"),
            (r#"{"primary":true}"#, "primary"),
            (r#"{"driver":"mlx5_core","exclude":["ens3","eth*"]}"#, "driver mlx5_core except ens3, eth*"),
            (r#"{"mac":"52:54:00:12:34:5f"}"#, "mac 52:54:00:12:34:5f"),
            (r#"{"membersOf":"bond0"}"#, "members of bond0"),
        ] {
            assert_eq!(String::from_utf8(json::to_bytes(&read(text))).unwrap(), text);
            assert_eq!(read(text).to_string(), shown);
        }
        for bad in [
            "{}",
            r#"{"primary":false}"#,
            r#"{"primary":true,"name":"a"}"#,
            r#"{"mac":"52:54:00:12:34:5F"}"#,
            r#"{"mac":"52-54-00-12-34-5f"}"#,
            r#"{"mac":"52:54:00:12:34:5é"}"#,
            r#"{"exclude":["a"]}"#,
            r#"{"index":1}"#,
        ] {
            assert!(json::parse::<Selector>(bad.as_bytes(), 99).is_err(), "case: {bad}");
        }
    }

    #[test]
    fn overlap_is_told_where_it_can_be() {
        use Overlap::{Never, Perhaps};
        for (a, b, want) in [
            (r#"{"name":"eth*"}"#, r#"{"name":"eth0"}"#, Perhaps),
            (r#"{"name":"eth*"}"#, r#"{"name":"ens3"}"#, Never),
            (r#"{"name":"eth*","exclude":["eth0"]}"#, r#"{"name":"eth0"}"#, Never),
            (r#"{"name":"eth*","exclude":["eth0"]}"#, r#"{"name":"eth?"}"#, Perhaps),
            (r#"{"name":"*","exclude":["ovn*"]}"#, r#"{"name":"ovn-k8s-*"}"#, Never),
            (r#"{"driver":"mlx5_core"}"#, r#"{"driver":"ice"}"#, Never),
            (r#"{"driver":"mlx5_core","exclude":["ens3"]}"#, r#"{"name":"ens3"}"#, Never),
            (r#"{"driver":"mlx5_core"}"#, r#"{"name":"ens3"}"#, Perhaps),
            (r#"{"primary":true}"#, r#"{"membersOf":"bond0"}"#, Perhaps),
            (r#"{"membersOf":"bond0"}"#, r#"{"membersOf":"bond1"}"#, Never),
            (r#"{"mac":"52:54:00:12:34:5f"}"#, r#"{"mac":"52:54:00:12:34:5e"}"#, Never),
        ] {
            assert_eq!(read(a).overlap(&read(b)), want, "case: {a} {b}");
            assert_eq!(read(b).overlap(&read(a)), want, "case: {b} {a}");
        }
    }
}
