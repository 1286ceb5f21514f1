//! The one error type. Its kinds are the exception classes that PyTorch raises.

use std::fmt;

/// The Python exception class that an [`Error`] becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Runtime,
    Value,
    Type,
    Index,
    NotImplemented,
    Key,
    Attribute,
    Assertion,
    Overflow,
    Memory,
    Buffer,
    ZeroDivision,
    /// `torch.linalg.LinAlgError`, a subclass of RuntimeError.
    LinAlg,
    /// An exception of the host language, raised inside a callback and carried through unchanged.
    Foreign,
}

/// An error with PyTorch's message text.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    foreign: Option<std::sync::Arc<dyn std::any::Any + Send + Sync>>,
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), foreign: None }))
    }
    /// Wraps an exception of the host language so that it can pass through Rust code.
    #[cold]
    pub fn foreign(
        message: impl Into<String>,
        payload: std::sync::Arc<dyn std::any::Any + Send + Sync>,
    ) -> Self {
        Error(Box::new(Inner { kind: ErrorKind::Foreign, message: message.into(), foreign: Some(payload) }))
    }
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// The host exception, for [`ErrorKind::Foreign`].
    pub fn payload(&self) -> Option<&std::sync::Arc<dyn std::any::Any + Send + Sync>> {
        self.0.foreign.as_ref()
    }
    /// The same error with another message.
    pub fn map_message(mut self, change: impl FnOnce(&str) -> String) -> Self {
        self.0.message = change(&self.0.message);
        self
    }
    #[cold]
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Runtime, message)
    }
    #[cold]
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Value, message)
    }
    #[cold]
    pub fn type_(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Type, message)
    }
    #[cold]
    pub fn index(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Index, message)
    }
    #[cold]
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotImplemented, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}Error: {}", self.0.kind, self.0.message)
    }
}

impl std::error::Error for Error {}

/// Returns an [`Error`] of the given kind: `bail!("text {x}")` is a RuntimeError, `bail!(Value, "text")` names it.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($text:tt)+) => { return Err($crate::Error::new($crate::ErrorKind::$kind, format!($($text)+))) };
    ($($text:tt)+) => { return Err($crate::Error::new($crate::ErrorKind::Runtime, format!($($text)+))) };
}

/// Returns an [`Error`] unless the condition holds: `ensure!(n > 0, Value, "n must be positive, got {n}")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($rest:tt)+) => { if !($condition) { $crate::bail!($($rest)+) } };
}
