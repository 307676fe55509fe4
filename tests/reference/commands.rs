//! What both daemons can do, with good and bad arguments: scenes of requests, each with a pair of daemons of its own.

use std::fs::File;

use crate::conversation::{Mode, Told, connect, say};
use crate::pair::Pair;
use crate::support::qmp::QmpClient;

/// A step is a request, or the name of an event that both daemons send now. `{dir}` is a daemon's directory, in which
/// `disk.img` is a file of 1 MiB.
const SCENES: &[&[&str]] = &[
    // The monitor.
    &[
        "{'execute': 'query-version'}",
        "{'execute': 'query-version', 'arguments': {'full': true}}",
        "{'execute': 'query-commands'}",
        "{'execute': 'query-commands', 'arguments': {'x': null}}",
        "{'execute': 'query-qmp-schema'}",
        "{'execute': 'query-qmp-schema', 'arguments': {'x': 1}}",
        "{'execute': 'qmp_capabilities'}",
        "{'execute': 'quit', 'arguments': {'now': true}}",
    ],
    &["{'execute': 'quit'}"],
    &["{'execute': 'quit', 'arguments': {}, 'id': 7}"],
    // What both do not have.
    &[
        "{'execute': 'blockdev-open-tray', 'arguments': {'id': 'x'}}",
        "{'execute': 'eject'}",
        "{'execute': 'query-pci'}",
        "{'execute': 'netdev_add', 'arguments': {'type': 'x'}}",
        "{'execute': 'migrate'}",
    ],
    // Nodes.
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 'b', 'file': 'a'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'b'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': ''}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 1}}",
        "{'execute': 'blockdev-del', 'arguments': {}}",
        "{'execute': 'blockdev-del'}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a', 'x': 1}}",
    ],
    &[
        "{'execute': 'blockdev-add'}",
        "{'execute': 'blockdev-add', 'arguments': {}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'nonsense', 'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 1, 'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': null, 'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': ''}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': '1a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a b'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': '#block1'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'abcdefghijklmnopqrstuvwxyzabcdef'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'abcdefghijklmnopqrstuvwxyzabcde'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'x': 1}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 'big'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 1.5}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 9223372036854775808}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 9223372036854775807}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 9223372035781033985}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'latency-ns': 9223372036854775808}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': '1048576'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'read-only': 'on'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'read-only': 1}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'discard': 'maybe'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'cache': true}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'cache': {'direct': 1}}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'cache': {'x': 1}}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'active': 'x'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'active', 'active': true}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'latency-ns': 9223372036854775807}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 4096, 'read-zeroes': true}}",
    ],
    // It aborts.
    &["{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': -1}}"],
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 'r', 'file': 'f'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 's', 'file': 'none'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 's', 'file': 7}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 's', 'file': null}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 's'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 's', 'file': {'driver': 'null-co'}}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 't', 'file': {'driver': 'none'}}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 't', 'file': {'driver': 'null-co', 'x': 1}}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 't', 'file': {}}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 't', 'offset': -1, 'file': 'f'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 't', 'size': 100, 'file': 'f'}}",
        "{'execute': 'query-named-block-nodes'}",
        "{'execute': 'query-named-block-nodes', 'arguments': {'flat': true}}",
        "{'execute': 'query-named-block-nodes', 'arguments': {'flat': 1}}",
        "{'execute': 'query-block'}",
        "{'execute': 'query-block', 'arguments': {'x': 1}}",
        "{'execute': 'query-blockstats'}",
        "{'execute': 'query-blockstats', 'arguments': {'query-nodes': true}}",
        "{'execute': 'query-blockstats', 'arguments': {'query-nodes': 'yes'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'f'}}",
    ],
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': 1}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/none'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': ''}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'host_device', 'node-name': 'f', 'filename': '{dir}/disk.img'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img', 'locking': 'x'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img', 'aio': 'x'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img', 'aio-max-batch': '1'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img', 'drop-cache': 1}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img', 'locking': 'off', 'aio': 'threads', 'aio-max-batch': 8, 'drop-cache': false}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'host_device', 'node-name': 'null', 'filename': '/dev/null'}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'null', 'size': 512}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'null', 'size': 0}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'null'}}",
    ],
    // Limits.
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': -1}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': 3}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': 4294967296}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': '512'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'max-transfer': 4294967296}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': 512, 'max-transfer': 1000}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': 512, 'opt-write-zero': 256}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'opt-write-zero': 1024, 'max-write-zero': 512}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'opt-discard': 1024, 'max-discard': 1536}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': 512, 'max-transfer': 65536, 'opt-write-zero': 4096, 'max-write-zero': 8192, 'opt-discard': 4096, 'max-discard': 8192}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'blkdebug', 'node-name': 'c', 'image': 'b', 'align': 0, 'max-transfer': 0}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'blkdebug', 'node-name': 'b', 'image': 'a', 'align': 512}]}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'c'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'b'}}",
    ],
    // Sizes.
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'file', 'node-name': 'f', 'filename': '{dir}/disk.img'}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'f', 'size': 2097152}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'f', 'size': -1}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'f', 'size': 'big'}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'f'}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'none', 'size': 512}}",
        "{'execute': 'block_resize', 'arguments': {'size': 512}}",
        "{'execute': 'block_resize', 'arguments': {'device': 'none', 'size': 512}}",
        "{'execute': 'block_resize', 'arguments': {'device': 'none', 'node-name': 'none', 'size': 512}}",
        "{'execute': 'block_resize', 'arguments': {'device': 'none', 'node-name': 'f', 'size': 1048576}}",
        "{'execute': 'block_resize', 'arguments': {'device': '', 'node-name': '', 'size': 512}}",
        "{'execute': 'block_resize'}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 'fixed', 'size': 4096, 'file': 'f'}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 'r', 'file': 'f'}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'f', 'size': 2048}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'r', 'size': 2048}}",
        "{'execute': 'block_resize', 'arguments': {'node-name': 'fixed', 'size': 2048}}",
    ],
    // New options.
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a'}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': []}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'null-co', 'node-name': 'none'}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'null-co'}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': {'driver': 'null-co', 'node-name': 'a'}}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'nonsense', 'node-name': 'a'}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [1]}}",
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'raw', 'node-name': 'r', 'file': 'a'}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'raw', 'node-name': 'r', 'file': 'a', 'size': 4096, 'offset': 100}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'raw', 'node-name': 'r', 'file': 'a', 'size': 100}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'raw', 'node-name': 'r', 'file': 'a', 'offset': 9223372036854775807}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {'options': [{'driver': 'raw', 'node-name': 'r', 'file': 'a'}]}}",
        "{'execute': 'blockdev-reopen', 'arguments': {}}",
        "{'execute': 'blockdev-reopen'}",
    ],
    // The NBD server.
    &[
        "{'execute': 'nbd-server-stop'}",
        "{'execute': 'nbd-server-start'}",
        "{'execute': 'nbd-server-start', 'arguments': {}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': 'x'}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix'}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'x', 'data': {}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': 1}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/none/s'}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'inet', 'data': {'host': '127.0.0.1'}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s'}}, 'max-connections': -1}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s'}}, 'max-connections': 4294967296}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s'}}, 'max-connections': 1}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s'}}}}",
        "{'execute': 'nbd-server-stop', 'arguments': {'x': 1}}",
        "{'execute': 'nbd-server-stop'}",
        "{'execute': 'nbd-server-stop'}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s', 'tight': 1}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s', 'tight': false}}}}",
        "{'execute': 'nbd-server-stop'}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'inet', 'data': {'host': '127.0.0.1', 'port': '0', 'mptcp': 'on'}}}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'inet', 'data': {'host': '127.0.0.1', 'port': '0', 'mptcp': true}}}}",
        "{'execute': 'nbd-server-stop'}",
    ],
    // Exports.
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 4096}}",
        "{'execute': 'query-block-exports'}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a'}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s'}}}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'none'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'node-name': 'a'}}",
        "{'execute': 'block-export-add', 'arguments': {'id': 'e', 'node-name': 'a'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'x', 'id': 'e', 'node-name': 'a'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': '', 'node-name': 'a'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': '1 2', 'node-name': 'a'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'writable': 1}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'x': 1}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'name': 1}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'iothread': 'none'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'iothread': 1}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'bitmaps': ['none']}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'bitmaps': [{'node': 'a', 'name': 'none'}]}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'bitmaps': [{'node': 'a'}]}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'bitmaps': [1]}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'bitmaps': 'none'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'allocation-depth': 1}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'writable': true, 'fixed-iothread': true, 'allow-inactive': true, 'bitmaps': [], 'allocation-depth': false}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'name': 'b'}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'f', 'node-name': 'a', 'name': 'a'}}",
        "{'execute': 'query-block-exports'}",
        "{'execute': 'query-block-exports', 'arguments': {'x': 1}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'block-export-del', 'arguments': {'id': 'none'}}",
        "{'execute': 'block-export-del', 'arguments': {'id': 1}}",
        "{'execute': 'block-export-del', 'arguments': {'id': 'e', 'mode': 'x'}}",
        "{'execute': 'block-export-del', 'arguments': {}}",
        "{'execute': 'block-export-del', 'arguments': {'id': 'e', 'mode': 'safe'}}",
        "BLOCK_EXPORT_DELETED",
        "{'execute': 'block-export-del', 'arguments': {'id': 'e', 'mode': 'hard'}}",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
        "{'execute': 'nbd-server-stop'}",
    ],
    // Exports go with their server.
    &[
        "{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'read-only': true}}",
        "{'execute': 'nbd-server-start', 'arguments': {'addr': {'type': 'unix', 'data': {'path': '{dir}/s'}}}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'writable': true}}",
        "{'execute': 'block-export-add', 'arguments': {'type': 'nbd', 'id': 'e', 'node-name': 'a', 'writable': false}}",
        "{'execute': 'nbd-server-stop'}",
        "BLOCK_EXPORT_DELETED",
        "{'execute': 'blockdev-del', 'arguments': {'node-name': 'a'}}",
    ],
];

struct Side {
    client: QmpClient,
    directory: String,
}

impl Side {
    fn step(&mut self, step: &str) -> Option<Told> {
        if step.starts_with('{') {
            return Some(say(&mut self.client, step.replace("{dir}", &self.directory).as_bytes()));
        }
        self.client.event(step).unwrap_or_else(|error| panic!("{step}: {error}"));
        None
    }
}

/// Plays a scene, and returns where the two do not agree.
fn play(scene: &[&str]) -> Option<Vec<String>> {
    let mut pair = Pair::start("qmp")?;
    let [ours, reference] = connect(&mut pair, Mode::Plain);
    let [mut ours, mut reference] = [(ours, &pair.ours), (reference, &pair.reference)].map(|(client, daemon)| {
        let file = File::create(daemon.directory().join("disk.img")).expect("a writable directory");
        file.set_len(1 << 20).expect("sparse");
        Side { client, directory: daemon.directory().display().to_string() }
    });
    let mut differences = Vec::new();
    for step in scene {
        let (Some(we), Some(they)) = (ours.step(step), reference.step(step)) else { continue };
        let agrees = match they.replies.first() {
            // It has aborted.
            None => !we.left && we.replies.len() > 1,
            // Told to quit, it does not answer what comes after.
            Some(first) if they.left => we.replies.first().is_some_and(|ours| ours.agrees(first)),
            Some(_) => we.agrees(&they),
        };
        if !agrees {
            differences.push(format!("{step}\n  ours: {we:?}\n  QEMU: {they:?}"));
        }
        if they.left {
            break;
        }
    }
    pair.end();
    Some(differences)
}

#[test]
fn commands_that_both_have() {
    let differences: Vec<_> = SCENES.iter().filter_map(|scene| play(scene)).flatten().collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
