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
    /// `init` left a mark where somebody has to decide.
    LeftMark = "NB0114", "a mark of init is left";

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
    /// A global variable that the object does not have.
    GlobalNotInObject = "NB0325", "a global variable is not in the object";
    /// A value that a variable cannot have.
    GlobalMismatch = "NB0326", "a value does not fit its global variable";
    /// Two values for one variable.
    GlobalSetTwice = "NB0327", "a global variable has two values";
    /// A variable that a manifest cannot set.
    GlobalNotSettable = "NB0328", "a global variable cannot be set";
    /// `const` without `volatile`.
    ConstantFolded = "NB0329", "a constant may be compiled in";
    /// The map behind a section of variables.
    InternalMap = "NB0330", "a map is a section of variables";
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
    /// Priorities that the policy keeps for others.
    ReservedPriority = "NB0340", "a priority is reserved";
    /// A threshold that cannot be met.
    Threshold = "NB0341", "a threshold cannot be met";
    /// Stream globs of two owners that meet.
    StreamsOverlap = "NB0342", "streams of two owners overlap";
    /// A band that does not rise.
    BadBand = "NB0343", "a band of priorities does not rise";
    /// Config and state at once, or state that cannot last.
    MapKinds = "NB0344", "a map cannot be of that kind";
    /// A size that the map cannot have.
    MapSize = "NB0345", "a map cannot have that size";
    /// More memory than a map may take.
    MapMemory = "NB0346", "a map takes too much memory";
    /// A slot that cannot be filled.
    BadSlot = "NB0347", "a tail-call slot cannot be filled";
    /// Neither attached nor in a slot.
    NotReached = "NB0348", "a program would never run";
    /// A ring buffer that nobody reads, or a reader of something else.
    Consumer = "NB0349", "a buffer and its consumer do not match";
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
    /// Places that need programs of their own.
    TwoKinds = "NB0359", "one program cannot be loaded for two places";
    /// A slot whose map another object has.
    SlotElsewhere = "NB0360", "a slot's program is in another object";
    /// A slot's program beside programs of several kinds.
    KindUnknown = "NB0361", "the kind of a tail-called program cannot be told";
    /// A map that libbpf would pin.
    PinByName = "NB0362", "a map asks to be pinned by its name";
    /// A map that cannot be made.
    MapRefused = "NB0380", "a map cannot be made on a node";
    /// A selector that needs the network.
    NotEarly = "NB0381", "a selector needs the network";
    /// `exclude` that leaves nothing.
    ExcludesAll = "NB0382", "a selector excludes everything";
    /// A glob that means too much.
    WideGlob = "NB0383", "a glob also means internal interfaces";
    /// XDP on a port of Open vSwitch.
    Switch = "NB0384", "XDP on a port of Open vSwitch";
    /// `before` and `after` one program.
    EqualAnchors = "NB0385", "before and after name one program";
    /// A name longer than the kernel keeps.
    AnchorCut = "NB0386", "a program name is cut by the kernel";
    /// A bug patch without end.
    NoExpiry = "NB0387", "a bug patch never ends";
    /// A range without members.
    EmptyRange = "NB0388", "a range holds nothing";
    /// A parent that is not there, of the control plane, or the pool itself.
    PoolInheritance = "NB0390", "a pool cannot inherit so";
    /// A pool that the policy does not list.
    UnknownPool = "NB0391", "the policy does not know the pool";
    /// Kubelet of the control plane would wait.
    ClosedPool = "NB0392", "a closed stream would hold back a pool";
    /// A reference of another form.
    ReferenceForm = "NB0393", "the reference has the wrong form";
    /// A bug patch that stays longer than the policy allows.
    LivesTooLong = "NB0394", "a bug patch lives too long";
    /// `expires` before now.
    AlreadyExpired = "NB0395", "the stream has expired already";
    /// Text that is not a size.
    BadSize = "NB0396", "a size cannot be read";

    /// More programs on one interface than a dispatcher holds.
    TooManyPrograms = "NB0401", "an interface would get too many programs";
    /// Two programs at one place.
    EqualPriority = "NB0402", "two programs have the same priority";
    /// Two XDP modes on one interface.
    ModesDiffer = "NB0403", "two programs want different XDP modes";
    /// A plan that breaks the wire contract.
    PlanRefused = "NB0404", "the plan breaks the contract with the loader";
    /// Two manifests of one name.
    StreamTwice = "NB0406", "two manifests are the same stream";
    /// One file, delivered twice.
    ParentPool = "NB0407", "a pool is listed together with its parent";
    /// An anchor that nobody is known to have.
    AnchorUnknown = "NB0408", "before or after names an unknown program";
    /// Anchors against priorities.
    AnchorOrder = "NB0409", "anchors and priorities contradict each other";
    /// An anchor that two streams have.
    AnchorAmbiguous = "NB0410", "before or after means two programs";
    /// XDP that keeps what it passes.
    SkippedOnPass = "NB0411", "passed packets skip the rest of the chain";
    /// TC verdicts that end the chain for other streams.
    HidesStreams = "NB0412", "a TC verdict hides programs of other streams";
    /// TC verdicts that end the chain for other eBPF.
    HidesOthers = "NB0413", "a TC verdict hides filters of others";
    /// Others that share an interface with nobody.
    HeldByOthers = "NB0414", "other eBPF does not share the interface";
    /// Programs with and without support of fragments.
    MixedFrags = "NB0415", "one program takes fragments away from all";
    /// XDP on bonds.
    BondXdp = "NB0416", "XDP meets a bond";
    /// Programs on the bridge instead of the uplink.
    BridgePort = "NB0417", "a program sits on an OVS bridge";
    /// Cgroup hooks that belong to others.
    CgroupOwner = "NB0418", "a cgroup hook belongs to somebody else";
    /// A program that others take for their own.
    ForeignName = "NB0419", "a program is named like one of others";
    /// TC beside TC of others.
    OrderUnknown = "NB0420", "the order beside other eBPF is left to chance";
    /// Maps that libbpf would make one.
    PinShared = "NB0421", "two streams would share a map under libbpf";
    /// A file that is not a lock.
    BadLock = "NB0430", "the lock file cannot be read";
    /// Manifests that are not what was agreed.
    LockDrift = "NB0431", "the manifests are not what the lock says";
    /// Another plan under an old number.
    RaiseRevision = "NB0432", "the revision must rise";
    /// No lock where one is wanted.
    NoLock = "NB0433", "there is no lock file";
    /// `-o` names a file of another kind.
    WouldReplace = "NB0434", "the output would replace another file";
    /// A new lock without streams of the old one.
    LockLoses = "NB0435", "the new lock loses streams";

    /// `--pool` outside the manifest.
    PoolNotPermitted = "NB0501", "the manifest does not permit the pool";
    /// Over what plain `oc apply` takes.
    LargeMachineConfig = "NB0502", "a MachineConfig is too large for plain oc apply";
    /// Over what a cluster takes.
    MachineConfigTooLarge = "NB0503", "a MachineConfig is too large";
    /// A loader that a node cannot run.
    NotALoader = "NB0504", "the loader is not a static x86_64 executable";
    /// A release before the first one supported.
    OldRelease = "NB0505", "an OpenShift release is too old";
    /// A release after the last one known.
    UnknownRelease = "NB0506", "nodebpf does not know an OpenShift release";
    /// A release whose kernel lacks what a program needs.
    ReleaseLacks = "NB0507", "a release lacks what a program needs";
    /// A release of which it is not known.
    ReleaseUncertain = "NB0508", "it is not known whether a release has what a program needs";
    /// `appliesTo.ocp` and `--ocp` have nothing in common.
    NeverOnRelease = "NB0509", "the stream applies to none of the releases";
    /// `appliesTo.kernel` holds on no kernel of a release.
    NeverOnKernel = "NB0510", "the kernel range holds on no kernel of a release";
    /// No disruption policy by default.
    Reboots = "NB0511", "a release reboots nodes for each change";
    /// The machine config operator would not take the output.
    Refused = "NB0512", "the machine config operator would refuse an object";
    /// Much for one pool.
    PoolSum = "NB0513", "a pool gets much in one run";
    /// A `kustomization.yaml` with more in it than what is written.
    OtherKustomization = "NB0520", "a kustomization.yaml lists other files";
    /// Objects of an earlier run in the directory of `install`.
    StaleObjects = "NB0521", "objects of an earlier run are left";
    /// Something to compare that is damaged, or nothing of ours.
    NotComparable = "NB0540", "a file cannot be compared";
    /// `--policy` without a policy.
    BadDisruptionPolicy = "NB0541", "the disruption policy cannot be read";
    /// Journal lines without a report.
    NoReport = "NB0550", "the input has no report of a node";
    /// `--nodes` without nodes.
    BadNodes = "NB0551", "the list of nodes cannot be read";
    /// More nodes than any cluster has.
    TooManyNodes = "NB0552", "the input names too many nodes";
    /// `--pool` or `--nodes` that the lock does not know.
    PoolNotLocked = "NB0553", "the lock does not know a pool";

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
    /// A stored or attached signature that does not fit.
    BadSignature = "NB0610", "a signature does not verify";
    /// Something else beside the signatures.
    StrayFile = "NB0611", "a file does not belong among the signatures";
    /// A signature by a key that may not sign for the owner.
    ForeignSignature = "NB0612", "a signature does not count";
    /// Signatures, and no policy to check them by.
    NoRules = "NB0613", "there is nothing to check signatures by";
    /// A key that may not sign for the owner is about to.
    NotOwnersKey = "NB0614", "a key may not sign for the owner";
    /// One revision with two contents.
    RevisionAgain = "NB0615", "the revision was signed with other content";
    /// A file in no form of a signature.
    NotASignature = "NB0616", "a file is not a signature";
    /// A private key that others may read or change.
    OpenPrivateKey = "NB0617", "a private key is open to others";
    /// No version without enough root signatures.
    NothingPending = "NB0620", "no version waits for root signatures";
    /// A version that nodes do not get yet.
    Pending = "NB0621", "a version waits for root signatures";
    /// An edit that is not safe to make.
    EditByHand = "NB0622", "the policy must be edited by hand";
    /// A floor that would go down.
    FloorLowers = "NB0623", "a floor would go down";
    /// Too few keys left after a revocation.
    OutOfReach = "NB0624", "a threshold cannot be met any more";
    /// A file that is to be changed is being changed, or was changed, by somebody else.
    ChangedMeanwhile = "NB0625", "a file was changed meanwhile";
    /// Less time than `--warn-before`.
    ExpiresSoon = "NB0630", "a stream expires soon";
    /// Past its time.
    Expired = "NB0631", "a stream has expired";
    /// Nothing of ours.
    NothingToVerify = "NB0632", "there is nothing to verify";
    /// Metadata and payload of one object.
    OtherThanItSays = "NB0633", "an object says other than what it carries";
    /// An installation of another release, or of other rules.
    OtherInstallation = "NB0634", "an installation is another one";
    /// Streams and installation for pools of different names.
    NotInstalled = "NB0635", "a pool has streams and no installation";
    /// A required stream that nobody may close.
    RequiredStream = "NB0650", "a stream cannot be required";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_are_unique() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
