//! The engine, which several threads may share.
use crate::error::check;
use ferry_sys as sys;
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// What is below an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where it works, libuv otherwise and for the rest.
    #[default]
    Auto,
    /// libuv and worker threads only.
    Uv,
    /// io_uring, or making the engine fails with `UNSUPPORTED`.
    Uring,
}

/// How to make an engine and its queue. Every 0 is a default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Loops with a thread each; 0: the thread that calls `block_on` runs the one loop.
    pub shards: u32,
    /// Operations in flight for each loop; 0 = 16384. Past it, starting one fails with `FULL`.
    pub ops_max: u32,
    /// Handles open for each loop; 0 = 65536.
    pub handles_max: u32,
    /// Threads for blocking work on files; 0 = 4.
    pub workers_max: u32,
    /// Threads for looking up names; 0 = 4.
    pub name_workers_max: u32,
    /// Bytes lent at once; 0 = 256 MiB.
    pub buffer_bytes_max: u64,
    /// Places in the ring of completions; 0 = 4096.
    pub queue_capacity: u32,
    /// What is below the engine.
    pub driver: Driver,
    /// What must not go through io_uring, though it could: `ferry_sys::FERRY_RING_...` bits.
    pub ring_without: u64,
}

/// A look inside an engine; momentary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Operations that have not ended.
    pub operations: u64,
    /// Handles that are open.
    pub handles: u64,
    /// Buffers that were not given back.
    pub buffers: u64,
    /// Worker threads.
    pub workers: u32,
    /// What is below it: never `Auto`.
    pub driver: Driver,
    /// What goes through io_uring: `ferry_sys::FERRY_RING_...` bits.
    pub ring: u64,
}

/// An engine. Runtimes on several threads may share one: see [`Runtime::attach`].
///
/// [`Runtime::attach`]: crate::Runtime::attach
#[derive(Debug)]
pub struct Engine {
    pub(crate) raw: *mut sys::ferry_engine,
    host_driven: bool,
}

// SAFETY: what is called through it here, the C API allows on any thread.
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

const SHUTDOWN_NS: u64 = 5_000_000_000;

impl Engine {
    /// An engine with threads of its own: `options.shards`, at least one.
    pub fn new(options: &Options) -> io::Result<Arc<Engine>> {
        let shards = options.shards.max(1);
        Engine::make(&Options { shards, ..options.clone() })
    }

    pub(crate) fn make(options: &Options) -> io::Result<Arc<Engine>> {
        // SAFETY: integers, optional functions and a pointer may all be zero.
        let mut wanted: sys::ferry_engine_options = unsafe { std::mem::zeroed() };
        wanted.struct_size = size_of::<sys::ferry_engine_options>() as u32;
        wanted.shards = options.shards;
        wanted.ops_max = options.ops_max;
        wanted.handles_max = options.handles_max;
        wanted.workers_max = options.workers_max;
        wanted.name_workers_max = options.name_workers_max;
        wanted.buffer_bytes_max = options.buffer_bytes_max;
        wanted.driver = match options.driver {
            Driver::Auto => sys::FERRY_DRIVER_AUTO,
            Driver::Uv => sys::FERRY_DRIVER_UV,
            Driver::Uring => sys::FERRY_DRIVER_URING,
        };
        wanted.ring_without = options.ring_without;
        let mut raw = ptr::null_mut();
        // SAFETY: both are places of the right type.
        check(unsafe { sys::ferry_engine_create(&wanted, &mut raw) })?;
        Ok(Arc::new(Engine { raw, host_driven: options.shards == 0 }))
    }

    /// What there is just now.
    pub fn info(&self) -> io::Result<Info> {
        // SAFETY: integers and a pointer may all be zero.
        let mut info: sys::ferry_engine_info = unsafe { std::mem::zeroed() };
        info.struct_size = size_of::<sys::ferry_engine_info>() as u32;
        // SAFETY: the engine lives as long as self.
        check(unsafe { sys::ferry_engine_get_info(self.raw, &mut info) })?;
        Ok(Info {
            operations: info.ops_in_flight,
            handles: info.handles_open,
            buffers: info.buffers_lent,
            workers: info.workers,
            // SAFETY: a static string of the library's.
            driver: match unsafe { CStr::from_ptr(info.driver) }.to_bytes() {
                b"uring" => Driver::Uring,
                _ => Driver::Uv,
            },
            ring: info.ring,
        })
    }

    /// Ends everything: what is pending fails with `SHUTDOWN`, and so does what comes later. An
    /// engine without threads of its own is shut down on the thread that runs it.
    pub fn shutdown(&self, timeout: Duration) -> io::Result<()> {
        // SAFETY: the engine lives as long as self.
        check(unsafe { sys::ferry_engine_shutdown(self.raw, nanoseconds(timeout)) })
    }

    pub(crate) fn is_host_driven(&self) -> bool {
        self.host_driven
    }

    pub(crate) fn release(&self, buffer: u64) {
        // SAFETY: a buffer that is not lent is only answered with a status.
        unsafe { sys::ferry_buffer_release(self.raw, buffer) };
    }

    pub(crate) fn discard(&self, handle: u64) {
        // SAFETY: a handle that is not open is only answered with a status.
        unsafe { sys::ferry_handle_discard(self.raw, handle) };
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more. What the system still holds after that time keeps
        // the engine from being destroyed: then it stays, for its memory may be written.
        unsafe {
            sys::ferry_engine_shutdown(self.raw, SHUTDOWN_NS);
            sys::ferry_engine_destroy(self.raw);
        }
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
