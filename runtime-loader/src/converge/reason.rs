//! Calls that fail on an interface, as the report says them.

use nodeplan::report::{Code, Reason};

use crate::{kernel::CallError, object::ObjectError};

/// A failed call on an interface, for the report.
pub(super) fn call_reason(error: &CallError, interface: &str) -> Reason {
    let hint = match error.errno {
        libc::ERANGE => {
            "; the MTU is too large for programs of which one does not take fragments (section `xdp.frags`)"
        }
        libc::EOPNOTSUPP if error.call == "RTM_SETLINK" => "; the driver has no native XDP, use `mode: skb`",
        _ => "",
    };
    Reason { code: Code::Kernel, message: format!("`{interface}`: {error}{hint}") }
}

pub(super) fn object_reason(error: &ObjectError, interface: &str) -> Reason {
    match error {
        ObjectError::Call(error) => call_reason(error, interface),
        ObjectError::Elf(_) => Reason { code: Code::Object, message: format!("`{interface}`: dispatcher: {error}") },
        ObjectError::Program { .. } => {
            Reason { code: Code::Verifier, message: format!("`{interface}`: dispatcher: {error}") }
        }
    }
}
