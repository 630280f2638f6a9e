use super::*;

/// A post in words of its own: none of its sentences is in the dictionary.
const TEXT: &str = "Our generator failed again on Sunday night, right in the middle of the clinic. \
    Sergeant Okafor got it going with a spare belt from the fishing boat, but that will not last. \
    Who has bought parts for the old Perkins engine lately, and how many weeks did you have to \
    wait for them?";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
    noise
}

/// An envelope around `encoded`, right in all but what the test breaks.
fn envelope(codec: u8, encoded: &[u8]) -> Vec<u8> {
    let mut out = vec![VERSION, codec];
    out.extend((encoded.len() as u32).to_be_bytes());
    out.extend(encoded);
    out.resize(padded_size(out.len()).unwrap(), 0);
    out
}

/// A frame without magic number whose blocks repeat one byte `counts` times each.
fn repeats(header: &[u8], counts: &[u32]) -> Vec<u8> {
    let mut frame = header.to_vec();
    for (n, count) in counts.iter().enumerate() {
        let last = u32::from(n + 1 == counts.len());
        frame.extend(&(count << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        frame.push(b'a');
    }
    frame
}

#[test]
fn the_dictionary_is_the_one_of_version_1() {
    let dictionary = include_bytes!("../../dict/v1.zdict");
    assert_eq!(dictionary.len(), 32 * 1024);
    assert_eq!(
        hex(blake3::hash(dictionary).as_bytes()),
        "665a7cd7cf76d0a2973fbc6f854cb1d1c0c5326f26a6d38e24de41a2e4a5c10d"
    );
}

#[test]
fn golden_uncompressed() {
    let bytes = "010000000005776f726473000000000000000000000000000000000000000000";
    assert_eq!(hex(&encode(b"words").unwrap()), bytes);
    assert_eq!(decode(&unhex(bytes)).unwrap(), b"words");
    assert_eq!(hex(&encode_clear(b"words").unwrap()), "010000000005776f726473");
    assert_eq!(decode_clear(&unhex("010000000005776f726473")).unwrap(), b"words");
}

/// Ten times "a" as zstd's specification spells it, no encoder involved.
#[test]
fn golden_compressed_by_hand() {
    let bytes = "010100000006200a53000061000000000000000000000000000000000000000000";
    let bytes = &bytes[..64];
    assert_eq!(decode(&unhex(bytes)).unwrap(), b"aaaaaaaaaa");
}

/// Made once with the dictionary; has to decode for ever.
#[test]
fn golden_compressed_with_the_dictionary() {
    let bytes = "010100000084601600f5030023430864502cf73dafa85c87a2173dda4d1029328bb2d6b01f3fe71a4e1685eed8e30c1222fc4e5627854a8ba3c59e3662e53773aee47237cff601f808e17fd02d45907260c7c4a03dc3c76e0690511a83b718112c7338acafd85aac34a4e85dfeb7cb84b663f790e04ba7c9e6d695fd9f49af274e7aa42c2412509abe7900000000000000000000000000000000000000000000";
    assert_eq!(decode(&unhex(bytes)).unwrap(), TEXT.as_bytes());
}

#[test]
fn sizes_rise_in_fine_steps() {
    assert!(PADDED_SIZES.is_sorted());
    assert_eq!(PADDED_SIZES.last(), Some(&MAX_ENVELOPE_BYTES));
    for pair in PADDED_SIZES.windows(2) {
        let step = pair[1] - pair[0];
        match pair[1] {
            ..=512 => assert_eq!(step, 32),
            513..=1024 => assert_eq!(step, 64),
            MAX_ENVELOPE_BYTES => {}
            size => assert_eq!(size, (pair[0] + pair[0] / 8) / 64 * 64),
        }
    }
    assert_eq!(padded_size(0), Some(32));
    assert_eq!(padded_size(32), Some(32));
    assert_eq!(padded_size(33), Some(64));
    assert_eq!(padded_size(MAX_ENVELOPE_BYTES), Some(MAX_ENVELOPE_BYTES));
    assert_eq!(padded_size(MAX_ENVELOPE_BYTES + 1), None);
}

#[test]
fn a_short_post_shrinks_to_less_than_two_thirds() {
    let packed = encode(TEXT.as_bytes()).unwrap();
    assert_eq!(packed[1], 1);
    assert!(packed.len() * 3 < TEXT.len() * 2, "{} of {}", packed.len(), TEXT.len());
    assert_eq!(decode(&packed).unwrap(), TEXT.as_bytes());
}

#[test]
fn what_does_not_shrink_stays_as_it_is() {
    for bytes in [0, 1, 26, 27, 58, 300, 5000, MAX_ENVELOPE_BYTES - PREFIX_BYTES] {
        let body = noise(bytes);
        let packed = encode(&body).unwrap();
        assert_eq!(packed[1], 0);
        assert_eq!(Some(packed.len()), padded_size(bytes + PREFIX_BYTES));
        assert_eq!(decode(&packed).unwrap(), body);
    }
}

#[test]
fn every_length_of_text_comes_back() {
    let long = TEXT.repeat(4);
    for bytes in 0..long.len() {
        let body = &long.as_bytes()[..bytes];
        assert_eq!(decode(&encode(body).unwrap()).unwrap(), body);
    }
    // Around the lengths where the frame header grows, and the limit.
    let long = TEXT.repeat(MAX_INFLATED_BYTES / TEXT.len() + 1);
    for bytes in
        [65_535, 65_536, 65_791, 65_792, 65_793, MAX_INFLATED_BYTES - 1, MAX_INFLATED_BYTES]
    {
        let body = &long.as_bytes()[..bytes];
        let packed = encode(body).unwrap();
        assert_eq!(packed[1], 1);
        assert_eq!(decode(&packed).unwrap(), body);
    }
}

#[test]
fn too_much_is_not_packed() {
    let bytes = MAX_INFLATED_BYTES + 1;
    assert_eq!(encode(&vec![0; bytes]), Err(EnvelopeError::BodyTooLong { bytes }));
    let body = noise(MAX_ENVELOPE_BYTES - PREFIX_BYTES + 1);
    assert!(matches!(encode(&body), Err(EnvelopeError::EncodedTooLong { .. })));
    let body = noise(MAX_PAYLOAD_BYTES - PREFIX_BYTES + 1);
    assert!(matches!(encode_clear(&body), Err(EnvelopeError::EncodedTooLong { .. })));
    let most = encode_clear(&body[1..]).unwrap();
    assert_eq!(most.len(), MAX_PAYLOAD_BYTES);
    assert_eq!(decode_clear(&most).unwrap(), &body[1..]);
}

#[test]
fn every_truncation_and_every_extension_is_refused() {
    for good in [encode(TEXT.as_bytes()).unwrap(), encode(&noise(100)).unwrap()] {
        for bytes in 0..good.len() {
            assert!(decode(&good[..bytes]).is_err(), "{bytes} bytes");
        }
        let mut longer = good.clone();
        for size in good.len() + 1..good.len() + 100 {
            longer.push(0);
            let expected = padded_size(good.len()).unwrap();
            assert_eq!(decode(&longer), Err(EnvelopeError::PaddedSize { bytes: size, expected }));
        }
    }
    let good = encode_clear(b"words").unwrap();
    for bytes in 0..good.len() {
        assert!(decode_clear(&good[..bytes]).is_err());
    }
    assert_eq!(
        decode_clear(&[&good[..], &[0]].concat()),
        Err(EnvelopeError::Trailing { bytes: 1 })
    );
}

#[test]
fn each_broken_rule_has_its_name() {
    assert_eq!(decode(&[]), Err(EnvelopeError::Truncated { bytes: 0 }));
    assert_eq!(decode(&[1, 0, 0]), Err(EnvelopeError::Truncated { bytes: 3 }));
    assert_eq!(decode(&[2]), Err(EnvelopeError::Version(2)));
    assert_eq!(decode(&[0; 32]), Err(EnvelopeError::Version(0)));
    assert_eq!(decode(&envelope(2, b"x")), Err(EnvelopeError::Codec(2)));
    let frame = repeats(&[0x20, 10], &[10]);
    let clear = [&[1, 1, 0, 0, 0, frame.len() as u8][..], &frame].concat();
    assert_eq!(decode_clear(&clear), Err(EnvelopeError::Codec(1)));
    let bytes = MAX_ENVELOPE_BYTES + 1;
    let most = MAX_ENVELOPE_BYTES;
    assert_eq!(decode(&vec![1; bytes]), Err(EnvelopeError::TooLong { bytes, most }));

    let mut claims = envelope(0, b"words");
    claims[5] = 27;
    assert_eq!(decode(&claims), Err(EnvelopeError::Length { claimed: 27, available: 26 }));
    claims[2..6].fill(0xff);
    assert_eq!(decode(&claims), Err(EnvelopeError::Length { claimed: u32::MAX, available: 26 }));

    let mut dirty = envelope(0, b"words");
    dirty[31] = 1;
    assert_eq!(decode(&dirty), Err(EnvelopeError::PaddingNotZero));
    let mut dirty = envelope(0, b"words");
    dirty[11] = 0x80;
    assert_eq!(decode(&dirty), Err(EnvelopeError::PaddingNotZero));
    // The whole is a size of the table, but not the smallest that fits.
    let mut wide = envelope(0, b"words");
    wide.resize(64, 0);
    assert_eq!(decode(&wide), Err(EnvelopeError::PaddedSize { bytes: 64, expected: 32 }));
}

#[test]
fn frame_headers_of_other_forms_are_refused() {
    let body = |frame: &[u8]| decode(&envelope(1, frame));
    assert!(body(&repeats(&[0x20, 10], &[10])).is_ok());
    assert!(body(&repeats(&[0x60, 0, 0], &[256])).is_ok());
    assert!(body(&repeats(&[0xa0, 0, 1, 1, 0], &[65_792])).is_ok());
    let others: [(&str, Vec<u8>); 9] = [
        ("window descriptor", repeats(&[0x00, 0x20], &[10])),
        ("checksum", [&repeats(&[0x24, 10], &[10])[..], &[0; 4]].concat()),
        ("dictionary id of one byte", repeats(&[0x21, 1, 10], &[10])),
        ("reserved bit", repeats(&[0x28, 10], &[10])),
        ("unused bit", repeats(&[0x30, 10], &[10])),
        ("length in 8 bytes", repeats(&[0xe0, 10, 0, 0, 0, 0, 0, 0, 0], &[10])),
        ("length in 4 bytes that fits 2", repeats(&[0xa0, 0xff, 0, 1, 0], &[65_791])),
        ("header cut off", vec![0xa0, 0, 1, 1]),
        ("nothing", vec![]),
    ];
    for (name, frame) in others {
        assert_eq!(body(&frame), Err(EnvelopeError::FrameHeader), "{name}");
    }
}

#[test]
fn a_body_is_exactly_one_frame() {
    let frame = repeats(&[0x20, 10], &[10]);
    let magic = 0xfd2f_b528_u32.to_le_bytes();
    // A second frame, an empty one, a skippable one, a stray byte, a missing one.
    let empty = [&magic[..], &[0x20, 0, 0x01, 0, 0]].concat();
    let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &[1, 0, 0, 0, 9]].concat();
    for rest in [&[&magic[..], &frame].concat()[..], &empty, &skippable, b"x", &[0]] {
        let two = [&frame[..], rest].concat();
        assert_eq!(decode(&envelope(1, &two)), Err(EnvelopeError::FrameEnd), "{rest:?}");
    }
    for bytes in 2..frame.len() {
        assert_eq!(decode(&envelope(1, &frame[..bytes])), Err(EnvelopeError::FrameEnd));
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let body = |frame: &[u8]| decode(&envelope(1, frame)).map(|body| body.len());
    let claim = |bytes: u32| [&[0xa0][..], &bytes.to_le_bytes()].concat();
    // The most that is allowed, from 13 bytes.
    let most = MAX_INFLATED_BYTES as u32;
    assert_eq!(body(&repeats(&claim(most), &[most / 2; 2])), Ok(MAX_INFLATED_BYTES));
    // One more, claimed honestly; everything that the field can claim.
    for claimed in [most + 1, u32::MAX] {
        let bomb = repeats(&claim(claimed), &[most / 2; 3]);
        assert_eq!(body(&bomb), Err(EnvelopeError::InflatedTooLong { claimed }));
    }
    // More than is claimed, less than is claimed.
    assert_eq!(body(&repeats(&[0x20, 10], &[131_072; 500])), Err(EnvelopeError::Inflate));
    assert_eq!(body(&repeats(&[0x20, 10], &[11])), Err(EnvelopeError::Inflate));
    assert_eq!(body(&repeats(&[0x20, 10], &[9])), Err(EnvelopeError::Inflate));
    assert_eq!(body(&repeats(&claim(most), &[10])), Err(EnvelopeError::Inflate));
}

#[test]
fn a_refused_envelope_does_not_spoil_the_next() {
    let good = encode(TEXT.as_bytes()).unwrap();
    let broken = envelope(1, &repeats(&[0x20, 10], &[11]));
    for _ in 0..3 {
        assert_eq!(decode(&broken), Err(EnvelopeError::Inflate));
        assert_eq!(decode(&good).unwrap(), TEXT.as_bytes());
    }
}

#[test]
fn threads_have_contexts_of_their_own() {
    let good = encode(TEXT.as_bytes()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(decode(&good).unwrap(), TEXT.as_bytes());
                    assert_eq!(decode(&encode(&good).unwrap()).unwrap(), good);
                }
            });
        }
    });
}

/// Whatever the bytes, decoding ends in a body within the limit or a named error, and a body that
/// came from codec 0 packs to the same bytes again.
fn check_hostile(bytes: &[u8]) {
    if let Ok(body) = decode(bytes) {
        assert!(body.len() <= MAX_INFLATED_BYTES);
        assert!(body.capacity() <= 2 * MAX_INFLATED_BYTES);
        if bytes[1] == 0 {
            assert_eq!(pack(Codec::None, &body).unwrap(), bytes);
        }
    }
    if let Ok(body) = decode_clear(bytes) {
        assert_eq!(encode_clear(&body).unwrap(), bytes);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    #[test]
    fn bodies_come_back(
        body in proptest::collection::vec(proptest::num::u8::ANY, 0..3000),
        words in proptest::collection::vec("[a-z]{1,9}", 0..300),
    ) {
        proptest::prop_assert_eq!(decode(&encode(&body).unwrap()).unwrap(), &body[..]);
        proptest::prop_assert_eq!(decode_clear(&encode_clear(&body).unwrap()).unwrap(), body);
        let text = words.join(" ").into_bytes();
        proptest::prop_assert_eq!(decode(&encode(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn random_bytes_are_harmless(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        frame in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        header in 0..3_usize,
    ) {
        check_hostile(&bytes);
        check_hostile(&envelope(0, &bytes));
        check_hostile(&envelope(1, &bytes));
        let header = [&[0x20][..], &[0x60], &[0xa0, 0, 1, 3, 0]][header];
        check_hostile(&envelope(1, &[header, &frame].concat()));
    }

    #[test]
    fn mutated_envelopes_are_harmless(
        words in proptest::collection::vec("[a-z]{1,9}", 1..200),
        changes in proptest::collection::vec((proptest::num::usize::ANY, 1..=255_u8), 1..6),
    ) {
        let mut bytes = encode(words.join(" ").as_bytes()).unwrap();
        let size = bytes.len();
        for (at, change) in changes {
            bytes[at % size] ^= change;
        }
        check_hostile(&bytes);
    }
}
