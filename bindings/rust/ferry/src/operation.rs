//! The futures that everything here is made of.
use crate::core::{children_of, Core, Orphan};
use crate::error::result_of;
use ferry_sys as sys;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

const ENDED: u32 = u32::MAX;

/// One operation. It owns what the engine works on; dropped before its end it hands that to its
/// slot, which keeps it until the final completion.
pub(crate) struct Operation<K: 'static> {
    core: Rc<Core>,
    slot: u32,
    keep: Option<K>,
    orphan: fn(K, &Rc<Core>, &sys::ferry_completion),
}

fn dispose<K>(keep: K, core: &Rc<Core>, done: &sys::ferry_completion) {
    core.dispose(done);
    drop(keep);
}

impl<K: 'static> Operation<K> {
    /// # Safety
    ///
    /// What the request points to is static, or kept by `keep` wherever that is moved.
    pub unsafe fn start(core: &Rc<Core>, request: sys::ferry_request, keep: K) -> Self {
        Operation {
            core: core.clone(),
            slot: core.enqueue(request),
            keep: Some(keep),
            orphan: dispose,
        }
    }

    /// Who gets the end when this future is dropped before.
    pub fn or(mut self, orphan: fn(K, &Rc<Core>, &sys::ferry_completion)) -> Self {
        self.orphan = orphan;
        self
    }

    /// Lets it go on without anybody waiting.
    pub fn detach(mut self) {
        self.leave(false);
    }

    fn leave(&mut self, cancel: bool) {
        if let (true, Some(keep)) = (self.slot != ENDED, self.keep.take()) {
            let orphan = self.orphan;
            let mut keep = Some(keep);
            let end = move |core: &Rc<Core>, done: &sys::ferry_completion| {
                if let Some(keep) = keep.take() {
                    orphan(keep, core, done);
                }
            };
            let slot = std::mem::replace(&mut self.slot, ENDED);
            self.core.abandon(slot, cancel, Box::new(end));
        }
    }
}

// Nothing in it is pinned: what the engine works on lies elsewhere.
impl<K> Unpin for Operation<K> {}

impl<K> Future for Operation<K> {
    type Output = (sys::ferry_completion, K);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(self.slot != ENDED, "polled after its end");
        match self.core.poll_end(self.slot, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(done) => {
                self.slot = ENDED;
                let keep = self.keep.take().expect("kept until its end");
                Poll::Ready((done, keep))
            }
        }
    }
}

impl<K> Drop for Operation<K> {
    fn drop(&mut self) {
        self.leave(true);
    }
}

/// An operation with many completions.
pub(crate) struct Multishot {
    core: Rc<Core>,
    slot: u32,
}

pub(crate) enum Event {
    More(sys::ferry_completion),
    /// It was ended since nobody listened: start it again.
    Paused(sys::ferry_completion),
    Final(sys::ferry_completion),
}

impl Multishot {
    /// The request must not point to anything.
    pub fn start(core: &Rc<Core>, request: sys::ferry_request) -> Self {
        Multishot { core: core.clone(), slot: core.enqueue(request) }
    }

    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        assert!(self.slot != ENDED, "polled after its end");
        let (done, paused) = match self.core.poll_next(self.slot, context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(event) => event,
        };
        if done.flags & sys::FERRY_MORE != 0 {
            return Poll::Ready(Event::More(done));
        }
        self.slot = ENDED;
        if paused && done.status == sys::FERRY_E_CANCELED {
            return Poll::Ready(Event::Paused(done));
        }
        Poll::Ready(Event::Final(done))
    }
}

impl Multishot {
    /// Cancels it; `orphan` gets what it still brings.
    pub fn abandon(mut self, orphan: Orphan) {
        let slot = std::mem::replace(&mut self.slot, ENDED);
        if slot != ENDED {
            self.core.abandon(slot, true, orphan);
        }
    }
}

impl Drop for Multishot {
    fn drop(&mut self) {
        if self.slot != ENDED {
            self.core.abandon(self.slot, true, Box::new(|core, done| core.dispose(done)));
        }
    }
}

/// A request that works on a handle.
pub(crate) fn request(opcode: u32, target: sys::ferry_handle) -> sys::ferry_request {
    sys::ferry_request { opcode: opcode as u16, target, ..Default::default() }
}

/// Runs a request that points to nothing.
pub(crate) async fn run(core: &Rc<Core>, request: sys::ferry_request) -> sys::ferry_completion {
    // SAFETY: it points to nothing.
    unsafe { Operation::start(core, request, ()) }.await.0
}

/// Runs one whose result is all there is to say.
pub(crate) async fn run_checked(core: &Rc<Core>, request: sys::ferry_request) -> io::Result<u64> {
    result_of(&run(core, request).await)
}

/// Copies of the records that a completion lent, which is released.
///
/// # Safety
///
/// The operation brings records of this type.
pub(crate) unsafe fn records<T: Copy>(
    core: &Rc<Core>,
    done: &sys::ferry_completion,
) -> io::Result<Vec<T>> {
    debug_assert!(children_of(done).is_empty());
    let size = result_of(done);
    let mut list = Vec::new();
    if let (Ok(size), true) = (&size, done.data_u64 != 0) {
        let count = *size as usize / std::mem::size_of::<T>();
        list.extend_from_slice(std::slice::from_raw_parts(done.data_u64 as *const T, count));
    }
    core.dispose(done);
    size.map(|_| list)
}

/// As `std::future::poll_fn` of later versions.
pub(crate) fn poll_fn<T, F: FnMut(&mut Context<'_>) -> Poll<T>>(poll: F) -> PollFn<F> {
    PollFn(poll)
}

pub(crate) struct PollFn<F>(F);

// The function is only called, never pinned.
impl<F> Unpin for PollFn<F> {}

impl<T, F: FnMut(&mut Context<'_>) -> Poll<T>> Future for PollFn<F> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        (self.0)(context)
    }
}
