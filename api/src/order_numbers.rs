use std::sync::{Mutex, PoisonError};

use chrono::NaiveDate;
use rand::Rng;
use shared::Timestamp;

/// What an order number is written with, beside the day.
const CHARACTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// As many different numbers has a day: four characters.
const A_DAY: usize = CHARACTERS.len().pow(4);
/// A day on which so many draws in a row meet what was drawn before is as good as over.
const DRAWS: usize = 256;

/// Draws the numbers of orders, `ORD-YYYYMMDD-XXXX`, at random and none twice on one day.
///
/// Other processes, and this one before it was restarted, draw from the same few: the
/// unique index remains the judge. But after ten thousand orders of a day every third
/// group of 64 would hold a number that is taken, if each were drawn blindly.
#[derive(Default)]
pub struct OrderNumbers(Mutex<Drawn>);

#[derive(Default)]
struct Drawn {
    day: NaiveDate,
    /// One bit a number: 205 KiB.
    taken: Vec<u64>,
}

impl OrderNumbers {
    pub fn draw(&self, now: Timestamp) -> String {
        let day = now.datetime().date_naive();
        let number = {
            let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            drawn.begin(day);
            drawn.draw()
        };
        format!("ORD-{}-{}", day.format("%Y%m%d"), text(number))
    }
}

impl Drawn {
    fn begin(&mut self, day: NaiveDate) {
        if self.day != day || self.taken.is_empty() {
            self.day = day;
            self.taken = vec![0; A_DAY.div_ceil(64)];
        }
    }

    fn draw(&mut self) -> usize {
        let mut random = rand::rng();
        let mut draws = (0..DRAWS).map(|_| random.random_range(0..A_DAY));
        let fresh = draws.find(|number| self.take(*number));
        fresh.unwrap_or_else(|| random.random_range(0..A_DAY))
    }

    /// Whether it was not taken before.
    fn take(&mut self, number: usize) -> bool {
        let (word, bit) = (&mut self.taken[number / 64], 1 << (number % 64));
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }
}

fn text(number: usize) -> String {
    let digit = |place: u32| CHARACTERS[number / CHARACTERS.len().pow(place) % CHARACTERS.len()];
    (0..4).map(|place| char::from(digit(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_number_is_drawn_twice_on_one_day() {
        let (numbers, now) = (OrderNumbers::default(), "2026-01-02T03:04:05Z".parse().unwrap());
        let drawn: HashSet<_> = (0..50_000).map(|_| numbers.draw(now)).collect();
        assert_eq!(drawn.len(), 50_000, "blindly, seven hundred would have come twice");
        let is_number = |text: &String| {
            let four = text.strip_prefix("ORD-20260102-").unwrap_or_default();
            four.len() == 4 && four.bytes().all(|each| CHARACTERS.contains(&each))
        };
        assert!(drawn.iter().all(is_number));
    }

    #[test]
    fn the_next_day_begins_anew() {
        let mut drawn = Drawn::default();
        let day = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();
        drawn.begin(day);
        assert!(drawn.take(7) && !drawn.take(7));
        drawn.begin(day);
        assert!(!drawn.take(7));
        drawn.begin(day.succ_opt().unwrap());
        assert!(drawn.take(7));
    }

    /// The index refuses what is taken, and nobody waits for ever.
    #[test]
    fn a_day_that_is_used_up_still_gives_numbers() {
        let numbers = OrderNumbers::default();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        numbers.draw(now);
        numbers.0.lock().unwrap().taken.fill(u64::MAX);
        assert!(numbers.draw(now).starts_with("ORD-20260102-"));
    }
}
