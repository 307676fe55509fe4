//! What QMP shows of a backend and its node.

use qapi_schema::block_core::{BlockInfo, BlockStats};

use super::BlockBackend;
use crate::node::Node;
use crate::statistics::of_node;

impl BlockBackend {
    /// As `query-block` shows it.
    pub fn info(&self) -> BlockInfo {
        let mut inserted = self.node.info();
        inserted.cache.writeback = self.write_cache();
        BlockInfo {
            device: self.device.clone(),
            qdev: Some(self.qdev().into()),
            r#type: "unknown".into(),
            removable: false,
            locked: false,
            inserted: Some(inserted),
            io_status: self.policy.may_stop().then(|| *self.io_status.lock()),
        }
    }

    /// As `query-blockstats` shows it.
    pub fn stats(&self) -> BlockStats {
        BlockStats {
            device: Some(self.device.clone()),
            qdev: Some(self.qdev().into()),
            node_name: Some(self.node.name().to_owned()),
            stats: self.statistics.to_qapi(self.node.highest_written()),
            parent: self.node.child().map(|child| Box::new(node_stats(child))),
        }
    }
}

/// What `query-blockstats` says of a node, and of those beneath.
pub(crate) fn node_stats(node: &Node) -> BlockStats {
    BlockStats {
        device: None,
        qdev: None,
        node_name: Some(node.name().to_owned()),
        stats: of_node(node.highest_written()),
        parent: node.child().map(|child| Box::new(node_stats(child))),
    }
}
