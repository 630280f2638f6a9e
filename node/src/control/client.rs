//! The asking side: blocking, for the command line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Event, MAX_REPLY_BYTES, Reply, Request};

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No node listens on this home.
    #[error("no node is running on this home")]
    NotRunning,
    /// The connection broke, or no answer came in time.
    #[error("the node did not answer: {0}")]
    Io(#[from] std::io::Error),
    /// The answer makes no sense, as from a node of another version.
    #[error("the node's answer cannot be read: {0}")]
    Answer(String),
}

/// A connection to the node of a home, for one request.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the socket, or finds that no node is running.
    pub fn connect(socket: &Path) -> Result<Client, ControlError> {
        match UnixStream::connect(socket) {
            Ok(stream) => Ok(Client { stream }),
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(ControlError::NotRunning)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Sends the request and waits for its answer, at most `patience`.
    pub fn ask(mut self, request: &Request, patience: Duration) -> Result<Reply, ControlError> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))?;
        let mut line =
            serde_json::to_string(request).map_err(|e| ControlError::Answer(e.to_string()))?;
        line.push('\n');
        self.stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new((&self.stream).take(MAX_REPLY_BYTES)).read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(|e| ControlError::Answer(e.to_string()))
    }

    /// Listens to what happens in the node; `patience` is for the node's agreement only.
    pub fn listen(mut self, patience: Duration) -> Result<Listening, ControlError> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))?;
        let answer = |e: serde_json::Error| ControlError::Answer(e.to_string());
        let line = serde_json::to_string(&Request::Events).map_err(answer)?;
        self.stream.write_all(format!("{line}\n").as_bytes())?;
        let mut listening = Listening { from: BufReader::new(self.stream) };
        let reply = listening.line()?.ok_or(ControlError::NotRunning)?;
        match serde_json::from_str(&reply).map_err(answer)? {
            Reply::Done => {}
            Reply::Error { message } => return Err(ControlError::Answer(message)),
            _ => return Err(ControlError::Answer("it was not asked for".to_owned())),
        }
        listening.from.get_ref().set_read_timeout(None)?;
        Ok(listening)
    }
}

/// What happens in a node, as it happens.
#[derive(Debug)]
pub struct Listening {
    from: BufReader<UnixStream>,
}

impl Listening {
    /// The next event; `None` when the node has ended.
    #[allow(clippy::should_implement_trait, reason = "what ends it is an error or the node")]
    pub fn next(&mut self) -> Result<Option<Event>, ControlError> {
        let Some(line) = self.line()? else { return Ok(None) };
        serde_json::from_str(&line).map(Some).map_err(|e| ControlError::Answer(e.to_string()))
    }

    fn line(&mut self) -> Result<Option<String>, ControlError> {
        let mut line = String::new();
        (&mut self.from).take(MAX_REPLY_BYTES).read_line(&mut line)?;
        Ok((!line.is_empty()).then_some(line))
    }
}
