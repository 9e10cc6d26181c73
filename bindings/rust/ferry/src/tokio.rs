//! Inside tokio: the engine has a thread of its own, and a task of tokio's watches the queue's
//! descriptor, hands out what has ended, and submits what other tasks asked for in one turn.
//!
//! Tokio's tasks and Ferry's futures live on one thread, so they are run in a
//! [`LocalSet`](::tokio::task::LocalSet) and begun with `spawn_local` or
//! [`Handle::spawn`](crate::Handle::spawn).
//!
//! ```
//! use std::time::Duration;
//!
//! let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! let local = tokio::task::LocalSet::new();
//! local.block_on(&tokio, async {
//!     let runtime = ferry::tokio::runtime(&ferry::Options::default())?;
//!     let nap = tokio::task::spawn_local({
//!         let handle = runtime.handle();
//!         async move { handle.sleep(Duration::from_millis(2)).await }
//!     });
//!     nap.await.unwrap()
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
use crate::core::Core;
use crate::engine::{Engine, Options};
use crate::runtime::Runtime;
use ::tokio::io::unix::AsyncFd;
use ::tokio::io::Interest;
use std::io;
use std::os::unix::io::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

/// A runtime whose tasks tokio runs. Call it inside a `LocalSet` with tokio's IO enabled.
pub fn runtime(options: &Options) -> io::Result<Runtime> {
    let engine = Engine::new(options)?;
    let runtime = Runtime::make(engine, options, false)?;
    // SAFETY: the queue is alive, and with it its descriptor.
    let fd = unsafe { BorrowedFd::borrow_raw(runtime.core.fd()?) };
    let watched = Watched(fd.try_clone_to_owned()?);
    let driver = Driver {
        core: Rc::downgrade(&runtime.core),
        fd: AsyncFd::with_interest(watched, Interest::READABLE)?,
    };
    runtime.set_spawner(|future| drop(::tokio::task::spawn_local(future)));
    ::tokio::task::spawn_local(driver);
    Ok(runtime)
}

/// A duplicate, so that tokio's poller never sees a number that somebody else's file has by then.
struct Watched(OwnedFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

struct Driver {
    core: Weak<Core>,
    fd: AsyncFd<Watched>,
}

impl std::future::Future for Driver {
    type Output = ();

    /// Ends when the runtime is gone.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let core = match self.core.upgrade() {
            Some(core) if !core.closed.get() => core,
            _ => return Poll::Ready(()),
        };
        core.flush();
        *core.driver.borrow_mut() = Some(context.waker().clone());
        loop {
            core.reap();
            if !core.arm() {
                continue;
            }
            match self.fd.poll_read_ready(context) {
                Poll::Pending => return Poll::Pending,
                // The queue clears the descriptor itself when it is armed.
                Poll::Ready(Ok(mut ready)) => ready.clear_ready(),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
    }
}
