//! A folder for what is measured.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use anyhow::Result;

/// A folder in the one for temporary files, which is removed with this.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Result<Folder> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("metricd-bench-{}-{number}", process::id());
        let folder = Folder(env::temp_dir().join(name));
        fs::create_dir(&folder.0)?;
        Ok(folder)
    }

    /// Bytes of the files whose names begin so, but those that are removed meanwhile.
    pub fn bytes(&self, prefix: &str) -> Result<f64> {
        let entries = fs::read_dir(&self.0)?.filter_map(Result::ok);
        let named = entries.filter(|file| file.file_name().to_string_lossy().starts_with(prefix));
        let bytes = named.filter_map(|file| Some(file.metadata().ok()?.len() as f64));
        Ok(bytes.sum())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A file that stays in the system's folder for such is no reason to fail.
        fs::remove_dir_all(&self.0).ok();
    }
}
