//! Trains the zstd dictionary of the payload envelope, and measures it.
//!
//! ```text
//! alias trainer='cargo run --release -p lanai-crdt --features dictionary-trainer \
//!     --example train_dictionary --'
//! trainer train OUT.zdict crdt/dict/phrases.txt DIR...
//! trainer measure crdt/dict/v1.zdict TEXTS
//! ```
//!
//! `train` takes every paragraph of prose from the `.html` and `.md` files and the doc comments
//! of the `.rs` files below each DIR, joins neighbours until they are as long as a post, makes
//! each the body of a post, keeps one in ten apart, trains on the others and on the
//! phrases, and prints how well the result does on those kept apart. A directory that is a Rust
//! package under neither MIT nor Apache-2.0 is passed over. `measure` does the same for a file of
//! texts separated by NUL bytes, so that a community can see what the dictionary saves on its own
//! words.
//!
//! The committed dictionary is part of the v1 format: it is never trained again under that name.
//! `crdt/dict/README.md` says which texts it came from.

#![allow(clippy::print_stdout, reason = "a command line program")]

use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use lanai_crdt::payload::{self, Body, Post, PostRole};

/// Bytes of the dictionary.
const DICTIONARY_BYTES: usize = 32 * 1024;
/// Samples aim at the size of a post: paragraphs are joined until they pass this many bytes.
const SAMPLE_BYTES: [usize; 4] = [120, 250, 400, 700];
/// How often the phrases enter the training set: they are few, and closest to what people write.
const PHRASE_WEIGHT: usize = 60;
/// One sample in this many is kept apart for measuring.
const HELD_OUT: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["train", out, phrases, dirs @ ..] if !dirs.is_empty() => {
            train(Path::new(out), Path::new(phrases), dirs)
        }
        ["measure", dictionary, texts] => {
            let dictionary = fs::read(dictionary)?;
            let texts = fs::read_to_string(texts)?;
            let samples: Vec<Vec<u8>> = texts
                .split('\0')
                .filter(|t| !t.trim().is_empty())
                .map(as_post)
                .collect::<Result<_, _>>()?;
            report("texts", &dictionary, &samples)
        }
        _ => Err("usage: train OUT PHRASES DIR... | measure DICTIONARY TEXTS".into()),
    }
}

fn train(out: &Path, phrases: &Path, dirs: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for dir in dirs {
        collect_files(Path::new(dir), &mut files)?;
    }
    files.sort();
    let (mut seen, mut train, mut held_out) = (HashSet::new(), Vec::new(), Vec::new());
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let paragraphs = match file.extension().and_then(|e| e.to_str()) {
            Some("html") => html_paragraphs(&text),
            Some("rs") => markdown_paragraphs(&doc_comments(&text)),
            _ => markdown_paragraphs(&text),
        };
        let fresh = paragraphs
            .into_iter()
            .filter(|p| is_prose(p) && seen.insert(blake3::hash(p.as_bytes())))
            .collect::<Vec<_>>();
        for sample in join_to_posts(&fresh) {
            if choice_of(&sample).is_multiple_of(HELD_OUT) {
                held_out.push(as_post(&sample)?);
            } else {
                train.push(as_post(&sample)?);
            }
        }
    }
    let bytes: usize = train.iter().map(Vec::len).sum();
    println!("{} files, {} samples to train on ({bytes} bytes)", files.len(), train.len());
    let phrases = fs::read_to_string(phrases)?;
    for phrase in phrases.split("\n\n").filter(|p| !p.trim().is_empty()) {
        for _ in 0..PHRASE_WEIGHT {
            train.push(as_post(phrase.trim())?);
        }
    }
    let dictionary = zstd::dict::from_samples(&train, DICTIONARY_BYTES)?;
    fs::write(out, &dictionary)?;
    println!("{}: {} bytes, BLAKE3 {}", out.display(), dictionary.len(), blake3::hash(&dictionary));
    report("kept apart", &dictionary, &held_out)
}

/// Prints the ratios over `samples` without and with the dictionary.
fn report(name: &str, dictionary: &[u8], samples: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let total: usize = samples.iter().map(Vec::len).sum();
    if total == 0 {
        return Err("nothing to measure".into());
    }
    println!("{name}: {} bodies, {} bytes each", samples.len(), total / samples.len());
    for level in [3, 9, 12, 15, 19] {
        let ratio = |dictionary: &[u8]| -> Result<(f64, f64), Box<dyn Error>> {
            let dictionary = zstd::dict::EncoderDictionary::copy(dictionary, level);
            let mut zstd = zstd::bulk::Compressor::with_prepared_dictionary(&dictionary)?;
            zstd.include_dictid(false)?;
            let start = std::time::Instant::now();
            let mut packed = 0;
            for sample in samples {
                // Four bytes of magic number are never sent.
                packed += (zstd.compress(sample)?.len() - 4).min(sample.len());
            }
            let micros = start.elapsed().as_secs_f64() * 1e6 / samples.len() as f64;
            Ok((total as f64 / packed as f64, micros))
        };
        let ((without, _), (with, micros)) = (ratio(&[])?, ratio(dictionary)?);
        println!("  level {level:2}: {without:.2} without, {with:.2} with, {micros:.1} us a body");
    }
    Ok(())
}

fn collect_files(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if let Ok(manifest) = fs::read_to_string(dir.join("Cargo.toml")) {
        let licence = manifest.lines().find(|line| line.starts_with("license = "));
        if !licence.is_some_and(|l| l.contains("MIT") || l.contains("Apache-2.0")) {
            return Ok(());
        }
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_files(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "html" || e == "md" || e == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

/// The Markdown of a Rust file's doc comments; other lines become empty ones.
fn doc_comments(source: &str) -> String {
    source
        .lines()
        .map(|line| {
            let line = line.trim_start();
            let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            doc.map_or("", |text| text.strip_prefix(' ').unwrap_or(text)).to_owned() + "\n"
        })
        .collect()
}

/// The text of every `<p>` and `<li>` that holds no other element of that kind.
fn html_paragraphs(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (open, close) in [("<p>", "</p>"), ("<li>", "</li>")] {
        for part in html.split(open).skip(1) {
            let Some((inside, _)) = part.split_once(close) else { continue };
            if inside.contains("<p>") || inside.contains("<pre") || inside.contains("<ol") {
                continue;
            }
            found.push(unescape(&strip_tags(inside)));
        }
    }
    found.iter().map(|p| one_line(p)).collect()
}

fn strip_tags(html: &str) -> String {
    let mut inside = false;
    html.chars()
        .filter(|&c| {
            let was = inside;
            inside = (inside || c == '<') && c != '>';
            !was && c != '<'
        })
        .collect()
}

fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |t, (from, to)| t.replace(from, to))
    .replace(['\u{2019}', '\u{2018}'], "'")
    .replace(['\u{201c}', '\u{201d}'], "\"")
}

/// Paragraphs of a Markdown file outside code, tables, headings and link lists.
fn markdown_paragraphs(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            prose.push_str("\n\n");
            continue;
        }
        let skip =
            fenced || line.starts_with("    ") || line.starts_with(['#', '|', '[', '<', '!']);
        if skip || line.trim().is_empty() {
            prose.push_str("\n\n");
        } else {
            let item = line.trim_start().trim_start_matches(['-', '*', '>']);
            if item.len() < line.trim_start().len() {
                prose.push_str("\n\n");
            }
            prose.push_str(item);
            prose.push('\n');
        }
    }
    prose.split("\n\n").map(|p| one_line(&p.replace('`', ""))).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a paragraph reads like something a person says: sentences, few symbols and digits.
fn is_prose(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_ascii_lowercase() || *c == ' ').count();
    let odd = text.chars().filter(|c| "_:<>{}[]=/\\|#&*@".contains(*c)).count();
    let people = [" you ", " your ", " we ", " I ", "You ", "We ", " our ", " they ", " people "];
    (60..2000).contains(&text.len())
        && letters * 100 >= text.len() * 88
        && odd * 100 <= text.len()
        && text.contains(". ") | text.ends_with(['.', '?', '!'])
        && people.iter().any(|w| text.contains(w))
        && !text.contains("http")
        && !text.contains("WARRANT")
}

fn join_to_posts(paragraphs: &[String]) -> Vec<String> {
    let mut posts = Vec::new();
    let mut post = String::new();
    for paragraph in paragraphs {
        if !post.is_empty() {
            post.push_str("\n\n");
        }
        post.push_str(paragraph);
        let aim = SAMPLE_BYTES.get(posts.len() % SAMPLE_BYTES.len()).copied().unwrap_or(250);
        if post.len() >= aim {
            posts.push(std::mem::take(&mut post));
        }
    }
    posts
}

/// A number that depends on the text alone, so that a run can be repeated.
fn choice_of(text: &str) -> u64 {
    let mut bytes = [0; 8];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The body of a reply that says `text`.
fn as_post(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let post = Post { role: PostRole::Reply, text: text.to_owned(), origin: None, met: None };
    Ok(payload::encode(&Body::Post(post))?)
}
