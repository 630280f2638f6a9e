//! A small budget of what `examples/fuzz_decoders.rs` does, and every input that once failed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that goes wrong should say so and stop"
)]

#[path = "../examples/fuzz/mod.rs"]
mod fuzz;

/// Inputs for each one of a decoder's weight.
const INPUTS: u64 = 60;

// One test, since the memory of the whole process is measured.
#[test]
fn decoders_survive_what_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let decoders = fuzz::decoders(dir.path(), "");
    assert!(decoders.len() >= 36, "{}", decoders.len());
    for line in fuzz::CORPUS.lines() {
        let (name, hex) = line.split_once('\t').unwrap();
        let decoder = decoders.iter().find(|d| d.name == name).unwrap();
        decoder.replay(&fuzz::unhex(hex).unwrap());
    }
    for decoder in &decoders {
        let inputs = INPUTS * decoder.weight;
        if let Err(failure) = decoder.attack(7, inputs, fuzz::MEMORY_LIMIT, |_, _| ()) {
            panic!("{failure}");
        }
        assert_eq!(decoder.input(7, 3), decoder.input(7, 3), "inputs can be made again");
    }
}
