//! What can be done to whom.

use std::fmt;
use std::time::Duration;

/// Something that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Api(usize),
    /// Whichever of the two relays leads when its turn comes.
    LeadingRelay,
    StandbyRelay,
    Projector(usize),
    Mongodb,
    Kafka,
    Mysql,
    Link(Link),
}

/// Connections that lead through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    ClientToApi,
    ApiToMongodb,
    RelayToMongodb,
    ProjectorToMysql,
    RelayToKafka,
    ProjectorToKafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SIGKILL, and a start after a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Freeze,
    /// SIGTERM, and a start after a while.
    Restart,
    /// Connections end, and new ones are refused for a while.
    Cut,
    /// Connections stay, and carry nothing for a while.
    Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub target: Target,
    pub kind: Kind,
    /// From when it is down to when it is started, thawed or mended.
    pub lasts: Duration,
}

/// One fault, or two at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Since the one before was over. Often too short to recover in.
    pub pause: Duration,
    pub faults: Vec<Fault>,
}

impl Link {
    pub const ALL: [Self; 6] = [
        Self::ClientToApi,
        Self::ApiToMongodb,
        Self::RelayToMongodb,
        Self::ProjectorToMysql,
        Self::RelayToKafka,
        Self::ProjectorToKafka,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {:.1} s", self.kind, self.target, self.lasts.as_secs_f64())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Freeze => "freeze",
            Self::Restart => "restart",
            Self::Cut => "cut",
            Self::Silence => "silence",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(number) => write!(f, "api {number}"),
            Self::LeadingRelay => f.write_str("the leading relay"),
            Self::StandbyRelay => f.write_str("the standby relay"),
            Self::Projector(number) => write!(f, "projector {number}"),
            Self::Mongodb => f.write_str("mongodb"),
            Self::Kafka => f.write_str("kafka"),
            Self::Mysql => f.write_str("mysql"),
            Self::Link(Link::ClientToApi) => f.write_str("clients-api"),
            Self::Link(Link::ApiToMongodb) => f.write_str("api-mongodb"),
            Self::Link(Link::RelayToMongodb) => f.write_str("relay-mongodb"),
            Self::Link(Link::ProjectorToMysql) => f.write_str("projector-mysql"),
            Self::Link(Link::RelayToKafka) => f.write_str("relay-kafka"),
            Self::Link(Link::ProjectorToKafka) => f.write_str("projector-kafka"),
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        f.write_str(&faults.join(" + "))
    }
}
