//! Authorize: whether a plan may run on a node that holds a trust document.
//!
//! In: the document, the plan, the keys that have validly signed it. Fails with [`PolicyRefusal`], which names the rule.

use super::{OwnerTrust, TrustDocument};
use crate::{
    hook::{Attachment, Hook},
    key::KeyId,
    name::{Audience, IfGlob, OwnerName, ProgramName, StreamName},
    plan::{FailurePolicy, NodePlan},
    priority::{Band, Priority},
    selector::{Overlap, Selector, Target},
    sorted::SortedSet,
};

impl TrustDocument {
    /// Whether `plan`, signed by `signers`, may run on a node that holds this document.
    pub fn authorize(&self, plan: &NodePlan, signers: &SortedSet<KeyId>) -> Result<(), PolicyRefusal> {
        let owner = self.owners.get(&plan.owner).ok_or_else(|| PolicyRefusal::Owner(plan.owner.clone()))?;
        let valid = owner
            .signers
            .keys
            .iter()
            .filter(|key| signers.contains(&key.id()) && !self.revoked_keys.contains(&key.id()))
            .count();
        if valid < owner.signers.threshold {
            let threshold = owner.signers.threshold;
            return Err(PolicyRefusal::Signers { owner: plan.owner.clone(), valid, threshold });
        }
        if !owner.streams.iter().any(|glob| glob.matches(&plan.stream)) {
            return Err(PolicyRefusal::Stream { owner: plan.owner.clone(), stream: plan.stream.clone() });
        }
        if plan.failure_policy == FailurePolicy::Closed && !owner.may_close {
            return Err(PolicyRefusal::Closed(plan.owner.clone()));
        }
        if let Some(max) = owner.limits.programs.filter(|max| plan.programs.len() > *max as usize) {
            return Err(PolicyRefusal::Programs { owner: plan.owner.clone(), count: plan.programs.len(), max });
        }
        for program in &plan.programs {
            for attachment in &program.attach {
                self.authorize_attachment(&plan.owner, owner, &program.name, attachment)?;
            }
        }
        self.check_audience(plan)
    }

    fn authorize_attachment(
        &self,
        name: &OwnerName,
        owner: &OwnerTrust,
        program: &ProgramName,
        attachment: &Attachment,
    ) -> Result<(), PolicyRefusal> {
        let hook = attachment.hook();
        let Some(rule) = owner.hooks.get(&hook) else {
            return Err(PolicyRefusal::Hook { owner: name.clone(), hook });
        };
        if let (Some(priority), Some(band)) = (attachment.priority(), rule.band)
            && !band.contains(priority)
        {
            return Err(PolicyRefusal::Band { program: program.clone(), priority, owner: name.clone(), band });
        }
        for selector in attachment.interfaces() {
            if let Some(reserved) = self.reserved(selector) {
                let (selector, reserved) = (selector.to_string(), reserved.clone());
                return Err(PolicyRefusal::Reserved { program: program.clone(), selector, reserved });
            }
        }
        Ok(())
    }

    /// The reserved interfaces that `selector` names. Other selectors than names are judged on the node, where their
    /// interfaces are known.
    fn reserved(&self, selector: &Selector) -> Option<&IfGlob> {
        let Target::Name(_) = &selector.target else { return None };
        self.reserved_interfaces
            .iter()
            .find(|reserved| selector.overlap(&Selector::name((*reserved).clone())) == Overlap::Perhaps)
    }

    /// Whether one of the plan's audiences is one of this document's nodes'.
    pub(crate) fn check_audience(&self, plan: &NodePlan) -> Result<(), PolicyRefusal> {
        let meets = plan.audience.iter().any(|audience| self.audiences.contains(audience));
        if meets || (plan.audience.is_empty() && self.audiences.is_empty()) {
            return Ok(());
        }
        let list = |items: &[Audience]| match items {
            [] => "none".to_owned(),
            items => crate::text::join(&mut items.iter().map(Audience::as_str), ", "),
        };
        Err(PolicyRefusal::Audience { bundle: list(&plan.audience), node: list(&self.audiences) })
    }
}

/// Which rule of the trust document a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// Nobody of that name.
    #[error("owner `{0}` is not in the trust file")]
    Owner(OwnerName),
    /// Too few of the owner's keys have signed.
    #[error("{valid} keys of owner `{owner}` have signed; {threshold} are needed")]
    Signers {
        /// Owner.
        owner: OwnerName,
        /// Found.
        valid: usize,
        /// Needed.
        threshold: usize,
    },
    /// A stream name of somebody else.
    #[error("stream `{stream}` does not belong to owner `{owner}`")]
    Stream {
        /// Owner.
        owner: OwnerName,
        /// Stream.
        stream: StreamName,
    },
    /// A hook that the owner may not use.
    #[error("owner `{owner}` may not use hook `{hook}`")]
    Hook {
        /// Owner.
        owner: OwnerName,
        /// Hook.
        hook: Hook,
    },
    /// An interface that nobody may use.
    #[error("program `{program}` selects `{selector}`, and `{reserved}` is reserved")]
    Reserved {
        /// Program.
        program: ProgramName,
        /// Its selector.
        selector: String,
        /// Reserved names.
        reserved: IfGlob,
    },
    /// Kubelet may not be held back.
    #[error("owner `{0}` may not use `failurePolicy: closed`")]
    Closed(OwnerName),
    /// Too many programs.
    #[error("the stream has {count} programs; owner `{owner}` may have {max}")]
    Programs {
        /// Owner.
        owner: OwnerName,
        /// Found.
        count: usize,
        /// Allowed.
        max: u32,
    },
    /// A priority of somebody else.
    #[error("program `{program}` has priority {priority}; owner `{owner}` has {band}")]
    Band {
        /// Program.
        program: ProgramName,
        /// Found.
        priority: Priority,
        /// Owner.
        owner: OwnerName,
        /// Allowed.
        band: Band,
    },
    /// Meant for other nodes.
    #[error("the bundle is for audience {bundle}; this node's audience is {node}")]
    Audience {
        /// Of the bundle.
        bundle: String,
        /// Of the node.
        node: String,
    },
}
