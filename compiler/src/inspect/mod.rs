//! Inspect: what a file holds, for people and for tools.
//!
//! In:   bytes of an object or bundle. Out: reports that serialize; [`text`] prints them. Nothing is judged or believed:
//! signatures are listed, not checked (that is `verify`).

pub mod bundle;
pub mod object;
pub mod text;

use serde::Serialize;

/// All files of a call.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In the order they were named.
    pub files: Vec<File>,
}

/// One file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// As it was named.
    pub file: String,
    /// What it holds.
    #[serde(flatten)]
    pub content: Content,
}

/// What a file holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// It is an object.
    Object(object::Object),
    /// It is a bundle, or a MachineConfig or Ignition config with bundles.
    Bundles(Vec<bundle::Bundle>),
}
