//! `lanai who`: the members of the community, and what they know.

use std::collections::BTreeMap;

use lanai_crdt::id::DeviceId;
use lanai_crdt::text::clean_line;
use lanai_node::store::{Expert, Grounds, Named, Person as Member, Who};
use serde::Serialize;

use super::{Context, profile};
use crate::app::{App, People};
use crate::args::WhoArgs;
use crate::error::{CliError, Exit};
use crate::layout::{Indent, Style, Table, Text};
use crate::time;
use crate::view::shape::role_word;

#[derive(Serialize)]
struct Members {
    members: Vec<profile::ProfileShape>,
    /// Who may know about the words, the likeliest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    experts: Option<Vec<ExpertShape>>,
}

/// Somebody who may know, with the reasons.
#[derive(Serialize)]
pub(super) struct ExpertShape {
    /// The member; none for an author of imported posts.
    id: Option<String>,
    name: String,
    reasons: Vec<ReasonShape>,
}

#[derive(Serialize)]
struct ReasonShape {
    kind: &'static str,
    /// A field of the profile, or how many posts.
    text: Option<String>,
    count: Option<usize>,
    post: Option<String>,
    title: Option<String>,
}

/// Authors of imported posts who are named for some words.
const MAX_ABSENT: usize = 5;
/// People named by `lanai who` for some words.
const MAX_EXPERTS: usize = 12;

impl ExpertShape {
    pub(super) fn of(expert: &Expert, people: &People) -> Self {
        let (id, name) = match &expert.who {
            Who::Member(member) => {
                (Some(member.full()), people.name(member).unwrap_or_default().to_owned())
            }
            Who::Origin(name) => (None, name.clone()),
        };
        let reasons = expert.reasons.iter().map(|reason| match parts(reason) {
            Ok((kind, count, named)) => ReasonShape {
                kind,
                text: None,
                count: Some(count),
                post: Some(named.post.full()),
                title: Some(named.title.clone()),
            },
            Err((_, text)) => ReasonShape {
                kind: "profile",
                text: Some(text.to_owned()),
                count: None,
                post: None,
                title: None,
            },
        });
        Self { id, name, reasons: reasons.collect() }
    }
}

/// A reason by posts, or by a field of the profile.
fn parts(reason: &Grounds) -> Result<(&'static str, usize, &Named), (&'static str, &str)> {
    match reason {
        Grounds::Profile(label, text) => Err((label, text)),
        Grounds::Answers(count, named) => Ok(("answers", *count, named)),
        Grounds::Outcomes(count, named) => Ok(("outcomes", *count, named)),
        Grounds::Helped(count, named) => Ok(("helped", *count, named)),
        Grounds::Pages(count, named) => Ok(("pages", *count, named)),
        Grounds::Posts(count, named) => Ok(("posts", *count, named)),
    }
}

/// A reason in words.
pub(super) fn in_words(reason: &Grounds) -> Text {
    let (kind, count, named) = match parts(reason) {
        Ok(parts) => parts,
        Err((label, text)) => {
            return Text::styled(Style::Dim, format!("{label}: ")).plain(clean_line(text));
        }
    };
    let many = |one: &str, more: &str| match count {
        1 => one.to_owned(),
        _ => more.replace("{}", &count.to_string()),
    };
    let what = match kind {
        "answers" => many("wrote part of an answer", "wrote {} posts that are part of answers"),
        "outcomes" => many("told how it went", "told {} times how it went"),
        "helped" => many("wrote a post that helped", "wrote {} posts that helped"),
        "pages" => many("wrote at the answer", "wrote at {} answers"),
        _ => many("wrote about it", "wrote {} posts about it"),
    };
    let title = if named.title.is_empty() { "(withdrawn)" } else { &named.title };
    Text::styled(Style::Dim, format!("{what}: "))
        .plain(format!("«{}»", clean_line(title)))
        .with(Style::Id, format!("  {}", named.post.short()))
}

pub(super) fn run(context: &mut Context, args: &WhoArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    app.catch_up()?;
    let people = app.people()?;
    let seen = seen(&app)?;
    let words: Vec<String> = args.words.iter().map(|word| word.to_lowercase()).collect();
    let mut members = app.store().people()?;
    let mut experts = match words.is_empty() {
        true => Vec::new(),
        false => app.store().people_for(&args.words.join(" "), MAX_EXPERTS)?,
    };
    // Who wrote in an archive cannot be asked: a few of them say where to read.
    let mut absent = 0;
    experts.retain(|expert| {
        absent += usize::from(matches!(expert.who, Who::Origin(_)));
        matches!(expert.who, Who::Member(_)) || absent <= MAX_ABSENT
    });
    let words: Vec<String> =
        words.iter().flat_map(|word| word.split_whitespace()).map(str::to_owned).collect();
    members.retain(|member| words.iter().all(|word| mentions(member, word)));
    if context.ui.is_json() {
        let shape =
            |member: &Member| profile::ProfileShape::of(member, &people, last_seen(member, &seen));
        let shape = Members {
            members: members.iter().map(shape).collect(),
            experts: (!words.is_empty())
                .then(|| experts.iter().map(|e| ExpertShape::of(e, &people)).collect()),
        };
        context.ui.json("members", &shape)?;
        return Ok(Exit::Done);
    }
    if members.is_empty() && experts.is_empty() {
        context.ui.say("nobody's name, profile or posts speak of that");
        return Ok(Exit::Done);
    }
    context.ui.start_pager();
    if words.is_empty() {
        let table = table(context, &members, &people, &seen);
        context.ui.table(&table)?;
    } else {
        // Whom the words name goes first, then who may know, then whom they are mentioned by.
        let is_named = |member: &&Member| {
            let name = member.profile.as_ref().map(|p| clean_line(&p.name).to_lowercase());
            name.is_some_and(|name| words.iter().all(|word| name.contains(word)))
        };
        let known =
            |member: &Member| experts.iter().position(|e| e.who == Who::Member(member.member));
        let mut first = true;
        for member in members.iter().filter(is_named) {
            gap(context, &mut first)?;
            matching(context, member, &people, &words)?;
            reasons(context, known(member).and_then(|at| experts.get(at)))?;
        }
        for expert in &experts {
            let member = match &expert.who {
                Who::Member(id) => members.iter().find(|m| m.member == *id),
                Who::Origin(_) => None,
            };
            match (member, &expert.who) {
                (Some(member), _) if is_named(&member) => continue,
                (Some(member), _) => {
                    gap(context, &mut first)?;
                    matching(context, member, &people, &words)?;
                    reasons(context, Some(expert))?;
                }
                (None, who) => {
                    gap(context, &mut first)?;
                    let head = match who {
                        Who::Member(id) => Text::styled(Style::Id, id.short())
                            .plain("  ")
                            .then(people.shown_to_me(id)),
                        Who::Origin(name) => {
                            Text::styled(Style::Name, name).with(Style::Dim, ", in imported posts")
                        }
                    };
                    context.ui.line(head)?;
                    for reason in &expert.reasons {
                        context.ui.indented(in_words(reason), &Indent::spaces(2))?;
                    }
                }
            }
        }
        for member in members.iter().filter(|m| !is_named(m) && known(m).is_none()) {
            gap(context, &mut first)?;
            matching(context, member, &people, &words)?;
        }
    }
    Ok(Exit::Done)
}

fn gap(context: &mut Context, first: &mut bool) -> Result<(), CliError> {
    if !std::mem::take(first) {
        context.ui.blank()?;
    }
    Ok(())
}

/// What speaks for a member beside the profile, which is shown already.
fn reasons(context: &mut Context, expert: Option<&Expert>) -> Result<(), CliError> {
    for reason in expert.into_iter().flat_map(|expert| &expert.reasons) {
        if parts(reason).is_ok() {
            context.ui.indented(in_words(reason), &Indent::spaces(2))?;
        }
    }
    Ok(())
}

/// When each device was last reached from here, Unix milliseconds.
pub(super) fn seen(app: &App) -> Result<BTreeMap<DeviceId, u64>, CliError> {
    let mut seen = BTreeMap::new();
    for peer in app.store().peers()? {
        let latest: &mut u64 = seen.entry(peer.device).or_default();
        *latest = peer.seen_ms.max(*latest);
    }
    Ok(seen)
}

pub(super) fn last_seen(member: &Member, seen: &BTreeMap<DeviceId, u64>) -> Option<u64> {
    member.devices.iter().filter_map(|device| seen.get(device)).max().copied()
}

/// The fields of a profile that `lanai who` looks into, with their labels.
pub(super) fn fields(member: &Member) -> Vec<(&'static str, &str)> {
    let Some(profile) = &member.profile else { return Vec::new() };
    let fields = [
        ("posts held", &profile.posts_held),
        ("experience", &profile.experience),
        ("ask me about", &profile.ask_about),
        ("reach me", &profile.reach),
    ];
    fields.into_iter().filter_map(|(label, field)| Some((label, field.as_deref()?))).collect()
}

fn mentions(member: &Member, word: &str) -> bool {
    let has = |text: &str| clean_line(text).to_lowercase().contains(word);
    let name = member.profile.as_ref().is_some_and(|profile| has(&profile.name));
    name || has(role_word(member.role)) || fields(member).iter().any(|(_, text)| has(text))
}

fn table(
    context: &Context,
    members: &[Member],
    people: &People,
    seen: &BTreeMap<DeviceId, u64>,
) -> Table {
    let terminal = context.ui.out_is_terminal();
    let mut table =
        Table::new().column("ID").flexible("NAME").column("ROLE").numbers("DEVICES").column("SEEN");
    for member in members {
        let id = if terminal { member.member.short() } else { member.member.full() };
        let mut role = Text::from(role_word(member.role));
        if member.pending {
            role.push(Style::Warn, " (pending)");
        }
        let me = people.me() == Some(member.member);
        let last = last_seen(member, seen).map(time::seconds);
        let last = match last {
            _ if me && terminal => String::new(),
            Some(last) if terminal => time::ago(last, context.now()),
            Some(last) => time::rfc3339(last).unwrap_or_default(),
            None if terminal => "never".into(),
            None => String::new(),
        };
        let name = people.shown(&member.member);
        let name = if me && terminal { name.with(Style::Dim, " (you)") } else { name };
        table.row([
            Text::styled(Style::Id, id),
            name,
            role,
            Text::from(member.devices.len().to_string()),
            Text::styled(Style::Dim, last),
        ]);
    }
    table
}

/// A member with the fields that hold one of the words.
fn matching(
    context: &mut Context,
    member: &Member,
    people: &People,
    words: &[String],
) -> Result<(), CliError> {
    let id = Text::styled(Style::Id, member.member.short()).plain("  ");
    let role = format!(", {}", role_word(member.role));
    context.ui.line(id.then(people.shown_to_me(&member.member)).with(Style::Dim, role))?;
    for (label, text) in fields(member) {
        let lower = clean_line(text).to_lowercase();
        if words.iter().any(|word| lower.contains(word)) {
            let first = Text::styled(Style::Dim, format!("  {label}: "));
            context.ui.block(text, &Indent { first, rest: Text::from("    ") })?;
        }
    }
    Ok(())
}
