//! Settings of a home: `config.json`.
//!
//! A flag wins over the environment, the environment over the file, the file over what is built in.
//! Keys that this version does not know are kept when the file is written again.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use lanai_crdt::limits::MAX_FILE_BYTES;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::net::{self, Multiaddr};
use crate::profile::{BadRule, Rule};
use crate::store::OutcomeDelays;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Bytes of a configuration file.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
/// Addresses in one setting.
const MAX_ADDRESSES: usize = 64;

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Addresses to listen on; all interfaces if empty.
    pub listen: Vec<String>,
    /// Port for TCP and UDP; 0 lets the system choose.
    pub port: u16,
    /// Look for members on the local network with mDNS.
    pub mdns: bool,
    /// Look for members on the local network with beacons of our own.
    pub beacon: bool,
    /// Addresses of members' nodes to connect to.
    pub dial: Vec<String>,
    /// How links are used, as [`Rule`]s; the first that fits decides.
    pub profiles: Vec<String>,
    /// Days after which the asker of an ask with replies and no answer is asked how it went.
    pub outcome_after_days: u32,
    /// Days after the last reply to an answered ask.
    pub outcome_after_answer_days: u32,
    /// Files no larger than this are fetched unasked, in bytes.
    pub fetch_files_below: u64,
    /// Bytes that files may take on the disk.
    pub files_quota: u64,
    /// Files larger than this are neither added nor fetched, in bytes.
    pub file_max: u64,
    /// Settings of other versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: Vec::new(),
            port: 0,
            mdns: true,
            beacon: true,
            dial: Vec::new(),
            profiles: Vec::new(),
            outcome_after_days: 14,
            outcome_after_answer_days: 3,
            fetch_files_below: 1_000_000,
            files_quota: 2_000_000_000,
            file_max: 64 * 1024 * 1024,
            unknown: Map::new(),
        }
    }
}

/// Why the settings could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} cannot be read: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// There is no such setting.
    #[error("there is no setting '{0}'")]
    NoSuchKey(String),
    /// The value does not fit the setting.
    #[error("'{value}' does not fit the setting '{key}': {reason}")]
    BadValue {
        /// Which setting.
        key: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address that cannot be understood.
    #[error("'{0}' is not an address (as 192.168.4.20:4110 or /ip4/192.168.4.20/tcp/4110)")]
    BadAddress(String),
}

impl Config {
    /// Names of all settings.
    pub const KEYS: [&'static str; 11] = [
        "listen",
        "port",
        "mdns",
        "beacon",
        "dial",
        "profiles",
        "outcome_after_days",
        "outcome_after_answer_days",
        "fetch_files_below",
        "files_quota",
        "file_max",
    ];

    /// Reads the file; what is missing is as built in.
    ///
    /// # Errors
    /// [`ConfigError::Io`], [`ConfigError::Damaged`].
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let io = |source| ConfigError::Io { path: path.to_path_buf(), source };
        let damaged = |reason: String| ConfigError::Damaged { path: path.to_path_buf(), reason };
        match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(e) => return Err(io(e)),
            Ok(m) if m.len() > MAX_CONFIG_BYTES => return Err(damaged("too large".to_owned())),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let config: Config = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        for address in config.listen.iter().chain(&config.dial) {
            parse_address(address).map_err(|e| damaged(e.to_string()))?;
        }
        Ok(config)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`ConfigError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        let io = |source| ConfigError::Io { path: path.to_path_buf(), source };
        let text = serde_json::to_string_pretty(self).map_err(|e| io(std::io::Error::other(e)))?;
        let new = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&new)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        write().map_err(io)
    }

    /// How long after what the asker is asked how it went.
    pub fn outcome_delays(&self) -> OutcomeDelays {
        let ms = |days: u32| u64::from(days).saturating_mul(DAY_MS);
        OutcomeDelays {
            after_answer_ms: ms(self.outcome_after_answer_days),
            after_ask_ms: ms(self.outcome_after_days),
        }
    }

    /// One setting as text; lists are separated by spaces.
    pub fn get(&self, key: &str) -> Option<String> {
        match key {
            "listen" => Some(self.listen.join(" ")),
            "port" => Some(self.port.to_string()),
            "mdns" => Some(self.mdns.to_string()),
            "beacon" => Some(self.beacon.to_string()),
            "dial" => Some(self.dial.join(" ")),
            "profiles" => Some(self.profiles.join(" ")),
            "outcome_after_days" => Some(self.outcome_after_days.to_string()),
            "outcome_after_answer_days" => Some(self.outcome_after_answer_days.to_string()),
            "fetch_files_below" => Some(self.fetch_files_below.to_string()),
            "files_quota" => Some(self.files_quota.to_string()),
            "file_max" => Some(self.file_max.to_string()),
            _ => None,
        }
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// [`ConfigError::NoSuchKey`], [`ConfigError::BadValue`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let bad = |reason: String| ConfigError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        let addresses = || -> Result<Vec<String>, ConfigError> {
            let list: Vec<String> =
                value.split([' ', ',']).filter(|a| !a.is_empty()).map(str::to_owned).collect();
            if list.len() > MAX_ADDRESSES {
                return Err(bad(format!("at most {MAX_ADDRESSES} addresses")));
            }
            for address in &list {
                parse_address(address).map_err(|e| bad(e.to_string()))?;
            }
            Ok(list)
        };
        let switch = || match value {
            "true" | "on" | "yes" => Ok(true),
            "false" | "off" | "no" => Ok(false),
            _ => Err(bad("true or false".to_owned())),
        };
        let days = || value.parse::<u32>().map_err(|_| bad("a number of days".to_owned()));
        let size = || parse_size(value).map_err(&bad);
        match key {
            "listen" => self.listen = addresses()?,
            "dial" => self.dial = addresses()?,
            "profiles" => {
                let rules: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
                if rules.len() > MAX_ADDRESSES {
                    return Err(bad(format!("at most {MAX_ADDRESSES} rules")));
                }
                for rule in &rules {
                    rule.parse::<Rule>().map_err(|e| bad(e.to_string()))?;
                }
                self.profiles = rules;
            }
            "port" => {
                self.port =
                    value.parse().map_err(|_| bad("a port is 0 to 65535; 0 is any".to_owned()))?;
            }
            "mdns" => self.mdns = switch()?,
            "beacon" => self.beacon = switch()?,
            "outcome_after_days" => self.outcome_after_days = days()?,
            "outcome_after_answer_days" => self.outcome_after_answer_days = days()?,
            "fetch_files_below" => self.fetch_files_below = size()?,
            "files_quota" => self.files_quota = size()?,
            "file_max" => self.file_max = size()?.min(MAX_FILE_BYTES),
            _ => return Err(ConfigError::NoSuchKey(key.to_owned())),
        }
        Ok(())
    }

    /// Sets one setting back to what is built in.
    ///
    /// # Errors
    /// [`ConfigError::NoSuchKey`].
    pub fn unset(&mut self, key: &str) -> Result<(), ConfigError> {
        let built_in = Config::default().get(key);
        self.set(key, &built_in.ok_or_else(|| ConfigError::NoSuchKey(key.to_owned()))?)
    }

    /// Where to listen.
    ///
    /// # Errors
    /// [`ConfigError::BadAddress`].
    pub fn listen_addresses(&self) -> Result<Vec<Multiaddr>, ConfigError> {
        if self.listen.is_empty() {
            return Ok(net::listen_everywhere(self.port));
        }
        let mut all = Vec::new();
        for text in &self.listen {
            match text.parse::<IpAddr>() {
                Ok(ip) => all.extend(both_transports(ip, self.port)),
                Err(_) => all.extend(parse_address(text)?),
            }
        }
        Ok(all)
    }

    /// How links are used.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`].
    pub fn link_rules(&self) -> Result<Vec<Rule>, ConfigError> {
        let rule = |text: &String| {
            text.parse().map_err(|e: BadRule| ConfigError::BadValue {
                key: "profiles".to_owned(),
                value: text.clone(),
                reason: e.to_string(),
            })
        };
        self.profiles.iter().map(rule).collect()
    }

    /// Whom to dial.
    ///
    /// # Errors
    /// [`ConfigError::BadAddress`].
    pub fn dial_addresses(&self) -> Result<Vec<Multiaddr>, ConfigError> {
        let mut all = Vec::new();
        for text in &self.dial {
            all.extend(parse_address(text)?);
        }
        Ok(all)
    }
}

/// Reads a number of bytes as people write it: `1200`, `20kB`, `5MB`, `1.5GB`.
///
/// # Errors
/// What to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "write a size as 1200, 20kB, 5MB or 1.5GB".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if part.is_empty() || part.len() > 3 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let places = u32::try_from(part.len()).unwrap_or(0);
    let part: u64 = part.parse().map_err(|_| wrong())?;
    whole
        .checked_mul(unit)
        .and_then(|bytes| bytes.checked_add(part * unit / 10u64.pow(places)))
        .filter(|bytes| *bytes <= 1 << 50)
        .ok_or_else(|| "that is more than any disk holds".into())
}

/// Reads an address as people write it: `192.168.4.20:4110` (tried over QUIC and TCP), a bare IP
/// address, `host.example:4110`, or a multiaddress.
///
/// # Errors
/// [`ConfigError::BadAddress`].
pub fn parse_address(text: &str) -> Result<Vec<Multiaddr>, ConfigError> {
    let bad = || ConfigError::BadAddress(text.to_owned());
    if text.starts_with('/') {
        return text.parse::<Multiaddr>().map(|a| vec![a]).map_err(|_| bad());
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Ok(both_transports(socket.ip(), socket.port()));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(both_transports(ip, 0));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host_ok = !host.is_empty()
        && host.len() < 254
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    if !host_ok {
        return Err(bad());
    }
    [format!("/dns/{host}/udp/{port}/quic-v1"), format!("/dns/{host}/tcp/{port}")]
        .iter()
        .map(|a| a.parse().map_err(|_| bad()))
        .collect()
}

fn both_transports(ip: IpAddr, port: u16) -> Vec<Multiaddr> {
    let kind = if ip.is_ipv4() { "ip4" } else { "ip6" };
    [format!("/{kind}/{ip}/udp/{port}/quic-v1"), format!("/{kind}/{ip}/tcp/{port}")]
        .iter()
        .filter_map(|a| a.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let texts = |t: &str| -> Vec<String> {
            parse_address(t).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            texts("10.0.0.1:4110"),
            ["/ip4/10.0.0.1/udp/4110/quic-v1", "/ip4/10.0.0.1/tcp/4110"]
        );
        assert_eq!(texts("[::1]:7"), ["/ip6/::1/udp/7/quic-v1", "/ip6/::1/tcp/7"]);
        assert_eq!(texts("node.example:7")[1], "/dns/node.example/tcp/7");
        assert_eq!(texts("/ip4/10.0.0.1/tcp/1"), ["/ip4/10.0.0.1/tcp/1"]);
        for bad in ["", "x", "x:y", "/ip4/x", "a b:7", ":7", "10.0.0.1:70000"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_kept_with_those_of_other_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert_eq!(Config::load(&path).unwrap(), Config::default());
        std::fs::write(&path, r#"{"port": 4110, "lantern": true}"#).unwrap();
        let mut config = Config::load(&path).unwrap();
        assert_eq!(config.port, 4110);
        config.set("mdns", "off").unwrap();
        config.set("dial", "10.0.0.1:1 10.0.0.2:2").unwrap();
        config.set("profiles", "10.9.0.0/16=metered,5MB 10.0.0.0/8=lan").unwrap();
        assert_eq!(config.link_rules().unwrap().len(), 2);
        config.save(&path).unwrap();
        let again = Config::load(&path).unwrap();
        assert_eq!(again, config);
        assert_eq!(again.unknown["lantern"], true);
        assert_eq!(again.get("dial").unwrap(), "10.0.0.1:1 10.0.0.2:2");
        config.unset("port").unwrap();
        assert_eq!(config.port, 0);
    }

    #[test]
    fn what_does_not_fit_is_explained() {
        let mut config = Config::default();
        assert!(matches!(config.set("colour", "x"), Err(ConfigError::NoSuchKey(_))));
        assert!(matches!(config.set("port", "x"), Err(ConfigError::BadValue { .. })));
        for key in ["mdns", "beacon"] {
            assert!(matches!(config.set(key, "x"), Err(ConfigError::BadValue { .. })));
        }
        assert!(matches!(config.set("dial", "x"), Err(ConfigError::BadValue { .. })));
        assert!(matches!(config.set("profiles", "x"), Err(ConfigError::BadValue { .. })));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, "{\"port\": \"many\"}").unwrap();
        assert!(matches!(Config::load(&path), Err(ConfigError::Damaged { .. })));
    }
}
