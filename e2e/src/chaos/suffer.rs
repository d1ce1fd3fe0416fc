//! Faults, done and undone.

use std::time::Duration;

use tokio::sync::Mutex;

use super::fault::{Fault, Kind, Target};
use super::fleet::Fleet;
use crate::Process;
use crate::proxy::Proxy;

/// For a process to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(30);

impl Fleet {
    /// Does it, and undoes it after its time: returns when everything is started,
    /// thawed or mended, which is not to say ready.
    pub async fn suffer(&self, fault: Fault) {
        match fault.target {
            Target::Api(number) => process(&self.apis[number], fault).await,
            Target::LeadingRelay => process(&self.relays[self.leader().await], fault).await,
            Target::StandbyRelay => process(&self.relays[1 - self.leader().await], fault).await,
            Target::Projector(number) => process(&self.projectors[number], fault).await,
            Target::Mongodb => self.server("mongodb", fault).await,
            Target::Kafka => self.server("kafka", fault).await,
            Target::Mysql => self.server("mysql", fault).await,
            Target::Link(link) => {
                let proxies = &self.proxies[&link];
                match fault.kind {
                    Kind::Silence => proxies.iter().for_each(Proxy::silence),
                    _ => proxies.iter().for_each(Proxy::cut),
                }
                tokio::time::sleep(fault.lasts).await;
                proxies.iter().for_each(Proxy::mend);
            }
        }
    }

    async fn server(&self, name: &str, fault: Fault) {
        match fault.kind {
            Kind::Freeze => {
                self.servers.freeze(name).await;
                tokio::time::sleep(fault.lasts).await;
                self.servers.thaw(name).await;
            }
            kind => {
                let command = if kind == Kind::Restart { "stop" } else { "kill" };
                self.servers.control(command, name).await;
                tokio::time::sleep(fault.lasts).await;
                self.servers.control("start", name).await;
            }
        }
    }
}

async fn process(process: &Mutex<Process>, fault: Fault) {
    let mut process = process.lock().await;
    match fault.kind {
        Kind::Freeze => {
            process.signal("STOP").await;
            tokio::time::sleep(fault.lasts).await;
            process.signal("CONT").await;
        }
        kind => {
            if kind == Kind::Restart {
                // Whether it still can is its own matter, and another test's.
                process.stop(GRACE).await;
            } else {
                process.kill().await;
            }
            tokio::time::sleep(fault.lasts).await;
            process.restart();
        }
    }
}
