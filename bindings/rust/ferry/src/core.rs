//! One queue of an engine, on one thread: requests gathered into batches, a slot for each operation
//! that is under way, and the reaper, which reads the mapped ring.
//!
//! A slot outlives the future that made it: when the future is dropped, what the operation may
//! still write to moves into the slot, and goes with the final completion.
use crate::engine::{Engine, Options};
use crate::error::check;
use crate::post::Mail;
use crate::task::Shared;
use ferry_sys as sys;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::{self, size_of};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Tags below this are indices of slots.
const TAG_OTHER: u64 = 1 << 32;
/// Of a request that only wakes the thread in `ferry_engine_run`.
pub(crate) const TAG_WAKE: u64 = TAG_OTHER;
/// Tags of mailboxes begin here.
const TAG_MAIL: u64 = TAG_OTHER + 1;

const CAPACITY: u32 = 4096;
const BATCH_MAX: usize = 256;
/// A multishot operation that nobody listens to is paused when so many completions wait.
const BACKLOG_MAX: usize = 64;
const DRAIN: Duration = Duration::from_secs(1);

/// Gets an operation's completions when its future is gone.
pub(crate) type Orphan = Box<dyn FnMut(&Rc<Core>, &sys::ferry_completion)>;

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Free,
    /// In the batch, not submitted.
    Queued,
    Flying,
    /// `last` waits to be taken.
    Ended,
}

// Two cache lines: the second is the final completion.
#[repr(C, align(64))]
struct Slot {
    phase: Phase,
    paused: bool,
    /// While queued: where in the batch. While free: the next free slot.
    place: u32,
    op: sys::ferry_op,
    waker: Option<Waker>,
    orphan: Option<Orphan>,
    #[allow(clippy::box_collection)] // A pointer, so that the slot fits.
    more: Option<Box<VecDeque<sys::ferry_completion>>>,
    last: sys::ferry_completion,
}

struct Slots {
    list: Vec<Slot>,
    free: u32,
    flying: usize,
}

const NO_SLOT: u32 = u32::MAX;

impl Slots {
    fn take(&mut self, place: usize) -> u32 {
        let place = place as u32;
        if self.free == NO_SLOT {
            self.list.push(Slot {
                phase: Phase::Queued,
                paused: false,
                place,
                op: 0,
                waker: None,
                orphan: None,
                more: None,
                last: empty(),
            });
            return (self.list.len() - 1) as u32;
        }
        let index = self.free;
        let slot = &mut self.list[index as usize];
        self.free = slot.place;
        slot.phase = Phase::Queued;
        slot.place = place;
        slot.paused = false;
        index
    }

    fn give_back(&mut self, index: u32) {
        let slot = &mut self.list[index as usize];
        slot.phase = Phase::Free;
        slot.place = self.free;
        self.free = index;
    }
}

/// The mapped ring. Only its reader moves the head.
struct Ring {
    records: *const sys::ferry_completion,
    mask: u32,
    head: *const AtomicU32,
    tail: *const AtomicU32,
    flags: *const AtomicU32,
    position: Cell<u32>,
}

pub(crate) struct Core {
    pub engine: Arc<Engine>,
    pub queue: *mut sys::ferry_queue,
    pub shared: Arc<Shared>,
    /// This thread runs the engine's loop.
    pub drives: bool,
    pub closed: Cell<bool>,
    /// Inside a foreign executor: who flushes and reaps.
    pub driver: RefCell<Option<Waker>>,
    ring: Ring,
    slots: RefCell<Slots>,
    batch: RefCell<Vec<sys::ferry_request>>,
    batch_has_holes: Cell<bool>,
    ops: RefCell<Vec<sys::ferry_op>>,
    mail: RefCell<HashMap<u64, Rc<Mail>>>,
    mail_next: Cell<u64>,
}

pub(crate) fn empty() -> sys::ferry_completion {
    sys::ferry_completion {
        tag: 0,
        op: 0,
        result: 0,
        status: 0,
        os_error: 0,
        opcode: 0,
        reserved: 0,
        flags: 0,
        handle: 0,
        data_u64: 0,
        buffer: 0,
    }
}

fn map(queue: *mut sys::ferry_queue) -> io::Result<Ring> {
    // SAFETY: integers and pointers may all be zero.
    let mut mapping: sys::ferry_queue_mapping = unsafe { mem::zeroed() };
    mapping.struct_size = size_of::<sys::ferry_queue_mapping>() as u32;
    // SAFETY: the queue was just made.
    check(unsafe { sys::ferry_queue_map(queue, &mut mapping) })?;
    Ok(Ring {
        records: mapping.records,
        mask: mapping.capacity - 1,
        head: mapping.head as *const AtomicU32,
        tail: mapping.tail as *const AtomicU32,
        flags: mapping.flags as *const AtomicU32,
        position: Cell::new(0),
    })
}

impl Core {
    pub fn new(engine: Arc<Engine>, options: &Options, drives: bool) -> io::Result<Rc<Core>> {
        let wanted = sys::ferry_queue_options {
            struct_size: size_of::<sys::ferry_queue_options>() as u32,
            flags: 0,
            mode: sys::FERRY_QUEUE_MAPPED,
            capacity: if options.queue_capacity == 0 { CAPACITY } else { options.queue_capacity },
            shard: 0,
            reserved: 0,
            wake: None,
            user_data: ptr::null_mut(),
        };
        let mut queue = ptr::null_mut();
        // SAFETY: the engine lives as long as its Arc.
        check(unsafe { sys::ferry_queue_create(engine.raw, &wanted, &mut queue) })?;
        let ring = map(queue)?;
        Ok(Rc::new(Core {
            shared: Arc::new(Shared::new(engine.clone(), queue)),
            engine,
            queue,
            drives,
            closed: Cell::new(false),
            driver: RefCell::new(None),
            ring,
            slots: RefCell::new(Slots { list: Vec::new(), free: NO_SLOT, flying: 0 }),
            batch: RefCell::new(Vec::with_capacity(BATCH_MAX)),
            batch_has_holes: Cell::new(false),
            ops: RefCell::new(vec![0; BATCH_MAX]),
            mail: RefCell::new(HashMap::new()),
            mail_next: Cell::new(TAG_MAIL),
        }))
    }

    /// A descriptor that is readable while completions wait; made by the first call.
    pub fn fd(&self) -> io::Result<i32> {
        let mut fd = -1;
        // SAFETY: the queue is alive, and this is its only consumer.
        check(unsafe { sys::ferry_queue_fd(self.queue, &mut fd) })?;
        Ok(fd)
    }

    // ---- submitting

    /// Takes a request into the batch; the answer is its slot.
    pub fn enqueue(self: &Rc<Self>, mut request: sys::ferry_request) -> u32 {
        let mut batch = self.batch.borrow_mut();
        let index = self.slots.borrow_mut().take(batch.len());
        request.tag = u64::from(index);
        batch.push(request);
        let count = batch.len();
        drop(batch);
        if self.closed.get() || count == BATCH_MAX {
            self.flush();
        } else if count == 1 {
            self.call_driver();
        }
        index
    }

    pub fn call_driver(&self) {
        let driver = self.driver.borrow_mut().take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Submits what was gathered.
    pub fn flush(self: &Rc<Self>) {
        if self.batch.borrow().is_empty() {
            return;
        }
        let mut batch = mem::take(&mut *self.batch.borrow_mut());
        if self.batch_has_holes.replace(false) {
            batch.retain(|request| request.opcode != 0);
        }
        let mut done = 0;
        while done < batch.len() {
            let (accepted, status) = self.submit(&batch[done..]);
            done += accepted;
            if done < batch.len() {
                self.refuse(&batch[done], status);
                done += 1;
            }
        }
        batch.clear();
        let mut place = self.batch.borrow_mut();
        if place.is_empty() {
            *place = batch; // Keeps its memory.
        }
    }

    fn submit(&self, requests: &[sys::ferry_request]) -> (usize, i32) {
        if self.closed.get() {
            return (0, sys::FERRY_E_SHUTDOWN);
        }
        let mut ops = self.ops.borrow_mut();
        let mut accepted = 0;
        // SAFETY: what the requests point to is kept by the futures that made them, or by their
        // slots; ops has room for a whole batch.
        let status = unsafe {
            sys::ferry_queue_submit(
                self.queue,
                requests.as_ptr(),
                requests.len(),
                ops.as_mut_ptr(),
                &mut accepted,
            )
        };
        let mut slots = self.slots.borrow_mut();
        slots.flying += accepted;
        for (request, op) in requests[..accepted].iter().zip(ops.iter()) {
            let slot = &mut slots.list[request.tag as usize];
            slot.op = *op;
            slot.phase = Phase::Flying;
        }
        (accepted, status)
    }

    fn refuse(self: &Rc<Self>, request: &sys::ferry_request, status: i32) {
        let done =
            sys::ferry_completion { tag: request.tag, status, opcode: request.opcode, ..empty() };
        self.slots.borrow_mut().flying += 1; // For the end, which counts it down.
        self.end(request.tag as u32, &done);
    }

    // ---- reaping

    /// Delivers all completions that wait in the ring. No call into C for any of them.
    pub fn reap(self: &Rc<Self>) -> usize {
        let ring = &self.ring;
        let mut count = 0;
        loop {
            // SAFETY: the mapping is valid as long as the queue.
            let tail = unsafe { (*ring.tail).load(Ordering::Acquire) };
            let begin = ring.position.get();
            if begin == tail {
                return count;
            }
            let mut position = begin;
            while position != tail {
                // SAFETY: records between head and tail are the reader's; copied, since whoever is
                // woken may reap as well.
                let done = unsafe { *ring.records.add((position & ring.mask) as usize) };
                position = position.wrapping_add(1);
                ring.position.set(position);
                self.deliver(&done);
            }
            count += tail.wrapping_sub(begin) as usize;
            // SAFETY: as above.
            unsafe { (*ring.head).store(ring.position.get(), Ordering::Release) };
            // SAFETY: as above.
            if unsafe { (*ring.flags).load(Ordering::Acquire) } != 0 {
                self.arm();
            }
        }
    }

    /// Whether nothing waits in the ring. After announcing a sleep: a message that came before
    /// did not wake this thread.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the mapping is valid as long as the queue.
        unsafe { (*self.ring.tail).load(Ordering::SeqCst) == self.ring.position.get() }
    }

    /// True: the queue is empty, and the next completion makes the descriptor readable.
    pub fn arm(&self) -> bool {
        // SAFETY: the queue is alive, and this is its only consumer.
        unsafe { sys::ferry_queue_arm(self.queue) == 0 }
    }

    fn deliver(self: &Rc<Self>, done: &sys::ferry_completion) {
        if done.tag >= TAG_OTHER {
            self.deliver_mail(done);
        } else if done.flags & sys::FERRY_MORE == 0 {
            self.end(done.tag as u32, done);
        } else {
            self.go_on(done.tag as u32, done);
        }
    }

    fn deliver_mail(&self, done: &sys::ferry_completion) {
        let mail = self.mail.borrow().get(&done.tag).cloned();
        if let Some(mail) = mail {
            mail.put((done.result, done.data_u64));
        }
    }

    fn end(self: &Rc<Self>, index: u32, done: &sys::ferry_completion) {
        let mut slots = self.slots.borrow_mut();
        slots.flying -= 1;
        let slot = &mut slots.list[index as usize];
        if let Some(mut orphan) = slot.orphan.take() {
            slots.give_back(index);
            drop(slots);
            orphan(self, done);
            return;
        }
        slot.last = *done;
        slot.phase = Phase::Ended;
        let waker = slot.waker.take();
        drop(slots);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn go_on(self: &Rc<Self>, index: u32, done: &sys::ferry_completion) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots.list[index as usize];
        if let Some(mut orphan) = slot.orphan.take() {
            drop(slots);
            orphan(self, done);
            self.slots.borrow_mut().list[index as usize].orphan = Some(orphan);
            return;
        }
        let more = slot.more.get_or_insert_with(Box::default);
        match more.back_mut() {
            Some(last) if done.opcode == sys::FERRY_OP_TIMER as u16 => last.result += done.result,
            _ => more.push_back(*done),
        }
        let waker = slot.waker.take();
        let pause = more.len() >= BACKLOG_MAX && !slot.paused;
        let op = slot.op;
        slot.paused |= pause;
        drop(slots);
        if pause {
            self.cancel(op);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn cancel(&self, op: sys::ferry_op) {
        // SAFETY: the queue is alive; an op that has ended is only answered with a status.
        unsafe { sys::ferry_queue_cancel(self.queue, op) };
    }

    // ---- the futures' side

    /// The final completion. Its slot is free then.
    pub fn poll_end(&self, index: u32, context: &Context<'_>) -> Poll<sys::ferry_completion> {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots.list[index as usize];
        if slot.phase == Phase::Ended {
            let done = slot.last;
            slots.give_back(index);
            return Poll::Ready(done);
        }
        wait(slot, context);
        Poll::Pending
    }

    /// The next completion of a multishot operation, and whether it was paused for its backlog.
    /// After one without FERRY_MORE its slot is free.
    pub fn poll_next(
        &self,
        index: u32,
        context: &Context<'_>,
    ) -> Poll<(sys::ferry_completion, bool)> {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots.list[index as usize];
        if let Some(done) = slot.more.as_mut().and_then(|more| more.pop_front()) {
            return Poll::Ready((done, false));
        }
        if slot.phase == Phase::Ended {
            let end = (slot.last, slot.paused);
            slots.give_back(index);
            return Poll::Ready(end);
        }
        wait(slot, context);
        Poll::Pending
    }

    /// Nobody waits for this operation any more: `orphan` gets what it brings. With `cancel` it is
    /// asked to end soon; what was not submitted yet never is.
    pub fn abandon(self: &Rc<Self>, index: u32, cancel: bool, mut orphan: Orphan) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots.list[index as usize];
        let waker = slot.waker.take();
        let more = mem::take(&mut slot.more);
        let (phase, op, place, mut last) = (slot.phase, slot.op, slot.place, slot.last);
        let unsubmitted = phase == Phase::Queued && cancel;
        if phase == Phase::Ended || unsubmitted {
            slots.give_back(index);
        }
        drop(slots);
        drop(waker);
        more.iter().flat_map(|more| more.iter()).for_each(|done| orphan(self, done));
        if unsubmitted {
            self.batch.borrow_mut()[place as usize].opcode = 0;
            self.batch_has_holes.set(true);
            last = sys::ferry_completion { status: sys::FERRY_E_CANCELED, ..empty() };
        }
        if phase == Phase::Ended || unsubmitted {
            orphan(self, &last);
            return;
        }
        self.slots.borrow_mut().list[index as usize].orphan = Some(orphan);
        if cancel {
            self.cancel(op);
        }
    }

    /// Gives back all that a completion brought and nobody wants.
    pub fn dispose(&self, done: &sys::ferry_completion) {
        for child in children_of(done) {
            self.dispose(child);
        }
        if opens(done.opcode) && done.status == 0 && done.handle != 0 {
            self.engine.discard(done.handle);
        }
        if done.flags & sys::FERRY_BUFFER != 0 {
            self.engine.release(done.buffer);
        }
    }

    // ---- mailboxes

    pub fn add_mail(&self, mail: Rc<Mail>) -> u64 {
        let tag = self.mail_next.get();
        self.mail_next.set(tag + 1);
        self.mail.borrow_mut().insert(tag, mail);
        tag
    }

    pub fn remove_mail(&self, tag: u64) {
        let mail = self.mail.borrow_mut().remove(&tag);
        drop(mail);
    }

    // ---- the end

    fn flying(&self) -> usize {
        self.slots.borrow().flying
    }

    /// Ends all that is under way and refuses what comes.
    pub fn close(self: &Rc<Self>) {
        self.closed.set(true);
        self.flush();
        if self.drives {
            // It may be shut down already; what does not end in time stays in its slot.
            let _ = self.engine.shutdown(DRAIN);
        } else {
            self.cancel_all();
        }
        self.drain();
        self.call_driver();
    }

    fn drain(self: &Rc<Self>) {
        let begin = Instant::now();
        self.reap();
        while self.flying() > 0 && begin.elapsed() < DRAIN {
            self.arm();
            if self.reap() == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    fn cancel_all(&self) {
        let slots = self.slots.borrow();
        let flying = slots.list.iter().filter(|slot| slot.phase == Phase::Flying);
        let ops: Vec<_> = flying.map(|slot| slot.op).collect();
        drop(slots);
        ops.into_iter().for_each(|op| self.cancel(op));
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let slots = self.slots.get_mut();
        if slots.flying > 0 {
            // The system may still write to what these keep.
            mem::forget(mem::take(&mut slots.list));
        }
        // SAFETY: nobody else uses it. While something is in flight it is not destroyed, but goes
        // with the engine.
        unsafe { sys::ferry_queue_destroy(self.queue) };
    }
}

fn wait(slot: &mut Slot, context: &Context<'_>) {
    match &slot.waker {
        Some(waker) if waker.will_wake(context.waker()) => {}
        _ => slot.waker = Some(context.waker().clone()),
    }
}

/// Whether a success of this brings a new handle.
pub(crate) fn opens(opcode: u16) -> bool {
    matches!(
        u32::from(opcode),
        sys::FERRY_OP_DESCRIPTOR_ADOPT
            | sys::FERRY_OP_TCP_LISTEN
            | sys::FERRY_OP_TCP_ACCEPT
            | sys::FERRY_OP_TCP_CONNECT
            | sys::FERRY_OP_TCP_CONNECT_NAME
            | sys::FERRY_OP_FILE_OPEN
            | sys::FERRY_OP_CHANNEL_OPEN
    )
}

/// The completions of a composition's children, in its own data.
pub(crate) fn children_of(done: &sys::ferry_completion) -> &[sys::ferry_completion] {
    let composed = matches!(
        u32::from(done.opcode),
        sys::FERRY_OP_CHAIN | sys::FERRY_OP_ALL | sys::FERRY_OP_RACE | sys::FERRY_OP_RETRY
    );
    if !composed || done.data_u64 == 0 || done.result <= 0 {
        return &[];
    }
    let count = done.result as usize / size_of::<sys::ferry_completion>();
    // SAFETY: a composition's data are so many completions, lent with the whole.
    unsafe { std::slice::from_raw_parts(done.data_u64 as *const sys::ferry_completion, count) }
}
