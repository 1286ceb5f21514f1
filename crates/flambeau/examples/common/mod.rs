//! What the examples share: results are printed, and kept for the test that compares them with PyTorch's.

use flambeau::io::StateDict;
use flambeau::{Result, Tensor, tensor};

/// The results of an example by name.
#[derive(Default)]
pub struct Notebook(StateDict);

impl Notebook {
    /// Prints a tensor and keeps its value.
    pub fn show(&mut self, name: &str, value: &Tensor) -> Result<()> {
        println!("{name} = {value}");
        self.0.insert(name, value.detach()?.deep_clone()?);
        Ok(())
    }
    /// Prints a gradient and keeps it.
    pub fn grad(&mut self, name: &str, of: &Tensor) -> Result<()> {
        match of.grad() {
            Some(grad) => self.show(name, &grad),
            None => Err(flambeau::Error::runtime(format!("{name} is missing"))),
        }
    }
    /// Prints a number and keeps it.
    #[allow(dead_code)]
    pub fn number(&mut self, name: &str, value: f64) -> Result<()> {
        self.show(name, &tensor(value)?)
    }
    pub fn finish(self) -> StateDict {
        self.0
    }
}
