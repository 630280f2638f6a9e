//! A thread as Markdown, for people and for other programs.
//!
//! Each post has a heading, as deep as its place in the tree, and its text is a block quotation.
//! Headings stand outside of quotations, so no post can forge another. Names and titles are
//! escaped; the text of a post is Markdown already and stays as it was written, cleaned.

use std::fmt::Write as _;

use lanai_crdt::text::{clean_block, clean_line};
use lanai_crdt::thread::{PostKind, PostText, PostView, ThreadKind};

use super::Reading;
use super::shape::help_word;
use super::tree::shown_origin;
use crate::time;

/// Markdown's deepest heading.
const DEEPEST: usize = 6;

/// The whole thread.
#[must_use]
pub fn thread(reading: &Reading<'_>) -> String {
    let thread = reading.thread;
    let mut out = String::new();
    let title = if thread.title.is_empty() { "(withdrawn)".into() } else { inline(&thread.title) };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# {title}\n");
    let kind = match thread.kind {
        ThreadKind::Ask => format!("ask, {}", thread.state.word()),
        ThreadKind::Note => "note".into(),
    };
    let _ = writeln!(out, "- thread: {} ({kind})", thread.root.short());
    if !thread.tags.is_empty() {
        let tags: Vec<String> = thread.tags.iter().map(|tag| inline(tag)).collect();
        let _ = writeln!(out, "- tags: {}", tags.join(", "));
    }
    if let Some(ask) = &thread.ask {
        let mut field = |label: &str, text: &str| {
            let _ = writeln!(out, "- {label}: {}", inline(text));
        };
        if let Some(decide) = &ask.decide {
            field("to decide", decide);
        }
        if let Some(by) = ask.need_by {
            field("needed by", &time::day(time::seconds(by)));
        }
        if let Some(tried) = &ask.tried {
            field("tried", tried);
        }
        if !ask.helps.is_empty() {
            let words: Vec<&str> = ask.helps.iter().copied().map(help_word).collect();
            field("would help", &words.join(", "));
        }
    }
    for post in &thread.posts {
        out.push('\n');
        one(&mut out, reading, post);
    }
    out
}

fn one(out: &mut String, reading: &Reading<'_>, post: &PostView) {
    let level = usize::from(post.depth).saturating_add(2).min(DEEPEST);
    let _ = writeln!(out, "{} {}\n", "#".repeat(level), head(reading, post));
    match &post.text {
        PostText::Withdrawn => out.push_str("*(withdrawn by its author)*\n"),
        PostText::Current(_) if post.hidden.is_some() => out.push_str("*(hidden by a lead)*\n"),
        PostText::Current(text) => {
            for line in clean_block(text.trim_end()).split('\n') {
                let _ = writeln!(out, "{}", format!("> {line}").trim_end());
            }
        }
    }
    if !post.reactions.is_empty() {
        out.push('\n');
    }
    for (reaction, members) in &post.reactions {
        let names: Vec<String> =
            members.iter().map(|m| inline(&reading.people.shown(m).to_plain())).collect();
        let _ = writeln!(out, "- {}: {}", reaction.word().replace('-', " "), names.join(", "));
    }
}

fn head(reading: &Reading<'_>, post: &PostView) -> String {
    let here = inline(&reading.people.shown(&post.author).to_plain());
    let (name, seconds) = match &post.origin {
        Some(origin) => (inline(shown_origin(origin)), origin.plausible),
        None => (here.clone(), time::seconds(post.time.millis())),
    };
    let mut head = format!("{name}, {} · {}", time::moment(seconds), post.id.short());
    if post.origin.is_some() {
        let _ = write!(head, " · imported by {here}");
    }
    if post.kind == PostKind::Outcome {
        head.push_str(" · outcome");
    }
    if !post.edits.is_empty() {
        let _ = write!(head, " · edited {}×", post.edits.len());
    }
    if post.part_of_answer {
        head.push_str(" · part of the answer");
    }
    if let Some(parent) = post.parent {
        let _ = write!(head, " · answers {}", parent.short());
    }
    head
}

/// A text on one line with the signs of Markdown and HTML escaped.
#[must_use]
pub fn inline(text: &str) -> String {
    let mut out = String::new();
    for c in clean_line(text).chars() {
        if "\\`*_[]<>#|~&".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
