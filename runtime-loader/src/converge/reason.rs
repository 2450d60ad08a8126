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
        ObjectError::Elf(_) | ObjectError::Program { .. } => {
            Reason { code: error.code(), message: format!("`{interface}`: dispatcher: {error}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::LoadError;

    /// What the kernel has no room for was not looked at by the verifier.
    #[test]
    fn want_of_room_is_no_verdict() {
        for (errno, code) in [
            (libc::EMFILE, Code::Kernel),
            (libc::ENFILE, Code::Kernel),
            (libc::ENOMEM, Code::Kernel),
            (libc::EACCES, Code::Verifier),
            (libc::EINVAL, Code::Verifier),
        ] {
            let error = CallError { call: "BPF_PROG_LOAD", what: "xdp_dispatcher".to_owned(), errno };
            let error = LoadError { error, log: String::new() };
            let error = ObjectError::Program { program: "xdp_dispatcher".to_owned(), error };
            assert_eq!(object_reason(&error, "eth0").code, code, "errno {errno}");
        }
    }
}
