//! Prometheus: the report as text, exposition format 0.0.4, for `node_exporter`'s textfile collector or whoever runs
//! `status --prometheus`.
//!
//! In: a [`Report`]. Out: text. Pure, cannot fail.

use nodeplan::report::{Report, StreamReport, StreamState};

use crate::show::{digits, quote};

/// All states: of each stream one has the value 1.
const STATES: [StreamState; 9] = [
    StreamState::Attached,
    StreamState::Pending,
    StreamState::NotApplicable,
    StreamState::Expired,
    StreamState::Held,
    StreamState::Refused,
    StreamState::Failed,
    StreamState::Degraded,
    StreamState::Removed,
];

/// The text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    family(&mut out, "loader_info", "gauge", "Version of the loader and of the kernel, always 1.");
    sample(&mut out, "loader_info", &[("version", &report.loader), ("kernel", &report.kernel)], 1);
    if let Some(version) = report.trust.version {
        family(&mut out, "trust_version", "gauge", "Version of the trust file in force.");
        sample(&mut out, "trust_version", &[], version);
    }
    family(&mut out, "problems", "gauge", "What is wrong with the node's own files.");
    sample(&mut out, "problems", &[], report.problems.len() as u64);
    each(
        &mut out,
        report,
        ("stream_state", "gauge", "State of a stream: 1 for the one it is in."),
        |out, one, name| {
            for state in STATES {
                let is = u64::from(one.state == state);
                sample(out, name, &[("stream", one.stream.as_str()), ("state", state.as_str())], is);
            }
        },
    );
    each(&mut out, report, ("stream_revision", "gauge", "Revision that runs, or would run."), |out, one, name| {
        if let Some(revision) = one.revision {
            sample(out, name, &[("stream", one.stream.as_str())], revision.get().into());
        }
    });
    each(&mut out, report, ("attachment_up", "gauge", "Whether a program runs at a place."), |out, one, name| {
        for place in &one.attachments {
            let at = place.place.as_deref().unwrap_or(place.hook.as_str());
            let interface = place.interface.as_ref().map_or("", |interface| interface.as_str());
            let program = place.program.as_str();
            let labels =
                [("stream", one.stream.as_str()), ("program", program), ("place", at), ("interface", interface)];
            sample(out, name, &labels, place.attached.into());
        }
    });
    each(&mut out, report, ("counter_total", "counter", "Exported counters of streams."), |out, one, name| {
        for (counter, value) in &one.counters {
            sample(out, name, &[("stream", one.stream.as_str()), ("name", counter.as_str())], *value);
        }
    });
    out
}

#[inline(never)]
fn each(out: &mut String, report: &Report, of: (&str, &str, &str), write: fn(&mut String, &StreamReport, &str)) {
    if !report.streams.is_empty() {
        family(out, of.0, of.1, of.2);
    }
    for one in &report.streams {
        write(out, one, of.0);
    }
}

/// The two lines that stand before the samples of one name.
#[inline(never)]
fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    for part in ["# HELP nodebpf_", name, " ", help, "\n# TYPE nodebpf_", name, " ", kind, "\n"] {
        out.push_str(part);
    }
}

#[inline(never)]
fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    out.push_str("nodebpf_");
    out.push_str(name);
    let mut before = '{';
    for (label, text) in labels {
        out.push(before);
        out.push_str(label);
        out.push('=');
        quote(out, text);
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    out.push(' ');
    out.push_str(&digits(value));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use nodeplan::json;

    use super::*;

    fn report() -> Report {
        let text = r#"{"reportVersion":"1.1","loader":"0.1.0","kernel":"6.12 \"x\\","trust":{"version":7},"streams":[
            {"stream":"a","state":"attached","revision":3,"attachments":[
                {"hook":"tc","place":"tc ingress","program":"p","programId":9,"interface":"eth0","ifindex":2,"attached":true},
                {"hook":"kprobe","program":"q","attached":false}],
             "counters":{"drops":18,"passes":0}},
            {"stream":"b","state":"refused","reason":{"code":"NB1102","message":"no"}}]}"#;
        json::parse(text.as_bytes(), text.len()).unwrap()
    }

    #[test]
    fn samples() {
        let out = text(&report());
        for line in [
            r#"nodebpf_loader_info{version="0.1.0",kernel="6.12 \"x\\"} 1"#,
            "nodebpf_trust_version 7",
            "nodebpf_problems 0",
            r#"nodebpf_stream_state{stream="a",state="attached"} 1"#,
            r#"nodebpf_stream_state{stream="b",state="attached"} 0"#,
            r#"nodebpf_stream_state{stream="b",state="refused"} 1"#,
            r#"nodebpf_stream_revision{stream="a"} 3"#,
            r#"nodebpf_attachment_up{stream="a",program="p",place="tc ingress",interface="eth0"} 1"#,
            r#"nodebpf_attachment_up{stream="a",program="q",place="kprobe",interface=""} 0"#,
            r#"nodebpf_counter_total{stream="a",name="drops"} 18"#,
        ] {
            assert!(out.lines().any(|found| found == line), "no line {line} in\n{out}");
        }
    }

    /// The grammar of `docs/instrumenting/exposition_formats.md` of Prometheus: HELP and TYPE once for each name, before
    /// its samples, which stand together; names, labels and values well-formed; no sample twice; ends with a line feed.
    #[test]
    fn the_text_is_in_the_exposition_format() {
        let out = text(&report());
        assert!(out.ends_with('\n') && !out.contains("\n\n"));
        let name_ok = |name: &str| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let (mut current, mut helped, mut seen, mut samples) = (String::new(), String::new(), Vec::new(), Vec::new());
        for line in out.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(name_ok(name) && !help.is_empty() && !seen.contains(&name.to_owned()), "{line}");
                helped = name.to_owned();
                seen.push(helped.clone());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(name == helped && matches!(kind, "gauge" | "counter"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                current = name.to_owned();
            } else {
                let end = line.find(['{', ' ']).unwrap();
                assert_eq!(line[..end], current, "{line}");
                let mut rest = &line[end..];
                if let Some(inside) = rest.strip_prefix('{') {
                    rest = inside;
                    loop {
                        let (label, more) = rest.split_once("=\"").unwrap();
                        assert!(name_ok(label), "{line}");
                        let mut escaped = false;
                        let quote = more.char_indices().find(|(_, c)| {
                            let ends = *c == '"' && !escaped;
                            assert!(!escaped || matches!(c, '\\' | '"' | 'n'), "{line}");
                            escaped = *c == '\\' && !escaped;
                            ends
                        });
                        rest = &more[quote.unwrap().0 + 1..];
                        match rest.split_at(1) {
                            (",", more) => rest = more,
                            (end, more) => {
                                assert_eq!(end, "}", "{line}");
                                rest = more;
                                break;
                            }
                        }
                    }
                }
                assert!(rest.strip_prefix(' ').unwrap().parse::<f64>().is_ok(), "{line}");
                let labels = line.rsplit_once(' ').unwrap().0.to_owned();
                assert!(!samples.contains(&labels), "twice: {line}");
                samples.push(labels);
            }
        }
        assert!(samples.len() > 20);
    }
}
