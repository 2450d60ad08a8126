//! Held: which streams an administrator of this node holds, and why.
//!
//! In: `/var/lib/nodebpf/held/<stream>` and `.all`, the same below `/run/nodebpf/held` (written when `/var` is full, as it
//! may be when somebody pulls the emergency brake), the kernel command line. Out: [`Holds`].
//! Being there is what holds: a file whose content cannot be read holds all the same. So does a directory that cannot be
//! listed, everything: NB1001 beside the [`Holds`].
//!
//! A hold stops updates and removals, not the security team: what is revoked, below the floor or of another audience
//! ends all the same.

use std::{fs, io, path::Path};

use nodeplan::{
    name::StreamName,
    report::Reason,
    sorted::{SortedMap, SortedSet},
    time::Timestamp,
};

use crate::{
    paths::Paths,
    read::{self, ReadError},
};

/// Name of the file that holds every stream; no stream can be called so.
const ALL: &str = ".all";

/// Longest file, and longest reason in it, in bytes.
const MAX_BYTES: usize = 1024;
const REASON_MAX_BYTES: usize = 200;

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
    /// Reads, and says what is wrong with the directory.
    pub fn read(paths: &Paths) -> (Self, Option<Reason>) {
        let mut holds = Self { off: argument(paths, "nodebpf") == Some("off".to_owned()), ..Self::default() };
        let problem = holds.add(&paths.held());
        let other = holds.add(&paths.held_until_boot());
        (holds, problem.or(other))
    }

    /// Adds what a directory holds, and says what is wrong with it.
    fn add(&mut self, dir: &Path) -> Option<Reason> {
        let names = match read::names(dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let reason = ReadError::Io(error).reason(dir);
                let words = format!("as who is held is unknown: {}", reason.message);
                self.all = Some(both(self.all.take(), Hold { detach: false, words }));
                return Some(reason);
            }
        };
        for name in names {
            let hold = || parse(&read::read(&dir.join(&name), MAX_BYTES).unwrap_or_default());
            if name == ALL {
                self.all = Some(both(self.all.take(), hold()));
            } else if let Ok(stream) = StreamName::try_from(name.as_str()) {
                let hold = both(self.streams.get(&stream).cloned(), hold());
                self.streams.insert(stream, hold);
            }
        }
        None
    }

    /// Everything is held.
    #[cfg(test)]
    pub(crate) fn everything(hold: Hold) -> Self {
        Self { all: Some(hold), ..Self::default() }
    }

    /// The hold on a stream. Its own says more than the one on all; that something is to be detached counts from each.
    pub fn of(&self, stream: &StreamName) -> Option<Hold> {
        let off = self.off.then(|| Hold { detach: false, words: format!("by the kernel argument {OFF}") });
        let all = self.streams.get(stream).cloned().into_iter().chain(self.all.clone()).chain(off);
        all.fold(None, |found, hold| Some(both(found, hold)))
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
    Hold { detach: first == "detach", words: plain(rest.trim_end()) }
}

/// Text of one line, not too long.
fn plain(text: &str) -> String {
    let mut plain: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    let mut end = plain.len().min(REASON_MAX_BYTES);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    plain.truncate(end);
    plain
}

/// Holds streams, or all if none is named: lastingly, or until the next boot, with the reason why.
pub fn hold(
    paths: &Paths,
    streams: &SortedSet<StreamName>,
    detach: bool,
    (who, now, why): (&str, Timestamp, &str),
) -> io::Result<Option<io::Error>> {
    let why = if why.is_empty() { String::new() } else { format!(": {}", plain(why)) };
    let text = format!("{}\nby {} at {now}{why}\n", if detach { "detach" } else { "keep" }, plain(who));
    let write = &mut |path: &Path| {
        // A second `hold` does not take back that what runs is to go.
        let before = parse(&read::read(path, MAX_BYTES).unwrap_or_default());
        let text = if before.detach { text.replacen("keep", "detach", 1) } else { text.clone() };
        read::write_atomically(path, text.as_bytes())
    };
    match each(&paths.held(), streams, write) {
        Ok(()) => Ok(None),
        Err(error) => each(&paths.held_until_boot(), streams, write).map(|()| Some(error)),
    }
}

/// Releases streams, or everything if none is named.
pub fn release(paths: &Paths, streams: &SortedSet<StreamName>) -> io::Result<()> {
    release_in(&paths.held(), streams)?;
    release_in(&paths.held_until_boot(), streams)
}

fn release_in(dir: &Path, streams: &SortedSet<StreamName>) -> io::Result<()> {
    let mut remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    if !streams.is_empty() {
        return each(dir, streams, &mut remove);
    }
    match read::names(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        names => names?.iter().try_for_each(|name| remove(&dir.join(name))),
    }
}

fn each(dir: &Path, streams: &SortedSet<StreamName>, work: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if streams.is_empty() {
        return work(&dir.join(ALL));
    }
    streams.iter().try_for_each(|stream| work(&dir.join(stream.as_str())))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nodeplan::report::Code;

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

    #[test]
    fn what_is_held_stays_held_until_released() {
        let Root(_, paths) = &Root::new("life");
        let by = ("root", Timestamp::from_unix_seconds(0), "drops too much\nby far");
        assert_eq!(Holds::read(paths).0, Holds::default());
        hold(paths, &names(&["a"]), false, by).unwrap();
        let held = Holds::read(paths).0;
        let words = "by root at 1970-01-01T00:00:00Z: drops too much by far".to_owned();
        assert_eq!(held.of(&name("a")), Some(Hold { detach: false, words: words.clone() }));
        assert_eq!(held.of(&name("b")), None);
        hold(paths, &names(&["a"]), true, by).unwrap();
        hold(paths, &names(&["a"]), false, by).unwrap();
        assert!(Holds::read(paths).0.of(&name("a")).unwrap().detach, "a second hold brings nothing back");
        hold(paths, &names(&[]), true, by).unwrap();
        let held = Holds::read(paths).0;
        assert_eq!(held.of(&name("b")), Some(Hold { detach: true, words }));
        assert!(held.beyond(&name("b")).is_some());
        release(paths, &names(&["a", "never-held"])).unwrap();
        assert!(Holds::read(paths).0.of(&name("a")).is_some(), "held with all others");
        release(paths, &names(&[])).unwrap();
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
        let held = Holds::read(paths).0;
        for stream in ["a", "b", "c"] {
            assert_eq!(held.of(&name(stream)), Some(Hold::default()), "{stream}");
        }
        fs::remove_dir_all(dir.join("var")).unwrap();
        fs::create_dir_all(dir.join("var/lib/nodebpf")).unwrap();
        fs::write(paths.held(), b"").unwrap();
        // A file where the directory must be: nobody knows who is held, so everybody is; and the kernel argument counts.
        for (line, off) in [("quiet", false), ("quiet nodebpf=off", true)] {
            fs::write(dir.join("proc/cmdline"), line).unwrap();
            let (held, problem) = Holds::read(paths);
            assert_eq!(problem.map(|problem| problem.code), Some(Code::Read), "{line}");
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
        assert!(hold(paths, &names(&["a"]), true, by).unwrap().is_some());
        let held = |stream: &str| Holds::read(paths).0.of(&name(stream));
        assert!(held("a").is_some_and(|hold| hold.detach));
        fs::remove_file(dir.join("var/lib/nodebpf")).unwrap();
        assert!(held("a").is_some_and(|hold| hold.detach) && held("b").is_none());
        // In both places: what is to go still is.
        assert!(hold(paths, &names(&["a"]), false, by).unwrap().is_none());
        assert!(held("a").is_some_and(|hold| hold.detach));
        release(paths, &names(&["a"])).unwrap();
        assert_eq!(held("a"), None);
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
