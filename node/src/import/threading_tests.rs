use super::*;

const START: i64 = 900_000_000;
const NOW: i64 = 1_700_000_000;

fn record(id: &str, references: &[&str], subject: &str) -> Record {
    Record {
        message_id: id.to_owned(),
        references: references.iter().map(|r| (*r).to_owned()).collect(),
        subject: subject.to_owned(),
        claimed: None,
    }
}

/// Threads mails dated an hour apart in file order.
fn threaded(mut records: Vec<Record>) -> Threading {
    for (n, record) in records.iter_mut().enumerate() {
        record.claimed = Some(START + n as i64 * 3600);
    }
    thread(&records, NOW)
}

fn parents(threading: &Threading) -> Vec<Option<usize>> {
    threading.links.iter().map(|l| l.parent).collect()
}

#[test]
fn the_nearest_known_reference_is_the_parent() {
    let t = threaded(vec![
        record("a", &[], "x"),
        record("b", &["a"], "Re: x"),
        record("c", &["a", "b", "gone"], "Re: x"),
        record("d", &["gone"], "y"),
    ]);
    assert_eq!(parents(&t), [None, Some(0), Some(1), None]);
    assert_eq!(t.links.iter().map(|l| l.root).collect::<Vec<_>>(), [0, 0, 0, 3]);
}

#[test]
fn only_replies_are_threaded_by_subject() {
    let t = threaded(vec![
        record("a", &[], "Re: older than the archive"),
        record("b", &[], "[club] A  Question"),
        record("c", &[], "RE: a question"),
        record("d", &[], "Fwd: a question"),
        record("e", &[], "a question"),
        record("f", &["gone"], "AW: [club] Re: A question"),
        record("g", &[], "Re: "),
        record("h", &[], "Re:"),
        record("i", &["a"], "Re: a question"),
    ]);
    assert_eq!(parents(&t), [None, None, Some(1), None, None, Some(1), None, None, Some(0)]);
}

#[test]
fn circles_are_broken_the_same_way_every_time() {
    let t = threaded(vec![
        record("a", &["b"], "x"),
        record("b", &["c"], "x"),
        record("c", &["a"], "x"),
        record("self", &["self"], "x"),
    ]);
    assert_eq!(parents(&t), [Some(1), None, Some(0), None]);
    let t = threaded(vec![
        record("a", &["old", "b"], "x"),
        record("b", &["a"], "x"),
        record("old", &[], "y"),
    ]);
    assert_eq!(parents(&t), [Some(2), Some(0), None], "the next nearest ancestor is taken");
    let t = threaded(vec![record("a", &["b"], "Re: x"), record("b", &["a"], "Re: x")]);
    assert_eq!(parents(&t), [None, Some(0)]);
}

#[test]
fn duplicates_are_reported_and_take_no_part() {
    let t = threaded(vec![
        record("a", &[], "x"),
        record("b", &[], "y"),
        record("a", &["b"], "z"),
        record("c", &["a"], "Re: z"),
    ]);
    assert_eq!(t.links[2].duplicate_of, Some(0));
    assert_eq!(t.links[2].parent, None);
    assert_eq!(t.links[3].parent, Some(0));
    assert_eq!(t.order, [0, 3, 1]);
}

#[test]
fn parents_come_first_even_from_the_end_of_the_file() {
    let t = threaded(vec![
        record("reply", &["question"], "Re: q"),
        record("other", &[], "o"),
        record("question", &[], "q"),
    ]);
    assert_eq!(t.order, [1, 2, 0]);
    assert!(t.links[0].plausible > t.links[2].plausible);
}

#[test]
fn subjects_of_many_programs() {
    for (subject, normalised, is_reply) in [
        ("Hello", "hello", false),
        ("Re: Hello", "hello", true),
        ("re[2]: RE(3):Re^4:  hello ", "hello", true),
        ("AW: WG: [x] Hello", "hello", true),
        ("[x] Re: [y] Hello", "hello", true),
        ("Fwd: Hello", "hello", false),
        ("回复：Hello", "hello", true),
        ("Re: new (was: Re: old)", "new", true),
        ("Hello (fwd)", "hello", false),
        ("[only a tag]", "[only a tag]", false),
        ("Regarding: you", "regarding: you", false),
        ("Re:", "", true),
        ("", "", false),
    ] {
        let read = Subject::read(subject);
        assert_eq!((read.normalised.as_str(), read.is_reply), (normalised, is_reply), "{subject}");
    }
}

#[test]
fn long_chains_and_wide_threads_are_quick() {
    let count = 100_000;
    let mut records = vec![record("0", &[], "x")];
    for n in 1..count {
        // Backwards in the file, the worst case for finding circles.
        records.push(record(&n.to_string(), &[&(n + 1).to_string()], "Re: x"));
    }
    let t = threaded(records);
    assert_eq!(t.order.len(), count);
    assert_eq!(t.links[count - 1].parent, Some(0));
    assert_eq!(t.links[5].root, 0);
}

proptest::proptest! {
    /// For any references at all: a forest, everyone handed out once, parents first and earlier.
    #[test]
    fn any_references_give_a_forest(
        edges in proptest::collection::vec((0_u8..30, 0_u8..30, 0_u8..6, -10_i64..50), 1..60)
    ) {
        let records: Vec<Record> = edges
            .iter()
            .map(|(id, reference, subject, day)| Record {
                message_id: id.to_string(),
                references: vec![(reference / 2).to_string(), reference.to_string()],
                subject: ["a", "re: a", "b", "re: b", "", "re: c"][usize::from(*subject)].to_owned(),
                claimed: Some(START + day * 86_400 * 30),
            })
            .collect();
        let t = thread(&records, NOW);
        let mut seen = vec![false; records.len()];
        let roots: Vec<usize> = t.order.iter().map(|&at| t.links[at].root).collect();
        let changes = roots.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let threads = roots.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(changes + 1, threads, "a thread stands in one piece");
        for &at in &t.order {
            let link = t.links[at];
            assert!(!seen[at] && link.duplicate_of.is_none());
            match link.parent {
                Some(parent) => {
                    assert!(seen[parent]);
                    assert_eq!(link.root, t.links[parent].root);
                    assert!(link.plausible > t.links[parent].plausible);
                }
                None => assert_eq!(link.root, at),
            }
            seen[at] = true;
        }
        let duplicates = t.links.iter().filter(|l| l.duplicate_of.is_some()).count();
        assert_eq!(t.order.len() + duplicates, records.len());
    }
}
