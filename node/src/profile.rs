//! Link profiles: what a link can bear.
//!
//! | profile | for | what changes |
//! | --- | --- | --- |
//! | `lan` | a local network, the usual | nothing |
//! | `metered` | a link that is paid by the byte | no regular sessions and no audit without a reason |
//! | `thin` | a slow line that loses bytes | `metered`, and small pieces over the line protocol ([`crate::line`]) |

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use lanai_crdt::id::{CommunityId, DeviceId};
use serde::{Deserialize, Serialize};

use crate::sync::{Config, Terms};

/// How much a link is asked to carry, and in which pieces.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A local network.
    #[default]
    Lan,
    /// A link that is paid by the byte.
    Metered,
    /// A slow line that loses bytes.
    Thin,
}

/// A word that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no link profile: lan, metered or thin")]
pub struct NoSuchProfile(
    /// What was given.
    pub String,
);

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Profile::Lan, Profile::Metered, Profile::Thin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Metered => "metered",
            Profile::Thin => "thin",
        }
    }

    /// How sessions over such a link are held.
    pub fn session(self, community: CommunityId) -> Config {
        let usual = Config::new(community);
        match self {
            Profile::Lan => usual,
            Profile::Metered => {
                let terms = Terms { metered: true, ..Terms::default() };
                let (load_bytes, high_water) = (32 * 1024, 32 * 1024);
                Config { load_bytes, high_water, stall_ms: 120_000, terms, ..usual }
            }
            // A group counts only whole: a few posts at a time, newest first, each acknowledged.
            Profile::Thin => Config {
                load_entries: 4,
                load_bytes: 700,
                high_water: 256,
                stall_ms: 600_000,
                keepalive_ms: 120_000,
                flush_ms: 90_000,
                ..usual
            },
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = NoSuchProfile;

    fn from_str(word: &str) -> Result<Profile, NoSuchProfile> {
        let found = Profile::ALL.into_iter().find(|p| p.name() == word);
        found.ok_or_else(|| NoSuchProfile(word.to_owned()))
    }
}

/// A rule of the setting `profiles`: which links, and how they are used.
///
/// Written as `10.9.0.0/16=metered`, `[fd00::/8]=metered,5MB` or `k3f9m2x4=lan`: a network, or the
/// beginning of a device key as `lanai status` shows it; a profile; and bytes a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    text: String,
    links: Links,
    profile: Profile,
    per_day: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Links {
    Network { address: IpAddr, bits: u32 },
    Device(String),
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// It has no `=`.
    #[error("'{0}' is no rule: write 10.9.0.0/16=metered or 10.9.0.0/16=metered,5MB")]
    NoRule(String),
    /// It names neither a network nor a device.
    #[error("'{0}' is neither a network (10.9.0.0/16) nor the beginning of a device key")]
    NoSuchLinks(String),
    /// It names no profile.
    #[error(transparent)]
    NoSuchProfile(#[from] NoSuchProfile),
    /// A node does not use this profile.
    #[error("a node's links are lan or metered; thin is for `lanai sync --stdio`")]
    Thin,
    /// The bytes a day are no number of bytes.
    #[error("'{0}' is no number of bytes a day: write 5MB, 20kB")]
    BadSize(String),
}

/// Characters of a device key that a rule needs at least.
const LEAST_KEY: usize = 8;

impl Rule {
    /// How the links are used.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Bytes a day that sessions over such a link may take.
    pub fn per_day(&self) -> Option<u64> {
        self.per_day
    }

    /// Whether it speaks of the link to this device at this address.
    pub fn fits(&self, device: &DeviceId, at: Option<IpAddr>) -> bool {
        match (&self.links, at) {
            (Links::Device(key), _) => device.full().to_ascii_lowercase().starts_with(key),
            (Links::Network { address: IpAddr::V4(net), bits }, Some(IpAddr::V4(ip))) => {
                let shift = 32 - bits.min(&32);
                u32::from(ip).checked_shr(shift) == u32::from(*net).checked_shr(shift)
            }
            (Links::Network { address: IpAddr::V6(net), bits }, Some(IpAddr::V6(ip))) => {
                let shift = 128 - bits.min(&128);
                u128::from(ip).checked_shr(shift) == u128::from(*net).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Rule, BadRule> {
        let (links, how) = text.split_once('=').ok_or_else(|| BadRule::NoRule(text.to_owned()))?;
        let (profile, per_day) = match how.split_once(',') {
            Some((profile, size)) => {
                let size = bytes(size).ok_or_else(|| BadRule::BadSize(size.to_owned()))?;
                (profile, Some(size))
            }
            None => (how, None),
        };
        let profile: Profile = profile.parse()?;
        if profile == Profile::Thin {
            return Err(BadRule::Thin);
        }
        let none = || BadRule::NoSuchLinks(links.to_owned());
        let bare = links.trim_start_matches('[').trim_end_matches(']');
        let links = match bare.split_once('/') {
            Some((address, bits)) => {
                let address: IpAddr = address.parse().map_err(|_| none())?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(none)?;
                Links::Network { address, bits }
            }
            None => match bare.parse::<IpAddr>() {
                Ok(address) => Links::Network { address, bits: 128 },
                Err(_) => {
                    let key = bare.replace('-', "").to_ascii_lowercase();
                    let fits =
                        key.len() >= LEAST_KEY && key.chars().all(|c| c.is_ascii_alphanumeric());
                    Links::Device(Some(key).filter(|_| fits).ok_or_else(none)?)
                }
            },
        };
        Ok(Rule { text: text.to_owned(), links, profile, per_day })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_profiles() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.name());
        }
        assert!("LAN".parse::<Profile>().is_err());
    }

    #[test]
    fn rules_are_read_or_explained() {
        let rule = |text: &str| text.parse::<Rule>();
        let ben = DeviceId::new([2; 32]);
        let at = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let net = rule("10.9.0.0/16=metered,5MB").unwrap();
        assert_eq!((net.profile(), net.per_day()), (Profile::Metered, Some(5_000_000)));
        assert!(net.fits(&ben, at("10.9.255.1")) && !net.fits(&ben, at("10.8.0.1")));
        assert!(!net.fits(&ben, at("fd00::1")) && !net.fits(&ben, None));
        assert!(rule("0.0.0.0/0=lan").unwrap().fits(&ben, at("1.2.3.4")));
        assert!(rule("[fd00::]/8=metered").is_err());
        assert!(rule("fd00::/8=metered").unwrap().fits(&ben, at("fd12::1")));
        let one = rule("10.9.0.7=metered").unwrap();
        assert!(one.fits(&ben, at("10.9.0.7")) && !one.fits(&ben, at("10.9.0.8")));
        assert!(rule(&format!("{}=metered", &ben.full()[..9])).unwrap().fits(&ben, None));
        assert!(rule(&format!("{}=metered", ben.short())).unwrap().fits(&ben, None));
        assert_eq!(net.to_string(), "10.9.0.0/16=metered,5MB");
        for bad in [
            "",
            "metered",
            "10.9.0.0/33=metered",
            "10.9.0.0/16=thin",
            "x=lan",
            "10.9.0.0/16=fast",
            "10.9.0.0/16=metered,much",
            "10.9.0.0/16=metered,9999999999999GB",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }
}
