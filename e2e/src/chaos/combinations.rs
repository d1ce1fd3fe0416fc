//! All that can be done, for a schedule to draw from.

use super::fault::{
    Deed, Drift, Halt, Hindrance, Interruption, Link, Runner, Server, Setback, What,
};

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
