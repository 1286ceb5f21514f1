//! What the tests of layers and optimizers share: values that PyTorch recorded, and comparisons with them.

#![allow(dead_code)] // every test uses a part of it

use flambeau::io::{StateDict, safetensors::load_file};
use flambeau::nn::Module;
use flambeau::{Result, Tensor, manual_seed, randn};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

pub const SEED: u64 = 1444;

/// The tensors and texts of a recording.
pub struct Recorded {
    pub tensors: StateDict,
    pub texts: HashMap<String, String>,
}
impl Recorded {
    pub fn open(name: &str) -> Recorded {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let texts = text
            .split("== ")
            .skip(1)
            .map(|block| block.split_once('\n').unwrap())
            .map(|(name, text)| (name.to_string(), text.trim_end().to_string()))
            .collect();
        Recorded { tensors: load_file(folder.join(format!("{name}.safetensors"))).unwrap(), texts }
    }
    #[track_caller]
    pub fn get(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("{name} was not recorded"))
    }

    /// Checks a module made after seeding: its text, and its weights bit for bit. The generator stays where it is then.
    #[track_caller]
    pub fn made<M: Module>(&self, name: &str, make: impl Fn() -> Result<M>) -> M {
        manual_seed(SEED);
        let module = make().unwrap();
        assert_eq!(module.repr(), self.texts[name], "{name}");
        let state = module.state_dict();
        let expected = self.tensors.below(&format!("{name}.state."));
        assert_eq!(state.len(), expected.len(), "{name}");
        for (key, value) in state.iter() {
            assert_eq!(value.dtype(), expected[key].dtype(), "{name}.{key}");
            assert!(value.equal(&expected[key]).unwrap(), "{name}.{key}: {value} is not {}", expected[key]);
        }
        module
    }
    /// Checks also its output for an input drawn next.
    #[track_caller]
    pub fn check<M: Module>(
        &self,
        name: &str,
        make: impl Fn() -> Result<M>,
        shape: &[i64],
        forward: impl Fn(&M, &Tensor) -> Result<Tensor>,
    ) -> (M, Tensor) {
        let module = self.made(name, make);
        let input = randn(shape, ()).unwrap();
        let output = forward(&module, &input).unwrap();
        assert_close(name, &output, self.get(&format!("{name}.output")), 2e-6);
        (module, input)
    }
}

/// Held by tests that draw: they share the default generator.
static DRAWING: Mutex<()> = Mutex::new(());

pub fn drawing() -> MutexGuard<'static, ()> {
    DRAWING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Fails unless the numbers agree; the tolerance is a few units in the last place of `float32`, or looser.
#[track_caller]
pub fn assert_close(name: &str, ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    assert_eq!(ours.sizes(), theirs.sizes(), "{name}");
    assert_eq!(ours.dtype(), theirs.dtype(), "{name}");
    let (a, b) = (ours.to_vec::<f64>().unwrap(), theirs.to_vec::<f64>().unwrap());
    for (i, (x, y)) in a.iter().zip(&b).enumerate() {
        assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "{name}[{i}]: {x} is not {y}");
    }
}
