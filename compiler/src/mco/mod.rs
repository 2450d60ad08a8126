//! What the machine config operator does with changed MachineConfigs: merge, compare, decide.
//!
//! In:   MachineConfigs before and after, a disruption policy, a release. Out: per pool, what its nodes do.
//! Cannot fail: what the operator would refuse is an outcome.
//!
//! A model of openshift/machine-config-operator (MCO) at release-4.20, function by function; each file names the ones it
//! follows. Nothing else changes meanwhile: the platform's own MachineConfigs are taken to be the same on both sides.

pub mod changes;
pub mod config;
pub mod document;
pub mod failure;
pub mod outcome;
pub mod policy;
pub mod refusal;
pub mod render;
pub mod shape;
pub mod unit_text;

#[cfg(test)]
mod tests;
