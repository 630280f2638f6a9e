//! Link profiles: what a link can bear.
//!
//! | profile | for | what changes |
//! | --- | --- | --- |
//! | `lan` | a local network, the usual | nothing |
//! | `metered` | a link that is paid by the byte | no regular sessions and no audit without a reason |
//! | `thin` | a slow line that loses bytes | `metered`, and small pieces over the line protocol ([`crate::line`]) |

use std::fmt;
use std::str::FromStr;

use lanai_crdt::id::CommunityId;
use serde::{Deserialize, Serialize};

use crate::sync::Config;

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
                Config { load_bytes: 32 * 1024, high_water: 32 * 1024, stall_ms: 120_000, ..usual }
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
}
