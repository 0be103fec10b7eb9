//! A client's connection and how long it may be silent: before a request, within a request's head,
//! and while it takes what it is sent.
//!
//! An HTTP library can bound the first two together only. Then either idle clients are cut off
//! while they may be sending the next request, or slow heads hold connections for minutes.

mod begun;
mod ending;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::Limits;

pub(crate) use begun::{Begun, Version};
pub(crate) use ending::{Draining, Ending, LAST_MOMENT, last_moment};

/// What a connection of HTTP/2 begins with; frames, not heads, come after it.
const HTTP_2: &[u8] = b"PRI";

/// The requests of one connection, counted by those who answer them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    /// When the connection was opened, and how long after that the last request ended.
    opened: Instant,
    last_end_nanos: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            opened: Instant::now(),
            last_end_nanos: AtomicU64::new(0),
        }
    }
}

impl Requests {
    /// A request is under way until what this returns is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.0))
    }

    /// How many requests have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn are_under_way(&self) -> bool {
        self.begun() != self.0.ended.load(Ordering::Acquire)
    }

    /// Since when nothing is asked.
    fn last_end(&self) -> Instant {
        let nanos = self.0.last_end_nanos.load(Ordering::Relaxed);
        self.0.opened + Duration::from_nanos(nanos)
    }
}

/// A request that is being answered, up to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Counts>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let nanos = self.0.opened.elapsed().as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.0.last_end_nanos.store(nanos, Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::Release);
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
    /// The head that is being sent.
    sent: Option<Head>,
    reading: Alarm,
    writing: Alarm,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    /// How many requests had begun before it.
    begun: u64,
    /// When its first byte came.
    since: Instant,
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
            sent: None,
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
        let begun = self.requests.begun();
        // A head may come in pieces; its time counts from the first one. What follows the head of a
        // request that is under way is its body.
        let is_known = self.sent.is_some_and(|head| head.begun == begun);
        if !is_known && !self.requests.are_under_way() {
            let since = Instant::now();
            self.sent = Some(Head { begun, since });
        }
    }

    /// When the client will have been silent for too long, as far as that can be said now.
    fn due(&self) -> (Instant, &'static str) {
        let idle = "the client was idle";
        if self.requests.are_under_way() {
            return (Instant::now() + self.idle, idle);
        }
        let begun = self.requests.begun();
        match self.sent.filter(|head| head.begun == begun) {
            Some(head) if !self.speaks_http_2() => (
                head.since + self.head,
                "the client did not send a request's head in time",
            ),
            _ => (self.requests.last_end() + self.idle, idle),
        }
    }

    /// Nothing has come; ready when that has been so for too long.
    ///
    /// Nobody asks again when a request ends, so that the timer runs through requests, and when it
    /// goes off, there may be more time.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            self.reading.set_at(self.due().0);
            ready!(self.reading.poll(context));
            let (due, why) = self.due();
            if due <= Instant::now() {
                return Poll::Ready(late(why));
            }
        }
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
        if !self.writing.is_set {
            self.writing.set_at(Instant::now() + self.write);
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

/// A time at which something is to be looked at.
#[derive(Debug, Default)]
struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    is_set: bool,
}

impl Alarm {
    /// Goes off at `at` or earlier: one that is set for an earlier time stays, so that setting one for
    /// a later time with every request costs next to nothing.
    fn set_at(&mut self, at: Instant) {
        match &mut self.timer {
            Some(timer) if self.is_set && timer.deadline() <= at => {}
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
        self.is_set = true;
    }

    fn clear(&mut self) {
        self.is_set = false;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) if self.is_set => {
                ready!(timer.as_mut().poll(context));
                self.is_set = false;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
