#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waypost::fuzzing::journal_recovery(data));
