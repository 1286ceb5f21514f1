//! Errors with a place in a declaration file.

use std::fmt;

/// A complaint about one line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diag {
    pub file: String,
    pub line: usize,
    pub message: String,
}

pub type Result<T, E = Diag> = std::result::Result<T, E>;

impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A piece of a file: its text (possibly of several lines) and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub file: String,
    pub line: usize,
    pub text: String,
}

impl Span {
    pub fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(self.diag(0, message))
    }
    /// A complaint about the line that is `offset` lines below the start.
    pub fn diag(&self, offset: usize, message: impl Into<String>) -> Diag {
        Diag { file: self.file.clone(), line: self.line + offset, message: message.into() }
    }
}
