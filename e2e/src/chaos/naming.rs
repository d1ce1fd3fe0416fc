//! What a report calls a fault.

use std::fmt;

use super::fault::{
    Deed, Drift, Fault, Halt, Hindrance, Incident, Interruption, Link, Runner, Setback, What,
};

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deed {
            Deed::Expel => write!(f, "{}", self.deed),
            deed => write!(f, "{deed} for {:.1} s", self.lasts.as_secs_f64()),
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Faults(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&faults.join(" + "))
            }
            What::Setback(setback, after) => {
                write!(f, "{setback}, after {:.1} s", after.as_secs_f64())
            }
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halt(halt, runner) => write!(f, "{halt} {runner}"),
            Self::Interrupt(Interruption::Cut, link) => write!(f, "cut {link}"),
            Self::Interrupt(Interruption::Silence, link) => write!(f, "silence {link}"),
            Self::Expel => f.write_str("expel the projectors"),
            Self::Drift(drift) => write!(f, "drift: {drift}"),
            Self::Hinder(hindrance) => write!(f, "mysql: {hindrance}"),
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Freeze => "freeze",
            Self::LongFreeze => "long freeze",
            Self::Restart => "restart",
        })
    }
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(number) => write!(f, "api {number}"),
            Self::LeadingRelay => f.write_str("the leading relay"),
            Self::StandbyRelay => f.write_str("the standby relay"),
            Self::Projector(number) => write!(f, "projector {number}"),
            Self::Server(server) => f.write_str(server.name()),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientToApi => "clients-api",
            Self::ApiToMongodb => "api-mongodb",
            Self::RelayToMongodb => "relay-mongodb",
            Self::ProjectorToMysql => "projector-mysql",
            Self::RelayToKafka => "relay-kafka",
            Self::ProjectorToKafka => "projector-kafka",
        })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddedNotNullColumn => "a NOT NULL column added to posts",
            Self::DroppedColumn => "a column of suppliers dropped",
            Self::NarrowedColumn => "a column of users narrowed",
            Self::RenamedTable => "products renamed",
            Self::AddedCheck => "a CHECK added to posts",
        })
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RevokedInsert => "INSERT revoked",
            Self::ReadOnly => "read_only",
            Self::SmallPacket => "max_allowed_packet of 1 KiB",
            Self::LockedTable => "LOCK TABLES users",
        })
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MysqlRestored => "mysql restored to an earlier copy",
            Self::MongodbRestored => "mongodb restored to an earlier copy",
            Self::RecordsDeleted => "unread records deleted",
            Self::OffsetsDeleted => "the group's offsets deleted",
        })
    }
}
