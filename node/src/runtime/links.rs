//! Which connection is used how, and how many bytes a day it may take.
//!
//! Pure: days come in as numbers. What a day took is forgotten when the node ends.

use std::collections::HashMap;

use lanai_crdt::id::{CommunityId, DeviceId};

use crate::net::{Multiaddr, ip_of};
use crate::profile::{Profile, Rule};
use crate::sync::Config;

/// The rules, and what has been used.
#[derive(Debug, Default)]
pub(super) struct Links {
    rules: Vec<Rule>,
    links: HashMap<DeviceId, Link>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    profile: Profile,
    per_day: Option<u64>,
    day: u64,
    used: u64,
}

impl Links {
    pub(super) fn new(rules: Vec<Rule>) -> Links {
        Links { rules, links: HashMap::new() }
    }

    /// A device is connected from or at an address: how its link is used. The first rule that fits decides.
    /// What it used today is remembered.
    pub(super) fn connected(&mut self, device: DeviceId, address: &Multiaddr) -> Profile {
        let rule = self.rules.iter().find(|rule| rule.fits(&device, ip_of(address)));
        let link = self.links.entry(device).or_default();
        link.profile = rule.map_or(Profile::Lan, Rule::profile);
        link.per_day = rule.and_then(Rule::per_day);
        link.profile
    }

    /// How the link to a device is used.
    pub(super) fn profile(&self, device: &DeviceId) -> Profile {
        self.links.get(device).map_or(Profile::Lan, |link| link.profile)
    }

    /// A session took so many bytes.
    pub(super) fn used(&mut self, device: &DeviceId, bytes: u64, day: u64) {
        let Some(link) = self.links.get_mut(device) else { return };
        if link.day != day {
            link.day = day;
            link.used = 0;
        }
        link.used = link.used.saturating_add(bytes);
    }

    /// What a session with a device may take now, in the profile of its link.
    pub(super) fn session(&self, device: &DeviceId, community: CommunityId, day: u64) -> Config {
        let mut config = self.profile(device).session(community);
        config.terms.budget = self.left(device, day);
        config
    }

    /// Bytes that are left today; `None` if there is no limit.
    pub(super) fn left(&self, device: &DeviceId, day: u64) -> Option<u64> {
        let link = self.links.get(device)?;
        let used = if link.day == day { link.used } else { 0 };
        Some(link.per_day?.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEN: DeviceId = DeviceId::new([2; 32]);
    const ZOE: DeviceId = DeviceId::new([3; 32]);

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let ben = BEN.full();
        let rules = [format!("{}=lan", &ben[..10]), "10.9.0.0/16=metered,5kB".into()];
        let mut links = Links::new(rules.iter().map(|r| r.parse().unwrap()).collect());
        assert_eq!(links.connected(ZOE, &at("/ip4/10.9.3.1/tcp/7")), Profile::Metered);
        assert_eq!(links.connected(BEN, &at("/ip4/10.9.3.1/tcp/7")), Profile::Lan);
        assert_eq!(links.left(&BEN, 1), None);
        assert_eq!(links.left(&ZOE, 1), Some(5_000));
        links.used(&ZOE, 4_000, 1);
        links.used(&ZOE, 4_000, 1);
        assert_eq!((links.left(&ZOE, 1), links.left(&ZOE, 2)), (Some(0), Some(5_000)));
        assert_eq!(links.connected(ZOE, &at("/ip4/10.8.3.1/udp/7/quic-v1")), Profile::Lan);
        assert_eq!(links.left(&ZOE, 1), None);
        assert_eq!(links.connected(ZOE, &at("/ip4/10.9.3.1/tcp/7")), Profile::Metered);
        assert_eq!(links.left(&ZOE, 1), Some(0), "who comes again has no new day");
    }
}
