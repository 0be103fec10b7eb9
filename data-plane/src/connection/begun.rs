//! Which version of HTTP a client speaks, which its first bytes say.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What a client of HTTP/2 begins with.
const PREFACE: &[u8; LENGTH] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LENGTH: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// A stream whose first bytes have been looked at. They are read together with what follows them: a head that is read
/// in two pieces would take up twice the space in the HTTP library, for as long as the connection lasts.
#[derive(Debug)]
pub(crate) struct Begun<T> {
    first: [u8; LENGTH],
    /// How many have been looked at, and how many of them have been read since.
    looked_at: usize,
    read: usize,
    stream: T,
}

impl<T: AsyncRead + Unpin> Begun<T> {
    /// Waits for as many bytes as tell the version.
    pub(crate) async fn look(mut stream: T) -> io::Result<(Version, Self)> {
        let mut first = [0; LENGTH];
        let mut looked_at = 0;
        let mut version = Version::Http2;
        while let Some(free) = first.get_mut(looked_at..).filter(|free| !free.is_empty()) {
            let more = stream.read(free).await?;
            looked_at += more;
            let so_far = first.get(..looked_at).unwrap_or_default();
            if more == 0 || !PREFACE.starts_with(so_far) {
                version = Version::Http1;
                break;
            }
        }
        let begun = Self {
            first,
            looked_at,
            read: 0,
            stream,
        };
        Ok((version, begun))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Begun<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let first = this.first.get(this.read..this.looked_at);
        let first = first.filter(|first| !first.is_empty());
        let Some(first) = first else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        let fits = first.len().min(buffer.remaining());
        buffer.put_slice(first.get(..fits).unwrap_or_default());
        this.read += fits;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Begun<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    async fn look(pieces: &[&[u8]]) -> (Version, Vec<u8>) {
        let (mut client, server) = duplex(64);
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let receive = async {
            let (version, mut begun) = Begun::look(server).await.unwrap();
            let mut all = Vec::new();
            begun.read_to_end(&mut all).await.unwrap();
            (version, all)
        };
        tokio::join!(send, receive).1
    }

    #[tokio::test]
    async fn tells_the_version_and_gives_back_every_byte() {
        let http_2 = [PREFACE.as_slice(), b"frames"].concat();
        let expected = (Version::Http2, http_2.clone());
        assert_eq!(look(&[&http_2]).await, expected);
        let (one, other) = http_2.split_at(7);
        assert_eq!(look(&[one, other]).await, expected);
        for text in [
            "",
            "P",
            "PRI * HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\n\r\n{}",
        ] {
            let expected = (Version::Http1, text.as_bytes().to_vec());
            assert_eq!(look(&[text.as_bytes()]).await, expected);
            let (one, other) = text.as_bytes().split_at(text.len() / 2);
            assert_eq!(look(&[one, other]).await, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn what_was_looked_at_comes_together_with_the_rest() {
        let (mut client, server) = duplex(64);
        let text = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n\r\n";
        client.write_all(text).await.unwrap();
        let (_, mut begun) = Begun::look(server).await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(begun.read(&mut buffer).await.unwrap(), text.len());
    }
}
