//! Where the records of a transaction came to lie, as the brokers said when they took
//! them.

use std::collections::BTreeMap;

/// A partition of a topic, by the topic's name on this cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
}

/// For each partition the offset after the last record. Offsets in between may belong to
/// others.
pub type Ends = BTreeMap<Place, i64>;

/// [`Ends`] as a checkpoint keeps them: by the topic's name, by partition.
pub type EndsByTopic = BTreeMap<String, BTreeMap<i32, i64>>;

pub fn by_topic(ends: &Ends) -> EndsByTopic {
    let mut topics = EndsByTopic::new();
    for (Place { topic, partition }, end) in ends {
        topics.entry(topic.clone()).or_default().insert(*partition, *end);
    }
    topics
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Landing {
    ends: Vec<(Place, i64)>,
    /// A broker said that it has a record already, and not where: it was sent twice.
    somewhere: bool,
}

impl Landing {
    /// One more record. They come partition by partition, so the last one noted is nearly
    /// always the right one.
    pub fn note(&mut self, topic: &str, partition: i32, offset: i64) {
        if offset < 0 {
            self.somewhere = true;
            return;
        }
        let here = |(place, _): &(Place, i64)| place.partition == partition && place.topic == topic;
        let known = match self.ends.last() {
            Some(last) if here(last) => self.ends.last_mut(),
            _ => self.ends.iter_mut().find(|end| here(end)),
        };
        match known {
            Some((_, end)) => *end = offset + 1,
            None => self.ends.push((Place { topic: topic.to_owned(), partition }, offset + 1)),
        }
    }

    /// Adds what landed later.
    pub fn extend(&mut self, later: Self) {
        self.somewhere |= later.somewhere;
        for (place, end) in later.ends {
            self.note(&place.topic, place.partition, end - 1);
        }
    }

    /// Leaves the records of a topic out.
    pub fn without(mut self, topic: &str) -> Self {
        self.ends.retain(|(place, _)| place.topic != topic);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty() && !self.somewhere
    }

    /// `None` where it is not known of every record.
    pub fn ends(self) -> Option<Ends> {
        (!self.somewhere).then(|| self.ends.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_record_of_each_partition_counts() {
        let mut landing = Landing::default();
        for (topic, partition, offset) in
            [("user", 1, 7), ("user", 1, 8), ("post", 1, 3), ("user", 1, 9), ("checkpoint", 0, 5)]
        {
            landing.note(topic, partition, offset);
        }
        let mut later = Landing::default();
        later.note("user", 1, 11);
        landing.extend(later);
        let ends = landing.without("checkpoint").ends().unwrap();
        let ends: Vec<_> = ends.iter().map(|(place, end)| (&*place.topic, *end)).collect();
        assert_eq!(ends, [("post", 4), ("user", 12)]);
    }

    #[test]
    fn an_unknown_place_is_no_place() {
        let mut landing = Landing::default();
        assert!(landing.is_empty());
        landing.note("user", 1, -1001);
        assert!(!landing.is_empty());
        assert_eq!(landing.ends(), None);
    }
}
