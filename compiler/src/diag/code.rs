//! All codes of the compiler, in one place.
//!
//! `NB01xx` parse, `02` resolve, `03` check, `04` plan, `05` lower, `06` sign; `NB1xxx` are the loader's
//! ([`nodeplan::report::Code`]). A code is never used again for something else. `errors.md` has a page for each.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal;)*) => {
        /// What a [`super::Diagnostic`] is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes, rising.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code, such as `NB0402`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The text is not UTF-8.
    NotUtf8 = "NB0101", "the file is not UTF-8 text";
    /// The text is larger than any sound one.
    TextTooLarge = "NB0102", "the file is too large";
    /// The text is not YAML.
    Yaml = "NB0103", "the file is not YAML";
    /// Nothing but comments.
    EmptyDocument = "NB0104", "the file is empty";
    /// More than one document.
    SeveralDocuments = "NB0105", "the file has several documents";
    /// A key that stands twice.
    DuplicateKey = "NB0106", "a key stands twice";
    /// Too many nodes, aliases or levels.
    YamlBudget = "NB0107", "the YAML unfolds to too much";
    /// A key that nodebpf does not know.
    UnknownKey = "NB0108", "a key is unknown";
    /// A key or word that is designed, but not built.
    NotBuiltYet = "NB0109", "a feature is not built yet";
    /// A value of another type.
    WrongType = "NB0110", "a value has the wrong type";
    /// A required key is missing.
    MissingKey = "NB0111", "a required key is missing";
    /// A word outside a closed set.
    UnknownWord = "NB0112", "a word is not allowed here";
    /// Merge keys and tags.
    YamlFeature = "NB0113", "a YAML feature is not allowed";

    /// An object file that does not exist.
    FileMissing = "NB0201", "a file does not exist";
    /// A path that leads out of the manifest's directory.
    PathEscapes = "NB0202", "a path leads out of its directory";
    /// A file that cannot be read.
    FileUnreadable = "NB0203", "a file cannot be read";
    /// A file over its limit.
    FileTooLarge = "NB0204", "a file is too large";
    /// A file that is no BPF object.
    NotAnObject = "NB0205", "a file is not a BPF object";
    /// A file that is no public key.
    NotAPublicKey = "NB0206", "a file is not a public key";
    /// A kfunc, `__kconfig`, `struct_ops` and their kin.
    Construct = "NB0207", "an object needs what loaders on nodes do not do";
    /// A section of a kind that nodebpf does not attach.
    NoHook = "NB0208", "a program belongs to no hook of nodebpf";
    /// A file that `inspect` does not know.
    NotInspectable = "NB0209", "a file is nothing that inspect shows";

    /// A name against its rules.
    BadName = "NB0301", "a name is not allowed";
    /// A number outside its range.
    OutOfRange = "NB0302", "a number is out of range";
    /// A time that is none.
    BadTime = "NB0303", "a time cannot be read";
    /// A kernel range that is none.
    BadKernelRange = "NB0304", "a kernel range cannot be read";
    /// A list without items.
    EmptyList = "NB0305", "a list is empty";
    /// Something listed twice.
    ListedTwice = "NB0306", "something is listed twice";
    /// A bug patch without its bug.
    NoReference = "NB0307", "a bug patch has no reference";
    /// A security stream that ends by itself.
    SecurityExpires = "NB0308", "a security stream would end by itself";
    /// `onExpiry` without `expires`.
    NothingExpires = "NB0309", "onExpiry has no effect";
    /// More than the limit.
    TooMany = "NB0310", "there are too many of something";
    /// A program that its object does not have.
    ProgramNotInObject = "NB0311", "a program is not in its object";
    /// A program for another hook.
    SectionMismatch = "NB0312", "a program does not fit the hook";
    /// No licence section.
    NoLicence = "NB0313", "an object has no licence";
    /// No BTF, or no function records.
    NoBtf = "NB0314", "an object has no BTF";
    /// Another C prototype than the hook's.
    Prototype = "NB0315", "a program has the wrong prototype";
    /// A map that no object has.
    MapNotInObject = "NB0316", "a map is in no object";
    /// One map name in two objects.
    MapInTwoObjects = "NB0317", "two objects define the same map";
    /// Entries for a map type that cannot have them.
    MapTakesNoEntries = "NB0318", "a map takes no entries";
    /// A key or value that does not fit.
    EntryMismatch = "NB0319", "a map entry does not fit the map";
    /// More entries than the map holds.
    TooManyEntries = "NB0320", "a map has too many entries";
    /// One key twice.
    EntryTwice = "NB0321", "a map key stands twice";
    /// A counter on something that does not count.
    NotACounter = "NB0322", "a map cannot be a counter";
    /// None or several of the keys that select.
    BadSelector = "NB0323", "a selector does not select by one thing";
    /// None or several hooks in one item.
    NotOneHook = "NB0324", "an attachment does not name one hook";
    /// An owner without place in the policy.
    UnknownOwner = "NB0331", "the policy does not know the owner";
    /// A stream name of somebody else.
    ForeignStream = "NB0332", "the stream belongs to somebody else";
    /// A hook that the owner may not use.
    ForbiddenHook = "NB0333", "the owner may not use the hook";
    /// A priority of somebody else.
    OutsideBand = "NB0334", "a priority is outside the owner's band";
    /// An audience of other nodes.
    ForeignAudience = "NB0335", "the audience is not one of the policy";
    /// A revision below the floor.
    BelowFloor = "NB0336", "the revision is below the floor";
    /// Interfaces that the policy keeps for others.
    Reserved = "NB0337", "an interface is reserved";
    /// Kubelet would wait.
    MayNotClose = "NB0338", "the owner may not hold back kubelet";
    /// More than the policy allows.
    OverLimit = "NB0339", "the stream is over a limit of its owner";
    /// A threshold that cannot be met.
    Threshold = "NB0341", "a threshold cannot be met";
    /// Stream globs of two owners that meet.
    StreamsOverlap = "NB0342", "streams of two owners overlap";
    /// A band that does not rise.
    BadBand = "NB0343", "a band of priorities does not rise";

    /// A section that names another target than the manifest.
    TargetMismatch = "NB0350", "a program's section names another target";
    /// A helper for GPL programs only.
    GplOnly = "NB0351", "a program needs a GPL-compatible licence";
    /// The object asks for another place in the chain.
    RunConfigDiffers = "NB0352", "the object asks for another place in the chain";
    /// Objects of one program that offer different things.
    ArchitecturesDiffer = "NB0353", "the objects of two architectures differ";
    /// Architectures and objects that do not belong together.
    ArchitectureMissing = "NB0354", "an architecture has no object";
    /// Tail calls behind a dispatcher.
    TailCalls = "NB0355", "an XDP program behind a dispatcher makes tail calls";
    /// A type or field that the kernel of `--btf` does not have.
    KernelLacks = "NB0356", "a kernel lacks a type or field";
    /// A function, hook or tracepoint that the kernel of `--btf` does not have.
    NoTarget = "NB0357", "a kernel lacks the place of an attachment";
    /// A file of `--btf` without types of a kernel.
    NotKernelBtf = "NB0358", "a file is not the BTF of a kernel";

    /// More programs on one interface than a dispatcher holds.
    TooManyPrograms = "NB0401", "an interface would get too many programs";
    /// Two programs at one place.
    EqualPriority = "NB0402", "two programs have the same priority";
    /// Two XDP modes on one interface.
    ModesDiffer = "NB0403", "two programs want different XDP modes";
    /// A plan that breaks the wire contract.
    PlanRefused = "NB0404", "the plan breaks the contract with the loader";
    /// Understood, planned, and not yet done by the loader.
    LoaderLacks = "NB0405", "the loader of this release refuses the plan";

    /// `--pool` outside the manifest.
    PoolNotPermitted = "NB0501", "the manifest does not permit the pool";
    /// Over what plain `oc apply` takes.
    LargeMachineConfig = "NB0502", "a MachineConfig is too large for plain oc apply";
    /// Over what a cluster takes.
    MachineConfigTooLarge = "NB0503", "a MachineConfig is too large";
    /// A loader that a node cannot run.
    NotALoader = "NB0504", "the loader is not a static x86_64 executable";

    /// No key and no `--unsigned`.
    NoKey = "NB0601", "there is no key to sign with";
    /// A file that is no private key.
    NotAPrivateKey = "NB0602", "a file is not a private key";
    /// The public test key.
    TestKey = "NB0603", "the public test key signs";
    /// `--unsigned`.
    Unsigned = "NB0604", "the bundle is unsigned";
    /// A trust file that cannot be used.
    BadTrust = "NB0605", "the trust file cannot be used";
    /// Signed, but not by whom it must be.
    WrongSigner = "NB0606", "the owner's keys have not signed";
    /// Too few root keys.
    RootKeys = "NB0607", "the root keys have not signed";
    /// A version that does not rise.
    VersionOrder = "NB0608", "the version does not rise";
    /// No root keys at all.
    CoDelivered = "NB0609", "the trust file has no root keys";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_are_unique() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
