//! Posts for the benchmarks: made of common words, by several people, in threads of ten.

use std::time::Instant;

use lanai_crdt::payload::{Body, Note, Post, PostRole};
use lanai_node::store::{NewEntry, NewRef};

use crate::support::{Person, Result};

/// Words of which the posts are made: common ones often, rare ones rarely.
const WORDS: &str = "the of and to a in that we is for it on you with as not be are this was but at \
    have from they or by one had what all were when there can an your which their if do will how \
    about out up them then she many some so these would into has more her two like him see time \
    could no make than first been its who now people my made over did down only way find use may \
    water long little very after words called just where most know get through back much before go \
    good new write our used me man too any day same right look think also around another came come \
    work three word must because does part even place well such here take why things help put years \
    different away again off went old number great tell men say small every found still between \
    name should home big give air line set own under read last never us left end along while might \
    next sound below saw something thought both few those always looked show large often together \
    asked house world going want school important until form food keep children feet land side \
    without boy once animals life enough took four head above kind began almost live page got earth \
    need far hand high year mother light country father let night following picture being study \
    second eyes soon times story boys since white days ever paper hard near sentence better best \
    across during today others however sure means knew try told young miles sun ways thing whole \
    hear example heard several change answer room sea against top turned learn point city play \
    toward five using himself usually convoy trailer ford depth radio battery spare driver route";

/// Posts of a thread.
const THREAD: usize = 10;
/// Posts of a batch.
const BATCH: usize = 1_000;

/// The words, the commonest first.
pub(crate) fn words() -> Vec<&'static str> {
    WORDS.split_whitespace().collect()
}

/// A small generator, so that a run can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Random {
        Random(0x5eed_1a2a_1234_5677)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// A text of so many bytes.
    pub(crate) fn text(&mut self, bytes: usize) -> String {
        let words = words();
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let rank = self.below(words.len()).min(self.below(words.len()));
            text.push_str(words.get(rank).unwrap_or(&"the"));
            text.push(if self.below(12) == 0 { '\n' } else { ' ' });
        }
        text.truncate(bytes);
        text
    }
}

/// Writes `posts` posts of `bytes` bytes, two hundred by the first person one at a time and the rest by
/// all in batches, and says how fast.
pub(crate) fn create(
    people: &[&Person],
    posts: usize,
    bytes: usize,
    random: &mut Random,
) -> Result<()> {
    let single = 200.min(posts);
    let start = Instant::now();
    for person in people.iter().take(1).cycle().take(single) {
        person.note("One at a time", &random.text(bytes))?;
    }
    let rate = single as f64 / start.elapsed().as_secs_f64();
    println!("create, one at a time, on disk each:   {rate:8.0} posts/s");

    let left = posts - single;
    let mut written = 0;
    let start = Instant::now();
    for (i, person) in people.iter().enumerate() {
        let share = left * (i + 1) / people.len() - left * i / people.len();
        let mut batch: Vec<NewEntry> = Vec::new();
        let mut root = 0;
        for n in 0..share {
            let text = random.text(bytes);
            batch.push(if batch.len().is_multiple_of(THREAD) {
                root = batch.len();
                let title = format!("Thread {i}.{n}");
                NewEntry::new(Body::Note(Note { title, text, tags: vec![], origin: None }), [])
            } else {
                NewEntry {
                    body: Body::Post(Post { role: PostRole::Reply, text, origin: None, met: None }),
                    refs: vec![NewRef::Batch(root)],
                }
            });
            if batch.len() == BATCH || n + 1 == share {
                written += person.write(std::mem::take(&mut batch))?.len();
            }
        }
    }
    let rate = written as f64 / start.elapsed().as_secs_f64();
    println!("create, batches of 1,000:              {rate:8.0} posts/s");
    Ok(())
}
