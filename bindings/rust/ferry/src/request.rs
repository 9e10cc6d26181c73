//! Compositions: several operations as one request, which the engine runs by itself.
use crate::buffer::Lent;
use crate::core::{children_of, empty, opens, Core};
use crate::engine::nanoseconds;
use crate::error::{result_of, Status};
use crate::fs::{load_request, path_of, File, OpenOptions};
use crate::net::{connect_request, name_of, TcpListener, TcpStream};
use crate::operation::{request, Operation};
use crate::runtime::Handle;
use ferry_sys as sys;
use std::ffi::CString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What a request works on: something open, or what an earlier step of a chain opens.
#[derive(Clone)]
pub struct Target {
    raw: sys::ferry_handle,
    stream: Option<TcpStream>,
}

impl Target {
    /// What step `index` of the innermost chain opens.
    pub fn step(index: u32) -> Target {
        Target::outer_step(index, 0)
    }

    /// What step `index` of a chain further out opens; level 0 is the innermost.
    pub fn outer_step(index: u32, level: u32) -> Target {
        // SAFETY: two numbers.
        Target::raw(unsafe { sys::ferry_child_handle(index, level) })
    }

    /// A handle by its number.
    pub fn raw(handle: u64) -> Target {
        Target { raw: handle, stream: None }
    }
}

macro_rules! targets {
    ($($open:ident)*) => {
        $(impl From<&$open> for Target {
            fn from(open: &$open) -> Self {
                Target::raw(open.raw_handle())
            }
        })*
    };
}
targets!(TcpListener File);

impl From<&TcpStream> for Target {
    fn from(stream: &TcpStream) -> Self {
        Target { raw: stream.raw_handle(), stream: Some(stream.clone()) }
    }
}

/// What a request points to, children included.
#[derive(Default)]
struct Keep {
    buffer: Option<Vec<u8>>,
    /// Received from by this request itself.
    stream: Option<TcpStream>,
    _name: Option<CString>,
    _raw: Box<[sys::ferry_request]>,
    children: Vec<Keep>,
}

impl Keep {
    fn streams(&self, list: &mut Vec<TcpStream>) {
        list.extend(self.stream.clone());
        self.children.iter().for_each(|child| child.streams(list));
    }
}

/// The description of an operation, or of several: nothing happens before [`Handle::run`].
///
/// ```
/// use ferry::{Request, Target};
/// use std::time::Duration;
///
/// let runtime = ferry::Runtime::new()?;
/// let timers = [3, 1, 2].map(|ms| Request::sleep(Duration::from_millis(ms)));
/// let outcome = runtime.block_on(runtime.run(Request::all(timers)));
/// outcome.result()?;
/// assert_eq!(outcome.children.len(), 3);
///
/// let read = Request::chain([
///     Request::open("/dev/zero", ferry::fs::OpenOptions::new().read(true))?,
///     Request::read_at(Target::step(0), vec![1; 3], 0),
///     Request::close(Target::step(0)),
/// ]);
/// let mut outcome = runtime.block_on(runtime.run(read));
/// outcome.result()?;
/// assert_eq!(outcome.children[1].buffer.take().unwrap(), [0, 0, 0]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Request {
    raw: sys::ferry_request,
    keep: Keep,
}

impl Request {
    fn plain(raw: sys::ferry_request) -> Self {
        Request { raw, keep: Keep::default() }
    }

    fn named(raw: sys::ferry_request, name: CString) -> Self {
        Request { raw, keep: Keep { _name: Some(name), ..Keep::default() } }
    }

    fn with_buffer(raw: sys::ferry_request, buffer: Vec<u8>) -> Self {
        Request { raw, keep: Keep { buffer: Some(buffer), ..Keep::default() } }
    }

    /// Ends after this time.
    pub fn sleep(delay: Duration) -> Self {
        Request::plain(crate::time::timer(delay, Duration::ZERO))
    }

    /// Connects to an address; opens a stream.
    pub fn connect(address: SocketAddr) -> Self {
        Request::plain(connect_request(address))
    }

    /// Connects to a name; opens a stream.
    pub fn connect_name(name: &str, port: u16) -> io::Result<Self> {
        let name = name_of(name)?;
        let mut connect = request(sys::FERRY_OP_TCP_CONNECT_NAME, 0);
        connect.params.connect_name = sys::ferry_connect_name_params {
            name_u64: name.as_ptr() as u64,
            port: u64::from(port),
            attempt_delay_ns: 0,
        };
        Ok(Request::named(connect, name))
    }

    /// Accepts one connection; opens a stream.
    pub fn accept(listener: impl Into<Target>) -> Self {
        Request::plain(request(sys::FERRY_OP_TCP_ACCEPT, listener.into().raw))
    }

    /// Receives what comes next, in a lent buffer. Bytes that a dropped receive of the stream's
    /// own had taken in wait for the next such receive: here it fails with `BUSY` then.
    pub fn receive(stream: impl Into<Target>) -> Self {
        let Target { raw, stream } = stream.into();
        let mut receive = request(sys::FERRY_OP_STREAM_RECEIVE, raw);
        receive.flags = sys::FERRY_LEND;
        Request { raw: receive, keep: Keep { stream, ..Keep::default() } }
    }

    /// Sends all of it.
    pub fn send(stream: impl Into<Target>, data: Vec<u8>) -> Self {
        let mut send = request(sys::FERRY_OP_STREAM_SEND, stream.into().raw);
        send.params.send =
            sys::ferry_send_params { data_u64: data.as_ptr() as u64, size: data.len() as u64 };
        Request::with_buffer(send, data)
    }

    /// Ends the sending side.
    pub fn shutdown(stream: impl Into<Target>) -> Self {
        Request::plain(request(sys::FERRY_OP_STREAM_SHUTDOWN, stream.into().raw))
    }

    /// Loads a whole file.
    pub fn load(path: impl AsRef<Path>, size_max: u64) -> io::Result<Self> {
        let path = path_of(path.as_ref())?;
        Ok(Request::named(load_request(&path, size_max), path))
    }

    /// Opens a file.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> io::Result<Self> {
        let path = path_of(path.as_ref())?;
        Ok(Request::named(options.request(&path), path))
    }

    fn file(opcode: u32, file: Target, mut buffer: Vec<u8>, size: usize, offset: u64) -> Self {
        let mut read = request(opcode, file.raw);
        read.params.file = sys::ferry_file_params {
            buffer_u64: buffer.as_mut_ptr() as u64,
            size: size as u64,
            offset,
        };
        Request::with_buffer(read, buffer)
    }

    /// Reads up to the buffer's capacity.
    pub fn read_at(file: impl Into<Target>, buffer: Vec<u8>, offset: u64) -> Self {
        let size = buffer.capacity();
        Request::file(sys::FERRY_OP_FILE_READ, file.into(), buffer, size, offset)
    }

    /// Writes all of it.
    pub fn write_at(file: impl Into<Target>, data: Vec<u8>, offset: u64) -> Self {
        let size = data.len();
        Request::file(sys::FERRY_OP_FILE_WRITE, file.into(), data, size, offset)
    }

    /// Copies `size` bytes (`u64::MAX`: all) from a stream or file to another.
    pub fn copy(from: impl Into<Target>, to: impl Into<Target>, size: u64) -> Self {
        let mut copy = request(sys::FERRY_OP_HANDLE_COPY, from.into().raw);
        copy.params.copy =
            sys::ferry_copy_params { to: to.into().raw, size, from_offset: 0, to_offset: 0 };
        Request::plain(copy)
    }

    /// Closes it.
    pub fn close(target: impl Into<Target>) -> Self {
        Request::plain(request(sys::FERRY_OP_HANDLE_CLOSE, target.into().raw))
    }

    fn composed(opcode: u32, children: impl IntoIterator<Item = Request>) -> Self {
        let (raw, keeps): (Vec<_>, Vec<_>) =
            children.into_iter().map(|child| (child.raw, child.keep)).unzip();
        let raw = raw.into_boxed_slice();
        let mut whole = request(opcode, 0);
        whole.params.children = sys::ferry_children_params {
            children_u64: raw.as_ptr() as u64,
            count: raw.len() as u64,
        };
        Request { raw: whole, keep: Keep { _raw: raw, children: keeps, ..Keep::default() } }
    }

    /// One after the other; the first that fails ends it.
    pub fn chain(steps: impl IntoIterator<Item = Request>) -> Self {
        Request::composed(sys::FERRY_OP_CHAIN, steps)
    }

    /// Together, until all have ended.
    pub fn all(children: impl IntoIterator<Item = Request>) -> Self {
        Request::composed(sys::FERRY_OP_ALL, children)
    }

    /// Together, until the first has ended; the others are cancelled.
    pub fn race(children: impl IntoIterator<Item = Request>) -> Self {
        Request::composed(sys::FERRY_OP_RACE, children)
    }

    /// Again when it fails, `attempts_max` times at most (0: no limit), after a delay that doubles.
    pub fn retry(self, attempts_max: u64, delay: Duration, delay_max: Duration) -> Self {
        let mut whole = Request::composed(sys::FERRY_OP_RETRY, [self]);
        whole.raw.params.retry = sys::ferry_retry_params {
            child_u64: whole.keep._raw.as_ptr() as u64,
            attempts_max,
            delay_ns: nanoseconds(delay),
            delay_max_ns: nanoseconds(delay_max),
        };
        whole
    }

    /// Fails with `TimedOut` after this time from its own start.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.raw.deadline_ns = nanoseconds(limit).max(1);
        self
    }
}

impl Handle {
    /// Runs a request. Dropped, all of it is cancelled.
    pub async fn run(&self, request: Request) -> Outcome {
        let mut streams = Vec::new();
        request.keep.streams(&mut streams);
        for stream in streams {
            if !stream.settle().await {
                return Outcome::refused(&self.core, sys::FERRY_E_BUSY);
            }
        }
        // SAFETY: all that it points to is kept, and stays where it is.
        let operation = unsafe { Operation::start(&self.core, request.raw, request.keep) };
        let (done, keep) = operation.await;
        let outcome = Outcome::of(&self.core, &done, keep);
        // The children's own buffers have been taken over.
        let composed = !outcome.children.is_empty();
        if composed && done.flags & sys::FERRY_BUFFER != 0 {
            self.core.engine.release(done.buffer);
        }
        outcome
    }
}

/// What came of a request.
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// The system's own number, or 0.
    pub os_error: i32,
    /// Bytes or a count.
    pub count: i64,
    /// What it received or loaded.
    pub lent: Option<Lent>,
    /// The buffer that was given with it; of one that was read into, the bytes that came.
    pub buffer: Option<Vec<u8>>,
    /// In a race: this one ended it.
    pub winner: bool,
    /// Those of its children, in order.
    pub children: Vec<Outcome>,
    done: sys::ferry_completion,
    handle: sys::ferry_handle,
    core: Rc<Core>,
}

impl Outcome {
    fn refused(core: &Rc<Core>, status: i32) -> Outcome {
        let done = sys::ferry_completion { status, ..empty() };
        Outcome::of(core, &done, Keep::default())
    }

    fn of(core: &Rc<Core>, done: &sys::ferry_completion, keep: Keep) -> Outcome {
        let mut keeps = keep.children.into_iter();
        let children: Vec<Outcome> = children_of(done)
            .iter()
            .map(|child| Outcome::of(core, child, keeps.next().unwrap_or_default()))
            .collect();
        let has_buffer = done.flags & sys::FERRY_BUFFER != 0;
        let lent = if has_buffer && children.is_empty() {
            let size = done.result.max(0) as usize;
            // SAFETY: the completion says that they are lent.
            Some(unsafe { Lent::new(core, done.data_u64 as *const u8, size, done.buffer) })
        } else {
            None
        };
        let mut buffer = keep.buffer;
        if let (true, Some(buffer)) =
            (done.opcode == sys::FERRY_OP_FILE_READ as u16, buffer.as_mut())
        {
            // SAFETY: so many bytes were read into it.
            unsafe { buffer.set_len(done.result.max(0) as usize) };
        }
        let opened = opens(done.opcode) && done.status == 0;
        Outcome {
            status: Status(done.status),
            os_error: done.os_error,
            count: done.result,
            lent,
            buffer,
            winner: done.flags & sys::FERRY_WINNER != 0,
            children,
            done: *done,
            handle: if opened { done.handle } else { 0 },
            core: core.clone(),
        }
    }

    /// The count, or the error.
    pub fn result(&self) -> io::Result<u64> {
        result_of(&self.done)
    }

    fn take_handle(&mut self, opcodes: &[u32]) -> Option<sys::ferry_handle> {
        if self.handle == 0 || !opcodes.contains(&u32::from(self.done.opcode)) {
            return None;
        }
        Some(std::mem::take(&mut self.handle))
    }

    /// The stream that it opened; closed if nobody takes it.
    pub fn take_stream(&mut self) -> Option<TcpStream> {
        let opcodes =
            [sys::FERRY_OP_TCP_ACCEPT, sys::FERRY_OP_TCP_CONNECT, sys::FERRY_OP_TCP_CONNECT_NAME];
        let raw = self.take_handle(&opcodes)?;
        Some(TcpStream::of_handle(&self.core, raw))
    }

    /// The file that it opened; closed if nobody takes it.
    pub fn take_file(&mut self) -> Option<File> {
        let raw = self.take_handle(&[sys::FERRY_OP_FILE_OPEN])?;
        Some(File::of_handle(&self.core, raw))
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.handle != 0 {
            self.core.engine.discard(self.handle);
        }
    }
}
