//! Tasks of one thread, and how they are woken from this and from other threads.
use crate::core::TAG_WAKE;
use crate::engine::Engine;
use ferry_sys as sys;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// The main future of `block_on`, among the tasks' numbers.
pub(crate) const MAIN: usize = usize::MAX;

thread_local! {
    static TOKEN: u8 = const { 0 };
}

/// Differs between threads that live at the same time.
fn this_thread() -> usize {
    TOKEN.with(|token| token as *const u8 as usize)
}

/// The part of a runtime that other threads see.
pub(crate) struct Shared {
    thread: usize,
    // Only its own thread touches it.
    local: UnsafeCell<VecDeque<Arc<Task>>>,
    remote: Mutex<Vec<Arc<Task>>>,
    remote_some: AtomicBool,
    sleeping: AtomicBool,
    closed: AtomicBool,
    pub engine: Arc<Engine>,
    pub queue: *mut sys::ferry_queue,
}

// SAFETY: `local` is used on the thread `thread` only, which is checked; submit and post may be
// called on any thread, and a destroyed queue answers with a status while its engine lives.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(engine: Arc<Engine>, queue: *mut sys::ferry_queue) -> Self {
        Shared {
            thread: this_thread(),
            local: UnsafeCell::new(VecDeque::new()),
            remote: Mutex::new(Vec::new()),
            remote_some: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            engine,
            queue,
        }
    }

    fn local<R>(&self, work: impl FnOnce(&mut VecDeque<Arc<Task>>) -> R) -> R {
        debug_assert_eq!(self.thread, this_thread());
        // SAFETY: on its own thread, as all callers are; `work` is one of this file's own and does not come here again.
        work(unsafe { &mut *self.local.get() })
    }

    pub fn ready(&self) -> usize {
        self.local(|queue| queue.len())
    }

    pub fn pop(&self) -> Option<Arc<Task>> {
        self.local(|queue| queue.pop_front())
    }

    /// On its own thread, where nothing is locked. What is refused comes back.
    fn push_here(&self, task: Arc<Task>) -> Option<Arc<Task>> {
        if self.closed.load(Ordering::Relaxed) {
            return Some(task);
        }
        self.local(|queue| queue.push_back(task));
        None
    }

    fn push_remote(&self, task: Arc<Task>) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        self.remote().push(task);
        self.remote_some.store(true, Ordering::SeqCst);
        self.rouse();
    }

    fn remote(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Task>>> {
        self.remote.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes over what other threads woke.
    pub fn gather(&self) {
        if self.remote_some.swap(false, Ordering::SeqCst) {
            let woken = std::mem::take(&mut *self.remote());
            self.local(|queue| queue.extend(woken));
        }
    }

    /// Announces that the thread is about to sleep. False: it must not.
    pub fn may_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        !self.remote_some.load(Ordering::SeqCst)
    }

    pub fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Wakes the thread if it sleeps. A message in the queue does not wake a thread that runs the
    /// engine itself, a request does; and the other way round costs the least elsewhere.
    pub fn rouse(&self) {
        if !self.sleeping.swap(false, Ordering::SeqCst) {
            return;
        }
        if !self.engine.is_host_driven() {
            // SAFETY: see the type. A full ring wakes its reader anyway.
            unsafe { sys::ferry_queue_post(self.queue, TAG_WAKE, 0, 0) };
            return;
        }
        let request = sys::ferry_request {
            opcode: sys::FERRY_OP_NOP as u16,
            tag: TAG_WAKE,
            ..Default::default()
        };
        // SAFETY: see the type. Without a free slot there is work under way that wakes it.
        unsafe {
            sys::ferry_queue_submit(self.queue, &request, 1, ptr::null_mut(), ptr::null_mut())
        };
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let queue = self.local(std::mem::take);
        drop(queue);
        let remote = std::mem::take(&mut *self.remote());
        drop(remote);
    }
}

/// What a waker points to. The future itself stays with its runtime.
pub(crate) struct Task {
    pub number: usize,
    pub scheduled: AtomicBool,
    shared: Arc<Shared>,
}

impl Task {
    pub fn new(number: usize, shared: &Arc<Shared>) -> Arc<Task> {
        Arc::new(Task { number, scheduled: AtomicBool::new(false), shared: shared.clone() })
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.shared.thread == this_thread() {
            // Another thread may do the same just now: then it is polled twice, which is harmless.
            if !self.scheduled.load(Ordering::Relaxed) {
                self.scheduled.store(true, Ordering::Relaxed);
                let shared: *const Shared = &*self.shared;
                // SAFETY: the task keeps it alive, in the queue or in what comes back.
                drop(unsafe { (*shared).push_here(self) });
            }
        } else if !self.scheduled.swap(true, Ordering::AcqRel) {
            let shared = self.shared.clone();
            shared.push_remote(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}
