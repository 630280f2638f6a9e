//! A split and a merge: three people write while nobody can reach anybody, then meet again.
//!
//! ```text
//! cargo run --example split_and_merge
//! ```
//!
//! No node runs while they are apart; they write to their own stores. Then the links return, and the
//! three stores become equal without anybody deciding anything.

#![allow(clippy::print_stdout)]

mod support;

use std::time::Duration;

use support::{Node, Result, be_a_node_if_asked, found, text_of, wait_until};

fn main() -> Result<()> {
    be_a_node_if_asked()?;
    let dir = tempfile::tempdir()?;
    let ana = found(dir.path(), "Ana")?;
    let ben = ana.admit(dir.path(), "Ben")?;
    let cleo = ana.admit(dir.path(), "Cleo")?;
    let thread = ana.note("The ford at night", "Who has crossed it?")?;
    ben.take_all_from(&ana)?;
    cleo.take_all_from(&ben)?;
    ben.take_all_from(&cleo)?;
    ana.take_all_from(&ben)?;
    println!("together:  {}", ana.state_hash()?);

    ana.reply(thread, "We walk it first, with poles.")?;
    ben.reply(thread, "Not after rain. Ask the farmer for the depth.")?;
    cleo.reply(thread, "We lost a trailer there in March; here is what we changed.")?;
    for person in [&ana, &ben, &cleo] {
        println!("apart:     {}", person.state_hash()?);
    }

    let anas = Node::start(&ana.home, &[])?;
    let bens = Node::start(&ben.home, &[anas.address("/tcp/")?])?;
    let cleos = Node::start(&cleo.home, &[bens.address("/tcp/")?])?;
    let took = wait_until(Duration::from_secs(30), || {
        let hash = ana.state_hash()?;
        Ok(hash == ben.state_hash()? && hash == cleo.state_hash()?)
    })?;
    println!("merged:    {} after {took:?}", cleo.state_hash()?);
    if let Some(view) = cleo.store.thread(&thread)? {
        println!("{}", view.thread.title);
        for post in &view.thread.posts {
            let name = view.names.get(&post.author).map_or("?", String::as_str);
            println!("  {name}: {}", text_of(&post.text));
        }
    }
    for node in [anas, bens, cleos] {
        node.stop()?;
    }
    Ok(())
}
