//! Check of attachments: what is written under a hook, for itself.
//!
//! In:   raw attachments. Out: [`Place`]s.
//! May fail with: NB0301 (names, cgroup paths), NB0302 (numbers), NB0305, NB0306 (lists), NB0323 (selectors), NB0324
//! (not one hook), NB0385 (equal anchors), NB0386 (names that the kernel cuts); warns of wide selectors.
//!
//! Not here: whether the program fits the hook ([`super::programs`]), conflicts ([`crate::plan`]).

use nodeplan::{
    hook::{
        Attachment, CgroupAttachment, FunctionAttachment, KprobeAttachment, LsmAttachment, NamedAttachment,
        TcAttachment, TcVerdict, TracepointAttachment, XdpAttachment,
    },
    limits,
    name::{AttachPoint, CgroupPath, KernelSymbol, ProgramName},
    priority::Priority,
    selector::Selector,
    xdp::{ProceedOn, XdpAction, XdpMode},
};

use super::{name, not_empty, place::Place, selectors, unique};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw::{self, AnyAttach},
    source::{Span, Spanned},
    yaml::types::{List, Text, Word},
};

/// Checks one list item; `list` is the place of the list.
pub(super) fn check(raw: &raw::Attach, list: Span, diags: &mut Diagnostics) -> Option<Place> {
    let named = raw.named();
    let [attach] = named.as_slice() else {
        let hooks: Vec<_> = named.iter().map(|attach| format!("`{}`", attach.value.hook())).collect();
        let found = if hooks.is_empty() { "no hook".to_owned() } else { hooks.join(" and ") };
        let diagnostic =
            Diagnostic::error(Code::NotOneHook, format!("an item of `attach` has {found}; it must have one hook"))
                .help("write one list item for each hook");
        diags.push(match named.as_slice() {
            [first, .., last] => diagnostic.at(last.key, "another hook").also(first.key, "one hook"),
            [] | [_] => diagnostic.at(list, ""),
        });
        return None;
    };
    let place = check_hook(attach.value, diags)?;
    Some(Place { hook: attach.key, ..place })
}

fn check_hook(attach: AnyAttach<'_>, diags: &mut Diagnostics) -> Option<Place> {
    match attach {
        AnyAttach::Xdp(xdp) => check_xdp(xdp, diags),
        AnyAttach::Tc(tc) => check_tc(tc, diags),
        AnyAttach::Cgroup(raw) => {
            let path = cgroup_path(&raw.path, diags)?;
            let attachment = CgroupAttachment { path: path.value, attach_type: raw.attach_type.0.value };
            Some(Place { variant: raw.attach_type.0.span, ..single(Attachment::Cgroup(attachment), path.span) })
        }
        AnyAttach::Tracepoint(raw) => {
            let category = name::<AttachPoint>(&raw.category, "category", diags);
            let point = name::<AttachPoint>(&raw.name, "tracepoint", diags)?;
            let attachment = TracepointAttachment { category: category?.value, name: point.value };
            Some(single(Attachment::Tracepoint(attachment), point.span))
        }
        AnyAttach::RawTracepoint(raw) => check_named(&raw.name, Attachment::RawTracepoint, diags),
        AnyAttach::BtfTracepoint(raw) => check_named(&raw.name, Attachment::BtfTracepoint, diags),
        AnyAttach::Kprobe(raw) => check_kprobe(raw, diags),
        AnyAttach::Kretprobe(raw) => check_function(&raw.function, Attachment::Kretprobe, diags),
        AnyAttach::Fentry(raw) => check_function(&raw.function, Attachment::Fentry, diags),
        AnyAttach::Fexit(raw) => check_function(&raw.function, Attachment::Fexit, diags),
        AnyAttach::Lsm(raw) => {
            let hook = name::<AttachPoint>(&raw.hook, "security hook", diags)?;
            Some(single(Attachment::Lsm(LsmAttachment { hook: hook.value }), hook.span))
        }
    }
}

/// Where systemd mounts the unified hierarchy, in which our paths start.
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

fn cgroup_path(text: &Text, diags: &mut Diagnostics) -> Option<Spanned<CgroupPath>> {
    let below = text.value.strip_prefix(CGROUP_MOUNT).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(below) = below {
        let below = below.trim_end_matches('/');
        diags.push(
            Diagnostic::error(Code::BadName, format!("cgroup path `{}` starts at the mount point", shown(&text.value)))
                .at(text.span, "must start at the root of the hierarchy")
                .help(format!("write `path: {}`", shown(if below.is_empty() { "/" } else { below }))),
        );
        return None;
    }
    // A directory could have such a name; nobody's has, and who writes it means several cgroups.
    if let Some(wild) = text.value.chars().find(|c| matches!(c, '*' | '?' | '[' | ']')) {
        let parent = text.value.split(['*', '?', '[', ']']).next().and_then(|head| head.rsplit_once('/'));
        let parent = parent.map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        diags.push(
            Diagnostic::error(Code::BadName, format!("cgroup path `{}` has `{wild}`", shown(&text.value)))
                .at(text.span, "must name one cgroup")
                .note("a program on a cgroup runs for all cgroups below it")
                .help(format!("write the cgroup above them: `path: {}`", shown(parent))),
        );
        return None;
    }
    let rooted = format!("/{}", text.value);
    if !text.value.starts_with('/') && CgroupPath::try_from(rooted.as_str()).is_ok() {
        diags.push(
            Diagnostic::error(Code::BadName, format!("cgroup path `{}` does not start with `/`", shown(&text.value)))
                .at(text.span, "must start at the root of the hierarchy")
                .help(format!("write `path: {}`", shown(&rooted))),
        );
        return None;
    }
    name::<CgroupPath>(text, "cgroup path", diags)
}

/// A place without interfaces and priority.
fn single(attachment: Attachment, span: Span) -> Place {
    Place {
        attachment,
        hook: span,
        span,
        interfaces: Vec::new(),
        priority: span,
        variant: span,
        verdicts: span,
        anchors: [span; 2],
    }
}

fn check_named(text: &Text, hook: fn(NamedAttachment) -> Attachment, diags: &mut Diagnostics) -> Option<Place> {
    let point = name::<AttachPoint>(text, "tracepoint", diags)?;
    Some(single(hook(NamedAttachment { name: point.value }), point.span))
}

fn check_function(text: &Text, hook: fn(FunctionAttachment) -> Attachment, diags: &mut Diagnostics) -> Option<Place> {
    let function = name::<KernelSymbol>(text, "kernel function", diags)?;
    Some(single(hook(FunctionAttachment { function: function.value }), function.span))
}

fn check_kprobe(raw: &raw::Kprobe, diags: &mut Diagnostics) -> Option<Place> {
    let function = name::<KernelSymbol>(&raw.function, "kernel function", diags);
    let offset = match &raw.offset {
        None => Some(0),
        Some(number) => {
            let offset = u64::try_from(number.value).ok();
            if offset.is_none() {
                let message = format!("`offset` must be at least 0, not {}", number.value);
                diags.push(Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range"));
            }
            offset
        }
    };
    let function = function?;
    Some(single(Attachment::Kprobe(KprobeAttachment { function: function.value, offset: offset? }), function.span))
}

fn sorted(interfaces: &[Spanned<Selector>]) -> Vec<Selector> {
    let mut sorted: Vec<_> = interfaces.iter().map(|selector| selector.value.clone()).collect();
    sorted.sort();
    sorted
}

fn check_xdp(raw: &raw::Xdp, diags: &mut Diagnostics) -> Option<Place> {
    let interfaces = selectors::check(&raw.interfaces, diags);
    let priority = priority(&raw.priority, diags);
    let proceed_on = proceed_on(raw.proceed_on.as_ref(), diags);
    let mode = match &raw.mode {
        Some(word) => word.0.clone(),
        None => Spanned::new(XdpMode::Native, raw.priority.span),
    };
    let (interfaces, priority) = (interfaces?, priority?);
    selectors::warn_wide(&interfaces, diags);
    selectors::warn_switch(&interfaces, diags);
    let attachment = XdpAttachment {
        interfaces: sorted(&interfaces),
        mode: mode.value,
        priority: priority.value,
        proceed_on: proceed_on?,
        // The program's section says it: see the plan.
        frags: false,
    };
    let span = raw.interfaces.span;
    let verdicts = raw.proceed_on.as_ref().map_or(priority.span, |list| list.span);
    Some(Place {
        attachment: Attachment::Xdp(attachment),
        hook: span,
        span,
        interfaces,
        priority: priority.span,
        variant: mode.span,
        verdicts,
        anchors: [span; 2],
    })
}

fn check_tc(raw: &raw::Tc, diags: &mut Diagnostics) -> Option<Place> {
    let interfaces = selectors::check(&raw.interfaces, diags);
    let priority = priority(&raw.priority, diags);
    let verdicts = verdicts(&raw.verdicts, diags);
    let before = anchor(raw.before.as_ref(), "before", diags);
    let after = anchor(raw.after.as_ref(), "after", diags);
    let anchors_differ = anchors_differ(raw, diags);
    let (interfaces, priority) = (interfaces?, priority?);
    selectors::warn_wide(&interfaces, diags);
    anchors_differ.then_some(())?;
    let attachment = TcAttachment {
        interfaces: sorted(&interfaces),
        direction: raw.direction.0.value,
        priority: priority.value,
        verdicts: verdicts?,
        before: before?,
        after: after?,
    };
    let span = raw.interfaces.span;
    Some(Place {
        attachment: Attachment::Tc(attachment),
        hook: span,
        span,
        interfaces,
        priority: priority.span,
        variant: raw.direction.0.span,
        verdicts: raw.verdicts.span,
        anchors: [&raw.before, &raw.after].map(|text| text.as_ref().map_or(span, |text| text.span)),
    })
}

#[expect(clippy::option_option, reason = "outside: a problem was reported; inside: there is no anchor")]
fn anchor(text: Option<&Text>, key: &str, diags: &mut Diagnostics) -> Option<Option<ProgramName>> {
    let Some(text) = text else { return Some(None) };
    let name = name::<ProgramName>(text, "program", diags)?;
    if let Some(kept) = text.value.get(..limits::KERNEL_OBJ_NAME_BYTES).filter(|kept| *kept != text.value) {
        diags.push(
            Diagnostic::warning(
                Code::AnchorCut,
                format!("`{key}` has {} bytes; the kernel keeps {} of a name", text.value.len(), kept.len()),
            )
            .at(text.span, format_args!("any program that starts with `{kept}` may be meant"))
            .note("kernel: BPF_OBJ_NAME_LEN is 16, with the closing NUL")
            .help("give the program a shorter name, if it is yours"),
        );
    }
    Some(Some(name.value))
}

/// Nothing runs before and after one program; names that the kernel cuts to one are one.
fn anchors_differ(raw: &raw::Tc, diags: &mut Diagnostics) -> bool {
    let (Some(before), Some(after)) = (&raw.before, &raw.after) else { return true };
    let cut = |text: &Text| text.value.bytes().take(limits::KERNEL_OBJ_NAME_BYTES).collect::<Vec<_>>();
    let equal = cut(before) == cut(after);
    if equal {
        diags.push(
            Diagnostic::error(
                Code::EqualAnchors,
                format!("`after` names the program that `before` names, `{}`", before.value),
            )
            .at(after.span, "after it")
            .also(before.span, "before it")
            .help("remove one of the two"),
        );
    }
    !equal
}

fn verdicts(list: &List<Word<TcVerdict>>, diags: &mut Diagnostics) -> Option<Vec<TcVerdict>> {
    let words = list.value.iter().map(|word| (word.0.value, word.0.span));
    unique(words.clone(), |verdict| format!("verdict `{}`", verdict.as_str()), diags);
    let sound = not_empty(list, "verdicts", diags);
    let mut verdicts: Vec<_> = words.map(|(verdict, _)| verdict).collect();
    verdicts.sort_unstable();
    verdicts.dedup();
    Some(verdicts).filter(|_| sound)
}

pub(crate) fn priority(number: &Spanned<i64>, diags: &mut Diagnostics) -> Option<Spanned<Priority>> {
    let priority = Priority::try_from(number.value);
    if priority.is_err() {
        let message = format!("a priority must be from 0 to {}, not {}", limits::PRIORITY_MAX, number.value);
        diags.push(
            Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range").note("lower runs first"),
        );
    }
    priority.ok().map(|priority| Spanned::new(priority, number.span))
}

fn proceed_on(raw: Option<&List<Word<XdpAction>>>, diags: &mut Diagnostics) -> Option<ProceedOn> {
    let Some(list) = raw else {
        return ProceedOn::from_unsorted(vec![XdpAction::Pass]).ok();
    };
    let words = list.value.iter().map(|word| (word.0.value, word.0.span));
    unique(words.clone(), |action| format!("verdict `{}`", action.as_str()), diags);
    if !not_empty(list, "proceedOn", diags) {
        return None;
    }
    ProceedOn::from_unsorted(words.map(|(action, _)| action).collect()).ok()
}
