//! `nodebpf fleet`: what the nodes of a cluster run, out of their journals.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use nodeplan::{report::StreamState, time::Timestamp};

use super::{
    Exit,
    args::{AcceptArg, FleetArgs, OrderArg},
    io,
    session::{Session, WrongUsage},
};
use crate::{
    diag::{Code, Diagnostic, visible},
    fleet::{
        Fleet, MAX_NODES,
        judge::{self, Agreed},
        line::LINE_MAX_BYTES,
        nodes,
        order::Order,
        text,
    },
    lock::{LOCK_MAX_BYTES, Lock},
};

/// Largest list of nodes, in bytes: 10 000 nodes, 30 KiB each.
const NODES_MAX_BYTES: usize = 300 * 1024 * 1024;

pub(super) fn run(args: &FleetArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.lock.is_some() && args.pool.is_none() && args.nodes.is_none() {
        let help = "--lock needs the pools of the nodes: --pool POOL, or --nodes FILE from `oc get nodes -o json`";
        return Err(WrongUsage(help.to_owned()).into());
    }
    let lock = match &args.lock {
        Some(path) => {
            let name = path.display().to_string();
            Lock::parse(&name, &io::read_file(path, LOCK_MAX_BYTES)?, &mut session.diags)
        }
        None => None,
    };
    let nodes = match &args.nodes {
        Some(path) => match nodes::read(&io::read_file(path, NODES_MAX_BYTES)?) {
            Ok(nodes) => Some(nodes),
            Err(why) => {
                let name = visible(&path.display().to_string());
                session.diags.push(
                    Diagnostic::error(Code::BadNodes, format!("`{name}`: {}", visible(&why)))
                        .help("oc get nodes -o json > nodes.json"),
                );
                None
            }
        },
        None => None,
    };
    if session.diags.has_errors() {
        return Ok(Exit::Errors);
    }
    let order = args.order.map(|order| match order {
        OrderArg::OldestFirst => Order::OldestFirst,
        OrderArg::NewestFirst => Order::NewestFirst,
    });
    let mut fleet = Fleet::default();
    fleet.order = order;
    for path in &args.files {
        read(path, &mut fleet)?;
    }
    problems(&fleet, session);
    let accept = args.accept.iter().map(|state| match state {
        AcceptArg::Pending => StreamState::Pending,
        AcceptArg::Held => StreamState::Held,
    });
    let pool = args.pool.as_ref().map(ToString::to_string);
    let age = match (args.max_age, args.at) {
        (Some(max), Some(at)) => Some((at, max)),
        (Some(max), None) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?;
            Some((Timestamp::from_unix_seconds(now.as_secs()), max))
        }
        (None, _) => None,
    };
    let agreed = Agreed { lock: lock.as_ref(), pool, nodes, accept: accept.collect(), age };
    let table = judge::judge(&fleet, &agreed);
    for pool in &table.unknown_pools {
        let note = if judge::inherits(pool) {
            "its nodes are judged by `worker`, from which custom pools inherit"
        } else {
            "it does not inherit from `worker`: its nodes should have no stream, and those that say nothing are right"
        };
        session.diags.push(
            Diagnostic::warning(Code::PoolNotLocked, format!("the lock does not know pool `{}`", visible(pool)))
                .note(note)
                .help("list the pool in the policy's `pools`, and write the lock anew with `nodebpf lock`"),
        );
    }
    let out = if args.json { serde_json::to_string_pretty(&table)? + "\n" } else { text::print(&table) };
    io::print(out.as_bytes())?;
    Ok(if table.right { session.exit() } else { Exit::Errors })
}

fn problems(fleet: &Fleet, session: &mut Session) {
    if fleet.nodes.is_empty() {
        let why = if fleet.nameless + fleet.damaged > 0 { ", only lines without the name of a node" } else { "" };
        session.diags.push(
            Diagnostic::error(Code::NoReport, format!("the input has no report of a node{why}"))
                .help("oc adm node-logs --role=worker -u nodebpf -u nodebpf-apply | nodebpf fleet -")
                .help("on one node: journalctl -o json --all -u nodebpf -u nodebpf-apply | nodebpf fleet -"),
        );
    } else if fleet.nameless > 0 {
        session.say(&format!("lines without the name of a node, not counted: {}", fleet.nameless));
    }
    if fleet.damaged > 0 {
        session.say(&format!("reports that are damaged and name no node, so that not all is right: {}", fleet.damaged));
    }
    if fleet.newest_first > 0 {
        session.say("by its times the input has the newest line first, as `journalctl -r` prints it, and is read so");
    }
    if !fleet.stepped.is_empty() {
        let some: Vec<_> = fleet.stepped.iter().take(5).map(|node| visible(node)).collect();
        let more = if fleet.stepped.len() > some.len() { ", …" } else { "" };
        session.say(&format!(
            "times contradict the order of lines of {}{more}: a clock was set, or files were put together; the order \
             counts",
            some.join(", ")
        ));
    }
    if fleet.too_long > 0 {
        session.say(&format!("lines of more than {LINE_MAX_BYTES} bytes, not read: {}", fleet.too_long));
    }
    if fleet.too_many > 0 {
        let message = format!("the input has reports of more than {MAX_NODES} nodes");
        session.diags.push(
            Diagnostic::error(Code::TooManyNodes, message)
                .note(format!("not read: {} lines of further nodes", fleet.too_many))
                .help("give one cluster at a time"),
        );
    }
}

/// Feeds all lines of a file, holding one at a time.
fn read(path: &Path, fleet: &mut Fleet) -> anyhow::Result<()> {
    let context = || format!("reading `{}`", path.display());
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(context)?)
    };
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    let mut continues = false;
    loop {
        line.clear();
        let max = LINE_MAX_BYTES as u64 + 1;
        if reader.by_ref().take(max).read_until(b'\n', &mut line).with_context(context)? == 0 {
            fleet.end();
            return Ok(());
        }
        let ends = line.last() == Some(&b'\n');
        let cut = !ends && line.len() > LINE_MAX_BYTES;
        if cut && !continues {
            fleet.too_long += 1;
        }
        if !cut && !continues {
            fleet.line(line.strip_suffix(b"\n").unwrap_or(&line));
        }
        continues = cut || (continues && !ends);
    }
}
