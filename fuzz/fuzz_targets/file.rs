#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aiops_fuzz::file(data));
