//! A member's device that gives files badly: wrong bytes, or nothing any more after a while.
//!
//! It has the home of a member who has the file, connects to nobody, and speaks nothing but
//! `/lanai/file/1`. The tests use it as the liar and as the one that stalls.
//!
//! ```text
//! cargo run --example file_peer -- HOME --lie
//! cargo run --example file_peer -- HOME --stall-after 100
//! ```
//!
//! It prints the address that it listens on, and runs until it is killed.

#![allow(clippy::print_stdout)]

use std::collections::HashSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use lanai_crdt::file::Layout;
use lanai_node::files::Blobs;
use lanai_node::files::wire::{Answer, FrameReader, MAX_REQUEST_BYTES, No, Request};
use lanai_node::home::{Environment, Home};
use lanai_node::identity::Identity;
use lanai_node::net::{self, NetConfig, NetEvent, NetStream, peer_id_of};
use lanai_node::store::{Place, Store};

/// What it does.
#[derive(Debug, Clone, Parser)]
struct Args {
    /// The home of a member.
    home: PathBuf,
    /// Change a bit of every group.
    #[arg(long)]
    lie: bool,
    /// Give so many groups, and then nothing any more.
    #[arg(long)]
    stall_after: Option<u32>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let home = Home::resolve(Some(&args.home), &Environment::of_process())?;
    let identity = Identity::of_home(&home)?;
    let store = Store::open(&Place::of_home(&home))?;
    let secret = zeroize::Zeroizing::new(identity.device.to_bytes());
    let mut config = NetConfig::new(secret, vec!["/ip4/127.0.0.1/tcp/0".parse()?]);
    config.mdns = false;
    let (net, mut events) = net::start(config)?;
    let roster = store.roster()?;
    let devices = roster.members().flat_map(|m| &m.devices);
    let members: HashSet<_> =
        devices.filter_map(|d| peer_id_of(d.device.as_bytes()).ok()).collect();
    net.set_members(members).await?;
    // A connection to who follows no topic is soon renewed.
    net.subscribe("lanai/file-peer").await?;
    let blobs = Blobs::of_home(&home);
    let given = Arc::new(AtomicU32::new(0));
    while let Some(event) = events.recv().await {
        match event {
            NetEvent::Listening(address) => println!("{address}/p2p/{}", net.local_peer()),
            NetEvent::FileStream { stream, .. } => {
                let (args, blobs, given) = (args.clone(), blobs.clone(), given.clone());
                tokio::spawn(async move {
                    // The other side hangs up on a liar.
                    let _ended = give(stream, &args, &blobs, &given).await;
                });
            }
            _ => {}
        }
    }
    Ok(())
}

async fn give(
    mut stream: NetStream,
    args: &Args,
    blobs: &Blobs,
    given: &AtomicU32,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut frames = FrameReader::new(MAX_REQUEST_BYTES);
    let mut buffer = vec![0; 4096];
    let mut blob = None;
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let mut input = buffer.get(..n).unwrap_or_default();
        while let Some(frame) = frames.next(&mut input)? {
            let answer = match Request::decode(&frame)? {
                Request::Ask { root, bytes, outline } => {
                    blob = blobs.open(&root, Layout::of(bytes)?)?;
                    match &blob {
                        Some(blob) if outline => Answer::Outline(blob.outline().to_vec()),
                        Some(_) => Answer::Outline(Vec::new()),
                        None => Answer::No(No::NotHere),
                    }
                }
                Request::Group(group) => {
                    let place = given.fetch_add(1, Ordering::SeqCst);
                    if args.stall_after.is_some_and(|most| place >= most) {
                        std::future::pending::<()>().await;
                    }
                    let mut sealed = match &blob {
                        Some(blob) => blob.sealed(group)?,
                        None => return Ok(()),
                    };
                    if let (true, Some(byte)) = (args.lie, sealed.get_mut(7)) {
                        *byte ^= 1;
                    }
                    Answer::Slice { group, sealed }
                }
            };
            stream.write_all(&answer.encode()).await?;
            stream.flush().await?;
        }
    }
}
