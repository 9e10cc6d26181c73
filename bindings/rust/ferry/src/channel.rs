//! Bounded channels between tasks and threads of one engine.
use crate::core::Core;
use crate::engine::Engine;
use crate::error::{result_of, Error, Status};
use crate::operation::{request, run, run_checked, Operation};
use crate::post::Message;
use crate::runtime::Handle;
use ferry_sys as sys;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A bounded queue of messages inside the engine.
///
/// ```
/// use ferry::Channel;
/// let runtime = ferry::Runtime::new()?;
/// runtime.block_on(async {
///     let channel = Channel::open(&runtime, 4).await?;
///     channel.send((1, 2)).await?;
///     channel.finish().await?;
///     assert_eq!(channel.receive().await?, Some((1, 2)));
///     assert_eq!(channel.receive().await?, None);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Channel {
    core: Rc<Core>,
    open: Arc<Open>,
    dropped: Rc<Dropped>,
}

/// A channel on its way to another thread: see [`Channel::share`].
#[derive(Clone)]
pub struct SharedChannel {
    open: Arc<Open>,
}

/// Closed with the last end of it.
struct Open {
    engine: Arc<Engine>,
    raw: sys::ferry_handle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.engine.discard(self.raw);
    }
}

/// Receives that were dropped: the next one waits until they have ended, and takes what they
/// received nevertheless.
#[derive(Default)]
struct Dropped {
    pending: Cell<usize>,
    messages: RefCell<VecDeque<Message>>,
    waiter: RefCell<Option<Waker>>,
}

impl Dropped {
    fn poll(&self, context: &Context<'_>) -> Poll<Option<Message>> {
        if self.pending.get() == 0 {
            return Poll::Ready(self.messages.borrow_mut().pop_front());
        }
        let before = self.waiter.borrow_mut().replace(context.waker().clone());
        drop(before);
        Poll::Pending
    }

    fn ended(&self, done: &sys::ferry_completion) {
        if done.status == 0 {
            self.messages.borrow_mut().push_back((done.result, done.data_u64));
        }
        self.pending.set(self.pending.get() - 1);
        let waiter = self.waiter.borrow_mut().take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// Counts itself among the dropped ones unless it has ended.
struct Receiving {
    dropped: Rc<Dropped>,
    ended: bool,
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.ended {
            self.dropped.pending.set(self.dropped.pending.get() + 1);
        }
    }
}

impl Channel {
    /// A channel that holds so many messages. With 0 a send ends when a receiver has its message.
    pub async fn open(handle: &Handle, capacity: u32) -> io::Result<Channel> {
        let mut open = request(sys::FERRY_OP_CHANNEL_OPEN, 0);
        open.params.channel.capacity = u64::from(capacity);
        let done = run(&handle.core, open).await;
        result_of(&done)?;
        let open = Open { engine: handle.core.engine.clone(), raw: done.handle };
        Ok(SharedChannel { open: Arc::new(open) }.attach(handle))
    }

    /// The same channel, for a thread with a runtime on the same engine.
    pub fn share(&self) -> SharedChannel {
        SharedChannel { open: self.open.clone() }
    }

    /// Puts a message in, as soon as there is room. After [`Channel::finish`] it fails with
    /// `BrokenPipe`; dropped, the message was not taken, unless that had happened already.
    pub async fn send(&self, message: Message) -> io::Result<()> {
        let mut send = request(sys::FERRY_OP_CHANNEL_SEND, self.open.raw);
        send.params.message = sys::ferry_message_params { result: message.0, data_u64: message.1 };
        run_checked(&self.core, send).await.map(drop)
    }

    /// The next message; `None` when the channel is finished and empty.
    pub async fn receive(&self) -> io::Result<Option<Message>> {
        let left = crate::operation::poll_fn(|context| self.dropped.poll(context)).await;
        if left.is_some() {
            return Ok(left);
        }
        let receive = request(sys::FERRY_OP_CHANNEL_RECEIVE, self.open.raw);
        // SAFETY: it points to nothing.
        let operation = unsafe { Operation::start(&self.core, receive, self.dropped.clone()) };
        // Dropped before the operation, and so counted before that ends.
        let operation = operation.or(|dropped, _, done| dropped.ended(done));
        let mut receiving = Receiving { dropped: self.dropped.clone(), ended: false };
        let (done, _) = operation.await;
        receiving.ended = true;
        match result_of(&done) {
            Ok(_) => Ok(Some((done.result, done.data_u64))),
            Err(error) if Error::of(&error).map(|error| error.status) == Some(Status::END) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Says that no more messages will come: what waits is still received.
    pub async fn finish(&self) -> io::Result<()> {
        let finish = request(sys::FERRY_OP_CHANNEL_FINISH, self.open.raw);
        run_checked(&self.core, finish).await.map(drop)
    }

    /// The engine's name for it.
    pub fn raw_handle(&self) -> u64 {
        self.open.raw
    }
}

impl SharedChannel {
    /// The channel, for the thread of this runtime. On another engine everything fails with
    /// `FOREIGN`.
    pub fn attach(self, handle: &Handle) -> Channel {
        Channel { core: handle.core.clone(), open: self.open, dropped: Rc::default() }
    }
}
