//! Under which limit the tasks of a run are counted.

use super::Run;
use crate::keyed_limit::LimitId;
use crate::plan::LimitSpec;
use crate::text::Text;

impl Run {
    /// The limit of a node, which holds for its children too.
    pub fn limit(&self, node: u32) -> Option<&LimitSpec> {
        self.spec(node)?.limit.as_deref()
    }

    /// The key under which a node is counted, as far as it is known.
    pub fn limit_id(&self, node: u32) -> Option<LimitId> {
        let key = self.node(node).and_then(|task| task.key.clone());
        self.limit_under(node, key.unwrap_or_default())
    }

    /// The same with a key that is not told yet.
    pub(crate) fn limit_under(&self, node: u32, key: Text) -> Option<LimitId> {
        let name = self.limit(node)?.name.clone();
        Some(LimitId { namespace: self.namespace.clone(), name, key })
    }
}
