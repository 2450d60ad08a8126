//! stub
#![allow(missing_docs)]
pub fn trust() -> String { String::new() }
pub fn node_plan() -> String { String::new() }
pub fn report() -> String { String::new() }
