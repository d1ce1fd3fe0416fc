use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use garde::Validate;
use serde::de;

use super::Details;

/// Bytes of a name in a path. Paths are compared for each field that is read, and a key of a
/// map is as long as its client likes.
const MOST_BYTES: usize = 256;

/// What is known of a request so far, and where in it the reading is.
#[derive(Default)]
pub struct Notes(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    path: String,
    details: Details,
    /// Fields that the next reading leaves out: their value was refused.
    left_out: HashSet<String>,
    /// Fields that the next reading makes up: they cannot be left out.
    made_up: HashSet<String>,
}

/// Why a reading ended.
#[derive(Debug)]
pub enum Problem {
    Missing(&'static str),
    Refused(String),
}

impl Notes {
    /// Goes into a field of the object that is being read; [`Notes::leave`] with what this
    /// returns goes out again. After a failure nobody does: the path tells where it was.
    pub fn enter_field(&self, name: &str) -> usize {
        let path = &mut self.0.borrow_mut().path;
        let before = path.len();
        if before > 0 {
            path.push('.');
        }
        path.push_str(name.get(..name.floor_char_boundary(MOST_BYTES)).unwrap_or_default());
        before
    }

    pub fn enter_item(&self, index: usize) -> usize {
        let path = &mut self.0.borrow_mut().path;
        let before = path.len();
        path.push_str(&format!("[{index}]"));
        before
    }

    pub fn leave(&self, before: usize) {
        self.0.borrow_mut().path.truncate(before);
    }

    /// The value here is of a wrong type.
    pub fn wrong(&self, problem: &Problem) {
        let mut inner = self.0.borrow_mut();
        if !inner.details.is_full() {
            let path = inner.path.clone();
            inner.note(&path, &problem.to_string());
        }
    }

    pub fn is_left_out(&self) -> bool {
        let inner = self.0.borrow();
        inner.left_out.contains(&inner.path)
    }

    pub fn is_made_up(&self) -> bool {
        let inner = self.0.borrow();
        inner.made_up.contains(&inner.path)
    }

    /// Notes why a reading ended. False where another one would not get further.
    pub fn learn(&self, problem: Problem) -> bool {
        let mut inner = self.0.borrow_mut();
        let mut path = std::mem::take(&mut inner.path);
        match problem {
            Problem::Missing(field) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(field);
                if !inner.left_out.contains(&path) {
                    inner.note(&path, "missing field");
                }
                inner.made_up.insert(path) && !inner.details.is_full()
            }
            Problem::Refused(problem) => {
                // What was refused may be a stand-in: then its place is noted already.
                if !inner.is_noted(&path) {
                    inner.note(&path, &problem);
                }
                let is_item = path.ends_with(']');
                let learned = if is_item { &mut inner.made_up } else { &mut inner.left_out };
                let further = !path.is_empty() && learned.insert(path);
                further && !inner.details.is_full()
            }
        }
    }

    /// Adds the rules that the value breaks, except where it is a stand-in's.
    pub fn rules<T: Validate<Context = ()>>(&self, value: &T) {
        let Err(report) = value.validate() else {
            return;
        };
        let mut inner = self.0.borrow_mut();
        for (path, error) in report.iter() {
            if inner.details.is_full() {
                return;
            }
            let path = path.to_string();
            if !inner.is_noted(&path) {
                inner.note(&path, &error.to_string());
            }
        }
    }

    pub fn into_details(self) -> Details {
        self.0.into_inner().details
    }
}

impl Inner {
    fn note(&mut self, path: &str, problem: &str) {
        self.details.note(if path.is_empty() { "body" } else { path }, problem);
    }

    /// Whether something is wrong here already, or with what this is a part of.
    fn is_noted(&self, path: &str) -> bool {
        let ends = path.char_indices().filter(|(_, c)| matches!(c, '.' | '['));
        let parents = ends.map(|(end, _)| &path[..end]);
        parents.chain([path, "body"]).any(|part| self.details.names(part))
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "missing field `{field}`"),
            Self::Refused(problem) => f.write_str(problem),
        }
    }
}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::Refused(problem.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}
