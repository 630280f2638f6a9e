use super::*;

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn sealed(key: &FileKey, layout: &Layout, text: &[u8]) -> Vec<Vec<u8>> {
    let empty: &[u8] = &[];
    let parts: Vec<&[u8]> = match text.is_empty() {
        true => vec![empty],
        false => text.chunks(GROUP_TEXT_BYTES).collect(),
    };
    parts.iter().zip(0..).map(|(part, group)| key.seal(layout, group, part).unwrap()).collect()
}

fn outline(layout: &Layout, groups: &[Vec<u8>]) -> Vec<ChainingValue> {
    groups.iter().zip(0..).map(|(g, n)| chaining_value(layout, n, g).unwrap()).collect()
}

#[test]
fn the_outline_gives_the_hash_of_all_sealed_bytes_at_every_number_of_groups() {
    let key = FileKey::from_bytes(&[7; 32]);
    let full = GROUP_TEXT_BYTES;
    let mut lengths = vec![0, 1, 1000, full - 1, full, full + 1];
    lengths.extend((2..20).map(|groups| groups * full + groups));
    lengths.extend([16 * full, 32 * full, 33 * full]);
    for bytes in lengths {
        let layout = Layout::of(bytes as u64).unwrap();
        let groups = sealed(&key, &layout, &text(bytes));
        let all = groups.concat();
        assert_eq!(groups.len(), layout.groups() as usize);
        assert_eq!(all.len() as u64, layout.sealed_bytes());
        let root = root_of(&layout, &outline(&layout, &groups)).unwrap();
        assert_eq!(root.as_bytes(), blake3::hash(&all).as_bytes(), "{bytes} bytes");
        for (group, n) in groups.iter().zip(0..) {
            assert_eq!(layout.sealed_len(n), Some(group.len()));
            let from = n as usize * full;
            let opened = key.open(&layout, n, group).unwrap();
            assert_eq!(opened, text(bytes)[from..(from + full).min(bytes)]);
        }
        assert_eq!(layout.sealed_len(layout.groups()), None);
    }
}

#[test]
fn a_group_opens_in_its_place_with_its_key_alone_and_shows_any_change() {
    let key = FileKey::from_bytes(&[7; 32]);
    let layout = Layout::of(3 * GROUP_TEXT_BYTES as u64).unwrap();
    let groups = sealed(&key, &layout, &text(3 * GROUP_TEXT_BYTES));
    let values = outline(&layout, &groups);
    assert_eq!(key.open(&layout, 1, &groups[0]), Err(FileError::NotAuthentic(1)));
    let other = FileKey::from_bytes(&[8; 32]);
    assert_eq!(other.open(&layout, 0, &groups[0]), Err(FileError::NotAuthentic(0)));
    for at in [0, 1000, GROUP_BYTES - 1] {
        let mut bad = groups[1].clone();
        bad[at] ^= 1;
        assert_ne!(chaining_value(&layout, 1, &bad), Some(values[1]));
        assert_eq!(key.open(&layout, 1, &bad), Err(FileError::NotAuthentic(1)));
    }
    // The same bytes in another place have another value.
    assert_ne!(chaining_value(&layout, 0, &groups[1]), Some(values[1]));
    assert_eq!(chaining_value(&layout, 0, &groups[0][1..]), None);
    assert_eq!(chaining_value(&layout, 3, &groups[0]), None);
    assert_eq!(key.open(&layout, 0, &[]), Err(FileError::Length(0)));
    assert_eq!(key.seal(&layout, 0, b"short"), Err(FileError::Length(0)));

    let root = root_of(&layout, &values).unwrap();
    let mut swapped = values.clone();
    swapped.swap(0, 1);
    assert_ne!(root_of(&layout, &swapped), Some(root));
    assert_eq!(root_of(&layout, &values[..2]), None);
}

#[test]
fn sizes_are_bounded() {
    let most = Layout::of(MAX_FILE_BYTES).unwrap();
    assert_eq!(most.groups(), 16_389);
    assert!(most.outline_bytes() < 1 << 20);
    assert_eq!(Layout::of(MAX_FILE_BYTES + 1), Err(FileError::TooLarge(MAX_FILE_BYTES + 1)));
    assert!(Layout::of(u64::MAX).is_err());
}

#[test]
fn golden_bytes() {
    let key = FileKey::from_bytes(&[7; 32]);
    let one = Layout::of(5).unwrap();
    let group = key.seal(&one, 0, b"lanai").unwrap();
    let hex: String = group.iter().map(|b| format!("{b:02x}")).collect();
    let root = |layout: &Layout, groups: &[Vec<u8>]| {
        let root = root_of(layout, &outline(layout, groups)).unwrap();
        crate::id::base32(root.as_bytes())[..16].to_owned()
    };
    let long = Layout::of(200_000).unwrap();
    let groups = sealed(&key, &long, &text(200_000));
    let found = [hex, root(&one, &[group]), root(&long, &groups)];
    assert_eq!(found, GOLDEN, "how files are sealed changed: that is a change of the format");
}

const GOLDEN: [&str; 3] =
    ["290d5f5fff24b3fdd1d49eca1ea661cb30d29baf60", "0rhjt9zb0ayfj0x8", "bn5cw7fzx04kj41s"];
