//! What can be done to whom. Each kind of deed has the subjects that it can be done to,
//! and no others.

use std::time::Duration;

/// A process of ours, or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runner {
    Api(usize),
    /// The relay that leads when its turn comes.
    LeadingRelay,
    StandbyRelay,
    Projector(usize),
    Server(Server),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    Mongodb,
    Kafka,
    Mysql,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Halt {
    /// SIGKILL, and a start after a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Freeze,
    /// A freeze that outlasts each session and lease, and now and then the time that a
    /// transaction may stay open.
    LongFreeze,
    /// SIGTERM, and a start after a while.
    Restart,
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
pub enum Interruption {
    /// Connections end, and new ones are refused for a while.
    Cut,
    /// Connections stay, and carry nothing for a while.
    Silence,
}

/// A table that is not what the projector's migrations made, until it is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drift {
    AddedNotNullColumn,
    DroppedColumn,
    NarrowedColumn,
    RenamedTable,
    AddedCheck,
}

/// What MySQL refuses or delays for reasons that are not a record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hindrance {
    RevokedInsert,
    ReadOnly,
    SmallPacket,
    /// For longer than a statement waits for a lock.
    LockedTable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    Halt(Halt, Runner),
    Interrupt(Interruption, Link),
    /// The projectors are removed from their group, and not told.
    Expel,
    Drift(Drift),
    Hinder(Hindrance),
}

/// A store that loses what it held. Nothing else is broken at that time, so that what is
/// lost by the fault itself is known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setback {
    /// MySQL's data are replaced by an earlier copy.
    MysqlRestored,
    /// MongoDB's data are replaced by an earlier copy: acknowledged writes are lost.
    MongodbRestored,
    /// A topic's records are deleted before a projector has read them.
    RecordsDeleted,
    OffsetsDeleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub deed: Deed,
    /// From when it is done to when it is undone.
    pub lasts: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One, or two at the same time.
    Faults(Vec<Fault>),
    /// How long the pipeline works on between the copy, or the halt, and the loss.
    Setback(Setback, Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Since the one before was over. Often too short to recover in.
    pub pause: Duration,
    pub what: What,
}

impl Runner {
    pub const ALL: [Self; 9] = [
        Self::Api(0),
        Self::Api(1),
        Self::LeadingRelay,
        Self::StandbyRelay,
        Self::Projector(0),
        Self::Projector(1),
        Self::Server(Server::Mongodb),
        Self::Server(Server::Kafka),
        Self::Server(Server::Mysql),
    ];
}

impl Server {
    /// As `deploy/local/stack` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mongodb => "mongodb",
            Self::Kafka => "kafka",
            Self::Mysql => "mysql",
        }
    }
}

impl Halt {
    pub const ALL: [Self; 4] = [Self::Kill, Self::Freeze, Self::LongFreeze, Self::Restart];
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

impl Interruption {
    pub const ALL: [Self; 2] = [Self::Cut, Self::Silence];
}

impl Drift {
    pub const ALL: [Self; 5] = [
        Self::AddedNotNullColumn,
        Self::DroppedColumn,
        Self::NarrowedColumn,
        Self::RenamedTable,
        Self::AddedCheck,
    ];
}

impl Hindrance {
    pub const ALL: [Self; 4] =
        [Self::RevokedInsert, Self::ReadOnly, Self::SmallPacket, Self::LockedTable];
}

impl Setback {
    pub const ALL: [Self; 4] =
        [Self::MysqlRestored, Self::OffsetsDeleted, Self::MongodbRestored, Self::RecordsDeleted];
}

impl Deed {
    /// Each combination.
    pub fn all() -> Vec<Self> {
        let halts = Halt::ALL
            .into_iter()
            .flat_map(|halt| Runner::ALL.map(|runner| Self::Halt(halt, runner)));
        let interruptions = Interruption::ALL
            .into_iter()
            .flat_map(|kind| Link::ALL.map(|link| Self::Interrupt(kind, link)));
        halts
            .chain(interruptions)
            .chain([Self::Expel])
            .chain(Drift::ALL.map(Self::Drift))
            .chain(Hindrance::ALL.map(Self::Hinder))
            .collect()
    }

    /// Whether both can be done, and undone, at the same time.
    pub fn goes_with(self, other: Self) -> bool {
        self.subject() != other.subject()
    }

    fn subject(self) -> Result<Runner, Link> {
        match self {
            Self::Halt(_, runner) => Ok(runner),
            Self::Interrupt(_, link) => Err(link),
            Self::Expel => Ok(Runner::Server(Server::Kafka)),
            Self::Drift(_) | Self::Hinder(_) => Ok(Runner::Server(Server::Mysql)),
        }
    }
}

impl What {
    /// All that a run can meet.
    pub fn all_names() -> Vec<String> {
        let deeds = Deed::all().into_iter().map(|deed| deed.to_string());
        deeds.chain(Setback::ALL.map(|setback| setback.to_string())).collect()
    }

    /// What the run has met with it, by name.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Faults(faults) => faults.iter().map(|fault| fault.deed.to_string()).collect(),
            Self::Setback(setback, _) => vec![setback.to_string()],
        }
    }
}
