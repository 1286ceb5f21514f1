//! Random generators: handles to a state, one of which is the default.

use flambeau_core::Result;
use flambeau_cpu::random as cpu;
use parking_lot::Mutex;
use std::sync::{Arc, LazyLock};

/// A source of random numbers; clones share the state. Draws are PyTorch's, bit for bit, for the same seed.
#[derive(Clone, Debug)]
pub struct Generator(Arc<Mutex<cpu::Generator>>);

static DEFAULT: LazyLock<Generator> = LazyLock::new(|| Generator::new(cpu::DEFAULT_SEED));

impl Generator {
    /// A generator with a seed.
    pub fn new(seed: u64) -> Generator {
        Generator(Arc::new(Mutex::new(cpu::Generator::new(seed))))
    }
    /// The generator that operators use when they are given none.
    pub fn default_generator() -> Generator {
        DEFAULT.clone()
    }
    pub fn manual_seed(&self, seed: u64) {
        self.0.lock().manual_seed(seed);
    }
    /// Seeds from the operating system; returns the seed.
    pub fn seed(&self) -> u64 {
        self.0.lock().seed()
    }
    pub fn initial_seed(&self) -> u64 {
        self.0.lock().initial_seed()
    }
    /// The state in PyTorch's layout.
    pub fn get_state(&self) -> Vec<u8> {
        self.0.lock().get_state()
    }
    pub fn set_state(&self, state: &[u8]) -> Result<()> {
        self.0.lock().set_state(state)
    }
    /// Runs a function on the state, undisturbed by other threads.
    pub fn with<R>(&self, f: impl FnOnce(&mut cpu::Generator) -> R) -> R {
        f(&mut self.0.lock())
    }
    /// A generator of its own with a copy of the state.
    pub fn fork(&self) -> Generator {
        Generator(Arc::new(Mutex::new(self.0.lock().clone())))
    }
}

/// Seeds the default generator, `torch.manual_seed`.
pub fn manual_seed(seed: u64) {
    DEFAULT.manual_seed(seed);
}
