use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::AccountKind;
use crate::http::ApiError;

/// How many accounts, and how many addresses, are counted at once: a few MiB.
const MAX_COUNTED: usize = 100_000;
/// Where counting has no room left.
const CROWDED_SECONDS: u64 = 10;

/// Counts logins, for the account that is tried and for the address that tries, whether
/// they succeed or not. Bounded: names are kept as hashes, and who is counted no more is
/// forgotten.
pub struct LoginAttempts {
    names: RandomState,
    accounts: Counter,
    addresses: Counter,
}

struct Counter {
    limiter: RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>,
    clock: DefaultClock,
    room: usize,
}

impl LoginAttempts {
    /// `per_account` and `per_address` in a minute, also all at once.
    pub fn new(per_account: NonZeroU32, per_address: NonZeroU32) -> Self {
        Self {
            names: RandomState::new(),
            accounts: Counter::new(per_account, MAX_COUNTED),
            addresses: Counter::new(per_address, MAX_COUNTED),
        }
    }

    /// # Errors
    /// RateLimited, with the time after which the next attempt is allowed.
    pub fn admit(&self, kind: AccountKind, email: &str, from: IpAddr) -> Result<(), ApiError> {
        self.addresses.admit(self.names.hash_one(network(from)))?;
        self.accounts.admit(self.names.hash_one((kind, email)))
    }
}

impl Counter {
    fn new(per_minute: NonZeroU32, room: usize) -> Self {
        let clock = DefaultClock::default();
        let quota = Quota::per_minute(per_minute);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { limiter, clock, room }
    }

    fn admit(&self, name: u64) -> Result<(), ApiError> {
        if self.limiter.len() >= self.room {
            self.limiter.retain_recent();
            if self.limiter.len() >= self.room {
                return Err(ApiError::RateLimited { retry_after_seconds: CROWDED_SECONDS });
            }
        }
        self.limiter.check_key(&name).map_err(|early| {
            let wait = early.wait_time_from(self.clock.now());
            ApiError::RateLimited { retry_after_seconds: whole_seconds(wait) }
        })
    }
}

/// Rounded up: who waits as long as this is let in.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// One household has one IPv4 address, and of IPv6 a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn retry_after(refused: Result<(), ApiError>) -> u64 {
        match refused {
            Err(ApiError::RateLimited { retry_after_seconds }) => retry_after_seconds,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_account_is_tried_only_so_often_wherever_from() {
        let attempts = LoginAttempts::new(times(2), times(100));
        let admit = |from: &str, email| {
            attempts.admit(AccountKind::User, email, from.parse::<IpAddr>().unwrap())
        };
        assert!(admit("10.0.0.1", "a").is_ok() && admit("10.0.0.2", "a").is_ok());
        let wait = retry_after(admit("10.0.0.3", "a"));
        assert!((1..=30).contains(&wait), "{wait}");
        assert!(admit("10.0.0.3", "b").is_ok(), "another account is not concerned");
        let supplier = attempts.admit(AccountKind::Supplier, "a", [10, 0, 0, 1].into());
        assert!(supplier.is_ok(), "nor is a supplier of that name");
    }

    #[test]
    fn an_address_tries_only_so_often_whatever_accounts() {
        let attempts = LoginAttempts::new(times(100), times(2));
        let admit = |from: &str, email| {
            attempts.admit(AccountKind::User, email, from.parse::<IpAddr>().unwrap())
        };
        assert!(admit("2001:db8::1", "a").is_ok() && admit("2001:db8::2", "b").is_ok());
        retry_after(admit("2001:db8::3", "c"));
        assert!(admit("2001:db8:0:1::3", "c").is_ok(), "another network");
    }

    #[test]
    fn it_counts_only_so_many() {
        let counter = Counter::new(times(1), 3);
        for name in 0..3 {
            assert!(counter.admit(name).is_ok());
        }
        assert_eq!(retry_after(counter.admit(3)), CROWDED_SECONDS);
        assert_eq!(counter.limiter.len(), 3);
    }
}
