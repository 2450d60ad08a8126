//! Words of the XDP hook: modes, verdicts and the mask of verdicts after which the chain goes on.

use serde::Serialize;

use crate::json;

/// Where in the receive path XDP runs.
///
/// Source: `XDP_FLAGS_DRV_MODE` and `XDP_FLAGS_SKB_MODE`, linux `include/uapi/linux/if_link.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum XdpMode {
    /// In the driver, before a socket buffer exists.
    Native,
    /// In the generic receive path; every driver, slower.
    Skb,
}

impl XdpMode {
    /// The word used in manifests and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Skb => "skb",
        }
    }
}

/// Verdict of an XDP program.
///
/// Source: `enum xdp_action`, linux `include/uapi/linux/bpf.h`; `DispatcherReturn` is libxdp's
/// `XDP_DISPATCHER_RETVAL`, what an empty slot returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum XdpAction {
    /// Error in the program: dropped and traced.
    Aborted,
    /// Dropped.
    Drop,
    /// Handed to the stack.
    Pass,
    /// Sent back out of the same interface.
    Tx,
    /// Sent elsewhere.
    Redirect,
    /// Return value of an empty dispatcher slot.
    DispatcherReturn,
}

impl XdpAction {
    /// All verdicts, in the kernel's order.
    pub const ALL: [Self; 6] =
        [Self::Aborted, Self::Drop, Self::Pass, Self::Tx, Self::Redirect, Self::DispatcherReturn];

    /// The number a program returns.
    pub fn number(self) -> u32 {
        match self {
            Self::Aborted => 0,
            Self::Drop => 1,
            Self::Pass => 2,
            Self::Tx => 3,
            Self::Redirect => 4,
            Self::DispatcherReturn => 31,
        }
    }

    /// The word used in manifests and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Drop => "drop",
            Self::Pass => "pass",
            Self::Tx => "tx",
            Self::Redirect => "redirect",
            Self::DispatcherReturn => "dispatcherReturn",
        }
    }
}

/// Verdicts after which the next program of the chain runs. Never empty; sorted; bpfman's `proceedOn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "Vec<XdpAction>")]
pub struct ProceedOn(Vec<XdpAction>);

/// A list of verdicts that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProceedOnError {
    /// No verdict at all.
    #[error("proceedOn must name at least one verdict")]
    Empty,
    /// The same verdict twice, or out of order.
    #[error("proceedOn must list each verdict once, in the kernel's order: aborted, drop, pass, tx, redirect")]
    NotSorted,
}

impl ProceedOn {
    /// Sorts `actions` and drops repetitions.
    pub fn from_unsorted(mut actions: Vec<XdpAction>) -> Result<Self, ProceedOnError> {
        actions.sort_unstable();
        actions.dedup();
        Self::try_from(actions)
    }

    /// The verdicts.
    pub fn actions(&self) -> &[XdpAction] {
        &self.0
    }

    /// One bit per verdict, as in a dispatcher's `chain_call_actions`, without the always-set bit 31 of libxdp.
    pub fn mask(&self) -> u32 {
        self.0.iter().fold(0, |mask, action| mask | 1 << action.number())
    }
}

impl TryFrom<Vec<XdpAction>> for ProceedOn {
    type Error = ProceedOnError;

    fn try_from(actions: Vec<XdpAction>) -> Result<Self, ProceedOnError> {
        if actions.is_empty() {
            return Err(ProceedOnError::Empty);
        }
        if !actions.is_sorted_by(|a, b| a < b) {
            return Err(ProceedOnError::NotSorted);
        }
        Ok(Self(actions))
    }
}

impl From<ProceedOn> for Vec<XdpAction> {
    fn from(proceed_on: ProceedOn) -> Self {
        proceed_on.0
    }
}

json::decode_words!(XdpMode { "native": Native, "skb": Skb });
json::decode_words!(XdpAction {
    "aborted": Aborted,
    "drop": Drop,
    "pass": Pass,
    "tx": Tx,
    "redirect": Redirect,
    "dispatcherReturn": DispatcherReturn,
});

impl json::Decode for ProceedOn {
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        Self::try_from(Vec::read(value, problem)?).map_err(|error| problem.value_refused(&error)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_libxdps() {
        let pass = ProceedOn::from_unsorted(vec![XdpAction::Pass]).unwrap();
        assert_eq!(pass.mask(), 4, "the default of libxdp is 1 << XDP_PASS");
        let more = ProceedOn::from_unsorted(vec![XdpAction::DispatcherReturn, XdpAction::Drop, XdpAction::Drop]);
        assert_eq!(more.unwrap().mask(), 1 << 31 | 2);
    }

    #[test]
    fn one_value_has_one_text() {
        assert!(json::parse::<ProceedOn>(br#"["pass","drop"]"#, 99).is_err());
        assert!(json::parse::<ProceedOn>(b"[]", 99).is_err());
        assert!(json::parse::<ProceedOn>(br#"["drop","pass"]"#, 99).is_ok());
    }
}
