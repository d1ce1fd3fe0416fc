use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

/// What a process depends on, and whether each of it is there.
///
/// State changes are logged here, once each, so that a server that stays away
/// costs two lines (gone, back) and not one per attempt.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    draining: bool,
    dependencies: BTreeMap<&'static str, DependencyState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DependencyState {
    /// Not reached yet since the process started.
    Waiting,
    Up,
    /// Was refused or lost; `reason` is for people, never for clients.
    Down {
        reason: String,
    },
}

impl Health {
    /// Registers something the process needs. It counts as waiting until
    /// [`Dependency::up`] is called.
    pub fn dependency(&self, name: &'static str) -> Dependency {
        self.lock().dependencies.entry(name).or_insert(DependencyState::Waiting);
        Dependency { health: self.clone(), name }
    }

    /// From now on the process is not ready, whatever its dependencies say.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Ready means: not draining, and everything depended on is up.
    pub fn is_ready(&self) -> bool {
        let inner = self.lock();
        !inner.draining && inner.dependencies.values().all(|state| *state == DependencyState::Up)
    }

    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub fn dependencies(&self) -> BTreeMap<&'static str, DependencyState> {
        self.lock().dependencies.clone()
    }

    /// The state is valid after every single assignment, so a panic elsewhere
    /// while the lock was held cannot have damaged it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thing a process depends on: `mongodb`, `kafka`, `mysql`.
#[derive(Debug, Clone)]
pub struct Dependency {
    health: Health,
    name: &'static str,
}

impl Dependency {
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn up(&self) {
        if self.replace(DependencyState::Up) != DependencyState::Up {
            tracing::info!(dependency = self.name, "connected");
        }
    }

    pub fn down(&self, reason: impl Display) {
        let reason = reason.to_string();
        let before = self.replace(DependencyState::Down { reason: reason.clone() });
        if !matches!(before, DependencyState::Down { .. }) {
            tracing::warn!(dependency = self.name, reason, "unavailable: waiting for it");
        }
    }

    fn replace(&self, state: DependencyState) -> DependencyState {
        let mut inner = self.health.lock();
        inner.dependencies.insert(self.name, state).unwrap_or(DependencyState::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_only_while_everything_is_up_and_nothing_drains() {
        let health = Health::default();
        assert!(health.is_ready(), "nothing needed, nothing missing");
        let mongodb = health.dependency("mongodb");
        let kafka = health.dependency("kafka");
        assert!(!health.is_ready(), "not reached yet");
        mongodb.up();
        assert!(!health.is_ready(), "kafka is still awaited");
        kafka.up();
        assert!(health.is_ready());
        mongodb.down("connection refused");
        assert!(!health.is_ready());
        mongodb.up();
        health.drain();
        assert!(!health.is_ready(), "draining");
    }
}
