//! Check of map sizes: what a map or a section of variables takes of a node, whether the kernel makes such a map, and
//! who reads it.
//!
//! In:   maps of the objects, and what the manifest says about them. Out: reports only.
//! May fail with: NB0302 (0), NB0345 (size), NB0346 (memory), NB0349 (consumer), NB0362 (pinning), NB0380
//! (cannot be made).

use nodeplan::limits;

use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw,
    object::map::{MapFacts, MapType, memory_bytes},
    resolve::Resolved,
    source::{Span, Spanned},
};

/// `BPF_F_NO_PREALLOC`, linux `include/uapi/linux/bpf.h`.
const F_NO_PREALLOC: u32 = 1;

/// Size of a page on `x86_64`, and on aarch64 with RHEL's default kernel.
const PAGE_BYTES: u32 = 4096;

/// Longest `consumer`, in bytes. Ours: it is a hint, not a text.
const CONSUMER_MAX_BYTES: usize = 200;

/// A map of an object and where to speak of it.
pub(super) struct Known<'a> {
    /// What the object says.
    pub(super) facts: &'a MapFacts,
    /// Where the object is named.
    pub(super) object: Span,
}

/// The map with the size that the manifest chooses; `None` if that size is refused.
pub(super) fn sized(number: Option<&Spanned<i64>>, facts: &MapFacts, diags: &mut Diagnostics) -> Option<MapFacts> {
    let Some(number) = number else { return Some(facts.clone()) };
    let name = shown(&facts.name);
    let Some(size) = u32::try_from(number.value).ok().filter(|size| *size > 0) else {
        let message = format!("`maxEntries` must be from 1 to {}, not {}", u32::MAX, number.value);
        diags.push(Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range"));
        return None;
    };
    if let Some(why) = facts.map_type.fixed_size() {
        let message = format!("the size of map `{name}` ({}) cannot be chosen", facts.map_type.name());
        diags.push(Diagnostic::error(Code::MapSize, message).at(number.span, why).help("remove `maxEntries`"));
        return None;
    }
    let sized = MapFacts { max_entries: size, ..facts.clone() };
    if let Some(next) = ring_size(&sized) {
        let message = format!("ring buffer `{name}` cannot have {size} bytes");
        diags.push(
            Diagnostic::error(Code::MapSize, message)
                .at(number.span, "must be a power of two, and at least a page")
                .note(format!("kernel: a ring buffer has 2^n whole pages of {PAGE_BYTES} bytes"))
                .help(format!("write `maxEntries: {next}`")),
        );
        return None;
    }
    Some(sized)
}

/// For a ring buffer of a size that the kernel refuses, the next one that it takes.
fn ring_size(facts: &MapFacts) -> Option<u32> {
    let is_ring = matches!(facts.map_type.name(), "ringbuf" | "user_ringbuf");
    let sound = facts.max_entries.is_power_of_two() && facts.max_entries >= PAGE_BYTES;
    (is_ring && !sound).then(|| facts.max_entries.max(PAGE_BYTES).checked_next_power_of_two().unwrap_or(1 << 31))
}

/// What the kernel or the loader would refuse about a map, whether the manifest speaks of it or not.
pub(super) fn check(known: &Known<'_>, said: Option<&(Span, &raw::Map)>, diags: &mut Diagnostics) {
    let facts = known.facts;
    let chosen = said.and_then(|(_, raw)| raw.max_entries.as_ref());
    // A refused size was reported where it stands.
    let mut unheard = Diagnostics::default();
    let Some(sized) = sized(chosen, facts, &mut unheard) else { return };
    let span = chosen.map(|number| number.span).or(said.map(|(span, _)| *span)).unwrap_or(known.object);
    if let Some(problem) = cannot_be_made(&sized, span) {
        diags.push(problem);
        return;
    }
    memory(&sized, span, diags);
}

/// Why no size would make the map one that nodebpf loads.
pub(crate) fn refused(facts: &MapFacts) -> Option<String> {
    let (name, kind) = (shown(&facts.name), facts.map_type.name());
    if matches!(kind, "array_of_maps" | "hash_of_maps") {
        return Some(format!("map `{name}` is of type {kind}, which nodebpf does not load"));
    }
    let preallocated = facts.map_type == MapType::LPM_TRIE && facts.flags & F_NO_PREALLOC == 0;
    preallocated.then(|| format!("map `{name}` is an lpm_trie without BPF_F_NO_PREALLOC"))
}

/// A size that the map can have, where the object has none, or one that the kernel refuses.
pub(crate) fn needs_size(facts: &MapFacts) -> Option<u32> {
    let sizeless =
        facts.max_entries == 0 && facts.map_type.fixed_size().is_none() && facts.map_type.name() != "unknown";
    ring_size(facts).or(sizeless.then_some(1024))
}

fn cannot_be_made(facts: &MapFacts, span: Span) -> Option<Diagnostic> {
    let (name, kind) = (shown(&facts.name), facts.map_type.name());
    if let Some(message) = refused(facts) {
        let diagnostic = Diagnostic::error(Code::MapRefused, message);
        return Some(if facts.map_type == MapType::LPM_TRIE {
            diagnostic
                .at(span, "the kernel refuses it")
                .note("kernel: kernel/bpf/lpm_trie.c, trie_alloc")
                .help("add to its definition: __uint(map_flags, BPF_F_NO_PREALLOC);")
        } else {
            diagnostic
                .at(span, "has this map")
                .note("its values are other maps, which somebody would have to make on each node")
                .help("use one hash, with the outer key as the first member of its key")
        });
    }
    if facts.max_entries == 0 && facts.map_type.fixed_size().is_none() && kind != "unknown" {
        return Some(
            Diagnostic::error(Code::MapSize, format!("map `{name}` ({kind}) has no size"))
                .at(span, "its max_entries is 0")
                .help(format!("add `maps: {{{name}: {{maxEntries: 1024}}}}`, or set max_entries in the C source")),
        );
    }
    let next = ring_size(facts)?;
    Some(
        Diagnostic::error(
            Code::MapSize,
            format!("ring buffer `{name}` has {} bytes, which the kernel refuses", facts.max_entries),
        )
        .at(span, "must be a power of two, and at least a page")
        .note(format!("kernel: a ring buffer has 2^n whole pages of {PAGE_BYTES} bytes"))
        .help(format!("add `maps: {{{name}: {{maxEntries: {next}}}}}`, or correct max_entries in the C source")),
    )
}

fn memory(facts: &MapFacts, span: Span, diags: &mut Diagnostics) {
    // One CPU: no node has fewer, and how many it has cannot be known here.
    let bytes = memory_bytes(facts, 1);
    if bytes <= limits::MAP_MAX_MEMORY_BYTES {
        return;
    }
    let each = memory_bytes(&MapFacts { max_entries: 1, ..facts.clone() }, 1).max(1);
    let fits = limits::MAP_MAX_MEMORY_BYTES / each;
    let message = format!(
        "map `{}` takes {} MiB; {} MiB are allowed",
        shown(&facts.name),
        bytes.div_ceil(1024 * 1024),
        limits::MAP_MAX_MEMORY_BYTES / 1024 / 1024
    );
    let diagnostic = Diagnostic::error(Code::MapMemory, message)
        .at(span, format_args!("{} entries of {each} bytes", facts.max_entries))
        .help(format!("write `maxEntries: {fits}` or less for it"));
    diags.push(if facts.map_type.is_per_cpu() {
        diagnostic.note("counted for one CPU; every CPU of a node takes as much again")
    } else {
        diagnostic.note("nodebpf's limit: maps are allocated before kubelet runs")
    });
}

/// Sections of variables become maps, too; of the objects for all architectures.
pub(super) fn variables(resolved: &Resolved, diags: &mut Diagnostics) {
    let mut objects: Vec<_> = resolved.all_objects().collect();
    objects.sort_by_key(|object| object.span);
    for object in objects {
        for section in object.facts.variables.iter().filter(|section| section.is_too_large()) {
            let message = format!(
                "section `{}` of `{}` takes {} MiB; {} MiB are allowed",
                shown(&section.name),
                shown(&object.path),
                section.bytes.div_ceil(1024 * 1024),
                limits::MAP_MAX_MEMORY_BYTES / 1024 / 1024
            );
            let label = section
                .largest
                .as_ref()
                .map_or_else(String::new, |name| format!("its largest variable is `{}`", shown(name)));
            diags.push(
                Diagnostic::error(Code::MapMemory, message)
                    .at(object.span, label)
                    .note("nodebpf's limit: each section of variables becomes one map, allocated before kubelet runs")
                    .help("make its variables smaller in the C source, or split them among maps"),
            );
        }
    }
}

/// libbpf pins such a map where everybody finds it, and takes what is there already; here each stream has its own. A state
/// map has what it asks for.
pub(super) fn pinned(known: &Known<'_>, said: Option<&(Span, &raw::Map)>, diags: &mut Diagnostics) {
    let persist = said.is_some_and(|(_, raw)| raw.persist.as_ref().is_some_and(|flag| flag.value));
    if !known.facts.pinned || persist {
        return;
    }
    let name = shown(&known.facts.name);
    diags.push(
        Diagnostic::warning(
            Code::PinByName,
            format!("map `{name}` asks to be pinned by its name (LIBBPF_PIN_BY_NAME)"),
        )
        .at(said.map_or(known.object, |(span, _)| *span), "is not pinned so")
        .note(format!("libbpf would share /sys/fs/bpf/{name} with every program on the node that names it"))
        .note("nodebpf gives each stream a map of its own, new with every bundle")
        .help(format!("to keep its content over updates: `maps: {{{name}: {{persist: true}}}}`"))
        .help("to be rid of this: remove `__uint(pinning, LIBBPF_PIN_BY_NAME);` from the C source"),
    );
}

/// Ring buffers need a reader; other maps have none.
pub(super) fn consumer(known: &Known<'_>, said: Option<&(Span, &raw::Map)>, diags: &mut Diagnostics) {
    let (name, kind) = (shown(&known.facts.name), known.facts.map_type.name());
    let text = said.and_then(|(_, raw)| raw.consumer.as_ref());
    let read = known.facts.map_type == MapType::RINGBUF || known.facts.map_type == MapType::PERF_EVENT_ARRAY;
    match text {
        None if read => {
            let span = said.map_or(known.object, |(span, _)| *span);
            let what = if known.facts.map_type == MapType::RINGBUF { "ring buffer" } else { "perf event array" };
            diags.push(
                Diagnostic::warning(Code::Consumer, format!("nobody is said to read {what} `{name}`"))
                    .at(span, "has it")
                    .note("nodebpf has no daemon: a full buffer drops events, and programs go on")
                    .help(format!("add `maps: {{{name}: {{consumer: \"who reads it\"}}}}`")),
            );
        }
        None => {}
        Some(text) if !read => diags.push(
            Diagnostic::error(Code::Consumer, format!("map `{name}` is of type {kind}, which has no consumer"))
                .at(text.span, "")
                .note("only ring buffers and perf event arrays are read by somebody else")
                .help("remove `consumer`"),
        ),
        Some(text) => {
            let trimmed = text.value.trim();
            if trimmed.is_empty() || trimmed.len() > CONSUMER_MAX_BYTES || trimmed.chars().any(char::is_control) {
                let message =
                    format!("`consumer` has {} bytes; it must be one line of 1 to {CONSUMER_MAX_BYTES}", trimmed.len());
                diags.push(Diagnostic::error(Code::OutOfRange, message).at(text.span, ""));
            }
        }
    }
}
