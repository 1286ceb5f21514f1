//! What training programs need beside modules and optimizers.

pub mod data;
