//! The runtime: an engine's queue on one thread, and the tasks that wait for it.
use crate::core::Core;
use crate::engine::{nanoseconds, Engine, Options};
use crate::task::{Task, MAIN};
use ferry_sys as sys;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::os::raw::{c_int, c_ulong};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Takes a future away to be run elsewhere.
pub(crate) type Spawner = fn(LocalFuture);

/// What operations are started on: a reference to a runtime, cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) core: Rc<Core>,
    tasks: Rc<Tasks>,
}

#[derive(Default)]
struct Tasks {
    list: RefCell<Vec<Option<Slot>>>,
    free: RefCell<Vec<usize>>,
    main_ready: Cell<bool>,
    running: Cell<bool>,
    spawner: Cell<Option<Spawner>>,
}

struct Slot {
    // None while it is polled.
    future: Option<LocalFuture>,
}

/// An engine's queue on this thread, with its own executor. Dropping it drops its tasks, cancels
/// what is under way, and shuts the engine down if this thread runs it.
///
/// ```
/// use std::time::Duration;
///
/// let runtime = ferry::Runtime::new()?;
/// let naps = runtime.block_on(async {
///     let one = runtime.spawn({
///         let handle = runtime.handle();
///         async move { handle.sleep(Duration::from_millis(2)).await }
///     });
///     runtime.sleep(Duration::from_millis(1)).await?;
///     one.await?;
///     Ok::<_, std::io::Error>(2)
/// })?;
/// assert_eq!(naps, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its thread:
///
/// ```compile_fail
/// let runtime = ferry::Runtime::new().unwrap();
/// std::thread::spawn(move || runtime.block_on(async {}));
/// ```
pub struct Runtime {
    handle: Handle,
}

impl Runtime {
    /// An engine of its own, which runs on this thread within [`Runtime::block_on`].
    pub fn new() -> io::Result<Runtime> {
        Runtime::with(&Options::default())
    }

    /// The same with options. With `shards` the engine has threads of its own.
    pub fn with(options: &Options) -> io::Result<Runtime> {
        let engine = Engine::make(options)?;
        let drives = engine.is_host_driven();
        Runtime::make(engine, options, drives)
    }

    /// A queue of an engine that exists, for this thread. If that engine is run by another thread
    /// it makes progress only while that does.
    pub fn attach(engine: &Arc<Engine>) -> io::Result<Runtime> {
        Runtime::make(engine.clone(), &Options::default(), false)
    }

    pub(crate) fn make(
        engine: Arc<Engine>,
        options: &Options,
        drives: bool,
    ) -> io::Result<Runtime> {
        let core = Core::new(engine, options, drives)?;
        if !drives {
            core.fd()?; // From now on completions signal.
        }
        Ok(Runtime { handle: Handle { core, tasks: Rc::default() } })
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn set_spawner(&self, spawner: Spawner) {
        self.tasks.spawner.set(Some(spawner));
    }

    /// Runs tasks and engine on this thread until the future is ready.
    ///
    /// # Panics
    ///
    /// Within another `block_on` of the same runtime, or inside a foreign executor.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(self.tasks.spawner.get().is_none(), "the foreign executor blocks, not this one");
        let _running = Running::enter(&self.tasks);
        let main = Task::new(MAIN, &self.core.shared);
        let waker = Waker::from(main);
        let mut future = Box::pin(future);
        self.tasks.main_ready.set(true);
        loop {
            if self.tasks.main_ready.replace(false) {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(output) = polled {
                    self.core.flush();
                    return output;
                }
            }
            self.run_ready();
            self.turn();
        }
    }

    fn run_ready(&self) {
        let shared = &self.core.shared;
        shared.gather();
        for _ in 0..shared.ready() {
            match shared.pop() {
                Some(task) => self.tasks.poll(task),
                None => return,
            }
        }
    }

    /// Submits what the tasks asked for, sleeps if none is ready, and takes what has ended.
    fn turn(&self) {
        let core = &self.core;
        core.flush();
        let idle = core.shared.ready() == 0 && !self.tasks.main_ready.get();
        let awake = if core.drives { self.run_engine(idle) } else { self.await_queue(idle) };
        core.shared.awake();
        // Without an engine only other threads can wake this one.
        if core.reap() == 0 && !awake && idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn run_engine(&self, idle: bool) -> bool {
        let wait = if idle && self.core.shared.may_sleep() && self.core.is_empty() {
            sys::FERRY_FOREVER
        } else {
            0
        };
        // SAFETY: the engine lives as long as its Arc.
        unsafe { sys::ferry_engine_run(self.core.engine.raw, wait, 0, ptr::null_mut()) == 0 }
    }

    fn await_queue(&self, idle: bool) -> bool {
        let core = &self.core;
        if core.reap() > 0 || !idle || !core.arm() || !core.shared.may_sleep() {
            return true;
        }
        match core.fd() {
            Ok(fd) => sleep_on(fd),
            Err(_) => false,
        }
    }

    /// For the benchmark: how long it takes to reap so many completions that wait in the ring.
    /// With `woken` each wakes a task of its own.
    #[doc(hidden)]
    pub fn time_reaping(&self, count: usize, woken: bool) -> Duration {
        let core = &self.core;
        let nop = || crate::operation::request(sys::FERRY_OP_NOP, 0);
        // SAFETY: a nop points to nothing.
        let start = |_| unsafe { crate::operation::Operation::start(core, nop(), ()) };
        let mut operations: Vec<_> = (0..count).map(start).collect();
        if woken {
            for operation in &mut operations {
                let waker = Waker::from(Task::new(usize::MAX - 1, &core.shared));
                let _ = Pin::new(operation).poll(&mut Context::from_waker(&waker));
            }
        }
        core.flush();
        self.run_engine(false);
        let begin = std::time::Instant::now();
        let reaped = core.reap();
        let time = begin.elapsed();
        assert_eq!(reaped, count);
        self.run_ready();
        time
    }

    /// Another reference, for tasks.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Deref for Runtime {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *self.tasks.list.borrow_mut());
        drop(tasks);
        self.core.close();
        self.core.shared.close();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Runtime").field("engine", &self.core.engine).finish()
    }
}

struct Running<'a>(&'a Tasks);

impl<'a> Running<'a> {
    fn enter(tasks: &'a Tasks) -> Self {
        assert!(!tasks.running.replace(true), "block_on within block_on");
        Running(tasks)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

impl Tasks {
    fn add(&self, future: LocalFuture) -> usize {
        let slot = Some(Slot { future: Some(future) });
        if let Some(number) = self.free.borrow_mut().pop() {
            self.list.borrow_mut()[number] = slot;
            return number;
        }
        let mut list = self.list.borrow_mut();
        list.push(slot);
        list.len() - 1
    }

    fn slot<R>(&self, number: usize, work: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        let mut list = self.list.borrow_mut();
        Some(work(list.get_mut(number)?.as_mut()?))
    }

    fn poll(&self, task: Arc<Task>) {
        task.scheduled.store(false, std::sync::atomic::Ordering::Release);
        let number = task.number;
        if number == MAIN {
            self.main_ready.set(true);
            return;
        }
        let future = self.slot(number, |slot| slot.future.take()).flatten();
        let mut future = match future {
            Some(future) => future,
            None => return, // It ended before, or is the one that polls us.
        };
        let waker = Waker::from(task);
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.slot(number, |slot| slot.future = Some(future));
            return;
        }
        drop(future);
        if let Some(slot) = self.list.borrow_mut().get_mut(number) {
            *slot = None;
            self.free.borrow_mut().push(number);
        }
    }
}

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

extern "C" {
    fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
}

const POLLIN: i16 = 1;

fn sleep_on(fd: i32) -> bool {
    let mut wanted = PollFd { fd, events: POLLIN, revents: 0 };
    // SAFETY: one record, which is ours.
    unsafe { poll(&mut wanted, 1, -1) >= 0 }
}

impl Handle {
    /// The engine, to look inside or to share it between threads.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.core.engine
    }

    /// Begins a task on this thread. It goes on when its handle is dropped.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let join = Rc::new(Join {
            future: RefCell::new(Some(future)),
            output: RefCell::new(None),
            ended: Cell::new(false),
            waiting: RefCell::new(None),
            own: RefCell::new(None),
        });
        let wrapper = Box::pin(Wrapper { join: join.clone() });
        match self.tasks.spawner.get() {
            Some(spawner) => spawner(wrapper),
            None => {
                let number = self.tasks.add(wrapper);
                Waker::from(Task::new(number, &self.core.shared)).wake();
            }
        }
        JoinHandle { join }
    }

    /// Ends everything: what is pending fails with `SHUTDOWN`, as does what is started later. For
    /// a runtime that was attached this is the whole engine, too.
    pub fn shutdown(&self, timeout: Duration) -> io::Result<()> {
        self.core.flush();
        crate::error::check(unsafe {
            // SAFETY: the engine lives as long as its Arc.
            sys::ferry_engine_shutdown(self.core.engine.raw, nanoseconds(timeout))
        })
    }

    /// Lets the other tasks and the engine have a turn.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        crate::operation::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// A task: its future, which never moves, and what came of it.
struct Join<F: Future> {
    future: RefCell<Option<F>>,
    output: RefCell<Option<F::Output>>,
    /// With an output, or without.
    ended: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
    own: RefCell<Option<Waker>>,
}

/// What the handle of a task can do, whatever future it has.
trait Joinable<T> {
    fn end(&self);
    fn has_ended(&self) -> bool;
    fn poll_output(&self, context: &Context<'_>) -> Poll<T>;
}

impl<F: Future> Joinable<F::Output> for Join<F> {
    fn end(&self) {
        // While it is polled it drops itself afterwards.
        if let Ok(mut future) = self.future.try_borrow_mut() {
            *future = None;
        }
        if self.ended.replace(true) {
            return;
        }
        for place in [&self.waiting, &self.own] {
            let waker = place.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.get()
    }

    fn poll_output(&self, context: &Context<'_>) -> Poll<F::Output> {
        if let Some(output) = self.output.borrow_mut().take() {
            return Poll::Ready(output);
        }
        assert!(!self.ended.get(), "a cancelled task has no output");
        let before = self.waiting.borrow_mut().replace(context.waker().clone());
        drop(before);
        Poll::Pending
    }
}

impl<F: Future> Join<F> {
    /// Polls the future where it is; pending only while it goes on.
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut place = self.future.borrow_mut();
        let future = match place.as_mut() {
            // SAFETY: it stays in its place until it is dropped there.
            Some(future) => unsafe { Pin::new_unchecked(future) },
            None => return Poll::Ready(()),
        };
        match future.poll(context) {
            Poll::Ready(output) => *self.output.borrow_mut() = Some(output),
            Poll::Pending if self.ended.get() => {} // It cancelled itself.
            Poll::Pending => {
                // So that a cancelled task gives its place back.
                let mut own = self.own.borrow_mut();
                if !own.as_ref().map_or(false, |own| own.will_wake(context.waker())) {
                    *own = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
        }
        *place = None;
        drop(place);
        self.end();
        Poll::Ready(())
    }
}

/// The end of a task. Dropping it lets the task go on by itself.
pub struct JoinHandle<T> {
    join: Rc<dyn Joinable<T>>,
}

struct Wrapper<F: Future> {
    join: Rc<Join<F>>,
}

impl<F: Future> Future for Wrapper<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.join.poll(context)
    }
}

impl<F: Future> Drop for Wrapper<F> {
    /// Also when the runtime goes: whoever waits for it learns that nothing comes.
    fn drop(&mut self) {
        self.join.end();
    }
}

impl<T> JoinHandle<T> {
    /// Drops the task's future, and so cancels what it waits for. (A task that cancels itself is
    /// dropped when it waits next.)
    pub fn cancel(&self) {
        self.join.end();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.join.has_ended()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    /// # Panics
    ///
    /// When the task was cancelled or its runtime is gone: it has no output then.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.join.poll_output(context)
    }
}
