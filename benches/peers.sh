#!/usr/bin/env bash
# whystop beside an installed QEMU, its storage daemon and a bare echo server, in one run, as ratios of the first figure of
# each line; and its schema compiler beside QEMU's, where QEMU_TREE names a QEMU tree with scripts/qapi-gen.py.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v qemu-storage-daemon >/dev/null || { echo 'needs qemu-storage-daemon (package qemu-utils)' >&2; exit 1; }
command -v qemu-system-x86_64 >/dev/null || { echo 'needs qemu-system-x86_64 (package qemu-system-x86)' >&2; exit 1; }
WHYSTOP_REQUIRE_PEERS=1 cargo bench --bench qmp --bench nbd --bench error_path --bench qtest --bench virtio_blk
if [ -n "${QEMU_TREE-}" ]; then
  export QEMU_SRC=${QEMU_SRC-$QEMU_TREE}
fi
cargo bench -p qapi-gen --bench compile
