//! Journal: the one line of a run that `nodebpf fleet` reads.
//!
//! In: a [`Report`]. Out: one entry of the journal by its native protocol, or one line on standard error where there is
//! no journal or it takes no datagram. Cannot fail.
//!
//! Source of the protocol: systemd, "Native Journal Protocol" (`docs/JOURNAL_NATIVE_PROTOCOL.md`): a datagram
//! of `FIELD=value` lines; a value without line feed needs no length.

use std::{env, os::unix::net::UnixDatagram, path::Path};

use nodeplan::{
    json,
    report::{Code, Report, SUMMARY_MESSAGE_ID, SUMMARY_PREFIX, Summary},
};

use crate::report;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Longest line, in bytes: what journald takes of a stream before it cuts a line in two (`LineMax=`, journald.conf(5)).
/// Datagrams may be longer, but not all the ways that the line travels afterwards.
const LINE_MAX_BYTES: usize = 48 * 1024;

/// Says what a run came to.
pub fn summary(report: &Report) {
    let line = line(report);
    if env::var_os("JOURNAL_STREAM").is_none() || !send(Path::new(SOCKET), &line) {
        report::log(6, &line);
    }
}

/// The line. A summary that is too long says so, instead of being cut: the whole is in the report.
fn line(report: &Report) -> String {
    let mut summary = Summary::from(report);
    let mut line = encode(&summary);
    if line.len() > LINE_MAX_BYTES {
        summary.streams.clear();
        summary.problems.push(Code::SummaryTooLong);
        line = encode(&summary);
    }
    line
}

fn encode(summary: &Summary) -> String {
    let mut line = SUMMARY_PREFIX.to_owned();
    line.push_str(&String::from_utf8_lossy(&json::to_bytes(summary)));
    line
}

/// Whether journald took it.
fn send(socket: &Path, line: &str) -> bool {
    let entry = entry(line);
    UnixDatagram::unbound().is_ok_and(|from| from.send_to(entry.as_bytes(), socket).is_ok())
}

fn entry(line: &str) -> String {
    let mut entry = "PRIORITY=6\nSYSLOG_IDENTIFIER=nodebpf-loader\nMESSAGE_ID=".to_owned();
    for part in [SUMMARY_MESSAGE_ID, "\nMESSAGE=", line, "\n"] {
        entry.push_str(part);
    }
    entry
}

#[cfg(test)]
mod tests {
    use nodeplan::{
        name::StreamName,
        report::{REPORT_VERSION, StreamReport, StreamState, TrustReport},
    };

    use super::*;

    fn report(streams: usize) -> Report {
        let stream = |at: usize| {
            StreamReport::new(
                StreamName::try_from(format!("stream-{at:032}").as_str()).unwrap(),
                StreamState::Attached,
                None,
            )
        };
        Report {
            report_version: REPORT_VERSION,
            loader: "0".to_owned(),
            kernel: "6.12\n\"".to_owned(),
            trust: TrustReport { version: Some(3), anchor: None, reason: None },
            problems: Vec::new(),
            streams: (0..streams).map(stream).collect(),
        }
    }

    fn read(line: &str) -> Summary {
        json::parse(line.strip_prefix(SUMMARY_PREFIX).unwrap().as_bytes(), line.len()).unwrap()
    }

    #[test]
    fn a_run_is_one_line() {
        let line = line(&report(2));
        assert!(!line.contains('\n'));
        assert_eq!(read(&line), Summary::from(&report(2)));
    }

    #[test]
    fn a_line_that_is_too_long_says_so_and_is_not_cut() {
        let (fits, long) = (read(&line(&report(500))), read(&line(&report(2000))));
        assert!(fits.streams.len() == 500 && fits.problems.is_empty());
        assert!(long.streams.is_empty());
        assert_eq!(long.problems, [Code::SummaryTooLong]);
        assert_eq!(long.trust, Some(3));
    }

    #[test]
    fn journald_gets_a_datagram_of_fields() {
        let dir = std::env::temp_dir().join(format!("nodebpf-journal-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let line = line(&report(1));
        assert!(send(&path, &line));
        let mut buffer = vec![0; 1 << 16];
        let len = socket.recv(&mut buffer).unwrap();
        let fields: Vec<&str> = std::str::from_utf8(&buffer[..len]).unwrap().lines().collect();
        let id = format!("MESSAGE_ID={SUMMARY_MESSAGE_ID}");
        let message = format!("MESSAGE={line}");
        assert_eq!(fields, ["PRIORITY=6", "SYSLOG_IDENTIFIER=nodebpf-loader", &id, &message]);
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(!send(&path, &line), "nobody listens");
    }
}
