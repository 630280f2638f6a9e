//! Finds the steps of a transcript in Markdown.
//!
//! A transcript is prose with fenced blocks marked `console`. In such a block
//!
//! 1. `ana$ COMMAND` is a command given by the member ana. It goes on over the next lines while a
//!    quotation mark is open, a line ends in a backslash, or a here-document (`<<END`) is not ended.
//! 2. `(found: ana, The Porch)`, `(join: ben cleo through ana)` and `(sync: ana ben)` are done by the
//!    runner: a community is founded, members join, nodes meet until they hold the same.
//! 3. All other lines are the expected output of the command above them; blank lines at the end of
//!    the output do not count. A last line `? 3` is the exit status, which is otherwise 0.

use std::ops::Range;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A script for the shell, given by a member.
    Run { member: String, script: String },
    /// The member founds a community of this name.
    Found { member: String, community: String },
    /// The members join through another.
    Join { members: Vec<String>, through: String },
    /// The nodes of these members run until all hold the same.
    Sync { members: Vec<String> },
}

/// One command with the output it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Index of the line it begins in.
    pub(crate) line: usize,
    pub(crate) action: Action,
    /// The lines of the expected output, by their indices.
    pub(crate) expected: Range<usize>,
}

/// The steps of a document, or what is wrong with it and where.
pub(crate) fn steps(lines: &[String]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim_end() != "```console" {
            at += 1;
            continue;
        }
        let end = (at + 1..lines.len())
            .find(|i| lines[*i].trim_end() == "```")
            .ok_or_else(|| format!("line {}: the block is not closed", at + 1))?;
        block(lines, at + 1..end, &mut steps)?;
        at = end + 1;
    }
    Ok(steps)
}

fn block(lines: &[String], range: Range<usize>, steps: &mut Vec<Step>) -> Result<(), String> {
    let before = steps.len();
    let mut at = range.start;
    while at < range.end {
        let line = at;
        let action = if let Some((member, first)) = prompt(&lines[at]) {
            let mut script = Script::default();
            script.push(first);
            while !script.is_complete() {
                at += 1;
                if at >= range.end {
                    return Err(format!("line {}: the command is not complete", line + 1));
                }
                script.push(&lines[at]);
            }
            Some(Action::Run { member: member.to_owned(), script: script.text })
        } else {
            scene(&lines[at]).map_err(|why| format!("line {}: {why}", line + 1))?
        };
        at += 1;
        if let Some(action) = action {
            steps.push(Step { line, action, expected: at..at });
        } else if !lines[line].trim().is_empty() {
            if steps.len() == before {
                return Err(format!("line {}: output without a command", line + 1));
            }
            if let Some(step) = steps.last_mut() {
                step.expected.end = line + 1;
            }
        }
    }
    Ok(())
}

/// Takes `ana$ COMMAND` apart.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (member, command) = line.split_once("$ ")?;
    let name = !member.is_empty() && member.bytes().all(|b| b.is_ascii_lowercase());
    name.then_some((member, command))
}

fn scene(line: &str) -> Result<Option<Action>, String> {
    let inner = line.trim_end().strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let Some((verb, rest)) = inner.and_then(|l| l.split_once(": ")) else { return Ok(None) };
    let names = |text: &str| -> Result<Vec<String>, String> {
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let fine = names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase()));
        if fine && !names.is_empty() { Ok(names) } else { Err(format!("no names: {text}")) }
    };
    let action = match verb {
        "found" => {
            let (member, community) =
                rest.split_once(", ").ok_or("write (found: NAME, COMMUNITY)")?;
            Action::Found { member: member.to_owned(), community: community.to_owned() }
        }
        "join" => {
            let (members, through) =
                rest.split_once(" through ").ok_or("write (join: NAMES through NAME)")?;
            Action::Join { members: names(members)?, through: through.to_owned() }
        }
        "sync" => Action::Sync { members: names(rest)? },
        _ => return Ok(None),
    };
    Ok(Some(action))
}

/// A command as far as it was read.
#[derive(Default)]
struct Script {
    text: String,
    quote: Option<char>,
    escaped: bool,
    /// The word that ends the here-document.
    here: Option<String>,
}

impl Script {
    fn push(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        if let Some(end) = &self.here {
            if line == end {
                self.here = None;
            }
            return;
        }
        self.escaped = false;
        let mut plain = String::new();
        for c in line.chars() {
            match (c, self.quote) {
                _ if self.escaped => self.escaped = false,
                ('\\', None | Some('"')) => self.escaped = true,
                ('"' | '\'', None) => self.quote = Some(c),
                (c, Some(quote)) if c == quote => self.quote = None,
                (c, None) => plain.push(c),
                _ => {}
            }
        }
        if self.quote.is_none() {
            // The word may be quoted, then it is not in `plain`.
            self.here = plain.contains("<<").then(|| {
                let word = line.rsplit("<<").next().unwrap_or_default();
                let word = word.split_whitespace().next().unwrap_or_default();
                word.trim_matches(['"', '\'']).to_owned()
            });
        }
    }

    fn is_complete(&self) -> bool {
        self.quote.is_none() && !self.escaped && self.here.is_none()
    }
}
