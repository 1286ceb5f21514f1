//! The process-wide printing options, `torch.set_printoptions`.

use flambeau_core::{Result, ensure};
use parking_lot::RwLock;

/// How tensors are printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrintOptions {
    /// Digits after the decimal point, at most `i32::MAX`.
    pub precision: usize,
    /// A tensor of more elements than this is summarised; infinite for never.
    pub threshold: f64,
    /// How many items a summary shows at the beginning and at the end of each dimension.
    pub edgeitems: usize,
    /// Characters after which a line is broken.
    pub linewidth: usize,
    /// Whether floating point numbers are printed in scientific notation; `None` decides by their sizes.
    pub sci_mode: Option<bool>,
}

/// A named set of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Default,
    Short,
    Full,
}

impl Profile {
    /// The profile called `name`. PyTorch ignores unknown names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Profile::Default),
            "short" => Some(Profile::Short),
            "full" => Some(Profile::Full),
            _ => None,
        }
    }
}

impl PrintOptions {
    const DEFAULT: PrintOptions =
        PrintOptions { precision: 4, threshold: 1000.0, edgeitems: 3, linewidth: 80, sci_mode: None };

    /// The options of a profile.
    pub const fn profile(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::DEFAULT,
            Profile::Short => PrintOptions { precision: 2, edgeitems: 2, ..Self::DEFAULT },
            Profile::Full => PrintOptions { threshold: f64::INFINITY, ..Self::DEFAULT },
        }
    }

    /// These options after [`set_printoptions`].
    pub fn changed(&self, change: &SetPrintOptions) -> Result<Self> {
        ensure!(change.precision.is_none_or(|p| p <= i32::MAX as usize), Value, "precision too big");
        let from = change.profile.map_or(*self, PrintOptions::profile);
        Ok(PrintOptions {
            precision: change.precision.unwrap_or(from.precision),
            threshold: change.threshold.unwrap_or(from.threshold),
            edgeitems: change.edgeitems.unwrap_or(from.edgeitems),
            linewidth: change.linewidth.unwrap_or(from.linewidth),
            sci_mode: change.sci_mode,
        })
    }
}

impl Default for PrintOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

static OPTIONS: RwLock<PrintOptions> = RwLock::new(PrintOptions::DEFAULT);

/// The options in force.
pub fn options() -> PrintOptions {
    *OPTIONS.read()
}

/// Replaces the options in force.
pub fn set_options(options: PrintOptions) {
    *OPTIONS.write() = options;
}

/// The arguments of [`set_printoptions`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SetPrintOptions {
    pub precision: Option<usize>,
    pub threshold: Option<f64>,
    pub edgeitems: Option<usize>,
    pub linewidth: Option<usize>,
    /// Options to start from instead of those in force.
    pub profile: Option<Profile>,
    /// Unlike the others, `None` is a value: it returns to the choice by size.
    pub sci_mode: Option<bool>,
}

/// Changes the options that are given and leaves the others, as `torch.set_printoptions` does.
/// Fails with ValueError where the precision is more than a formatter takes.
///
/// ```
/// use flambeau::print::{Profile, SetPrintOptions, options, set_printoptions};
///
/// set_printoptions(&SetPrintOptions { profile: Some(Profile::Short), edgeitems: Some(5), ..Default::default() })?;
/// assert_eq!((options().precision, options().edgeitems), (2, 5));
/// # Ok::<(), flambeau_core::Error>(())
/// ```
pub fn set_printoptions(change: &SetPrintOptions) -> Result<()> {
    let mut options = OPTIONS.write();
    *options = options.changed(change)?;
    Ok(())
}
