//! The examples give the numbers that PyTorch gives for the same programs (tests/fixtures/record_examples.py).

// Every example brings what the examples share.
#![allow(clippy::duplicate_mod)]

#[path = "../examples/basics.rs"]
mod basics;
#[path = "../examples/char_gpt.rs"]
#[allow(dead_code)]
mod char_gpt;
#[path = "../examples/first_network.rs"]
mod first_network;
#[path = "../examples/gradients.rs"]
mod gradients;
#[path = "../examples/introduction.rs"]
mod introduction;
#[path = "../examples/regression.rs"]
#[allow(dead_code)]
mod regression;
#[path = "../examples/series.rs"]
#[allow(dead_code)]
mod series;
#[path = "../examples/training.rs"]
mod training;
#[path = "../examples/vae.rs"]
#[allow(dead_code)]
mod vae;

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

/// Compares losses with those that PyTorch's program had (tests/fixtures/record_rust_programs.py).
#[track_caller]
fn assert_losses(name: &str, ours: &[f64], tolerance: f64) {
    let theirs = fixture("rust_programs.safetensors")[name].to_vec::<f64>().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(&theirs) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{name}: {ours:?} are not {theirs:?}");
    }
}

#[test]
fn a_language_model_of_characters_gives_pytorchs_losses() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let text = char_gpt::Text::load().unwrap();
    flambeau::manual_seed(0);
    let net = char_gpt::Gpt::new(text.characters.len() as i64, 16, 2).unwrap();
    assert_losses("char_gpt", &char_gpt::train(&net, &text, 8).unwrap(), 1e-4);
    assert_eq!(char_gpt::generate(&net, &text, 40).unwrap().chars().count(), 41);
}

#[test]
fn forecasts_of_a_series_give_pytorchs_losses() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    flambeau::manual_seed(0);
    let (x, y) = series::windows(200).unwrap();
    let net = series::Forecast::new(8).unwrap();
    let (mut losses, held_out) = series::train(&net, &x, &y, 3).unwrap();
    losses.push(held_out);
    assert_losses("series", &losses, 1e-4);
}

#[test]
fn an_autoencoder_of_digits_gives_pytorchs_losses() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let images = digits::Digits::load().unwrap().images;
    flambeau::manual_seed(0);
    let net = vae::Vae::new(16).unwrap();
    assert_losses("vae", &vae::train(&net, &images, 2).unwrap(), 1e-4);
}

#[test]
fn regression_on_a_table_gives_pytorchs_losses_and_keeps_the_best_model() {
    use flambeau::nn::{Forward, Module};
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let file = std::env::temp_dir().join(format!("flambeau-regression-{}.pt", std::process::id()));
    flambeau::manual_seed(0);
    let net = regression::model(16).unwrap();
    let losses = regression::train(&net, regression::table(300).unwrap(), 5, &file).unwrap();
    assert_losses("regression", &losses, 1e-4);
    let best = flambeau::io::load(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(best["loss"].as_f64().unwrap(), losses[4]);
    let again = regression::model(16).unwrap();
    again.load_state_dict(&best["model"].to_state_dict().unwrap()).unwrap();
    again.eval();
    let x = flambeau::rand([4, 10], ()).unwrap();
    assert!(again.forward(&x).unwrap().equal(&net.forward(&x).unwrap()).unwrap());
}
