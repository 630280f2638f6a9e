//! A node that belongs to nobody: it has valid keys and no ticket.
//!
//! It looks for peers with mDNS or dials an address, subscribes to every topic it is told to guess,
//! opens every protocol a lanai node speaks, and prints, as one JSON object, all it could learn. The
//! tests use it as the hostile stranger, and as the unrelated neighbour on the same network.
//!
//! ```text
//! cargo run --example stranger -- --seconds 5 --dial /ip4/127.0.0.1/tcp/4001 --topic news
//! ```

#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use clap::Parser;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, gossipsub, identify, mdns, ping};

/// Protocols that a lanai node may speak.
const GUESSES: [&str; 4] = ["/lanai/sync/1", "/lanai/file/1", "/lanai/join/1", "/lanai/sync/2"];

/// What the stranger does.
#[derive(Debug, Parser)]
struct Args {
    /// How long to try, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Addresses to dial.
    #[arg(long)]
    dial: Vec<Multiaddr>,
    /// Gossip topics to subscribe to.
    #[arg(long)]
    topic: Vec<String>,
    /// Announce and look for peers with mDNS, and dial whoever answers.
    #[arg(long)]
    mdns: bool,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    gossipsub: gossipsub::Behaviour,
    streams: libp2p_stream::Behaviour,
    mdns: libp2p::swarm::behaviour::toggle::Toggle<mdns::tokio::Behaviour>,
}

/// All that was learned.
#[derive(Debug, Default, serde::Serialize)]
struct Learned {
    connected: BTreeSet<String>,
    agents: BTreeSet<String>,
    protocols: BTreeSet<String>,
    gossip_messages: usize,
    subscriptions_seen: usize,
    opened: BTreeSet<String>,
    refused: BTreeSet<String>,
    bytes_received: usize,
    received_hex: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            libp2p::tcp::Config::default().nodelay(true),
            libp2p::noise::Config::new,
            libp2p::yamux::Config::default,
        )?
        .with_quic()
        .with_behaviour(|key| {
            let gossipsub = gossipsub::Behaviour::new(
                gossipsub::MessageAuthenticity::Anonymous,
                gossipsub::ConfigBuilder::default()
                    .validation_mode(gossipsub::ValidationMode::None)
                    .build()?,
            )?;
            let mdns = match args.mdns {
                true => Some(mdns::tokio::Behaviour::new(
                    mdns::Config::default(),
                    key.public().to_peer_id(),
                )?),
                false => None,
            };
            Ok(Behaviour {
                identify: identify::Behaviour::new(identify::Config::new(
                    "stranger/1".into(),
                    key.public(),
                )),
                ping: ping::Behaviour::default(),
                gossipsub,
                streams: libp2p_stream::Behaviour::new(),
                mdns: mdns.into(),
            })
        })?
        .build();
    swarm.listen_on("/ip4/0.0.0.0/tcp/0".parse()?)?;
    for topic in &args.topic {
        swarm.behaviour_mut().gossipsub.subscribe(&gossipsub::IdentTopic::new(topic))?;
    }
    for address in &args.dial {
        swarm.dial(address.clone())?;
    }

    let mut learned = Learned::default();
    let (tx, mut tried) = tokio::sync::mpsc::channel::<(String, Result<Vec<u8>, String>)>(64);
    let end = tokio::time::sleep(Duration::from_secs(args.seconds));
    tokio::pin!(end);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = &mut end => break,
            _ = tick.tick() => {}
            Some((protocol, result)) = tried.recv() => match result {
                Ok(bytes) => {
                    learned.opened.insert(protocol);
                    learned.bytes_received += bytes.len();
                    learned.received_hex.push(bytes.iter().map(|b| format!("{b:02x}")).collect());
                }
                Err(why) => {
                    learned.refused.insert(format!("{protocol}: {why}"));
                }
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. }
                    if learned.connected.insert(peer_id.to_string()) =>
                {
                        for protocol in GUESSES {
                            let control = swarm.behaviour().streams.new_control();
                            let tx = tx.clone();
                            tokio::spawn(async move {
                                let result = poke(control, peer_id, protocol).await;
                                let _ended = tx.send((protocol.to_owned(), result)).await;
                            });
                        }
                        for topic in &args.topic {
                            let topic = gossipsub::IdentTopic::new(topic);
                            // Nobody subscribed is what the stranger should find.
                            let _unheard = swarm.behaviour_mut().gossipsub.publish(topic, b"hello?".to_vec());
                        }
                }
                SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { info, .. })) => {
                    learned.agents.insert(info.agent_version);
                    learned.protocols.extend(info.protocols.iter().map(ToString::to_string));
                }
                SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(gossipsub::Event::Message { .. })) => {
                    learned.gossip_messages += 1;
                }
                SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(gossipsub::Event::Subscribed { .. })) => {
                    learned.subscriptions_seen += 1;
                }
                SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                    for (_, address) in found {
                        // A peer that cannot be dialled is not of interest.
                        let _unreachable = swarm.dial(address);
                    }
                }
                _ => {}
            },
        }
    }
    println!("{}", serde_json::to_string(&learned)?);
    Ok(())
}

/// Opens one protocol, says something rude, and returns whatever comes back.
async fn poke(
    mut control: libp2p_stream::Control,
    peer: PeerId,
    protocol: &'static str,
) -> Result<Vec<u8>, String> {
    let mut stream = control
        .open_stream(peer, StreamProtocol::new(protocol))
        .await
        .map_err(|e| e.to_string())?;
    let rude: Vec<u8> = (0..200u8).collect();
    stream.write_all(&rude).await.map_err(|e| e.to_string())?;
    stream.flush().await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    let mut limited = stream.take(1 << 20);
    let read = limited.read_to_end(&mut answer);
    match tokio::time::timeout(Duration::from_secs(3), read).await {
        Ok(Err(e)) if answer.is_empty() => Err(e.to_string()),
        _ => Ok(answer),
    }
}
