//! Tests of whole sessions.

mod codec;
mod exchange;
mod golden;
mod hostile;
mod news;
mod pair;
mod terms;
mod world;
