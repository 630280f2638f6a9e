//! Short records on a stream that seals all that is written between two flushes in one piece.
//!
//! A record can be opened only once it is here whole. Noise makes them up to 64 KiB long, which is
//! seven minutes on a line of 1,200 bit/s.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

/// A stream that is flushed after every so many bytes.
pub(super) struct Records<S> {
    inner: S,
    most: usize,
    unflushed: usize,
}

impl<S> Records<S> {
    /// At most `most` bytes in a record.
    pub(super) fn new(inner: S, most: usize) -> Records<S> {
        Records { inner, most, unflushed: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Records<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        if self.unflushed >= self.most {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let n = buf.len().min(self.most - self.unflushed);
        let some = buf.get(..n).unwrap_or_default();
        let n = ready!(Pin::new(&mut self.inner).poll_write(cx, some))?;
        self.unflushed += n;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.unflushed = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncWriteExt as _;

    use super::*;

    /// Keeps what was written between flushes.
    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>, Vec<u8>);

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<Result<usize>> {
            self.1.extend(buf);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            let piece = std::mem::take(&mut self.1);
            self.0.push(piece);
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            self.poll_flush(cx)
        }
    }

    #[tokio::test]
    async fn no_record_is_longer_than_it_may_be() {
        let mut records = Records::new(Pieces::default(), 10);
        records.write_all(&[7; 33]).await.unwrap();
        records.flush().await.unwrap();
        records.write_all(&[8; 10]).await.unwrap();
        records.write_all(&[9; 1]).await.unwrap();
        records.close().await.unwrap();
        let lengths: Vec<usize> = records.inner.0.iter().map(Vec::len).collect();
        assert_eq!(lengths, [10, 10, 10, 3, 10, 1]);
    }
}
