//! A client's connection and how long it may be silent: before a request, within a request's head,
//! and while it takes what it is sent.
//!
//! An HTTP library can bound the first two together only. Then either idle clients are cut off
//! while they may be sending the next request, or slow heads hold connections for minutes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::Limits;

/// What a connection of HTTP/2 begins with; frames, not heads, come after it.
const HTTP_2: &[u8] = b"PRI";

/// The requests of one connection, counted by those who answer them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Requests {
    /// A request is under way until what this returns is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.0))
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn are_under_way(&self) -> bool {
        self.begun() != self.0.ended.load(Ordering::Relaxed)
    }
}

/// A request that is being answered, up to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Counts>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that fails when its other end is silent for too long.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    stream: T,
    requests: Requests,
    idle: Duration,
    head: Duration,
    write: Duration,
    /// How much of [`HTTP_2`] has come; more than its length once something else has.
    preface: usize,
    /// Since when nothing was asked, or a head is being sent.
    quiet: Option<Quiet>,
    reading: Alarm,
    writing: Alarm,
}

#[derive(Debug, Clone, Copy)]
struct Quiet {
    /// How many requests had begun then.
    begun: u64,
    in_head: bool,
}

impl<T> Watched<T> {
    pub(crate) fn new(stream: T, requests: Requests, limits: &Limits) -> Self {
        Self {
            stream,
            requests,
            idle: limits.idle_timeout,
            head: limits.header_timeout,
            write: limits.write_timeout,
            preface: 0,
            quiet: None,
            reading: Alarm::default(),
            writing: Alarm::default(),
        }
    }

    fn speaks_http_2(&self) -> bool {
        self.preface == HTTP_2.len()
    }

    /// Something has come.
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match HTTP_2.get(self.preface) {
                Some(expected) if expected == byte => self.preface += 1,
                Some(_) => self.preface = usize::MAX,
                None => break,
            }
        }
        if self.speaks_http_2() {
            // What began like a head was none.
            self.quiet = self.quiet.filter(|quiet| !quiet.in_head);
            return;
        }
        let begun = self.requests.begun();
        // A head may come in pieces; its time counts from the first one.
        let is_known = self
            .quiet
            .is_some_and(|quiet| quiet.in_head && quiet.begun == begun);
        if !self.requests.are_under_way() && !is_known {
            self.quiet = Some(Quiet {
                begun,
                in_head: true,
            });
            self.reading.set(self.head);
        }
    }

    /// Nothing has come; ready when that has been so for too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.requests.are_under_way() {
            self.quiet = None;
            return Poll::Pending;
        }
        let begun = self.requests.begun();
        if self.quiet.is_none_or(|quiet| quiet.begun != begun) {
            self.quiet = Some(Quiet {
                begun,
                in_head: false,
            });
            self.reading.set(self.idle);
        }
        ready!(self.reading.poll(context));
        let in_head = self.quiet.is_some_and(|quiet| quiet.in_head);
        Poll::Ready(late(if in_head {
            "the client did not send a request's head in time"
        } else {
            "the client was idle"
        }))
    }

    /// Holds a write that waits to its time.
    fn bound_write<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.writing.clear();
            return written;
        }
        if !self.writing.is_set() {
            self.writing.set(self.write);
        }
        ready!(self.writing.poll(context));
        Poll::Ready(Err(late("the client did not take what it was sent")))
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                this.hear(buffer.filled().get(before..).unwrap_or_default());
                Poll::Ready(read)
            }
            Poll::Pending => this.wait(context).map(Err),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.bound_write(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.bound_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.bound_write(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.bound_write(context, shut)
    }
}

/// A time that is set anew with every request. The timer behind it is moved only when it goes off
/// too early, so that setting costs next to nothing.
#[derive(Debug, Default)]
struct Alarm {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, after: Duration) {
        let at = Instant::now() + after;
        self.at = Some(at);
        // One that would go off too late is of no use.
        if self.timer.as_ref().is_some_and(|t| t.deadline() > at) {
            self.timer = None;
        }
    }

    fn clear(&mut self) {
        self.at = None;
    }

    fn is_set(&self) -> bool {
        self.at.is_some()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        loop {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= at {
                self.at = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests;
