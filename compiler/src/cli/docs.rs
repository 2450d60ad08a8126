//! `nodebpf schema` and `nodebpf man`: documents made of the types and arguments themselves.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::{
    Exit,
    args::{Cli, SchemaKind},
    io, write,
};
use crate::{diag::render_json, emit::OutputFile, lock, manifest, policy, schema as wire, yaml::schema};

pub(super) fn schema(kind: SchemaKind) -> anyhow::Result<Exit> {
    let text = match kind {
        SchemaKind::Manifest => schema::of::<manifest::raw::Manifest>("BpfManifest", "bpf-manifest-v1alpha1"),
        SchemaKind::Message => schema::of::<render_json::Line<'_>>("NodebpfMessage", "message-v1"),
        SchemaKind::Policy => schema::of::<policy::raw::Policy>("BpfPolicy", "bpf-policy-v1alpha1"),
        SchemaKind::Lock => schema::of::<lock::Lock>("BpfLock", "bpf-lock-v1alpha1"),
        SchemaKind::Trust => wire::trust(),
        SchemaKind::NodePlan => wire::node_plan(),
        SchemaKind::Report => wire::report(),
    };
    io::print(text.as_bytes())?;
    Ok(Exit::Done)
}

/// One page per command: `nodebpf.1`, `nodebpf-compile.1`, …
pub(super) fn man(directory: &Path) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    command.build();
    let mut files = Vec::new();
    pages(&command, &mut files)?;
    write::all_or_none(directory, &files)?;
    Ok(Exit::Done)
}

/// `build` has given every subcommand its full name as display name.
fn pages(command: &clap::Command, files: &mut Vec<OutputFile>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    // No date: pages are committed, and equal input gives equal bytes.
    clap_mangen::Man::new(command.clone()).date("").render(&mut bytes).context("making man pages")?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    files.push(OutputFile { name: format!("{name}.1"), bytes });
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| pages(sub, files))
}
