//! A small budget of what `examples/fuzz_decoders` does.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong should say so and stop")]

#[path = "../examples/fuzz/mod.rs"]
mod fuzz;
#[path = "../examples/support/mod.rs"]
mod support;

#[test]
fn decoders_never_panic() {
    let targets = fuzz::targets().unwrap();
    assert!(targets.len() >= 14, "{}", targets.len());
    for target in &targets {
        let mut random = fuzz::Random::new(7);
        for _ in 0..2_000 {
            let input = target.input(&mut random);
            (target.run)(&input);
        }
    }
}
