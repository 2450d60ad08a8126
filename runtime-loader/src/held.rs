//! Held: which streams an administrator of this node holds, and why.
//!
//! In: `/var/lib/nodebpf/held/<stream>` and `.all`, the same below `/run/nodebpf/held` (written when `/var` keeps nothing
//! that is believed, as it may when somebody pulls the emergency brake), the kernel command line. Out: [`Holds`].
//! Being there is what holds: a file whose content cannot be read holds all the same, and detaches nothing. So does a
//! directory that cannot be listed, everything: NB1001 or NB1002 beside the [`Holds`].
//!
//! A hold stops updates and removals, not the security team: what is revoked, below the floor or of another audience
//! ends all the same.

use std::{fs, io, path::Path};

use nodeplan::{
    name::StreamName,
    report::{Code, Reason},
    sorted::{SortedMap, SortedSet},
    time::Timestamp,
};

use crate::{
    paths::Paths,
    read::{self, ReadError},
    show::cat,
};

/// Name of the file that holds every stream; no stream can be called so.
const ALL: &str = ".all";

/// Longest file, and longest line of words that is shown of it, in bytes.
const MAX_BYTES: usize = 1024;
const WORDS_MAX_BYTES: usize = 512;

/// Most files that are told to be unreadable. Each stream says so of its own as well.
const PROBLEMS_MAX: usize = 16;

/// Longest reason, in bytes.
pub const REASON_MAX_BYTES: usize = 200;

/// Kernel argument that holds every stream.
pub const OFF: &str = "nodebpf=off";

/// One hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// What runs is to go, too.
    pub detach: bool,
    /// Who, when and why, for people.
    pub words: String,
}

/// What is held on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    streams: SortedMap<StreamName, Hold>,
    all: Option<Hold>,
    /// The kernel command line holds everything.
    pub off: bool,
}

impl Holds {
    /// Reads, and says what cannot be read.
    pub fn read(paths: &Paths) -> (Self, Vec<Reason>) {
        let mut holds = Self { off: argument(paths, "nodebpf") == Some("off".to_owned()), ..Self::default() };
        let mut problems = Vec::new();
        // Of two holds the first one's words are told. Those in /run are there because nobody believes the others.
        for dir in [paths.held_until_boot(), paths.held()] {
            holds.add(&dir, &mut problems);
        }
        (holds, problems)
    }

    /// Adds what a directory holds.
    fn add(&mut self, dir: &Path, problems: &mut Vec<Reason>) {
        // Not known to detach, but to hold.
        let mut unread = |path: &Path, error: &ReadError| {
            let reason = error.reason(path);
            let words = cat(&["by what cannot be read: ", &reason.message]);
            // Whoever may write the directory could fill the report.
            if problems.len() < PROBLEMS_MAX {
                problems.push(reason);
            }
            Hold { detach: false, words }
        };
        let names = match read::names(dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.all = Some(both(self.all.take(), unread(dir, &ReadError::Io(error))));
                return;
            }
        };
        for name in names {
            let stream = StreamName::try_from(name.as_str());
            if name != ALL && stream.is_err() {
                continue;
            }
            let path = dir.join(&name);
            let hold = match read::read(&path, MAX_BYTES) {
                Ok(bytes) => parse(&bytes),
                // Released just now.
                Err(ReadError::Missing) => continue,
                Err(error) => unread(&path, &error),
            };
            if let Ok(stream) = stream {
                let hold = both(self.streams.get(&stream).cloned(), hold);
                self.streams.insert(stream, hold);
            } else {
                self.all = Some(both(self.all.take(), hold));
            }
        }
    }

    /// Everything is held.
    #[cfg(test)]
    pub(crate) fn everything(hold: Hold) -> Self {
        Self { all: Some(hold), ..Self::default() }
    }

    /// The hold on every stream.
    pub fn every(&self) -> Option<Hold> {
        let off = || self.off.then(|| Hold { detach: false, words: format!("by the kernel argument {OFF}") });
        self.all.clone().or_else(off)
    }

    /// The hold on a stream. Its own says more than the one on all; that something is to be detached counts from each.
    pub fn of(&self, stream: &StreamName) -> Option<Hold> {
        let own = self.streams.get(stream).cloned();
        match self.every() {
            Some(every) => Some(both(own, every)),
            None => own,
        }
    }

    /// Streams with a hold of their own, whether or not they are there.
    pub fn named(&self) -> &SortedMap<StreamName, Hold> {
        &self.streams
    }

    /// Whether something but its own file holds a stream.
    pub fn beyond(&self, stream: &StreamName) -> Option<&'static str> {
        match (self.off, &self.all) {
            (true, _) => Some("the kernel argument nodebpf=off holds every stream"),
            (false, Some(_)) if !self.streams.contains_key(stream) => {
                Some("every stream is held: nodebpf-loader release --all")
            }
            _ => None,
        }
    }
}

/// Two holds on one stream: the first one's words; that something is to be detached counts from each.
fn both(first: Option<Hold>, second: Hold) -> Hold {
    match first {
        None => second,
        Some(first) => Hold { detach: first.detach || second.detach, ..first },
    }
}

/// The value of an argument of the kernel command line; the last one counts.
pub fn argument(paths: &Paths, name: &str) -> Option<String> {
    let text = fs::read_to_string(paths.cmdline()).ok()?;
    let value = |word: &str| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    text.split_ascii_whitespace().filter_map(value).next_back()
}

/// Lines `detach` and, behind it, the words. What is neither is not looked at.
fn parse(bytes: &[u8]) -> Hold {
    let text = String::from_utf8_lossy(bytes);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let words = match rest.trim_end() {
        "" => "by a file without a reason".to_owned(),
        words => plain(words, WORDS_MAX_BYTES),
    };
    Hold { detach: first == "detach", words }
}

/// Text of one line, and where it was too long, cut.
fn plain(text: &str, max_bytes: usize) -> String {
    let mut plain: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    if plain.len() > max_bytes {
        let mut end = max_bytes;
        while !plain.is_char_boundary(end) {
            end -= 1;
        }
        plain.truncate(end);
        plain.push('…');
    }
    plain
}

/// What an order came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Streams, or `.all`, whose files were written or removed.
    pub names: Vec<String>,
    /// What is not as it was asked for.
    pub wrong: Vec<Reason>,
}

/// Holds streams, or all if none is named: lastingly, or until the next boot, with the reason why.
pub fn hold(
    paths: &Paths,
    streams: &SortedSet<StreamName>,
    detach: bool,
    (who, now, why): (&str, Timestamp, &str),
) -> Outcome {
    let why = if why.is_empty() { String::new() } else { cat(&[": ", &plain(why, REASON_MAX_BYTES)]) };
    let words = format!("by {} at {now}{why}\n", plain(who, REASON_MAX_BYTES));
    let mut outcome = Outcome::default();
    for name in files(streams) {
        let keep = |dir: &Path| keep(&dir.join(&name), detach, &words);
        if let Err(reason) = keep(&paths.held()) {
            let shown = if name == ALL { "every stream" } else { &name };
            let message = match keep(&paths.held_until_boot()) {
                Ok(()) => cat(&[shown, ": held until the next boot only: ", &reason.message]),
                Err(other) => {
                    let message = cat(&[shown, ": not held as asked: ", &reason.message, "; ", &other.message]);
                    outcome.wrong.push(Reason { code: Code::MemoryNotKept, message });
                    continue;
                }
            };
            outcome.wrong.push(Reason { code: Code::MemoryNotKept, message });
        }
        outcome.names.push(name);
    }
    outcome
}

/// Writes a hold, so that who reads it finds what was asked for.
fn keep(path: &Path, detach: bool, words: &str) -> Result<(), Reason> {
    let wrong = |error: ReadError| error.reason(path);
    // A second `hold` does not take back that what runs is to go, nor replaces a file that may say so.
    let detach = detach
        || match read::read(path, MAX_BYTES) {
            Ok(bytes) => parse(&bytes).detach,
            Err(ReadError::Missing) => false,
            Err(error) => return Err(wrong(error)),
        };
    let text = cat(&[if detach { "detach\n" } else { "keep\n" }, words]);
    read::write_atomically(path, text.as_bytes()).map_err(|error| wrong(ReadError::Io(error)))?;
    // What nobody believes, or somebody else wrote over, detaches nothing.
    match read::read(path, MAX_BYTES) {
        Ok(bytes) if bytes == text.as_bytes() => Ok(()),
        Ok(_) => Err(wrong(ReadError::Io(io::ErrorKind::ResourceBusy.into()))),
        Err(error) => Err(wrong(error)),
    }
}

/// Names of the files for these streams.
fn files(streams: &SortedSet<StreamName>) -> Vec<String> {
    if streams.is_empty() {
        return vec![ALL.to_owned()];
    }
    let mut names = Vec::new();
    for stream in streams {
        names.push(stream.as_str().to_owned());
    }
    names
}

/// Releases streams, or everything if none is named.
pub fn release(paths: &Paths, streams: &SortedSet<StreamName>) -> Outcome {
    let mut outcome = Outcome::default();
    for dir in [paths.held(), paths.held_until_boot()] {
        let mut wrong = |path: &Path, error: &io::Error| {
            let (path, why) = match error.kind() {
                io::ErrorKind::NotFound => return,
                io::ErrorKind::NotADirectory => (dir.as_path(), "is no directory: remove this file".to_owned()),
                _ => (path, error.to_string()),
            };
            let message = cat(&[&path.to_string_lossy(), ": ", &why]);
            outcome.wrong.push(Reason { code: Code::StillHeld, message });
        };
        let names = if streams.is_empty() { read::names(&dir) } else { Ok(files(streams)) };
        let names = names.unwrap_or_else(|error| {
            wrong(&dir, &error);
            Vec::new()
        });
        for name in names {
            let path = dir.join(&name);
            match remove(&path) {
                Ok(()) => outcome.names.push(name),
                Err(error) => wrong(&path, &error),
            }
        }
    }
    outcome
}

/// Removes what holds, whatever it is.
fn remove(path: &Path) -> io::Result<()> {
    // A read-only file system refuses before it looks whether something is there.
    fs::symlink_metadata(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir(path),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    struct Root(PathBuf, Paths);

    impl Root {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("nodebpf-held-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("proc")).unwrap();
            let paths = Paths::new(&dir);
            Self(dir, paths)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(list: &[&str]) -> SortedSet<StreamName> {
        list.iter().map(|name| StreamName::try_from(*name).unwrap()).collect()
    }

    fn name(text: &str) -> StreamName {
        StreamName::try_from(text).unwrap()
    }

    type By<'a> = (&'a str, Timestamp, &'a str);

    /// As it was asked for.
    fn hold_all(paths: &Paths, list: &[&str], detach: bool, by: By<'_>) {
        let outcome = hold(paths, &names(list), detach, by);
        assert!(outcome.wrong.is_empty() && !outcome.names.is_empty(), "{outcome:?}");
    }

    fn released(paths: &Paths, list: &[&str]) -> Vec<String> {
        let outcome = release(paths, &names(list));
        assert!(outcome.wrong.is_empty(), "{outcome:?}");
        outcome.names
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_held_stays_held_until_released() {
        let Root(_, paths) = &Root::new("life");
        let by = ("root", Timestamp::from_unix_seconds(0), "drops too much\nby far");
        assert_eq!(Holds::read(paths).0, Holds::default());
        hold_all(paths, &["a"], false, by);
        let held = Holds::read(paths).0;
        let words = "by root at 1970-01-01T00:00:00Z: drops too much by far".to_owned();
        assert_eq!(held.of(&name("a")), Some(Hold { detach: false, words: words.clone() }));
        assert_eq!(held.of(&name("b")), None);
        hold_all(paths, &["a"], true, by);
        hold_all(paths, &["a"], false, by);
        assert!(Holds::read(paths).0.of(&name("a")).unwrap().detach, "a second hold brings nothing back");
        hold_all(paths, &[], true, by);
        let held = Holds::read(paths).0;
        assert_eq!(held.of(&name("b")), Some(Hold { detach: true, words }));
        assert!(held.beyond(&name("b")).is_some());
        assert_eq!(released(paths, &["a", "never-held"]), ["a"]);
        assert!(Holds::read(paths).0.of(&name("a")).is_some(), "held with all others");
        assert_eq!(released(paths, &[]), [".all"]);
        assert_eq!(Holds::read(paths).0, Holds::default());
    }

    #[test]
    fn a_damaged_file_holds() {
        let Root(dir, paths) = &Root::new("damaged");
        fs::create_dir_all(paths.held()).unwrap();
        fs::write(paths.held().join("a"), b"").unwrap();
        fs::write(paths.held().join("b"), vec![0xff; 2000]).unwrap();
        fs::create_dir(paths.held().join("c")).unwrap();
        fs::write(paths.held().join("NOT.A.NAME"), b"detach\n").unwrap();
        let (held, problems) = Holds::read(paths);
        for (stream, words) in [
            ("a", "by a file without a reason"),
            ("b", "held/b: has more than 1024"),
            ("c", "held/c: is not a regular file"),
        ] {
            let hold = held.of(&name(stream)).unwrap();
            assert!(!hold.detach && hold.words.contains(words), "{stream}: {hold:?}");
        }
        let codes: Vec<Code> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [Code::Read, Code::UnsafeFile], "{problems:?}");
        for number in 0..40 {
            fs::create_dir(paths.held().join(format!("d{number}"))).unwrap();
        }
        let (held, problems) = Holds::read(paths);
        assert!(problems.len() == PROBLEMS_MAX && held.named().len() == 43, "{problems:?}");
        fs::remove_dir_all(dir.join("var")).unwrap();
        fs::create_dir_all(dir.join("var/lib/nodebpf")).unwrap();
        fs::write(paths.held(), b"").unwrap();
        // A file where the directory must be: nobody knows who is held, so everybody is; and the kernel argument counts.
        for (line, off) in [("quiet", false), ("quiet nodebpf=off", true)] {
            fs::write(dir.join("proc/cmdline"), line).unwrap();
            let (held, problems) = Holds::read(paths);
            assert!(problems.len() == 1 && problems[0].code == Code::Read, "{line}: {problems:?}");
            assert!(held.of(&name("a")).is_some_and(|hold| !hold.detach), "{line}");
            assert_eq!(held.off, off, "{line}");
        }
    }

    /// A full `/var` must not stop whoever stops a stream.
    #[test]
    fn where_var_takes_nothing_the_hold_lasts_until_the_next_boot() {
        let Root(dir, paths) = &Root::new("full");
        fs::create_dir_all(dir.join("var/lib")).unwrap();
        fs::write(dir.join("var/lib/nodebpf"), b"no directory").unwrap();
        let by = ("root", Timestamp::from_unix_seconds(0), "drops too much");
        assert_eq!(hold(paths, &names(&["a"]), true, by).wrong.len(), 1);
        let held = |stream: &str| Holds::read(paths).0.of(&name(stream));
        assert!(held("a").is_some_and(|hold| hold.detach));
        fs::remove_file(dir.join("var/lib/nodebpf")).unwrap();
        assert!(held("a").is_some_and(|hold| hold.detach) && held("b").is_none());
        // In both places: what is to go still is.
        hold_all(paths, &["a"], false, by);
        assert!(held("a").is_some_and(|hold| hold.detach));
        assert_eq!(released(paths, &["a"]), ["a", "a"], "in both places");
        assert_eq!(held("a"), None);
    }

    /// Whoever is told that a stream is held and detached can rely on it, whatever became of the files.
    #[test]
    fn what_nobody_believes_is_not_what_detaches() {
        let Root(_, paths) = &Root::new("unsafe");
        let by = ("root", Timestamp::from_unix_seconds(0), "drops too much");
        let held = |stream: &str| Holds::read(paths).0.of(&name(stream)).unwrap();
        fs::create_dir_all(paths.held()).unwrap();
        mode(&paths.held(), 0o775);
        let outcome = hold(paths, &names(&["a"]), true, by);
        let [reason] = &outcome.wrong[..] else { panic!("{outcome:?}") };
        assert!(reason.message.contains("a: held until the next boot only: ") && reason.message.contains("group"));
        assert!(held("a").detach && held("a").words.contains("drops too much"), "{:?}", held("a"));
        let problems = Holds::read(paths).1;
        assert!(problems.len() == 1 && problems[0].code == Code::UnsafeFile, "{problems:?}");
        mode(&paths.held(), 0o755);
        assert_eq!(released(paths, &[]), ["a", "a"]);
        // A file that cannot be read may say `detach`: a weaker hold does not replace it, a stronger one does.
        hold_all(paths, &["a"], true, by);
        mode(&paths.held().join("a"), 0o664);
        assert!(held("a").words.contains("held/a: is writable by group"), "{:?}", held("a"));
        assert_eq!(hold(paths, &names(&["a"]), false, by).wrong.len(), 1);
        mode(&paths.held().join("a"), 0o644);
        assert!(held("a").detach, "a second hold brings nothing back");
        mode(&paths.held().join("a"), 0o664);
        hold_all(paths, &["a"], true, by);
        // Neither place: nothing is said to be held.
        for dir in [paths.held(), paths.held_until_boot()] {
            mode(&dir, 0o775);
        }
        let outcome = hold(paths, &names(&["b"]), true, by);
        assert!(outcome.names.is_empty() && outcome.wrong[0].message.contains("b: not held as asked: "), "{outcome:?}");
    }

    #[test]
    fn whatever_lies_there_the_rest_is_released() {
        let Root(_, paths) = &Root::new("stray");
        let by = ("root", Timestamp::from_unix_seconds(0), "");
        hold_all(paths, &["b", "d"], false, by);
        fs::create_dir_all(paths.held().join("a")).unwrap();
        fs::create_dir_all(paths.held().join("c/full")).unwrap();
        fs::create_dir_all(paths.run()).unwrap();
        fs::write(paths.held_until_boot(), b"").unwrap();
        let outcome = release(paths, &names(&[]));
        assert_eq!(outcome.names, ["a", "b", "d"]);
        let held = |name: &str| paths.held().join(name).display().to_string();
        let [full, file] = &outcome.wrong[..] else { panic!("{outcome:?}") };
        assert!(full.code == Code::StillHeld && full.message.starts_with(&held("c: ")), "{full:?}");
        let remove = format!("{}: is no directory: remove this file", paths.held_until_boot().display());
        assert_eq!(file.message, remove);
        let outcome = release(paths, &names(&["a"]));
        assert!(outcome.wrong.len() == 1 && outcome.wrong[0].message == remove, "{outcome:?}");
    }

    #[test]
    fn each_stream_is_held_as_well_as_it_can_be() {
        let Root(_, paths) = &Root::new("each");
        let by = ("root", Timestamp::from_unix_seconds(0), "");
        fs::create_dir_all(paths.held().join("b.new")).unwrap();
        let outcome = hold(paths, &names(&["a", "b", "c"]), true, by);
        assert_eq!(outcome.names, ["a", "b", "c"]);
        assert!(outcome.wrong.len() == 1 && outcome.wrong[0].message.starts_with("b: held until"), "{outcome:?}");
        fs::remove_dir_all(paths.run()).unwrap();
        let held = Holds::read(paths).0;
        assert!(["a", "c"].iter().all(|stream| held.of(&name(stream)).is_some_and(|hold| hold.detach)));
        assert_eq!(held.of(&name("b")), None);
    }

    #[test]
    fn only_the_reason_is_cut() {
        let Root(_, paths) = &Root::new("long");
        let now = Timestamp::from_unix_seconds(0);
        for (length, shown) in [(200, "é".repeat(100)), (202, "é".repeat(100) + "…"), (9000, "é".repeat(100) + "…")]
        {
            hold_all(paths, &["a"], false, ("root", now, &"é".repeat(length / 2)));
            let words = Holds::read(paths).0.of(&name("a")).unwrap().words;
            assert_eq!(words, format!("by root at 1970-01-01T00:00:00Z: {shown}"), "{length}");
        }
        hold_all(paths, &["a"], false, (&"r".repeat(999), now, &"w".repeat(999)));
        let words = Holds::read(paths).0.of(&name("a")).unwrap().words;
        assert!(words.contains("r… at ") && words.ends_with("w…"), "{words}");
    }

    #[test]
    fn the_kernel_command_line_holds_everything() {
        let Root(dir, paths) = &Root::new("cmdline");
        for (line, off) in [
            ("root=/dev/vda nodebpf=off quiet\n", true),
            ("nodebpf=off nodebpf=on", false),
            ("xnodebpf=off nodebpf=offer nodebpf", false),
            ("", false),
        ] {
            fs::write(dir.join("proc/cmdline"), line).unwrap();
            assert_eq!(Holds::read(paths).0.of(&name("a")).is_some(), off, "{line}");
        }
    }
}
