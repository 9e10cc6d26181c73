//! Messages from other threads into a runtime's queue.
use crate::core::Core;
use crate::error::check;
use crate::runtime::Handle;
use crate::task::Shared;
use ferry_sys as sys;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A message is two words.
pub type Message = (i64, u64);

#[derive(Default)]
pub(crate) struct Mail {
    waiting: RefCell<VecDeque<Message>>,
    waker: RefCell<Option<Waker>>,
}

impl Mail {
    pub fn put(&self, message: Message) {
        self.waiting.borrow_mut().push_back(message);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The receiving end of [`Handle::mailbox`].
pub struct Mailbox {
    core: Rc<Core>,
    mail: Rc<Mail>,
    tag: u64,
}

/// The sending end of [`Handle::mailbox`], for any thread.
#[derive(Clone)]
pub struct Poster {
    shared: Arc<Shared>,
    tag: u64,
}

impl Handle {
    /// A way for other threads to tell this one something: two words at a time.
    ///
    /// ```
    /// let runtime = ferry::Runtime::new()?;
    /// let (poster, mailbox) = runtime.mailbox();
    /// let thread = std::thread::spawn(move || poster.post(6, 7));
    /// assert_eq!(runtime.block_on(mailbox.receive()), (6, 7));
    /// thread.join().unwrap()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn mailbox(&self) -> (Poster, Mailbox) {
        let mail = Rc::new(Mail::default());
        let tag = self.core.add_mail(mail.clone());
        let poster = Poster { shared: self.core.shared.clone(), tag };
        (poster, Mailbox { core: self.core.clone(), mail, tag })
    }
}

impl Poster {
    /// Never waits: with the queue full it fails with `WouldBlock`.
    pub fn post(&self, result: i64, data: u64) -> io::Result<()> {
        // SAFETY: the engine lives as long as `shared`, and answers for a queue that does not.
        let status = unsafe { sys::ferry_queue_post(self.shared.queue, self.tag, result, data) };
        self.shared.rouse();
        check(status)
    }
}

impl Mailbox {
    /// The next message.
    pub async fn receive(&self) -> Message {
        crate::operation::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Message> {
        if let Some(message) = self.mail.waiting.borrow_mut().pop_front() {
            return Poll::Ready(message);
        }
        let before = self.mail.waker.borrow_mut().replace(context.waker().clone());
        drop(before);
        Poll::Pending
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.core.remove_mail(self.tag);
    }
}
