//! Writes an archive into the store.
//!
//! 1. The root of a thread becomes a note, every other mail a reply; an archive asks nothing any
//!    more, so no ask is opened.
//! 2. A mail whose message id is in the store already is left alone, whoever imported it, and its
//!    entry is what its replies answer. So a second run adds nothing, and a run that was stopped
//!    goes on where it was.
//! 3. Entries are committed in batches of [`BATCH`], so a stop between two loses nothing, and the
//!    thread of a reply is always there before it.
//! 4. What a sync brought just before may not be folded yet, and what is not folded is not found:
//!    so that is done first.
//! 5. A text is cut only as far as its payload needs once it is packed; prose over twice the size of a
//!    payload still fits one.

use std::ops::ControlFlow;

use lanai_crdt::envelope;
use lanai_crdt::id::EntryId;
use lanai_crdt::limits::MAX_PAYLOAD_BYTES;
use lanai_crdt::payload::{self, Body, Note, Origin, Post, PostRole};
use lanai_crdt::seal::CryptoRng;

use super::archive::{Archive, ArchivedMail};
use crate::store::{Author, NewEntry, NewRef, Store, StoreError};

/// Entries committed together.
const BATCH: usize = 500;
/// Entries folded together before the first batch.
const FOLD_BATCH: usize = 2000;
/// Texts up to this size in bytes fit a payload even if they cannot be compressed: all other fields
/// of an entry take less than the rest.
const SURELY_FITS_BYTES: usize = MAX_PAYLOAD_BYTES - 3 * 1024;
/// How close to the longest text that fits a cut comes, in bytes.
const CUT_STEP_BYTES: usize = 2 * 1024;
/// Title of a thread whose root has no subject.
const NO_SUBJECT: &str = "(no subject)";

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Posts written.
    pub posts: u64,
    /// Threads begun.
    pub threads: u64,
    /// Mails that were in the store already.
    pub already: u64,
    /// Texts that had to be cut.
    pub cut: u64,
    /// Whether the caller stopped it before the end.
    pub stopped: bool,
}

/// Where a mail of the archive is in the store, or will be.
#[derive(Debug, Clone, Copy)]
struct Placed {
    post: NewRef,
    root: NewRef,
}

/// Writes what is not there yet; `tags` are given to every thread. `step` is called after every
/// batch, found or written, with the number of mails dealt with; it may stop the import.
///
/// # Errors
///
/// When the store cannot be read or written. What was reported as done is kept.
pub fn write(
    store: &Store,
    author: &Author,
    archive: &Archive,
    tags: &[String],
    now_ms: u64,
    rng: &mut impl CryptoRng,
    step: &mut dyn FnMut(u64, &Imported) -> ControlFlow<()>,
) -> Result<Imported, StoreError> {
    let mut done = Imported::default();
    while store.fold_pending(FOLD_BATCH)?.left > 0 {
        if step(0, &done).is_break() {
            done.stopped = true;
            return Ok(done);
        }
    }
    let mut placed: Vec<Placed> = Vec::with_capacity(archive.mails.len());
    let mut batch: Vec<NewEntry> = Vec::new();
    // Index of the first mail whose place is still one in the batch.
    let mut settled = 0;
    for (i, mail) in archive.mails.iter().enumerate() {
        let known = store.find_message(&mail.mail.message_id)?.first().copied();
        let place = match known {
            Some((post, root)) => {
                done.already += 1;
                Placed { post: NewRef::Id(post), root: NewRef::Id(root) }
            }
            None => {
                let parent = mail.parent.and_then(|p| placed.get(p)).copied();
                let (body, cut) = body(mail, parent.is_none().then_some(tags))?;
                done.cut += u64::from(cut);
                done.posts += 1;
                let own = NewRef::Batch(batch.len());
                let (refs, root) = match parent {
                    None => {
                        done.threads += 1;
                        (Vec::new(), own)
                    }
                    Some(p) if p.post == p.root => (vec![p.root], p.root),
                    Some(p) => (vec![p.root, p.post], p.root),
                };
                batch.push(NewEntry { body, refs });
                Placed { post: own, root }
            }
        };
        placed.push(place);
        let last = i + 1 == archive.mails.len();
        if placed.len() - settled >= BATCH || last {
            let ids = store.append(author, now_ms, rng, std::mem::take(&mut batch))?;
            for place in placed.iter_mut().skip(settled) {
                place.post = resolve(place.post, &ids)?;
                place.root = resolve(place.root, &ids)?;
            }
            settled = placed.len();
            if step(settled as u64, &done).is_break() && !last {
                done.stopped = true;
                break;
            }
        }
    }
    Ok(done)
}

fn resolve(reference: NewRef, ids: &[EntryId]) -> Result<NewRef, StoreError> {
    match reference {
        NewRef::Id(_) => Ok(reference),
        NewRef::Batch(i) => {
            ids.get(i).map(|id| NewRef::Id(*id)).ok_or(StoreError::Internal("import batch"))
        }
    }
}

/// The body of a mail's entry, and whether its text is cut. `root`: the tags of the thread that it
/// opens.
fn body(mail: &ArchivedMail, root: Option<&[String]>) -> Result<(Body, bool), StoreError> {
    let (text, cut) = mail.mail.text(usize::MAX);
    let len = text.len();
    let body = with_text(mail, root, text);
    if len <= SURELY_FITS_BYTES || fits(&body)? {
        return Ok((body, cut));
    }
    let (mut fitting, mut too_long) = (SURELY_FITS_BYTES, len);
    let mut body = with_text(mail, root, mail.mail.text(fitting).0);
    while too_long - fitting > CUT_STEP_BYTES {
        let middle = fitting.midpoint(too_long);
        let longer = with_text(mail, root, mail.mail.text(middle).0);
        if fits(&longer)? {
            (fitting, body) = (middle, longer);
        } else {
            too_long = middle;
        }
    }
    Ok((body, true))
}

fn fits(body: &Body) -> Result<bool, StoreError> {
    match payload::encode(body) {
        Ok(bytes) => Ok(envelope::encode(&bytes).is_ok()),
        Err(payload::PayloadError::TooLong(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn with_text(mail: &ArchivedMail, root: Option<&[String]>, text: String) -> Body {
    let date = mail.mail.date.as_ref();
    let claimed = date.and_then(|d| d.unix_seconds);
    let origin = Some(Origin {
        name: mail.mail.from_name.clone(),
        message_id: mail.mail.message_id.clone(),
        claimed,
        claimed_text: date.filter(|_| claimed.is_none()).map(|d| d.text.clone()),
        plausible: mail.plausible,
    });
    if let Some(tags) = root {
        let subject = mail.mail.subject.trim();
        let title = if subject.is_empty() { NO_SUBJECT } else { subject }.to_owned();
        Body::Note(Note { title, text, tags: tags.to_vec(), origin })
    } else {
        Body::Post(Post { role: PostRole::Reply, text, origin, met: None })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lanai_crdt::entry::DeviceSecret;
    use lanai_crdt::payload::{History, InvitePolicy, Profile};
    use lanai_crdt::seal::SealingSecret;

    use super::*;
    use crate::import::{Limits, read_all};
    use crate::random::{OsRandom, random_bytes};
    use crate::store::{Founding, Place, ThreadFilter};

    const NOW_S: i64 = 1_700_000_000;

    fn archive() -> Archive {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oddities.mbox");
        read_all(&path, &Limits::default(), NOW_S, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    fn store(dir: &Path) -> (Store, Author) {
        let author = Author {
            device: DeviceSecret::from_bytes(&random_bytes()),
            sealing: SealingSecret::generate(&mut OsRandom),
        };
        let founding = Founding {
            name: "Porch".into(),
            charter: None,
            profile: Profile { name: "Ana".into(), ..Profile::default() },
            recovery_key: [7; 32],
            invite: InvitePolicy::Members,
            history: History::All,
            quorum: (2, 3),
            paper: None,
        };
        let place = Place::new(dir.join("store.db"), dir.join("store.token"));
        let store =
            Store::create(&place, &author, &founding, NOW_S as u64 * 1000, &mut OsRandom).unwrap();
        (store, author)
    }

    fn import(store: &Store, author: &Author, archive: &Archive) -> Imported {
        let go_on = &mut |_, _: &Imported| ControlFlow::Continue(());
        write(store, author, archive, &[], NOW_S as u64 * 1000, &mut OsRandom, go_on).unwrap()
    }

    #[test]
    fn a_second_run_adds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = store(dir.path());
        let archive = archive();
        let first = import(&store, &author, &archive);
        assert_eq!(first.posts as usize, archive.mails.len());
        assert_eq!(first.threads as usize, archive.threads());
        let stats = store.stats().unwrap();
        assert_eq!(stats.posts, first.posts);
        let again = import(&store, &author, &archive);
        assert_eq!((again.posts, again.already), (0, first.posts));
        assert_eq!(store.stats().unwrap().entries, stats.entries);
        let threads = store.threads(&ThreadFilter::default()).unwrap();
        assert_eq!(threads.len(), archive.threads());
    }

    #[test]
    fn a_stopped_import_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = store(dir.path());
        let mut many = archive();
        let mails = many.mails.len();
        for copy in 0..40 {
            for i in 0..mails {
                let mut mail = many.mails[i].clone();
                mail.mail.message_id = format!("{copy}.{}", mail.mail.message_id);
                mail.parent = mail.parent.map(|p| p + (copy + 1) * mails);
                mail.root += (copy + 1) * mails;
                many.mails.push(mail);
            }
        }
        let stop = &mut |_, _: &Imported| ControlFlow::Break(());
        let part = write(&store, &author, &many, &[], 1, &mut OsRandom, stop).unwrap();
        assert!(part.stopped && (part.posts as usize) < many.mails.len());
        let rest = import(&store, &author, &many);
        assert_eq!((part.posts + rest.posts) as usize, many.mails.len());
        assert_eq!(store.stats().unwrap().posts as usize, many.mails.len());
    }

    #[test]
    fn a_text_that_cannot_be_compressed_is_cut_until_it_fits() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = store(dir.path());
        let mut archive = archive();
        archive.mails.truncate(1);
        let mut noise = 1u32;
        archive.mails[0].mail.body = (0..200_000)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'!' + (noise >> 24) as u8 % 90)
            })
            .collect();
        let (body, cut) = body(&archive.mails[0], Some(&[])).unwrap();
        let Body::Note(note) = &body else { panic!("{body:?}") };
        assert!(cut && fits(&body).unwrap());
        // Ninety symbols take 6.5 bits each, and few bytes of a payload are left unused.
        assert!(note.text.len() > MAX_PAYLOAD_BYTES * 11 / 10, "{}", note.text.len());
        let done = import(&store, &author, &archive);
        assert_eq!((done.posts, done.cut), (1, 1));
    }

    #[test]
    fn long_prose_is_kept_whole_and_what_the_reader_cut_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = store(dir.path());
        let mut archive = archive();
        archive.mails.truncate(2);
        let words = ["river", "stone", "answer", "morning", "letter", "window", "quiet", "seven"];
        archive.mails[0].mail.body =
            (0..12_000_usize).map(|i| format!("{} {} ", words[i * i % 8], i % 97)).collect();
        archive.mails[0].parent = None;
        archive.mails[1].mail.cut_bytes = 5;
        assert!(archive.mails[0].mail.body.len() > 2 * MAX_PAYLOAD_BYTES);
        let done = import(&store, &author, &archive);
        assert_eq!((done.posts, done.cut), (2, 1));
        let (_, root) = store.find_message(&archive.mails[0].mail.message_id).unwrap()[0];
        let info = store.entry(&root).unwrap().unwrap();
        let Some(Body::Note(note)) = info.body else { panic!("{info:?}") };
        assert_eq!(note.text, archive.mails[0].mail.body);
    }

    #[test]
    fn what_was_synced_and_not_folded_yet_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = store(dir.path());
        let archive = archive();
        let first = import(&store, &author, &archive);
        let db = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
        db.execute_batch(
            "DELETE FROM origins;
             INSERT INTO todo SELECT e.n, NULL FROM entries e WHERE e.class > 0;",
        )
        .unwrap();
        let again = import(&store, &author, &archive);
        assert_eq!((again.posts, again.already), (0, first.posts));
    }

    #[test]
    fn what_is_here_already_is_stepped_through_too() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = store(dir.path());
        let mut archive = archive();
        import(&store, &author, &archive);
        let known = archive.mails.clone();
        while archive.mails.len() <= 2 * BATCH {
            archive.mails.extend(known.iter().cloned());
        }
        let mut steps = Vec::new();
        let step = &mut |mails, _: &Imported| {
            steps.push(mails);
            ControlFlow::Continue(())
        };
        let done = write(&store, &author, &archive, &[], 1, &mut OsRandom, step).unwrap();
        assert_eq!((done.posts, done.already as usize), (0, archive.mails.len()));
        assert_eq!(steps, [BATCH as u64, 2 * BATCH as u64, archive.mails.len() as u64]);
    }
}
