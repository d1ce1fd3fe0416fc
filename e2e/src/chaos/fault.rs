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

impl What {
    /// A table or a right that is put in order again before a row comes has hit nothing.
    pub fn must_meet_events(&self) -> bool {
        match self {
            Self::Faults(faults) => {
                let of_mysql = |deed| matches!(deed, Deed::Drift(_) | Deed::Hinder(_));
                faults.iter().any(|fault| of_mysql(fault.deed))
            }
            Self::Setback(..) => false,
        }
    }
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
