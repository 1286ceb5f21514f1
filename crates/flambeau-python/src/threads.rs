//! The number of threads that operators may use.

use flambeau::parallel;
use pyo3::prelude::*;

#[pyfunction]
pub fn _set_num_threads(n: usize) {
    parallel::set_num_threads(n);
}

#[pyfunction]
pub fn _get_num_threads() -> usize {
    parallel::num_threads()
}
