//! Drives one end of a [`Line`]: joins the machine to a link, a clock and whoever uses the stream.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::line::{Input, Line, LineCounts, LineError, Nonce, Output};

/// Bytes that wait between the line and who uses it. Few: what waits here can no longer be put off.
const BETWEEN_BYTES: usize = 256;
/// Bytes read from the link at once.
const READ_BYTES: usize = 1024;
/// How long an end that has said all waits until that has arrived.
const LAST_WORDS: Duration = Duration::from_secs(90);
/// How long the last frame, and the last bytes for who uses the stream, may take to be written.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// Why a line ended.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum WireEnd {
    /// The line protocol says so.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The link says so.
    #[error("the link ended")]
    Closed,
}

/// A stream over a line, once the other end is there.
pub(super) struct Wire {
    pub(super) stream: DuplexStream,
    /// Done when all is said that is going to be.
    pub(super) task: tokio::task::JoinHandle<Result<(), WireEnd>>,
    pub(super) counts: watch::Receiver<LineCounts>,
}

/// A line whose other end is not there yet.
pub(super) struct Waiting {
    wire: Wire,
    met: oneshot::Receiver<Nonce>,
}

impl Waiting {
    /// Starts to greet. `first`: what was read of the link already.
    pub(super) fn new<L>(link: L, own: Nonce, first: Vec<u8>) -> Waiting
    where
        L: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (stream, ours) = tokio::io::duplex(BETWEEN_BYTES);
        let (tell_met, met) = oneshot::channel();
        let (tell_counts, counts) = watch::channel(LineCounts::default());
        let driver = Driver {
            line: Line::new(own, 0),
            started: Instant::now(),
            frames: VecDeque::new(),
            offset: 0,
            stream: VecDeque::new(),
            ended: false,
            met: Some(tell_met),
            counts: tell_counts,
            over: None,
        };
        let task = tokio::spawn(driver.run(link, ours, first));
        Waiting { wire: Wire { stream, task, counts }, met }
    }

    /// Waits for the other end; gives what it drew.
    pub(super) async fn met(mut self) -> Result<(Nonce, Wire), WireEnd> {
        match (&mut self.met).await {
            Ok(theirs) => Ok((theirs, self.wire)),
            Err(_) => Err(match self.wire.task.await {
                Ok(Err(end)) => end,
                _ => WireEnd::Closed,
            }),
        }
    }

    /// Whether this end hears itself and nobody else.
    pub(super) fn counts(&self) -> watch::Receiver<LineCounts> {
        self.wire.counts.clone()
    }
}

struct Driver {
    line: Line,
    started: Instant,
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame that are written.
    offset: usize,
    /// For who uses the stream.
    stream: VecDeque<Vec<u8>>,
    /// The other end has said all.
    ended: bool,
    met: Option<oneshot::Sender<Nonce>>,
    counts: watch::Sender<LineCounts>,
    over: Option<Result<(), LineError>>,
}

impl Driver {
    fn feed(&mut self, input: Input<'_>) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        for output in self.line.handle(input, now) {
            match output {
                Output::Wire(frame) => self.frames.push_back(frame),
                Output::Met { theirs } => {
                    // Whoever waited may have lost patience.
                    let _gone = self.met.take().map(|met| met.send(theirs));
                }
                Output::Stream(bytes) => self.stream.push_back(bytes),
                Output::End => self.ended = true,
                Output::Over(result) => self.over = Some(result),
            }
        }
        self.counts.send_replace(self.line.counts());
    }

    async fn run<L>(mut self, link: L, user: DuplexStream, first: Vec<u8>) -> Result<(), WireEnd>
    where
        L: AsyncRead + AsyncWrite,
    {
        let (mut read, mut write) = link.split();
        let (mut from_user, mut to_user) = tokio::io::split(user);
        let (mut wire, mut given) = ([0; READ_BYTES], [0; READ_BYTES]);
        let (mut user_done, mut told_end, mut leave_at) = (false, false, None);
        let mut closed = false;
        self.feed(Input::Start);
        self.feed(Input::Wire(&first));
        while self.over.is_none() && !closed {
            if self.ended && self.stream.is_empty() && !told_end {
                told_end = true;
                // Nobody may be left to hear it.
                let _gone = to_user.shutdown().await;
            }
            let room = self.line.room().min(given.len());
            let deadline = self.line.deadline().map_or(self.started + LAST_WORDS * 100, |ms| {
                self.started + Duration::from_millis(ms)
            });
            tokio::select! {
                n = read.read(&mut wire) => match n {
                    Ok(0) | Err(_) => closed = true,
                    Ok(n) => self.feed(Input::Wire(wire.get(..n).unwrap_or_default())),
                },
                n = push(&mut write, self.frames.front(), self.offset), if !self.frames.is_empty() => {
                    match n {
                        Ok(Some(0)) | Err(_) => closed = true,
                        Ok(Some(n)) => self.offset += n,
                        Ok(None) => {
                            self.frames.pop_front();
                            self.offset = 0;
                            self.feed(Input::Written);
                        }
                    }
                },
                n = from_user.read(given.get_mut(..room).unwrap_or_default()),
                    if room > 0 && !user_done => match n
                {
                    Ok(0) | Err(_) => {
                        user_done = true;
                        leave_at = Some(Instant::now() + LAST_WORDS);
                        self.feed(Input::End);
                    }
                    Ok(n) => self.feed(Input::Stream(given.get(..n).unwrap_or_default())),
                },
                n = give(&mut to_user, self.stream.front()), if !self.stream.is_empty() => {
                    self.taken(n.ok());
                },
                () = tokio::time::sleep_until(deadline) => self.feed(Input::Tick),
                () = tokio::time::sleep_until(leave_at.unwrap_or(deadline)), if leave_at.is_some() => {
                    self.feed(Input::Leave);
                },
            }
        }
        let rest = async {
            while let Some(frame) = self.frames.pop_front() {
                write.write_all(frame.get(self.offset..).unwrap_or_default()).await?;
                write.flush().await?;
                self.offset = 0;
            }
            write.close().await
        };
        let _unsent = tokio::time::timeout(FLUSH_PATIENCE, rest).await;
        let rest = async {
            while let Some(bytes) = self.stream.pop_front() {
                to_user.write_all(&bytes).await?;
            }
            to_user.shutdown().await
        };
        let _untaken = tokio::time::timeout(FLUSH_PATIENCE, rest).await;
        match self.over {
            Some(result) => Ok(result?),
            None => Err(WireEnd::Closed),
        }
    }

    /// So many bytes of the first piece were taken; `None`: nobody takes any more.
    fn taken(&mut self, n: Option<usize>) {
        let Some(piece) = self.stream.front_mut() else { return };
        let n = n.unwrap_or(piece.len()).min(piece.len());
        piece.drain(..n);
        if piece.is_empty() {
            self.stream.pop_front();
        }
        self.feed(Input::Taken(n));
    }
}

/// Writes some of a frame; flushes it, and gives `None`, when all of it is written. Loses nothing when
/// dropped half-way.
async fn push(
    write: &mut (impl AsyncWrite + Unpin),
    frame: Option<&Vec<u8>>,
    offset: usize,
) -> std::io::Result<Option<usize>> {
    match frame.and_then(|f| f.get(offset..)).filter(|rest| !rest.is_empty()) {
        Some(rest) => write.write(rest).await.map(Some),
        None => write.flush().await.map(|()| None),
    }
}

async fn give(
    to_user: &mut (impl tokio::io::AsyncWrite + Unpin),
    piece: Option<&Vec<u8>>,
) -> std::io::Result<usize> {
    match piece {
        Some(piece) => to_user.write(piece).await,
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt as _, AsyncWriteExt as _};
    use libp2p::core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
    use tokio::io::{ReadHalf, WriteHalf};
    use tokio::sync::mpsc;
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::super::records::Records;
    use super::*;
    use crate::line::shaper::Dice;

    const RECORDS: u8 = 25;

    /// One direction of 48 kbit/s and 50 ms that loses one frame in twenty, in real time.
    async fn carry(
        mut from: ReadHalf<DuplexStream>,
        mut to: WriteHalf<DuplexStream>,
        mut dice: Dice,
    ) {
        let (put, mut get) = mpsc::channel::<(Instant, Vec<u8>)>(1000);
        let out = tokio::spawn(async move {
            while let Some((due, frame)) = get.recv().await {
                tokio::time::sleep_until(due).await;
                to.write_all(&frame).await?;
            }
            to.shutdown().await
        });
        let (mut busy, mut frame, mut buffer) = (Instant::now(), Vec::new(), [0; 512]);
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            for byte in &buffer[..n] {
                frame.push(*byte);
                if *byte != 0 || frame.len() == 1 {
                    continue;
                }
                let whole = std::mem::take(&mut frame);
                let takes = Duration::from_micros(whole.len() as u64 * 8_000_000 / 48_000);
                busy = busy.max(Instant::now()) + takes;
                if dice.roll(20) > 0 {
                    put.send((busy + Duration::from_millis(50), whole)).await.unwrap();
                }
            }
        }
        drop(put);
        // The other end may have gone before all of it came.
        let _written = out.await;
    }

    async fn end(link: DuplexStream, own: Nonce, talks: bool) -> LineCounts {
        let (theirs, wire) = Waiting::new(link.compat(), own, vec![0]).met().await.unwrap();
        let keys = libp2p::identity::Keypair::generate_ed25519();
        let (noise, stream) = (libp2p::noise::Config::new(&keys).unwrap(), wire.stream.compat());
        let secured = match own > theirs {
            true => noise.upgrade_outbound(stream, "").await,
            false => noise.upgrade_inbound(stream, "").await,
        };
        let mut sealed = Records::new(secured.unwrap().1, 512);
        if talks {
            for n in 0..RECORDS {
                sealed.write_all(&[n; 330]).await.unwrap();
                sealed.flush().await.unwrap();
            }
            let mut answer = [0; 2];
            sealed.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"ok");
        } else {
            for n in 0..RECORDS {
                let mut record = [0; 330];
                sealed.read_exact(&mut record).await.unwrap();
                assert_eq!(record, [n; 330]);
            }
            sealed.write_all(b"ok").await.unwrap();
            sealed.flush().await.unwrap();
        }
        sealed.close().await.unwrap();
        drop(sealed);
        wire.task.await.unwrap().unwrap();
        *wire.counts.borrow()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn noise_crosses_a_line_that_loses_frames_and_both_ends_part_well() {
        let (a, a_far) = tokio::io::duplex(64 * 1024);
        let (b, b_far) = tokio::io::duplex(64 * 1024);
        let (from_a, to_a) = tokio::io::split(a_far);
        let (from_b, to_b) = tokio::io::split(b_far);
        tokio::spawn(carry(from_a, to_b, Dice(3)));
        tokio::spawn(carry(from_b, to_a, Dice(4)));
        let ends = [(a, [1; 16], true), (b, [2; 16], false)];
        let [a, b] = ends.map(|(link, own, talks)| tokio::spawn(end(link, own, talks)));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        assert!(a.bytes_out > u64::from(RECORDS) * 348 && b.bytes_in > u64::from(RECORDS) * 348);
        assert_eq!((a.garbage, b.garbage), (0, 0));
    }
}
