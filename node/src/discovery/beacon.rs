//! The beacon: one datagram that says to who knows the community's id "this device listens there".
//!
//! 512 bytes, whatever is in it: a random nonce (24), then XChaCha20-Poly1305 under a key of the day.
//! To others it is random bytes: no two are alike, none names the community or the device, and what was
//! recorded one day opens nothing and is answered by nobody two days later. Who has been given the
//! community's id (members, former ones, holders of a ticket) can read it: it hides from the street, not
//! from the family. It is signed by the device, so that nobody can speak for another one.
//!
//! Why not under an epoch's key: the halves of a community that was split, and newcomers, who need to find
//! each other most, may have no epoch in common.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use lanai_crdt::entry::{DeviceSecret, Signature, verify_context};
use lanai_crdt::id::{CommunityId, DeviceId};

use super::endpoint::{self, Endpoint, take};

/// The UDP port of beacons.
pub const PORT: u16 = 41128;
/// Bytes of a datagram: always as many.
pub const DATAGRAM: usize = 512;
/// Seconds for which one key is used.
pub const DAY_S: u64 = 86_400;

const VERSION: u8 = 1;
const KEY_CONTEXT: &str = "lanai v1 beacon key";
const SIGNED: &[u8] = b"lanai v1 beacon\0";
const NONCE: usize = 24;
const TAG: usize = 16;
const PLAIN: usize = DATAGRAM - NONCE - TAG;
const SIGNATURE: usize = 64;
const BODY: usize = PLAIN - SIGNATURE;

/// What a beacon is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// "I am here; who else is?" Answered.
    Ask,
    /// "I am here." Not answered.
    Tell,
}

/// What a beacon says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// What for.
    pub kind: Kind,
    /// Who.
    pub device: DeviceId,
    /// When the sender's node started, Unix milliseconds by its clock: later ones replace earlier ones.
    pub boot: u64,
    /// Its number since then, from 1.
    pub seq: u64,
    /// Where the device listens.
    pub endpoints: Vec<Endpoint>,
}

impl Beacon {
    /// What is signed and sealed, zeros to its constant length included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(PLAIN);
        body.push(VERSION);
        body.push(match self.kind {
            Kind::Ask => 0,
            Kind::Tell => 1,
        });
        body.extend_from_slice(self.device.as_bytes());
        body.extend_from_slice(&self.boot.to_be_bytes());
        body.extend_from_slice(&self.seq.to_be_bytes());
        endpoint::encode_list(&self.endpoints, &mut body);
        body.resize(BODY, 0);
        body
    }

    /// Reads it; what is accepted has one encoding.
    ///
    /// # Errors
    /// [`BeaconError::Version`], [`BeaconError::Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, BeaconError> {
        let malformed = |_| BeaconError::Malformed;
        if body.len() != BODY {
            return Err(BeaconError::Malformed);
        }
        let mut bytes = body;
        let [version, kind] = take::<2>(&mut bytes).map_err(malformed)?;
        if version != VERSION {
            return Err(BeaconError::Version);
        }
        let kind = match kind {
            0 => Kind::Ask,
            1 => Kind::Tell,
            _ => return Err(BeaconError::Malformed),
        };
        let device = DeviceId::new(take(&mut bytes).map_err(malformed)?);
        let boot = u64::from_be_bytes(take(&mut bytes).map_err(malformed)?);
        let seq = u64::from_be_bytes(take(&mut bytes).map_err(malformed)?);
        let endpoints = endpoint::decode_list(&mut bytes).map_err(malformed)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(BeaconError::Malformed);
        }
        Ok(Self { kind, device, boot, seq, endpoints })
    }
}

/// Why a datagram is no beacon for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// Not [`DATAGRAM`] bytes.
    #[error("not the size of a beacon")]
    Size,
    /// It does not open: another community's, another day's, or no beacon.
    #[error("not sealed for this community and day")]
    Sealed,
    /// What is in it is not of a form that is written.
    #[error("malformed")]
    Malformed,
    /// A version that this program does not know.
    #[error("of another version")]
    Version,
    /// The device did not sign it.
    #[error("not signed by its device")]
    Signature,
}

/// The keys of one community around one day.
#[derive(Debug, Clone)]
pub struct Keyring {
    community: CommunityId,
    /// The day before, the day and the day after: clocks differ.
    keys: [(u64, [u8; 32]); 3],
}

impl Keyring {
    /// The keys at a time, in Unix seconds.
    #[must_use]
    pub fn new(community: CommunityId, unix_s: u64) -> Self {
        let day = unix_s / DAY_S;
        let key = |day: u64| {
            let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
            hasher.update(community.as_bytes());
            hasher.update(&day.to_be_bytes());
            (day, *hasher.finalize().as_bytes())
        };
        // The present one first: it is tried first.
        Self { community, keys: [key(day), key(day.wrapping_sub(1)), key(day.saturating_add(1))] }
    }

    /// Makes new keys if the day is another one; returns whether it is.
    pub fn turn(&mut self, unix_s: u64) -> bool {
        let [(today, _), ..] = self.keys;
        let is_new = today != unix_s / DAY_S;
        if is_new {
            *self = Self::new(self.community, unix_s);
        }
        is_new
    }

    /// What is signed: the device's statement in this community on this day.
    fn statement(&self, day: u64, body: &[u8]) -> Vec<u8> {
        [self.community.as_bytes().as_slice(), &day.to_be_bytes(), body].concat()
    }

    /// Signs and seals under today's key. `nonce` must be random.
    #[must_use]
    pub fn seal(&self, beacon: &Beacon, secret: &DeviceSecret, nonce: [u8; NONCE]) -> Vec<u8> {
        let [(today, key), ..] = &self.keys;
        let mut plain = beacon.encode();
        let signature = secret.sign_bytes(SIGNED, &self.statement(*today, &plain));
        plain.extend_from_slice(&signature.0);
        let mut out = nonce.to_vec();
        // It only fails for texts of 256 GiB.
        if let Ok(tag) = cipher(key).encrypt_inout_detached(
            &XNonce::from(nonce),
            &[],
            plain.as_mut_slice().into(),
        ) {
            out.extend_from_slice(&plain);
            out.extend_from_slice(&tag);
        }
        out
    }

    /// Opens a datagram, without looking at the signature. Tries each key once.
    ///
    /// # Errors
    /// [`BeaconError`].
    pub fn open(&self, datagram: &[u8]) -> Result<Unproven, BeaconError> {
        let datagram: &[u8; DATAGRAM] = datagram.try_into().map_err(|_| BeaconError::Size)?;
        let (nonce, rest) = datagram.split_first_chunk::<NONCE>().ok_or(BeaconError::Size)?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>().ok_or(BeaconError::Size)?;
        for (day, key) in &self.keys {
            let mut plain = sealed.to_vec();
            let opened = cipher(key).decrypt_inout_detached(
                &XNonce::from(*nonce),
                &[],
                plain.as_mut_slice().into(),
                &Tag::from(*tag),
            );
            if opened.is_ok() {
                return Unproven::decode(self, *day, &plain);
            }
        }
        Err(BeaconError::Sealed)
    }
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key))
}

/// A beacon by somebody who knows the community's id, whose signature was not looked at.
#[derive(Debug, Clone)]
pub struct Unproven {
    beacon: Beacon,
    statement: Vec<u8>,
    signature: Signature,
}

impl Unproven {
    fn decode(keys: &Keyring, day: u64, plain: &[u8]) -> Result<Self, BeaconError> {
        let (body, signature) =
            plain.split_last_chunk::<SIGNATURE>().ok_or(BeaconError::Malformed)?;
        Ok(Self {
            beacon: Beacon::decode(body)?,
            statement: keys.statement(day, body),
            signature: Signature(*signature),
        })
    }

    /// What it claims to be.
    #[must_use]
    pub fn claim(&self) -> &Beacon {
        &self.beacon
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BeaconError::Signature`].
    pub fn prove(self) -> Result<Beacon, BeaconError> {
        verify_context(self.beacon.device.as_bytes(), SIGNED, &self.statement, &self.signature)
            .map_err(|_| BeaconError::Signature)?;
        Ok(self.beacon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_S + DAY_S / 2;

    fn secret() -> DeviceSecret {
        DeviceSecret::from_bytes(&[7; 32])
    }

    fn beacon() -> Beacon {
        Beacon {
            kind: Kind::Ask,
            device: secret().device(),
            boot: 1_700_000_000_000,
            seq: 3,
            endpoints: vec![Endpoint { address: "10.77.0.1:4001".parse().unwrap(), quic: true }],
        }
    }

    fn keys(community: u8, unix_s: u64) -> Keyring {
        Keyring::new(CommunityId::new([community; 32]), unix_s)
    }

    #[test]
    fn golden_bytes() {
        let sealed = keys(1, NOON).seal(&beacon(), &secret(), [9; 24]);
        assert_eq!(sealed.len(), DATAGRAM);
        assert_eq!(&sealed[..24], &[9; 24]);
        let hash = blake3::hash(&sealed).to_hex();
        assert_eq!(
            hash.as_str(),
            "105c09af9895cd6442b390927b9f00028d95321da0fd305194896acbb888537a"
        );
    }

    #[test]
    fn it_opens_for_the_community_and_the_days_around() {
        let sealed = keys(1, NOON).seal(&beacon(), &secret(), [9; 24]);
        for day in [NOON - DAY_S, NOON, NOON + DAY_S] {
            let opened = keys(1, day).open(&sealed).unwrap();
            assert_eq!(opened.claim(), &beacon());
            assert_eq!(opened.prove().unwrap(), beacon());
        }
        for (community, day) in [(2, NOON), (1, NOON + 2 * DAY_S), (1, NOON - 2 * DAY_S), (1, 0)] {
            assert_eq!(keys(community, day).open(&sealed).unwrap_err(), BeaconError::Sealed);
        }
    }

    #[test]
    fn nothing_in_it_repeats() {
        let keys = keys(1, NOON);
        let (a, b) =
            (keys.seal(&beacon(), &secret(), [1; 24]), keys.seal(&beacon(), &secret(), [2; 24]));
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
        assert!(same < 16, "{same} of 512 bytes are alike");
        assert!(!a.windows(8).any(|w| beacon().device.as_bytes().starts_with(w)));
    }

    #[test]
    fn nobody_speaks_for_another_device() {
        let keys = keys(1, NOON);
        let other = DeviceSecret::from_bytes(&[8; 32]);
        let sealed = keys.seal(&beacon(), &other, [9; 24]);
        assert_eq!(keys.open(&sealed).unwrap().prove(), Err(BeaconError::Signature));
    }

    #[test]
    fn what_is_changed_or_of_another_size_is_refused() {
        let keys = keys(1, NOON);
        let sealed = keys.seal(&beacon(), &secret(), [9; 24]);
        for at in (0..DATAGRAM).step_by(37) {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(keys.open(&other).unwrap_err(), BeaconError::Sealed);
        }
        for len in [0, 1, 511, 513, 65_507] {
            assert_eq!(keys.open(&vec![0; len]).unwrap_err(), BeaconError::Size);
        }
    }

    #[test]
    fn sixteen_long_addresses_fit() {
        let mut many = beacon();
        many.endpoints =
            vec![
                Endpoint { address: "[2001:db8::1]:4001".parse().unwrap(), quic: true };
                endpoint::MAX_ENDPOINTS
            ];
        let keys = keys(1, NOON);
        let sealed = keys.seal(&many, &secret(), [9; 24]);
        assert_eq!(keys.open(&sealed).unwrap().prove().unwrap(), many);
    }
}
