//! The entry of libFuzzer for `whystop_fuzz::virtio_blk`.
#![no_main]
use libfuzzer_sys::fuzz_target;
fuzz_target!(|input: &[u8]| whystop_fuzz::virtio_blk(input));
