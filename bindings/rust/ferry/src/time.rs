//! Sleeping, intervals, and a time limit for any future.
use crate::engine::nanoseconds;
use crate::error::{error_of, result_of};
use crate::operation::{request, run, Event, Multishot, Operation};
use crate::runtime::Handle;
use ferry_sys as sys;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) fn timer(delay: Duration, interval: Duration) -> sys::ferry_request {
    let mut timer = request(sys::FERRY_OP_TIMER, 0);
    timer.params.timer = sys::ferry_timer_params {
        delay_ns: nanoseconds(delay),
        interval_ns: nanoseconds(interval),
    };
    if !interval.is_zero() {
        timer.flags = sys::FERRY_MULTISHOT;
    }
    timer
}

impl Handle {
    /// Ends after this time; never early.
    pub async fn sleep(&self, delay: Duration) -> io::Result<()> {
        result_of(&run(&self.core, timer(delay, Duration::ZERO)).await).map(drop)
    }

    /// Expires again and again.
    pub fn interval(&self, period: Duration) -> Interval {
        let period = period.max(Duration::from_nanos(1));
        Interval { shots: Some(Multishot::start(&self.core, timer(period, period))) }
    }

    /// The future's output, or an error of kind `TimedOut`: then the future has been dropped, and
    /// what it waited for is cancelled. No byte of a stream is lost that way.
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = ferry::Runtime::new()?;
    /// let slow = runtime.sleep(Duration::from_secs(9));
    /// let error = runtime.block_on(runtime.timeout(Duration::from_millis(1), slow)).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> io::Result<F::Output> {
        // SAFETY: a timer points to nothing.
        let mut limit = unsafe { Operation::start(&self.core, timer(limit, Duration::ZERO), ()) };
        let mut future = Box::pin(future);
        crate::operation::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            match Pin::new(&mut limit).poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready((done, ())) => Poll::Ready(Err(match result_of(&done) {
                    Ok(_) => error_of(sys::FERRY_E_TIMED_OUT),
                    Err(error) => error,
                })),
            }
        })
        .await
    }
}

/// A timer that expires again and again; dropping it ends it.
pub struct Interval {
    shots: Option<Multishot>,
}

impl Interval {
    /// The next expiry. The result counts those that passed meanwhile, at least 1.
    pub async fn tick(&mut self) -> io::Result<u64> {
        crate::operation::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let shots = match &mut self.shots {
            Some(shots) => shots,
            None => return Poll::Ready(Err(error_of(sys::FERRY_E_STALE))),
        };
        let done = match shots.poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Event::More(done)) => done,
            Poll::Ready(Event::Paused(done) | Event::Final(done)) => {
                self.shots = None;
                done
            }
        };
        Poll::Ready(result_of(&done))
    }
}
