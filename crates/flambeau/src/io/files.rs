//! Files that are replaced whole or not at all.

use super::value::file_fault;
use crate::Result;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Writes a file by way of a second one beside it, which takes its name once it is complete: a failure leaves the old
/// file as it was.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{number}.partial", std::process::id()));
    let fault = |error: std::io::Error| file_fault(path, error);
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&beside).map_err(fault)?;
    let done = write(&mut file)
        .and_then(|()| file.sync_all().map_err(fault))
        .and_then(|()| std::fs::rename(&beside, path).map_err(fault));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done
}
