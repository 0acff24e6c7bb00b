//! The two-stage filter: memory follows a node that faulted on it twice in a row.

use base::NodeId;

/// The node of the last fault on a page, as the word stored with its folio (0: none yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastNode(pub(crate) Option<NodeId>);

impl LastNode {
    pub(crate) fn of(word: u32) -> Self {
        Self(word.checked_sub(1).map(|node| NodeId(node as u8)))
    }

    pub(crate) fn word(node: NodeId) -> u32 {
        u32::from(node.0) + 1
    }
}

/// Whether a fault from `here` confirms the page's last node. `first_is_enough` lets the very
/// first fault do; `false_sharing` is set when another node was there in between.
pub(crate) fn confirm(
    last: LastNode,
    here: NodeId,
    first_is_enough: bool,
    false_sharing: &mut bool,
) -> bool {
    if last.0 == Some(here) || last.0.is_none() && first_is_enough {
        return true;
    }
    *false_sharing = true;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    #[test]
    fn two_faults_in_a_row_confirm() {
        let mut shared = false;
        let mut ask = |last, first| confirm(LastNode(last), B, first, &mut shared);
        assert!(ask(Some(B), false));
        assert!(ask(None, true));
        assert!(!ask(None, false));
        assert!(!ask(Some(A), true));
        assert!(shared);
    }

    #[test]
    fn words_round_trip() {
        assert_eq!(LastNode::of(LastNode::word(B)), LastNode(Some(B)));
        assert_eq!(LastNode::of(0), LastNode(None));
    }
}
