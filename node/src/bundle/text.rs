//! A short bundle as text, in numbered parts: for a series of QR codes, a mail, or to be read aloud.
//!
//! A part is made of digits that a QR code packs most tightly (capitals, figures, `:` and `/`):
//!
//! `LANAIB1:` tag `:` number `/` of how many `:` data `:` check
//!
//! | field | |
//! | --- | --- |
//! | tag | 4 digits of base32: the first 20 bits of the file's BLAKE3 hash |
//! | number | decimal, from 1 |
//! | data | base32 of [`PART_BYTES`] bytes of the file; the rest of it in the last part |
//! | check | 4 digits of base32: the first 20 bits of `kdf("lanai v1 bundle part")` over tag, number (u16), how many (u16) and the bytes |
//!
//! Base32 is Crockford's, so that a mistyped `O` or `l` is understood. Spaces, line ends and what stands
//! between parts are passed over; parts may come in any order and more than once. Check and tag protect
//! from accidents only; the bundle inside is sealed.

use std::collections::BTreeMap;

use lanai_crdt::id::{base32, from_base32};

/// What a part begins with; the figure is the version.
const MARK: &str = "LANAIB1:";
/// Bytes of the file in a part: what fits a QR code of 69 modules, which a terminal of 80 columns shows.
pub const PART_BYTES: usize = 360;
/// Parts at most.
pub const MAX_PARTS: usize = 64;
/// Bytes of a file that has a text.
pub const MAX_TEXT_BYTES: usize = PART_BYTES * MAX_PARTS;
/// Digits of a tag and of a check.
const DIGITS: usize = 4;
/// Characters of a part, at most, but for what is passed over.
const MAX_PART_CHARS: usize = 2 * PART_BYTES + 64;

/// Why something is no part, or a file has no parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The file has more bytes than text is for.
    #[error("{0} bytes are too many for text, the most is {MAX_TEXT_BYTES}")]
    TooLong(usize),
    /// There is the beginning of a part, and not the rest.
    #[error("something begins as a part does, and is not whole")]
    NotWhole,
    /// A digit is wrong somewhere.
    #[error("part {0} has a mistake in it")]
    Mistake(u16),
    /// It belongs to another bundle than the parts before it.
    #[error("part {0} belongs to another bundle")]
    Other(u16),
}

/// The parts of a file.
///
/// # Errors
///
/// [`TextError::TooLong`].
pub fn to_parts(file: &[u8]) -> Result<Vec<String>, TextError> {
    let of = file.len().div_ceil(PART_BYTES);
    let Some(of) = u16::try_from(of).ok().filter(|n| usize::from(*n) <= MAX_PARTS) else {
        return Err(TextError::TooLong(file.len()));
    };
    let tag = tag(file);
    let parts = (1..=of).zip(file.chunks(PART_BYTES));
    let part = |(number, bytes): (u16, &[u8])| {
        let check = check(&tag, number, of, bytes);
        format!("{MARK}{tag}:{number}/{of}:{}:{check}", base32(bytes).to_uppercase())
    };
    Ok(parts.map(part).collect())
}

fn digits(hash: &blake3::Hash) -> String {
    base32(hash.as_bytes()).chars().take(DIGITS).collect::<String>().to_uppercase()
}

fn tag(file: &[u8]) -> String {
    digits(&blake3::hash(file))
}

fn check(tag: &str, number: u16, of: u16, bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("lanai v1 bundle part");
    hasher.update(tag.as_bytes()).update(&number.to_be_bytes()).update(&of.to_be_bytes());
    digits(&hasher.update(bytes).finalize())
}

/// What counts of a text, with digits as they are written however they were typed.
fn canonical(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter_map(|c| match c.to_ascii_uppercase() {
        'O' => Some('0'),
        'I' | 'L' => Some('1'),
        c if c.is_ascii_alphanumeric() || matches!(c, ':' | '/') => Some(c),
        _ => None,
    })
}

/// A part that is as it was written.
struct Part {
    tag: String,
    number: u16,
    of: u16,
    bytes: Vec<u8>,
}

/// The part whose mark was just before, and anything behind it.
fn read_part(body: &str) -> Result<Part, TextError> {
    let mut fields = body.splitn(4, ':');
    let mut field = || fields.next().ok_or(TextError::NotWhole);
    let (tag, numbers, data, rest) = (field()?, field()?, field()?, field()?);
    let given = rest.get(..DIGITS).ok_or(TextError::NotWhole)?;
    let number = |text: &str| text.parse::<u16>().map_err(|_| TextError::NotWhole);
    let (number, of) = match numbers.split_once('/') {
        Some((n, of)) => (number(n)?, number(of)?),
        None => return Err(TextError::NotWhole),
    };
    let mistake = TextError::Mistake(number);
    if number == 0 || number > of || usize::from(of) > MAX_PARTS || data.len() > MAX_PART_CHARS {
        return Err(mistake);
    }
    let bytes = from_base32(data).ok_or(mistake)?;
    match given == check(tag, number, of, &bytes) {
        true => Ok(Part { tag: tag.into(), number, of, bytes }),
        false => Err(mistake),
    }
}

/// Puts parts together.
#[derive(Debug, Default)]
pub struct Parts {
    /// What counts of the text; what was understood is gone from it.
    unread: String,
    tag: String,
    of: u16,
    parts: BTreeMap<u16, Vec<u8>>,
}

impl Parts {
    /// Takes more text; gives what is wrong with what can be told to be no part of it.
    pub fn add(&mut self, text: &str) -> Vec<TextError> {
        self.unread.extend(canonical(text));
        let mark: String = canonical(MARK).collect();
        let mut wrong = Vec::new();
        while let Some(begin) = self.unread.find(&mark) {
            self.unread.drain(..begin + mark.len());
            let next = self.unread.find(&mark);
            let body = self.unread.get(..next.unwrap_or(self.unread.len())).unwrap_or_default();
            let is_short = body.len() <= MAX_PART_CHARS;
            let read = read_part(body);
            match read.and_then(|part| self.keep(part)) {
                Ok(()) => {}
                // The rest of it may come yet.
                Err(TextError::NotWhole) if next.is_none() && is_short => {
                    self.unread.insert_str(0, &mark);
                    return wrong;
                }
                Err(error) => wrong.push(error),
            }
        }
        // A mark may have begun.
        let keep = self.unread.len().saturating_sub(MARK.len() - 1);
        self.unread.drain(..keep);
        wrong
    }

    fn keep(&mut self, Part { tag, number, of, bytes }: Part) -> Result<(), TextError> {
        if self.parts.is_empty() {
            (self.tag, self.of) = (tag, of);
        } else if (&self.tag, self.of) != (&tag, of) {
            return Err(TextError::Other(number));
        }
        self.parts.insert(number, bytes);
        Ok(())
    }

    /// Nothing more comes: what is left is no part.
    pub fn rest(&self) -> Option<TextError> {
        let mark: String = canonical(MARK).collect();
        self.unread.contains(&mark).then_some(TextError::NotWhole)
    }

    /// How many parts there are, and of how many; nothing before the first.
    pub fn have(&self) -> (usize, u16) {
        (self.parts.len(), self.of)
    }

    /// The numbers that are missing.
    pub fn missing(&self) -> Vec<u16> {
        (1..=self.of).filter(|n| !self.parts.contains_key(n)).collect()
    }

    /// The file, once all parts are there.
    pub fn file(&self) -> Option<Vec<u8>> {
        let whole = self.of > 0 && self.parts.len() == usize::from(self.of);
        let file = || self.parts.values().flatten().copied().collect::<Vec<u8>>();
        whole.then(file).filter(|file| tag(file) == self.tag)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Parts, Vec<TextError>) {
        let mut parts = Parts::default();
        let wrong = parts.add(text);
        (parts, wrong)
    }

    #[test]
    fn bytes_of_a_part() {
        let parts = to_parts(b"lanai-bundle/1\n").unwrap();
        assert_eq!(parts, [GOLDEN]);
        assert_eq!(read(GOLDEN).0.file().unwrap(), b"lanai-bundle/1\n");
    }

    const GOLDEN: &str = "LANAIB1:3NQ8:1/1:DHGPWRB95NH7AVK4DHJJYC8A:MWVT";

    #[test]
    fn any_order_any_line_ends_and_what_people_mistype() {
        let file: Vec<u8> = (0..2000u32).map(|n| (n * 7 % 251) as u8).collect();
        let parts = to_parts(&file).unwrap();
        assert_eq!(parts.len(), 6);
        assert!(parts.iter().all(|p| p.len() <= 619), "a QR code of 69 modules holds it");
        let mut text = String::from("Hello,\nhere it is:\n");
        for part in parts.iter().rev().chain(&parts[..2]) {
            let middle = part.len() / 2;
            text += &format!("> {}\n> {}\nand then\n", &part[..middle], &part[middle..]);
        }
        let typed = text.to_lowercase().replace('0', "o").replace('1', "l");
        for text in [text, typed] {
            let (parts, wrong) = read(&text);
            assert_eq!((wrong, parts.file().as_deref()), (vec![], Some(&file[..])));
        }
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        let file = vec![7; 1000];
        let parts = to_parts(&file).unwrap();
        let mut bad = parts[1].clone();
        bad.replace_range(40..41, if &bad[40..41] == "7" { "8" } else { "7" });
        let (mut read, wrong) = read(&format!("{} {bad} {}", parts[0], parts[2]));
        assert_eq!(wrong, [TextError::Mistake(2)]);
        assert_eq!((read.missing(), read.have(), read.file()), (vec![2], (2, 3), None));
        let other = to_parts(&[8; 1000]).unwrap();
        assert_eq!(read.add(&other[1]), [TextError::Other(2)]);
        // Character by character, as a keyboard gives it.
        for c in parts[1].chars() {
            assert_eq!(read.add(&c.to_string()), []);
        }
        assert_eq!(read.file(), Some(file));
        read.add("LANAIB1:7");
        assert_eq!(read.rest(), Some(TextError::NotWhole));
        assert_eq!(to_parts(&[0; MAX_TEXT_BYTES + 1]), Err(TextError::TooLong(MAX_TEXT_BYTES + 1)));
        assert_eq!(to_parts(&[0; MAX_TEXT_BYTES]).unwrap().len(), MAX_PARTS);
    }

    proptest! {
        #[test]
        fn any_text_is_bounded(texts in proptest::collection::vec("(LANAIB1:|[0-9a-z:/]{0,40}|.{0,9})", 0..60)) {
            let mut parts = Parts::default();
            for text in texts {
                let _told = parts.add(&text);
                prop_assert!(parts.unread.len() <= MAX_PART_CHARS + MARK.len() + text.len());
            }
            prop_assert!(parts.parts.is_empty());
        }

        #[test]
        fn files_round_trip(file in proptest::collection::vec(any::<u8>(), 1..3000)) {
            let text = to_parts(&file).unwrap().join("\n");
            prop_assert_eq!(read(&text).0.file(), Some(file));
        }
    }
}
