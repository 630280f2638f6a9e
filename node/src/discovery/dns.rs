//! DNS packets, as far as finding libp2p nodes by multicast DNS needs them.
//!
//! A question asks for PTR records of `_p2p._udp.local`. An answer has one such record, which leads to a
//! random name, and for that name TXT records `dnsaddr=/ip4/…/p2p/ID` (libp2p's `specs/discovery/mdns.md`;
//! RFC 1035, section 4; RFC 6762). Readers here copy nothing, follow no more than a few pointers and look at
//! no more than [`MAX_RECORDS`] records, so that a packet that is of no interest costs next to nothing.

use super::Endpoint;

/// Bytes of the largest packet that is looked at (RFC 6762, section 17).
pub const MAX_PACKET: usize = 9000;
/// Records of one packet that are looked at.
pub const MAX_RECORDS: usize = 64;

/// The service, as labels.
const SERVICE: [&[u8]; 3] = [b"_p2p", b"_udp", b"local"];
const HEADER: usize = 12;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// The bit of the class that asks for an answer to oneself, or says "flush".
const CLASS_BIT: u16 = 0x8000;
/// The bit of the header's flags that marks an answer.
const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
/// Pointers that are followed in one name.
const MAX_JUMPS: usize = 8;
/// Labels in one name.
const MAX_LABELS: usize = 16;
/// Bytes of the longest text in a TXT record.
const MAX_TEXT: usize = 255;

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Somebody asks for nodes.
    Question,
    /// Somebody says where a node is.
    Answer(Answer<'a>),
}

/// Texts about nodes, and for how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What stands behind `dnsaddr=`.
    pub texts: Vec<&'a [u8]>,
    /// Seconds.
    pub ttl_s: u32,
}

/// Reads a packet; `None` if it is not about our service, or not well formed.
#[must_use]
pub fn read(packet: &[u8]) -> Option<Packet<'_>> {
    if packet.len() > MAX_PACKET {
        return None;
    }
    let word = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk::<2>()?));
    let (flags, questions) = (word(2)?, word(4)?);
    let records = usize::from(word(6)?) + usize::from(word(8)?) + usize::from(word(10)?);
    let mut at = HEADER;
    for _ in 0..usize::from(questions).min(MAX_RECORDS) {
        let (is_service, end) = is_service(packet, at)?;
        let (kind, class) = (word(end)?, word(end + 2)?);
        at = end + 4;
        let asks = is_service && (kind == TYPE_PTR || kind == TYPE_ANY);
        if flags & RESPONSE == 0 && asks && class & !CLASS_BIT == CLASS_IN {
            return Some(Packet::Question);
        }
    }
    if flags & RESPONSE == 0 {
        return None;
    }
    let mut answer = Answer { texts: Vec::new(), ttl_s: 0 };
    let mut about_us = false;
    for _ in 0..records.min(MAX_RECORDS) {
        let (named_service, end) = is_service(packet, at)?;
        let kind = word(end)?;
        let ttl = u32::from_be_bytes(*packet.get(end + 4..)?.first_chunk::<4>()?);
        let length = usize::from(word(end + 8)?);
        let data = packet.get(end + 10..end + 10 + length)?;
        at = end + 10 + length;
        match kind {
            TYPE_PTR if named_service => {
                about_us = true;
                answer.ttl_s = ttl;
            }
            TYPE_TXT => answer.texts.extend(texts(data)),
            _ => {}
        }
        if !about_us {
            // The pointer comes first; whatever does not begin with one is somebody else's service.
            return None;
        }
    }
    about_us.then_some(Packet::Answer(answer))
}

/// The texts of a TXT record that say where a node is.
fn texts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        data = rest;
        Some(text)
    })
    .filter_map(|text| text.strip_prefix(b"dnsaddr="))
}

/// Whether the name at a place is the service's, and where it ends.
fn is_service(packet: &[u8], start: usize) -> Option<(bool, usize)> {
    let (mut at, mut end, mut jumps, mut labels) = (start, None, 0, 0);
    let mut expected = SERVICE.iter();
    let mut same = true;
    loop {
        let length = *packet.get(at)?;
        match length {
            0 => {
                let whole = same && expected.next().is_none();
                return Some((whole, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = packet.get(at + 1..at + 1 + usize::from(length))?;
                same = same && expected.next().is_some_and(|e| label.eq_ignore_ascii_case(e));
                at += 1 + usize::from(length);
                labels += 1;
                if labels > MAX_LABELS {
                    return None;
                }
            }
            192.. => {
                let low = *packet.get(at + 1)?;
                end.get_or_insert(at + 2);
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                jumps += 1;
                // A pointer leads back, or it leads in circles.
                if jumps > MAX_JUMPS || target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
    }
}

/// A question for nodes.
#[must_use]
pub fn question() -> Vec<u8> {
    let mut packet = header(0, 1, 0, 0);
    push_name(&mut packet, &SERVICE);
    push_words(&mut packet, [TYPE_PTR, CLASS_IN]);
    packet
}

/// An answer: the node with this peer id listens there. `label` is a random one of 32 letters.
#[must_use]
pub fn answer(label: &[u8; 32], peer: &str, endpoints: &[Endpoint], ttl_s: u32) -> Vec<u8> {
    let texts: Vec<String> = endpoints
        .iter()
        .map(|endpoint| format!("dnsaddr={endpoint}/p2p/{peer}"))
        .filter(|text| text.len() <= MAX_TEXT)
        .take(MAX_RECORDS - 1)
        .collect();
    let mut packet = header(RESPONSE | AUTHORITATIVE, 0, 1, texts.len());
    push_name(&mut packet, &SERVICE);
    push_words(&mut packet, [TYPE_PTR, CLASS_IN]);
    packet.extend_from_slice(&ttl_s.to_be_bytes());
    let mut name = Vec::new();
    push_name(&mut name, &[label.as_slice()]);
    push_data(&mut packet, &name);
    for text in texts {
        packet.extend_from_slice(&name);
        push_words(&mut packet, [TYPE_TXT, CLASS_IN | CLASS_BIT]);
        packet.extend_from_slice(&ttl_s.to_be_bytes());
        let mut data = vec![u8::try_from(text.len()).unwrap_or(0)];
        data.extend_from_slice(text.as_bytes());
        push_data(&mut packet, &data);
    }
    packet
}

fn header(flags: u16, questions: u16, answers: u16, additional: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(512);
    let additional = u16::try_from(additional).unwrap_or(0);
    push_words(&mut packet, [0, flags, questions, answers, 0, additional]);
    packet
}

fn push_words<const N: usize>(packet: &mut Vec<u8>, words: [u16; N]) {
    words.iter().for_each(|word| packet.extend_from_slice(&word.to_be_bytes()));
}

fn push_name(packet: &mut Vec<u8>, labels: &[&[u8]]) {
    for label in labels {
        packet.push(u8::try_from(label.len().min(63)).unwrap_or(0));
        packet.extend_from_slice(label.get(..63).unwrap_or(label));
    }
    packet.push(0);
}

fn push_data(packet: &mut Vec<u8>, data: &[u8]) {
    push_words(packet, [u16::try_from(data.len()).unwrap_or(0)]);
    packet.extend_from_slice(data);
}

/// Cuts `/ip4/…/p2p/ID` in two: the address and the peer id.
#[must_use]
pub fn split(text: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(text).ok()?.rsplit_once("/p2p/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWSdaoKPa1TiNhSDvpZx875LEqwN8nHuSdDPyPxyBPu3hi";
    const LABEL: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz012345";

    fn endpoints() -> Vec<Endpoint> {
        ["/ip4/10.77.0.1/udp/4001/quic-v1", "/ip4/10.77.0.1/tcp/4001"]
            .iter()
            .filter_map(|text| Endpoint::parse(text))
            .collect()
    }

    #[test]
    fn golden_bytes() {
        let golden = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";
        assert_eq!(question(), golden);
        let one = &endpoints()[1..];
        let packet = answer(&LABEL, PEER, one, 120);
        let mut golden = b"\0\0\x84\0\0\0\0\x01\0\0\0\x01\x04_p2p\x04_udp\x05local\0".to_vec();
        golden.extend_from_slice(b"\0\x0c\0\x01\0\0\0\x78\0\x22\x20");
        golden.extend_from_slice(&LABEL);
        golden.extend_from_slice(b"\0\x20");
        golden.extend_from_slice(&LABEL);
        golden.extend_from_slice(b"\0\0\x10\x80\x01\0\0\0\x78\0\x59\x58");
        golden.extend_from_slice(format!("dnsaddr=/ip4/10.77.0.1/tcp/4001/p2p/{PEER}").as_bytes());
        assert_eq!(packet, golden);
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&question()), Some(Packet::Question));
        let packet = answer(&LABEL, PEER, &endpoints(), 120);
        let Some(Packet::Answer(found)) = read(&packet) else { panic!() };
        assert_eq!((found.ttl_s, found.texts.len()), (120, 2));
        for (text, endpoint) in found.texts.iter().zip(endpoints()) {
            let (address, peer) = split(text).unwrap();
            assert_eq!((Endpoint::parse(address), peer), (Some(endpoint), PEER));
        }
        let empty = answer(&LABEL, PEER, &[], 120);
        assert!(matches!(read(&empty), Some(Packet::Answer(a)) if a.texts.is_empty()));
    }

    #[test]
    fn other_services_circles_and_cut_packets_are_nothing() {
        let other = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x05_http\x04_tcp\x05local\0\0\x0c\0\x01";
        assert_eq!(read(other), None);
        let circle = b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x0c\0\x01";
        assert_eq!(read(circle), None);
        let longer = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\x01x\0\0\x0c\0\x01";
        assert_eq!(read(longer), None);
        let packet = answer(&LABEL, PEER, &endpoints(), 120);
        for len in 0..packet.len() {
            assert_eq!(read(&packet[..len]), None, "{len}");
        }
        assert_eq!(read(&vec![0xff; MAX_PACKET + 1]), None);
        assert_eq!(read(&vec![0xff; 600]), None);
    }

    #[test]
    fn names_may_point_back() {
        // One question for another name, then ours by a pointer into it.
        let mut packet = header(0, 2, 0, 0);
        push_name(&mut packet, &[b"x", b"_p2p", b"_udp", b"local"]);
        push_words(&mut packet, [TYPE_PTR, CLASS_IN]);
        packet.extend_from_slice(&[0xc0, 14]);
        push_words(&mut packet, [TYPE_PTR, CLASS_IN]);
        assert_eq!(read(&packet), Some(Packet::Question));
    }
}
