//! The examples give the numbers that PyTorch gives for the same programs (tests/fixtures/record_examples.py).

// Every example brings what the examples share.
#![allow(clippy::duplicate_mod)]

#[path = "../examples/basics.rs"]
mod basics;
#[path = "../examples/first_network.rs"]
mod first_network;
#[path = "../examples/gradients.rs"]
mod gradients;
#[path = "../examples/introduction.rs"]
mod introduction;
#[path = "../examples/training.rs"]
mod training;

use flambeau::Result;
use flambeau::io::{StateDict, safetensors::load_file};
use std::sync::Mutex;

/// Held by each test: the examples share the default generator.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn check(name: &str, run: fn() -> Result<StateDict>, tolerance: f64) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/examples.safetensors");
    let expected = load_file(file).unwrap().below(&format!("{name}."));
    let ours = run().unwrap();
    assert_eq!(ours.len(), expected.len());
    for (key, value) in ours.iter() {
        let theirs = expected.get(key).unwrap_or_else(|| panic!("{key} was not recorded"));
        assert_eq!((value.sizes(), value.dtype()), (theirs.sizes(), theirs.dtype()), "{key}");
        let (a, b) = (value.to_vec::<f64>().unwrap(), theirs.to_vec::<f64>().unwrap());
        for (x, y) in a.iter().zip(&b) {
            assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "{key}: {value} is not {theirs}");
        }
    }
}

#[test]
fn introduction_gives_pytorchs_numbers() {
    check("introduction", introduction::run, 2e-6);
}
#[test]
fn gradients_gives_pytorchs_numbers() {
    // Thousands of steps in float32.
    check("gradients", gradients::run, 2e-4);
}
#[test]
fn basics_gives_pytorchs_numbers() {
    check("basics", basics::run, 2e-6);
}
#[test]
fn training_gives_pytorchs_numbers() {
    check("training", training::run, 2e-6);
}
#[test]
fn first_network_gives_pytorchs_numbers() {
    check("first_network", first_network::run, 2e-6);
}

#[path = "../examples/digits.rs"]
#[allow(dead_code)]
mod digits;

fn fixture(name: &str) -> StateDict {
    load_file(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name))
        .unwrap()
}

#[test]
fn the_digits_model_trained_in_python_predicts_the_same() {
    use flambeau::nn::{Forward, Module};
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    flambeau::manual_seed(0);
    let (_, held_out) = digits::Digits::load().unwrap().split().unwrap();
    let net = digits::Net::new(32).unwrap();
    net.load_state_dict(&fixture("digits.safetensors")).unwrap();
    net.eval();
    let expected = fixture("digits_expected.safetensors");
    assert!(held_out.labels.equal(&expected["labels"]).unwrap());
    let scores = net.forward(&held_out.images).unwrap();
    assert!(scores.allclose(&expected["scores"], 1e-4, 1e-4, false).unwrap());
    assert!(scores.argmax(Some(1), false).unwrap().equal(&expected["guesses"]).unwrap());
    assert!(digits::evaluate(&net, &held_out).unwrap().accuracy > 0.95);
}

#[test]
fn training_on_digits_gives_pythons_losses() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    flambeau::manual_seed(0);
    let (learn, held_out) = digits::Digits::load().unwrap().split().unwrap();
    let net = digits::Net::new(32).unwrap();
    let history = fixture("digits_expected.safetensors")["history"].to_vec::<f64>().unwrap();
    let mut ours = Vec::new();
    digits::train(&net, &learn, &held_out, 4, |_, loss, held| ours.extend([loss, held.accuracy])).unwrap();
    for (a, b) in ours.iter().zip(&history) {
        assert!((a - b).abs() < 1e-5, "{ours:?} are not {history:?}");
    }
}
