//! The device on paper: keys that exist as twelve words and nowhere else.
//!
//! A [`Phrase`] is 128 random bits as BIP-39 writes them: twelve words of the English list, of which the
//! last holds a checksum. The keys are BLAKE3 `derive_key` of the bits, one context for each; the bits
//! are random, so a slow hash as BIP-39 has it for wallets would add nothing.
//!
//! The device is enrolled like any other, and is the member's most senior one, because the join record
//! commits to it ([`lanai_crdt::payload::paper_nonce`]). So whoever holds the words can be the member,
//! and turn out every other device.

use bip39::{Language, Mnemonic};
use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::seal::{CryptoRng, SealingSecret};
use zeroize::Zeroizing;

use super::Identity;

/// Words of a phrase.
pub const PHRASE_WORDS: usize = 12;
const ENTROPY_BYTES: usize = 16;
const SIGNING_CONTEXT: &str = "lanai v1 phrase signing key";
const SEALING_CONTEXT: &str = "lanai v1 phrase sealing key";

/// Why words are no phrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Another number of words.
    #[error("a phrase has {PHRASE_WORDS} words, not {0}")]
    Count(usize),
    /// A word that is not on the list, counted from one.
    #[error("word {0} is not on the list that phrases are made of; look how it is spelt")]
    Word(usize),
    /// The words do not belong together.
    #[error("the words do not belong together: one is wrong, or two changed places")]
    Checksum,
}

/// Twelve words. Wiped from memory when dropped.
pub struct Phrase(Mnemonic);

impl std::fmt::Debug for Phrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phrase(..)")
    }
}

impl Phrase {
    /// A new one.
    #[allow(clippy::expect_used, reason = "the only error is a number of bytes that BIP-39 lacks")]
    pub fn generate(rng: &mut impl CryptoRng) -> Phrase {
        let mut entropy = Zeroizing::new([0; ENTROPY_BYTES]);
        rng.fill_bytes(entropy.as_mut_slice());
        let words = Mnemonic::from_entropy_in(Language::English, entropy.as_slice());
        Phrase(words.expect("16 bytes"))
    }

    /// Reads one as somebody types it: numbers between the words, line ends and capitals do not
    /// matter.
    ///
    /// # Errors
    ///
    /// Which word is wrong, as far as that can be told.
    pub fn parse(text: &str) -> Result<Phrase, PhraseError> {
        let words = text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty());
        let words: Vec<Zeroizing<String>> =
            words.map(|w| Zeroizing::new(w.to_lowercase())).collect();
        if words.len() != PHRASE_WORDS {
            return Err(PhraseError::Count(words.len()));
        }
        let mut line = Zeroizing::new(String::with_capacity(text.len() + PHRASE_WORDS));
        for word in &words {
            line.push_str(word);
            line.push(' ');
        }
        match Mnemonic::parse_in_normalized(Language::English, line.trim_end()) {
            Ok(words) => Ok(Phrase(words)),
            Err(bip39::Error::UnknownWord(at)) => Err(PhraseError::Word(at + 1)),
            Err(_) => Err(PhraseError::Checksum),
        }
    }

    /// The words, in order.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.words()
    }

    /// The keys.
    pub fn identity(&self) -> Identity {
        let (bits, length) = self.0.to_entropy_array();
        let bits = Zeroizing::new(bits);
        let entropy = bits.get(..length).unwrap_or_default();
        let key = |context| Zeroizing::new(blake3::derive_key(context, entropy));
        Identity {
            device: DeviceSecret::from_bytes(&key(SIGNING_CONTEXT)),
            sealing: SealingSecret::from_bytes(&key(SEALING_CONTEXT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    /// Of the published vectors of BIP-39: 7f7f…7f.
    const KNOWN: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    fn text(phrase: &Phrase) -> String {
        phrase.words().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_keys_of_a_known_phrase_stay_what_they_are() {
        let identity = Phrase::parse(KNOWN).unwrap().identity();
        let device = *identity.device_id().as_bytes();
        let sealing = *identity.sealing.public().as_bytes();
        assert_eq!(
            (&device[..4], &sealing[..4]),
            (&GOLDEN.0[..], &GOLDEN.1[..]),
            "papers are out there"
        );
    }

    const GOLDEN: ([u8; 4], [u8; 4]) = ([24, 104, 95, 143], [243, 16, 159, 94]);

    #[test]
    fn a_phrase_comes_back_however_it_is_typed() {
        let phrase = Phrase::generate(&mut OsRandom);
        assert_eq!(phrase.words().count(), PHRASE_WORDS);
        let numbered: String = phrase
            .words()
            .enumerate()
            .map(|(n, w)| format!("{}. {}\n", n + 1, w.to_uppercase()))
            .collect();
        for typed in [text(&phrase), numbered] {
            let read = Phrase::parse(&typed).unwrap();
            assert_eq!(read.identity().device_id(), phrase.identity().device_id());
        }
        let other = Phrase::generate(&mut OsRandom);
        assert_ne!(other.identity().device_id(), phrase.identity().device_id());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| Phrase::parse(text).unwrap_err();
        assert_eq!(error(""), PhraseError::Count(0));
        assert_eq!(error(&format!("{KNOWN} legal")), PhraseError::Count(13));
        assert_eq!(error(&KNOWN.replace("wave", "waive")), PhraseError::Word(5));
        assert_eq!(error(&KNOWN.replace("yellow", "year")), PhraseError::Checksum);
        assert_eq!(error(&KNOWN.replace("legal winner", "winner legal")), PhraseError::Checksum);
        assert!(!format!("{:?}", Phrase::parse(KNOWN).unwrap()).contains("legal"));
    }
}
