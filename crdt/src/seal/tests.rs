use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

use super::*;

/// Bytes that depend on a seed alone.
pub(crate) struct TestRng(blake3::OutputReader);

impl TestRng {
    pub(crate) fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(to);
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}

/// Gives out exactly the bytes of a published test vector.
struct VectorRng(Vec<u8>);

impl TryRng for VectorRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("only whole keys are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("only whole keys are drawn")
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(to.len());
        to.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for VectorRng {}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn key32(text: &str) -> [u8; 32] {
    unhex(text).try_into().unwrap()
}

fn key() -> EpochKey {
    EpochKey::from_bytes(&std::array::from_fn(|i| i as u8))
}

const NONCE: [u8; NONCE_BYTES] = [0x24; NONCE_BYTES];
const DEVICE: DeviceId = DeviceId::new([0xd0; 32]);

#[test]
fn golden_epoch_id_and_derived_keys() {
    let key = key();
    let id = "609ea2694693388fbe84536d388df8d6a02ddaee3a137c97265c20d79a9b288a";
    assert_eq!(hex(key.id().as_bytes()), id);
    assert_eq!(hex(&key.id().short_ref().0), id[..32]);
    assert_eq!(
        hex(&key.payload),
        "962b0729e750a1d41649629fb5a72e2b4fc1f2400dab1a791bb5171f4111431f"
    );
    assert_eq!(hex(&key.links), "aa771570b75f1112f244efb2a94b68f52c812d6833f22fc93dbeb8027f531509");
}

#[test]
fn golden_payload_and_links() {
    let payload = unhex(
        "242424242424242424242424242424242424242424242424fa8b274c79012865504dc3a05ee5e23b80dfa22a8b",
    );
    let links = unhex(
        "242424242424242424242424242424242424242424242424a08bd420faaaf706a9565b51bd7de4a7b9a9c6f2c4",
    );
    assert_eq!(hex(&seal_payload(&key(), NONCE, b"header", b"words").unwrap()), hex(&payload));
    assert_eq!(hex(&wrap_under(&key(), NONCE, b"header", b"words").unwrap()), hex(&links));
    assert_eq!(open_payload(&key(), b"header", &payload).unwrap(), b"words");
    assert_eq!(*unwrap_under(&key(), b"header", &links).unwrap(), b"words");
    // One purpose, one key.
    assert_eq!(open_payload(&key(), b"header", &links), Err(SealError::NotAuthentic));
    assert_eq!(unwrap_under(&key(), b"header", &payload), Err(SealError::NotAuthentic));
}

#[test]
fn golden_device_seal() {
    let secret = SealingSecret::from_bytes(&[0x77; KEY_BYTES]);
    assert_eq!(
        hex(secret.public().as_bytes()),
        "1cf579aba45a10ba1d1ef06d91fca2aa9ed0a1150515653155405d0b18cb9a67"
    );
    let seal = unhex(
        "aaf8c8e215641db0a04fa38b0519f95dfd37cb8501041b12aef239f97b6124424db7c0c01c88d30f9f6d872ef0fa93c5edf2d76471329c0fe8f5907651cff57a83760208260fca05545cb1afb86d63a0",
    );
    let made =
        seal_to_device(&secret.public(), &DEVICE, &key(), &mut TestRng::new("golden")).unwrap();
    assert_eq!(hex(&made), hex(&seal));
    let opened =
        open_from_device(&secret, &key().id(), &DEVICE, &seal.try_into().unwrap()).unwrap();
    assert_eq!(opened.expose(), key().expose());
}

/// RFC 9180, A.2.1: the suite is the one we name, and randomness enters as the RFC says.
#[test]
fn the_hpke_suite_passes_the_vector_of_its_rfc() {
    let info = unhex("4f6465206f6e2061204772656369616e2055726e");
    let text = unhex("4265617574792069732074727574682c20747275746820626561757479");
    let aad = unhex("436f756e742d30");
    let (_, public) = DeviceKem::derive_keypair(&unhex(
        "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df",
    ));
    assert_eq!(
        hex(&public.to_bytes()),
        "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"
    );
    let mut rng =
        VectorRng(unhex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b"));
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        DeviceKem,
    >(&OpModeS::Base, &public, &info, &text, &aad, &mut rng)
    .unwrap();
    assert_eq!(
        hex(&encapsulated.to_bytes()),
        "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
    );
    assert_eq!(
        hex(&ciphertext),
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    );
    assert!(rng.0.is_empty());
}

/// draft-irtf-cfrg-xchacha-03, A.3.1.
#[test]
fn the_payload_cipher_passes_the_vector_of_its_draft() {
    let key: [u8; 32] = std::array::from_fn(|i| 0x80 + i as u8);
    let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
    let aad = unhex("50515253c0c1c2c3c4c5c6c7");
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
        the future, sunscreen would be it.";
    let expected = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
        731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
        2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
        21f9664c97637da9768812f615c68b13b52e\
        c0875924c1c7987947deafd8780acf49";
    let blob = seal(&key, nonce, &aad, text).unwrap();
    assert_eq!(hex(&blob[NONCE_BYTES..]), expected);
    assert_eq!(open(&key, &aad, &blob).unwrap(), text);
}

#[test]
fn every_flipped_bit_of_a_payload_or_its_header_is_refused() {
    let aad = b"a header of some length, with ids";
    let blob = seal_payload(&key(), NONCE, aad, b"a text that is long enough to matter").unwrap();
    assert!(open_payload(&key(), aad, &blob).is_ok());
    for bit in 0..blob.len() * 8 {
        let mut bad = blob.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open_payload(&key(), aad, &bad), Err(SealError::NotAuthentic), "bit {bit}");
    }
    for bit in 0..aad.len() * 8 {
        let mut bad = *aad;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            open_payload(&key(), &bad, &blob),
            Err(SealError::NotAuthentic),
            "aad bit {bit}"
        );
    }
    assert_eq!(open_payload(&key(), &aad[1..], &blob), Err(SealError::NotAuthentic));
}

#[test]
fn every_truncation_of_a_payload_is_refused() {
    let blob = seal_payload(&key(), NONCE, b"", b"words").unwrap();
    for bytes in 0..blob.len() {
        let expected = match bytes {
            0..SEAL_OVERHEAD_BYTES => SealError::Truncated { bytes },
            _ => SealError::NotAuthentic,
        };
        assert_eq!(open_payload(&key(), b"", &blob[..bytes]), Err(expected));
    }
    let mut longer = blob;
    longer.push(0);
    assert_eq!(open_payload(&key(), b"", &longer), Err(SealError::NotAuthentic));
}

#[test]
fn another_epochs_key_opens_nothing() {
    let other = EpochKey::generate(&mut TestRng::new("other"));
    let blob = seal_payload(&key(), NONCE, b"", b"words").unwrap();
    assert_eq!(open_payload(&other, b"", &blob), Err(SealError::NotAuthentic));
    let links = wrap_under(&key(), NONCE, b"", b"words").unwrap();
    assert_eq!(unwrap_under(&other, b"", &links), Err(SealError::NotAuthentic));
}

#[test]
fn payloads_of_every_size_up_to_the_limit_and_none_beyond() {
    for bytes in [0, 1, 63, 64, 65, MAX_ENVELOPE_BYTES] {
        let text = vec![7; bytes];
        let blob = seal_payload(&key(), NONCE, b"h", &text).unwrap();
        assert_eq!(blob.len(), bytes + SEAL_OVERHEAD_BYTES);
        assert!(blob.len() <= MAX_PAYLOAD_BYTES);
        assert_eq!(open_payload(&key(), b"h", &blob).unwrap(), text);
    }
    let bytes = MAX_ENVELOPE_BYTES + 1;
    assert_eq!(
        seal_payload(&key(), NONCE, b"h", &vec![7; bytes]),
        Err(SealError::PlaintextTooLong { bytes })
    );
    let bytes = MAX_PAYLOAD_BYTES + 1;
    assert_eq!(open_payload(&key(), b"h", &vec![7; bytes]), Err(SealError::TooLong { bytes }));
}

#[test]
fn every_flipped_bit_of_a_device_seal_or_its_context_is_refused() {
    let secret = SealingSecret::generate(&mut TestRng::new("device"));
    let id = key().id();
    let seal = seal_to_device(&secret.public(), &DEVICE, &key(), &mut TestRng::new("s")).unwrap();
    assert_eq!(seal.len(), DEVICE_SEAL_BYTES);
    assert!(open_from_device(&secret, &id, &DEVICE, &seal).is_ok());
    for bit in 0..DEVICE_SEAL_BYTES * 8 {
        let mut bad = seal;
        bad[bit / 8] ^= 1 << (bit % 8);
        let got = open_from_device(&secret, &id, &DEVICE, &bad);
        assert_eq!(got.unwrap_err(), SealError::NotForThisDevice, "bit {bit}");
    }
    for bit in 0..256 {
        let mut flip = [0; 32];
        flip[bit / 8] = 1 << (bit % 8);
        let xor = |bytes: [u8; 32]| std::array::from_fn(|i| bytes[i] ^ flip[i]);
        let got = open_from_device(&secret, &EpochId::new(xor(*id.as_bytes())), &DEVICE, &seal);
        assert_eq!(got.unwrap_err(), SealError::NotForThisDevice, "epoch bit {bit}");
        let got = open_from_device(&secret, &id, &DeviceId::new(xor(*DEVICE.as_bytes())), &seal);
        assert_eq!(got.unwrap_err(), SealError::NotForThisDevice, "device bit {bit}");
    }
}

#[test]
fn a_device_opens_its_own_seal_only() {
    let mut rng = TestRng::new("devices");
    let (mine, other) = (SealingSecret::generate(&mut rng), SealingSecret::generate(&mut rng));
    let seal = seal_to_device(&mine.public(), &DEVICE, &key(), &mut rng).unwrap();
    let got = open_from_device(&other, &key().id(), &DEVICE, &seal);
    assert_eq!(got.unwrap_err(), SealError::NotForThisDevice);
    // Fresh randomness: the same key for the same device never gives the same bytes.
    assert_ne!(seal, seal_to_device(&mine.public(), &DEVICE, &key(), &mut rng).unwrap());
}

#[test]
fn a_seal_that_lies_about_its_epoch_is_caught() {
    let secret = SealingSecret::generate(&mut TestRng::new("device"));
    let claimed = key().id();
    let mut lie = EpochKey::generate(&mut TestRng::new("another key"));
    lie.id = claimed;
    let seal = seal_to_device(&secret.public(), &DEVICE, &lie, &mut TestRng::new("s")).unwrap();
    let got = open_from_device(&secret, &claimed, &DEVICE, &seal);
    assert_eq!(got.unwrap_err(), SealError::WrongEpochKey);
}

#[test]
fn honest_sealing_keys_are_accepted() {
    let mut rng = TestRng::new("many");
    for _ in 0..50 {
        let secret = SealingSecret::generate(&mut rng);
        assert_eq!(SealingPublic::checked(secret.public().as_bytes()), Ok(secret.public()));
        let again = SealingSecret::from_bytes(&secret.to_bytes());
        assert_eq!(again.public(), secret.public());
    }
    // RFC 7748, 6.1: Alice's keys.
    let alice = SealingSecret::from_bytes(&key32(
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    ));
    assert_eq!(
        hex(alice.public().as_bytes()),
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    );
}

#[test]
fn sealing_keys_of_small_order_are_refused() {
    let small = [
        // 0, 1, the two points of order 8, and p - 1: <https://cr.yp.to/ecdh.html#validate>.
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for text in small {
        assert_eq!(SealingPublic::checked(&key32(text)), Err(SealError::KeySmallOrder), "{text}");
        // The second line of defence: HPKE refuses a shared secret of zero.
        let unchecked = SealingPublic(key32(text));
        let got = seal_to_device(&unchecked, &DEVICE, &key(), &mut TestRng::new("s"));
        assert_eq!(got, Err(SealError::Recipient), "{text}");
    }
}

#[test]
fn second_spellings_of_a_sealing_key_are_refused() {
    // p, p + 1, 2^255 - 1.
    for first in [0xed, 0xee, 0xff] {
        let mut bytes = [0xff; 32];
        bytes[0] = first;
        bytes[31] = 0x7f;
        assert_eq!(SealingPublic::checked(&bytes), Err(SealError::KeyNotCanonical));
    }
    // X25519 ignores the highest bit.
    let mut bytes = *SealingSecret::generate(&mut TestRng::new("x")).public().as_bytes();
    bytes[31] |= 0x80;
    assert_eq!(SealingPublic::checked(&bytes), Err(SealError::KeyNotCanonical));
}

#[test]
fn sealing_keys_outside_the_group_are_refused() {
    use curve25519_dalek::constants::EIGHT_TORSION;
    // On the curve's twist: u = 2.
    let mut twist = [0; 32];
    twist[0] = 2;
    assert_eq!(SealingPublic::checked(&twist), Err(SealError::KeyOutsideGroup));
    // A good key plus each point of small order.
    let good = *SealingSecret::generate(&mut TestRng::new("t")).public().as_bytes();
    let good = MontgomeryPoint(good).to_edwards(0).unwrap();
    for (n, torsion) in EIGHT_TORSION.iter().enumerate() {
        let got = SealingPublic::checked(&(good + torsion).to_montgomery().to_bytes());
        match n {
            0 => assert!(got.is_ok()),
            _ => assert_eq!(got, Err(SealError::KeyOutsideGroup), "torsion point {n}"),
        }
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let key = EpochKey::from_bytes(&[0xab; 32]);
    let secret = SealingSecret::from_bytes(&[0xab; 32]);
    for text in [format!("{key:?}"), format!("{secret:?}")] {
        assert!(!text.contains("abab") && !text.contains("171, 171"), "{text}");
    }
    assert!(format!("{key:?}").contains(&key.id().short()));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn sealed_is_opened_again(
        text in proptest::collection::vec(proptest::num::u8::ANY, 0..2000),
        aad in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        nonce in proptest::array::uniform24(proptest::num::u8::ANY),
    ) {
        let blob = seal_payload(&key(), nonce, &aad, &text).unwrap();
        proptest::prop_assert_eq!(open_payload(&key(), &aad, &blob).unwrap(), text);
    }

    #[test]
    fn random_bytes_never_open(
        blob in proptest::collection::vec(proptest::num::u8::ANY, 0..500),
        seal in proptest::collection::vec(proptest::num::u8::ANY, DEVICE_SEAL_BYTES),
    ) {
        proptest::prop_assert!(open_payload(&key(), b"", &blob).is_err());
        let secret = SealingSecret::from_bytes(&[1; 32]);
        let seal = seal.try_into().unwrap();
        proptest::prop_assert!(open_from_device(&secret, &key().id(), &DEVICE, &seal).is_err());
    }
}

/// A seal of a box's key that somebody copies into a seal of an epoch must not give the box's key away.
#[test]
fn a_seal_of_one_purpose_opens_nothing_for_another() {
    let mut rng = TestRng::new("purposes");
    let (device, secret) = (DeviceId::new([3; 32]), SealingSecret::from_bytes(&[3; 32]));
    let purposes = [BoxPurpose::SideTalk, BoxPurpose::OwnState];
    for purpose in purposes {
        let key = BoxKey::from_bytes(purpose, &[9; 32]);
        let seal = key.seal_to(&secret.public(), &device, &mut rng).unwrap();
        for other in purposes {
            let opened = BoxKey::open_seal(other, &secret, &key.id(), &device, &seal);
            assert_eq!(opened.is_ok(), other == purpose);
        }
        for id in [key.id(), *EpochKey::from_bytes(&[9; 32]).id().as_bytes()] {
            let opened = open_from_device(&secret, &EpochId::new(id), &device, &seal);
            assert!(matches!(opened, Err(SealError::NotForThisDevice)));
        }
    }
}
