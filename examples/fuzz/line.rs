//! What a slow line brings: frames among garbage, and one end of a line that hears them.

use lanai_node::line::{Frame, Input, Line, MAX_DATA_BYTES, Output, Part, Received, Splitter, tag};

use super::{Decoder, Shape};

const OWN: [u8; 16] = [1; 16];
const THEIRS: [u8; 16] = [2; 16];

pub(super) fn all() -> Vec<Decoder> {
    let theirs = tag(&THEIRS, &OWN);
    let part = |number: u16, bytes: Vec<u8>, end| {
        let place = number * 100;
        let received = Some(Received { greatest: number, before: 0b101 });
        let part = Some(Part { number, place, end, bytes });
        Frame::Packet { received, part, gone: false }.encode(&theirs)
    };
    let meet = Frame::Greeting { nonce: THEIRS, heard: Some(OWN) }.encode(&theirs);
    let parts =
        [part(0, vec![0; 100], false), part(2, vec![7; 100], false), part(1, vec![9; 100], true)];
    let talk = [&meet[..], &parts.concat()].concat();
    let gone = Frame::Packet { received: None, part: None, gone: true }.encode(&theirs);
    let samples =
        vec![talk.clone(), gone, Frame::Greeting { nonce: OWN, heard: None }.encode(&theirs)];
    vec![
        Decoder::new("line frames", 8, Shape::Binary, samples, move |mut bytes| {
            let (mut splitter, mut any) = (Splitter::default(), false);
            while let Some(body) = splitter.next(&mut bytes) {
                let Some(frame) = Frame::decode(&body, Some(&theirs)) else { continue };
                any = true;
                if let Frame::Packet { part: Some(part), .. } = &frame {
                    assert!(part.bytes.len() <= MAX_DATA_BYTES);
                }
                let wire = frame.encode(&theirs);
                let again = Splitter::default().next(&mut &wire[..]).unwrap();
                assert_eq!(Frame::decode(&again, Some(&theirs)), Some(frame));
            }
            any
        }),
        Decoder::new("line", 8, Shape::Binary, vec![talk], move |bytes| {
            let mut line = Line::new(OWN, 0);
            let (mut now, mut given) = (0, 0);
            let mut outputs = line.handle(Input::Start, now);
            outputs.extend(line.handle(Input::Wire(&meet), now));
            outputs.extend(line.handle(Input::Stream(&[5; 700]), now));
            for piece in bytes.chunks(37) {
                now += 500;
                for input in [Input::Wire(piece), Input::Written, Input::Tick] {
                    outputs.extend(line.handle(input, now));
                }
                for output in outputs.drain(..) {
                    if let Output::Stream(bytes) = output {
                        given += bytes.len();
                    }
                }
            }
            assert!(given <= bytes.len(), "no more than came");
            given > 0
        }),
    ]
}
