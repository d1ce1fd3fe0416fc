//! Faults, done and undone.

use std::time::Duration;

use tokio::sync::Mutex;

use super::expel;
use super::fault::{Deed, Fault, Halt, Interruption, Link, Runner, Server};
use super::fleet::Fleet;
use crate::Process;
use crate::proxy::Proxy;

/// For a process to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(30);

impl Fleet {
    /// Does it, and undoes it after its time: returns when everything is started,
    /// thawed or mended, which is not to say ready.
    pub async fn suffer(&self, fault: Fault) {
        let lasts = fault.lasts;
        match fault.deed {
            Deed::Halt(halt, runner) => self.halt(halt, runner, lasts).await,
            Deed::Interrupt(kind, link) => self.interrupt(kind, link, lasts).await,
            Deed::Expel => {
                let (bootstrap, group) = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_GROUP_ID");
                let environment = self.environment();
                expel::all_members(&environment[bootstrap], &environment[group]).await;
            }
            Deed::Drift(drift) => self.drift(drift, lasts).await,
            Deed::Hinder(hindrance) => self.hinder(hindrance, lasts).await,
        }
    }

    async fn halt(&self, halt: Halt, runner: Runner, lasts: Duration) {
        match runner {
            Runner::Api(number) => process(&self.apis[number], halt, lasts).await,
            Runner::LeadingRelay => {
                process(&self.relays[self.leader().await], halt, lasts).await;
            }
            Runner::StandbyRelay => {
                process(&self.relays[1 - self.leader().await], halt, lasts).await;
            }
            Runner::Projector(number) => process(&self.projectors[number], halt, lasts).await,
            Runner::Server(server) => self.server(server, halt, lasts).await,
        }
    }

    async fn interrupt(&self, kind: Interruption, link: Link, lasts: Duration) {
        let proxies = &self.proxies[&link];
        match kind {
            Interruption::Silence => proxies.iter().for_each(Proxy::silence),
            Interruption::Cut => proxies.iter().for_each(Proxy::cut),
        }
        tokio::time::sleep(lasts).await;
        proxies.iter().for_each(Proxy::mend);
    }

    async fn server(&self, server: Server, halt: Halt, lasts: Duration) {
        let name = server.name();
        match halt {
            Halt::Freeze | Halt::LongFreeze => {
                self.servers.freeze(name).await;
                tokio::time::sleep(lasts).await;
                self.servers.thaw(name).await;
            }
            Halt::Kill | Halt::Restart => {
                let command = if halt == Halt::Restart { "stop" } else { "kill" };
                self.servers.control(command, name).await;
                tokio::time::sleep(lasts).await;
                self.servers.control("start", name).await;
            }
        }
    }
}

async fn process(process: &Mutex<Process>, halt: Halt, lasts: Duration) {
    let mut process = process.lock().await;
    match halt {
        Halt::Freeze | Halt::LongFreeze => {
            process.signal("STOP").await;
            tokio::time::sleep(lasts).await;
            process.signal("CONT").await;
        }
        Halt::Kill | Halt::Restart => {
            if halt == Halt::Restart {
                // Whether it still can is its own matter, and another test's.
                process.stop(GRACE).await;
            } else {
                process.kill().await;
            }
            tokio::time::sleep(lasts).await;
            process.restart();
        }
    }
}
