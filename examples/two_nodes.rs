//! Two people, two nodes, one conversation.
//!
//! ```text
//! cargo run --example two_nodes
//! ```
//!
//! Ana founds a community and lets Ben in. Each runs a node in a process of its own; Ben's dials
//! Ana's over loopback. What either writes is with the other a moment later.

#![allow(clippy::print_stdout)]

mod support;

use std::time::Duration;

use support::{Node, Result, be_a_node_if_asked, found, text_of, wait_until};

fn main() -> Result<()> {
    be_a_node_if_asked()?;
    let dir = tempfile::tempdir()?;

    let ana = found(dir.path(), "Ana")?;
    let ben = ana.admit(dir.path(), "Ben")?;
    let thread = ana.note("First evening on the porch", "What did you learn today?")?;
    println!("Ana wrote {thread}; Ben has {} threads yet", ben.store.stats()?.threads);

    let anas = Node::start(&ana.home, &[])?;
    let bens = Node::start(&ben.home, &[anas.address("/tcp/")?])?;
    let patience = Duration::from_secs(20);
    let took = wait_until(patience, || Ok(ana.state_hash()? == ben.state_hash()?))?;
    println!("the nodes met; Ben has Ana's note after {took:?}");

    let reply = ben.reply(thread, "Check the trailers before you leave the gate.")?;
    bens.wake()?;
    let took = wait_until(patience, || {
        let view = ana.store.thread(&thread)?;
        Ok(view.is_some_and(|v| v.thread.posts.iter().any(|p| p.id == reply)))
    })?;
    println!("Ana reads Ben's reply after {took:?}:");
    if let Some(view) = ana.store.thread(&thread)? {
        for post in &view.thread.posts {
            let name = view.names.get(&post.author).map_or("?", String::as_str);
            println!("  {name}: {}", text_of(&post.text));
        }
    }
    println!("state hash of both: {}", ana.state_hash()?);
    assert_eq!(ana.state_hash()?, ben.state_hash()?);
    bens.stop()?;
    anas.stop()
}
