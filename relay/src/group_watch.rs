//! The projector as its consumer group shows it: whether a member is there, and whether
//! what it has committed moves. Pure.

use shared::Timestamp;
use shared::watermark::GroupReport;

/// What is seen since this relay leads: of an earlier moment nothing is known.
#[derive(Debug)]
pub struct GroupWatch(GroupReport);

impl GroupWatch {
    pub fn since(now: Timestamp) -> Self {
        Self(GroupReport { members: None, absent_since: None, behind_since: None, moved_at: now })
    }

    /// The committed offsets were looked at.
    pub fn see(&mut self, moved: bool, is_behind: bool, now: Timestamp) {
        if moved {
            self.0.moved_at = now;
        }
        self.0.behind_since = is_behind.then(|| self.0.behind_since.unwrap_or(now));
    }

    /// The group's members were counted; `None`: they could not be. True where it is news
    /// that there are some, or none.
    pub fn count(&mut self, members: Option<u32>, now: Timestamp) -> bool {
        let before = self.0.members.map(|members| members == 0);
        self.0.absent_since = (members == Some(0)).then(|| self.0.absent_since.unwrap_or(now));
        self.0.members = members;
        before != members.map(|members| members == 0)
    }

    pub fn report(&self) -> GroupReport {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    #[test]
    fn it_is_behind_since_the_first_look_that_showed_it() {
        let mut watch = GroupWatch::since(at(0));
        watch.see(false, true, at(1));
        watch.see(true, true, at(5));
        watch.see(false, true, at(9));
        let report = watch.report();
        assert_eq!((report.behind_since, report.moved_at), (Some(at(1)), at(5)));
        watch.see(true, false, at(10));
        assert_eq!(watch.report().behind_since, None);
    }

    #[test]
    fn it_is_absent_since_the_first_count_of_none() {
        let mut watch = GroupWatch::since(at(0));
        assert!(watch.count(Some(2), at(1)));
        assert!(!watch.count(Some(1), at(4)), "one of two left");
        assert!(watch.count(Some(0), at(7)));
        assert!(!watch.count(Some(0), at(10)));
        assert_eq!(watch.report().absent_since, Some(at(7)));
        assert!(watch.count(None, at(13)), "not known is not none");
        assert_eq!(watch.report().absent_since, None);
    }
}
