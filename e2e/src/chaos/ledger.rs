//! The clients' own log of acknowledged writes: append-only, one JSON line each. The
//! checker reads it back from the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// A write that the API has answered with success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The topic's name, which is the domain's.
    pub domain: String,
    pub id: String,
    /// The version that this write made.
    pub version: i64,
    /// Unknown where no answer arrived in the end, and where another write caused it.
    pub event_id: Option<String>,
    pub how: How,
    /// The entity is gone with it.
    pub removed: bool,
    /// Dotted path in the document and what stands there after this write, as text.
    pub sets: BTreeMap<String, String>,
}

/// How the client learned that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum How {
    Answered,
    /// The answer came again for the same Idempotency-Key.
    Replayed,
    /// The answer was lost; the document says that it was done.
    ReadBack,
    /// Part of another write: a supplier's products go with the supplier.
    Implied,
    /// Nothing new: where a document stands after MongoDB was restored to an earlier copy
    /// and the operator has done what is documented. Its version can have moved.
    Restored,
}

pub struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
}

impl Ledger {
    pub fn create(path: PathBuf) -> Self {
        let file = File::options().create_new(true).append(true).open(&path);
        Self { file: Mutex::new(file.expect("the ledger can be made")), path }
    }

    pub fn append(&self, write: &Acknowledged) {
        let mut line = serde_json::to_vec(write).expect("plain data");
        line.push(b'\n');
        let mut file = self.file.lock().expect("nobody panics while writing");
        file.write_all(&line).expect("the ledger can be written");
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Each line of the file, in its order.
    pub fn read(path: &Path) -> Vec<Acknowledged> {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = BufReader::new(file).lines().map(|line| line.expect("the ledger is text"));
        lines.map(|line| serde_json::from_str(&line).expect("a line of ours")).collect()
    }
}
