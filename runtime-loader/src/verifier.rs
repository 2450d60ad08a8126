//! Verifier: what its log says, for people.
//!
//! In: a log of the kernel's verifier. Out: why it refused, with the line of C and what to do; or what it did.
//! Pure. A log that says nothing known is answered all the same.
//!
//! Source of the messages: linux `kernel/bpf/verifier.c`.

use crate::show::{self, Row};

/// Words of a message, and what to do. The first that is found counts.
const HINTS: &[(&str, &str)] = &[
    ("invalid access to packet", "compare the pointer with data_end before reading"),
    ("invalid access to map value", "check the index against the size of the value"),
    ("map_value_or_null", "check what bpf_map_lookup_elem returned before using it"),
    ("_or_null", "check the pointer for NULL before using it"),
    ("unbounded memory access", "give the length an upper bound the verifier can see: if (len > MAX) return"),
    ("min value is negative", "make the length unsigned, or check that it is not below 0"),
    ("!read_ok", "initialise the variable on every path"),
    ("indirect read from stack", "initialise the whole buffer, padding too: = {}"),
    ("back-edge", "bound the loop by a constant, or use bpf_loop"),
    ("infinite loop detected", "bound the loop by a constant, or use bpf_loop"),
    ("BPF program is too large", "split the program, or make its loops and branches fewer"),
    ("too many states", "split the program, or make its loops and branches fewer"),
    ("combined stack size", "keep large buffers in a per-CPU array instead of on the stack"),
    ("invalid stack", "keep large buffers in a per-CPU array; a stack has 512 bytes"),
    ("GPL-restricted", "give the object a GPL-compatible licence: char _license[] SEC(\"license\") = \"GPL\""),
    ("cannot call GPL", "give the object a GPL-compatible licence: char _license[] SEC(\"license\") = \"GPL\""),
    ("unknown func", "this kernel lacks the helper, or not for this hook; limit appliesTo.kernel"),
    ("invalid func unknown", "this kernel lacks the helper, or not for this hook; limit appliesTo.kernel"),
    ("program of this type cannot use helper", "the helper is not for this hook"),
    ("invalid bpf_context access", "the hook's context has no such field, or it may only be read"),
    ("At program exit the register R0", "return only values that the hook knows"),
    ("changes packet data", "the dispatcher's stub cannot take this program; another loader's dispatcher is there"),
    ("arithmetic on", "do pointer arithmetic only with bounded numbers"),
    ("Unreleased reference", "release the reference on every path"),
    ("attach_btf_id is not a function", "this kernel has no such function; limit appliesTo.kernel"),
];

/// Why the verifier refused: its last useful line, the line of C before it, and a hint.
pub fn refusal(log: &str) -> String {
    let mut out = last_useful_lines(log);
    // `; source`, since 6.8 with ` @ file:line`.
    let source = log.lines().rev().find_map(|line| line.strip_prefix("; "));
    if let Some(source) = source {
        out.push_str(", at `");
        out.push_str(source.trim());
        out.push('`');
    }
    if let Some((_, hint)) = HINTS.iter().find(|(words, _)| show::has(&out, words)) {
        out.push_str("; ");
        out.push_str(hint);
    }
    out
}

/// What a log says is wrong: its last lines that are neither statistics nor instructions nor source.
fn last_useful_lines(log: &str) -> String {
    let statistics = ["processed ", "verification time", "stack depth", "peak_states"];
    let useful = |line: &&str| !line.trim().is_empty() && !statistics.iter().any(|word| line.starts_with(word));
    // Behind the message there may be states, as behind an infinite loop; before it is what the verifier was at.
    let lines = log.lines().rev().filter(useful);
    let mut lines = lines.skip_while(|line| is_trace(line)).take_while(|line| !is_trace(line));
    match (lines.next(), lines.next()) {
        (None, _) => "the verifier gave no reason".to_owned(),
        (Some(last), None) => last.to_owned(),
        (Some(last), Some(before)) => {
            let mut out = before.to_owned();
            out.push_str("; ");
            out.push_str(last);
            out
        }
    }
}

/// Lines that say what the verifier is at, and not what is wrong: instructions, source, states, functions.
fn is_trace(line: &str) -> bool {
    let rest = line.trim_start();
    let first = rest.split(' ').next().unwrap_or_default();
    let number = first.strip_suffix(':').unwrap_or_default();
    let words = ["; ", "from ", "cur state", "old state", "mark_precise:", "func#", "Func#", "Validating "];
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        || (first.starts_with('R') && first.contains('='))
        || words.iter().any(|word| rest.starts_with(word))
}

/// What the verifier says it did: `stack depth 8+0`, `processed 12 insns … total_states 1 peak_states 1 …`.
pub fn statistics(said: &str, row: &mut Row) {
    for (name, before) in
        [("insns", "processed"), ("states", "total_states"), ("peakStates", "peak_states"), ("stack", "depth")]
    {
        let mut words = said.split_ascii_whitespace().skip_while(|word| *word != before);
        if let Some(word) = words.nth(1) {
            match word.parse() {
                Ok(count) => row.number(name, count),
                Err(_) => row.text(name, word),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_neither_statistics_nor_an_instruction() {
        let log = "0: (61) r1 = *(u32 *)(r1 +0)\ninvalid access to packet, off=14 size=1\n\
                   R1 offset is outside of the packet\nprocessed 2 insns\n\n";
        let want = "invalid access to packet, off=14 size=1; R1 offset is outside of the packet";
        assert_eq!(last_useful_lines(log), want);
        assert_eq!(last_useful_lines("1: (95) exit\nR0 !read_ok\n"), "R0 !read_ok");
        for (log, want) in [
            ("", "the verifier gave no reason"),
            // Cut by a kernel before 6.4.
            ("func#0 @0\n0: R1=ctx() R10=fp0\n0: (b7) r0 = 0\n", "the verifier gave no reason"),
            (
                "3: (05) goto pc-1\ninfinite loop detected at insn 3\ncur state: R0=1 R10=fp0\nold state: R0=1 R10=fp0\n\
                 processed 9 insns\n",
                "infinite loop detected at insn 3",
            ),
            ("5: (85) call bpf_x#1\n4096 bytes are too many\n", "4096 bytes are too many"),
            ("R1 type=ctx expected=fp\n; return f(ctx); @ f.c:7\n", "R1 type=ctx expected=fp"),
            ("0: (85) call pc+1\nR1=ctx() R10=fp0\nfrom 1 to 4: R0=0 R10=fp0\n", "the verifier gave no reason"),
        ] {
            assert_eq!(last_useful_lines(log), want, "{log}");
        }
    }

    #[test]
    fn a_refusal_names_the_line_and_says_what_to_do() {
        let log = "; int xdp_bad(struct xdp_md *ctx) @ bad.c:10\n0: (61) r1 = *(u32 *)(r1 +0)\n\
                   ; return data[0] ? XDP_PASS : XDP_DROP; @ bad.c:14\n1: (71) r1 = *(u8 *)(r1 +0)\n\
                   invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)\n\
                   R1 offset is outside of the packet\nprocessed 2 insns\n";
        assert_eq!(
            refusal(log),
            "invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0); R1 offset is outside of the packet, at \
             `return data[0] ? XDP_PASS : XDP_DROP; @ bad.c:14`; compare the pointer with data_end before reading"
        );
        assert_eq!(refusal(""), "the verifier gave no reason");
        // A hint behind another one that it begins like would never be given.
        for (at, (words, _)) in HINTS.iter().enumerate() {
            assert!(HINTS[..at].iter().all(|(earlier, _)| !words.contains(earlier)), "{words}");
        }
    }

    #[test]
    fn statistics_are_read() {
        let said = "verification time 45 usec\nstack depth 8+0\nprocessed 12 insns (limit 1000000) \
                    max_states_per_insn 0 total_states 3 peak_states 2 mark_read 1\n";
        let shown = |said| {
            let (mut row, mut out) = (Row::default(), String::new());
            statistics(said, &mut row);
            crate::show::json(&mut out, &row.done());
            out
        };
        assert_eq!(shown(said), r#"{"insns":12,"states":3,"peakStates":2,"stack":"8+0"}"#);
        assert_eq!(shown(""), "{}");
    }
}
