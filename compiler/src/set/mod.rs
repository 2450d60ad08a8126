//! Set: all manifests of a run together, on the nodes that get several of them.
//!
//! In:   [`Member`]s, each sound for itself, and a policy if there is one. Out: reports; and [`Set`], which
//!       [`crate::lock`] writes down.
//! May fail with: NB0401 to NB0403, NB0406 to NB0421.
//!
//! A node of pool `edge` that inherits from `worker` gets the streams of both: everything is judged on the effective
//! set of each pool. What only a node can tell (is `ens3` of driver `ice`?) counts as "may be"; reports that rest on
//! what is not known say "cannot tell".
//!
//! Pure. Sized for thousands of attachments: selectors are met through [`index::Index`], never all with all.

mod anchors;
mod applies;
mod beside;
mod chain;
mod conflicts;
mod index;
mod pools;

use nodeplan::{
    hook::{Attachment, Chained, Direction},
    name::PoolName,
    plan::NodePlan,
    priority::Priority,
    selector::{Selector, Target},
};

use crate::{
    check::{Checked, Program, place::Place},
    diag::Diagnostics,
    policy::Policy,
    source::Spanned,
};
use applies::Applies;
use index::Index;
pub(crate) use pools::Pools;

/// A manifest and its plan.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The manifest.
    pub checked: &'a Checked,
    /// Its plan.
    pub plan: &'a NodePlan,
}

/// Places that share an order: one chain per interface and pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Xdp,
    Tc(Direction),
}

impl Class {
    const ALL: [Self; 3] = [Self::Xdp, Self::Tc(Direction::Ingress), Self::Tc(Direction::Egress)];

    fn of(attachment: &Attachment) -> Option<Self> {
        Some(match attachment.chained()? {
            Chained::Xdp(_) => Self::Xdp,
            Chained::Tc(tc) => Self::Tc(tc.direction),
        })
    }
}

/// One attachment of one program of one manifest.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    /// Number of the manifest.
    member: usize,
    pub(crate) checked: &'a Checked,
    pub(crate) program: &'a Program,
    pub(crate) place: &'a Place,
    priority: Priority,
}

impl Item<'_> {
    /// The program, with its stream where that is another one than `beside`'s.
    fn name_beside(&self, beside: &Self) -> String {
        if self.member == beside.member {
            format!("`{}`", self.program.name.value)
        } else {
            format!("`{}` of stream `{}`", self.program.name.value, self.checked.stream.value)
        }
    }

    fn same_program(&self, other: &Self) -> bool {
        self.member == other.member && self.program.name.value == other.program.name.value
    }
}

/// All attachments of one class with an index of their selectors.
struct Chain<'a> {
    class: Class,
    items: Vec<Item<'a>>,
    index: Index<'a>,
}

/// Where two attachments may meet.
struct Meeting<'a> {
    own: &'a Spanned<Selector>,
    other: Item<'a>,
}

/// All manifests of a run.
pub struct Set<'a> {
    members: &'a [Member<'a>],
    pub(crate) pools: Pools,
    applies: Applies,
}

impl<'a> Set<'a> {
    /// The set of `members`; a policy says which pools inherit from which.
    pub fn new(members: &'a [Member<'a>], policy: Option<&Policy>) -> Self {
        let listed = members.iter().map(|member| member.checked.pools().cloned().collect::<Vec<_>>());
        Self {
            members,
            pools: Pools::new(&listed.collect::<Vec<_>>(), policy.map(|policy| &policy.desk)),
            applies: Applies::new(members.iter().map(|member| &member.checked.applies_to)),
        }
    }

    /// Members by pool, in the order of the pools' names.
    pub(crate) fn by_pool(&self) -> impl Iterator<Item = (&PoolName, Vec<Member<'a>>)> {
        self.pools.names().iter().enumerate().map(move |(at, name)| {
            let on_it = (0..self.members.len()).filter(|member| self.pools.has(*member, at));
            (name, on_it.map(|member| self.members[member]).collect())
        })
    }

    /// Members, in the order given.
    pub(crate) fn members(&self) -> &'a [Member<'a>] {
        self.members
    }

    fn items(&self, class: Class) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        for (member, Member { checked, .. }) in self.members.iter().enumerate() {
            for (program, place) in checked.programs.iter().flat_map(|one| one.attach.iter().map(move |at| (one, at))) {
                if let (true, Some(priority)) =
                    (Class::of(&place.attachment) == Some(class), place.attachment.priority())
                {
                    items.push(Item { member, checked, program, place, priority });
                }
            }
        }
        items
    }

    fn chain(&self, class: Class) -> Chain<'a> {
        let items = self.items(class);
        let index = Index::new(items.iter().enumerate().map(|(at, item)| (at, item.place.interfaces.as_slice())));
        Chain { class, items, index }
    }

    /// Whether some node may get both: one pool, and one kernel, release and architecture.
    fn share_a_node(&self, one: &Item<'_>, other: &Item<'_>) -> bool {
        one.member == other.member || self.meet(one.member, other.member)
    }

    /// Whether some node may get both manifests.
    fn meet(&self, one: usize, other: usize) -> bool {
        self.pools.share(one, other) && self.applies.share(one, other)
    }

    /// The first program of `index` that `item` may meet on a node and that `accept` takes; `items` is what `index`
    /// was made of.
    fn first_met(
        &self,
        item: &Item<'a>,
        items: &[Item<'a>],
        index: &Index<'a>,
        accept: impl Fn(usize, &Item<'a>) -> bool,
    ) -> Option<Meeting<'a>> {
        let mut first: Option<(usize, &'a Spanned<Selector>)> = None;
        for own in &item.place.interfaces {
            index.visit(&own.value, |at| {
                let other = &items[at];
                if first.is_none_or(|(first, _)| at < first)
                    && accept(at, other)
                    && !item.same_program(other)
                    && self.share_a_node(item, other)
                {
                    first = Some((at, own));
                }
            });
        }
        first.map(|(at, own)| Meeting { own, other: items[at] })
    }

    /// A pool that both are on, for notes; `None` if they are of one manifest.
    fn shared_pool(&self, one: &Item<'_>, other: &Item<'_>) -> Option<String> {
        let pool = self.pools.shared(one.member, other.member).filter(|_| one.member != other.member)?;
        Some(format!("nodes of pool `{pool}` get both"))
    }
}

/// Whether `selector` surely means the interface of this name.
fn means(selector: &Selector, name: &str) -> bool {
    matches!(&selector.target, Target::Name(glob) if glob.matches(name)) && !selector.excludes(name)
}

/// Whether `selector` means the interface of this name and no other.
fn is_named(selector: &Selector, name: &str) -> bool {
    matches!(&selector.target, Target::Name(glob) if glob.as_str() == name)
}

/// Judges all manifests together. `written` has the pools that objects are written for, those of `--pool`; empty for all
/// that are listed, `None` if nothing is written.
pub fn judge(set: &Set<'_>, policy: Option<&Policy>, written: Option<&[PoolName]>, diags: &mut Diagnostics) {
    conflicts::streams(set, diags);
    conflicts::pins(set, diags);
    if let Some(policy) = policy {
        conflicts::parent_pools(set, &policy.desk, written, diags);
    }
    for class in Class::ALL {
        let chain = set.chain(class);
        conflicts::judge(set, &chain, policy, diags);
        chain::judge(set, &chain, diags);
        anchors::judge(set, &chain, policy, diags);
        beside::judge(&chain, policy, diags);
    }
    beside::cgroups(set, policy, diags);
    beside::names(set, policy, diags);
}
