//! TCP listeners and streams, and names.
use crate::buffer::{Buffer, BufferMut, Lent};
use crate::core::Core;
use crate::error::{error_of, result_of};
use crate::operation::{records, request, run, run_checked, Event, Multishot, Operation};
use crate::runtime::Handle;
use ferry_sys as sys;
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What came of it, and the buffer back.
pub type BufResult<T, B> = (io::Result<T>, B);

pub(crate) fn address_of(address: SocketAddr) -> sys::ferry_address {
    let mut bytes = [0; 16];
    let (family, scope_id) = match address {
        SocketAddr::V4(v4) => {
            bytes[..4].copy_from_slice(&v4.ip().octets());
            (sys::FERRY_IPV4, 0)
        }
        SocketAddr::V6(v6) => {
            bytes = v6.ip().octets();
            (sys::FERRY_IPV6, v6.scope_id())
        }
    };
    sys::ferry_address { family: family as u16, port: address.port(), scope_id, bytes, reserved: 0 }
}

fn socket_addr_of(address: &sys::ferry_address) -> SocketAddr {
    let bytes = address.bytes;
    if u32::from(address.family) == sys::FERRY_IPV4 {
        let ip = Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
        return SocketAddr::new(IpAddr::V4(ip), address.port);
    }
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(bytes), address.port, 0, address.scope_id))
}

pub(crate) fn name_of(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| error_of(sys::FERRY_E_INVALID))
}

/// The addresses of a name, in the order in which to try them.
///
/// ```
/// let runtime = ferry::Runtime::new()?;
/// let addresses = runtime.block_on(ferry::net::resolve(&runtime, "127.0.0.1", 80))?;
/// assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap()]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn resolve(handle: &Handle, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = name_of(name)?;
    let mut resolve = request(sys::FERRY_OP_NAME_RESOLVE, 0);
    resolve.params.resolve = sys::ferry_resolve_params {
        name_u64: name.as_ptr() as u64,
        family: 0,
        port: u32::from(port),
    };
    // SAFETY: the name is kept.
    let (done, _) = unsafe { Operation::start(&handle.core, resolve, name) }.await;
    // SAFETY: a name's addresses are such records.
    let addresses: Vec<sys::ferry_address> = unsafe { records(&handle.core, &done) }?;
    Ok(addresses.iter().map(socket_addr_of).collect())
}

/// An open handle, closed with the last reference to it.
pub(crate) struct Open {
    pub core: Rc<Core>,
    pub raw: sys::ferry_handle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.core.engine.discard(self.raw);
    }
}

impl Open {
    /// The handle that an operation has opened.
    pub fn from(core: &Rc<Core>, done: &sys::ferry_completion) -> io::Result<Open> {
        result_of(done)?;
        Ok(Open { core: core.clone(), raw: done.handle })
    }

    pub async fn close(&self) -> io::Result<()> {
        run_checked(&self.core, request(sys::FERRY_OP_HANDLE_CLOSE, self.raw)).await.map(drop)
    }

    async fn address(&self, peer: u64) -> io::Result<SocketAddr> {
        let mut ask = request(sys::FERRY_OP_SOCKET_ADDRESS, self.raw);
        ask.params.socket_address.peer = peer;
        let done = run(&self.core, ask).await;
        // SAFETY: a socket's address is such a record.
        let addresses: Vec<sys::ferry_address> = unsafe { records(&self.core, &done) }?;
        addresses.first().map(socket_addr_of).ok_or_else(|| error_of(sys::FERRY_E_INTERNAL))
    }

    async fn set(&self, option: SocketOption) -> io::Result<()> {
        let (option, value) = match option {
            SocketOption::NoDelay(on) => (sys::FERRY_SOCKET_NO_DELAY, i64::from(on)),
            SocketOption::KeepAlive(seconds) => (sys::FERRY_SOCKET_KEEP_ALIVE, i64::from(seconds)),
            SocketOption::ReceiveBuffer(size) => (sys::FERRY_SOCKET_RECEIVE_BUFFER, size as i64),
            SocketOption::SendBuffer(size) => (sys::FERRY_SOCKET_SEND_BUFFER, size as i64),
            SocketOption::Linger(None) => (sys::FERRY_SOCKET_LINGER, -1),
            SocketOption::Linger(Some(seconds)) => (sys::FERRY_SOCKET_LINGER, i64::from(seconds)),
        };
        let mut set = request(sys::FERRY_OP_SOCKET_SET, self.raw);
        set.params.socket_set = sys::ferry_socket_set_params { option, reserved: 0, value };
        run_checked(&self.core, set).await.map(drop)
    }
}

/// Something to set for a socket.
#[derive(Clone, Copy, Debug)]
pub enum SocketOption {
    /// Small writes leave at once, as they do at first.
    NoDelay(bool),
    /// Seconds without traffic before the peer is probed; 0: never.
    KeepAlive(u32),
    /// Bytes that the system may hold of what was received, as a wish.
    ReceiveBuffer(u64),
    /// Bytes that the system may hold of what was sent, as a wish.
    SendBuffer(u64),
    /// Seconds that unsent bytes may linger after a close.
    Linger(Option<u32>),
}

/// How to listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted; 0 = 511.
    pub backlog: u32,
    /// Other sockets may bind the same address and share its connections.
    pub reuse_port: bool,
}

/// A TCP listener.
///
/// ```
/// use ferry::net::{TcpListener, TcpStream};
/// let runtime = ferry::Runtime::new()?;
/// runtime.block_on(async {
///     let listener = TcpListener::bind(&runtime, "127.0.0.1:0".parse().unwrap()).await?;
///     let client = TcpStream::connect(&runtime, listener.local_addr().await?).await?;
///     let server = listener.accept().await?;
///     client.write_all("hello").await.0?;
///     let (received, buffer) = server.read_exact(Vec::with_capacity(5), 5).await;
///     received?;
///     assert_eq!(buffer, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    open: Open,
    port: u16,
}

impl TcpListener {
    /// Listens; port 0 lets the system choose.
    pub async fn bind(handle: &Handle, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind_with(handle, address, ListenOptions::default()).await
    }

    /// Listens, with options.
    pub async fn bind_with(
        handle: &Handle,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        let mut listen = request(sys::FERRY_OP_TCP_LISTEN, 0);
        if options.reuse_port {
            listen.flags = sys::FERRY_REUSE_PORT;
        }
        listen.params.listen = sys::ferry_listen_params {
            address: address_of(address),
            backlog: u64::from(options.backlog),
        };
        let done = run(&handle.core, listen).await;
        Ok(TcpListener { open: Open::from(&handle.core, &done)?, port: done.result as u16 })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address it listens on.
    pub async fn local_addr(&self) -> io::Result<SocketAddr> {
        self.open.address(0).await
    }

    /// Sets an option that accepted connections inherit.
    pub async fn set(&self, option: SocketOption) -> io::Result<()> {
        self.open.set(option).await
    }

    /// The next connection. A connection that came while this was dropped is closed.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        let done = run(&self.open.core, request(sys::FERRY_OP_TCP_ACCEPT, self.open.raw)).await;
        Ok(TcpStream::new(Open::from(&self.open.core, &done)?))
    }

    /// All connections to come, by one request. Out of descriptors it says so and goes on later.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, shots: None }
    }

    /// Closes it; what is pending on it fails with `CLOSED`.
    pub async fn close(&self) -> io::Result<()> {
        self.open.close().await
    }

    /// The engine's name for it.
    pub fn raw_handle(&self) -> u64 {
        self.open.raw
    }
}

/// Connections, one after the other.
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    shots: Option<Multishot>,
}

impl Incoming<'_> {
    /// The next connection.
    pub async fn next(&mut self) -> io::Result<TcpStream> {
        crate::operation::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let open = &self.listener.open;
        loop {
            let shots = self.shots.get_or_insert_with(|| {
                let mut accept = request(sys::FERRY_OP_TCP_ACCEPT, open.raw);
                accept.flags = sys::FERRY_MULTISHOT;
                Multishot::start(&open.core, accept)
            });
            match shots.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Event::Paused(_)) => self.shots = None,
                Poll::Ready(Event::More(done)) => {
                    return Poll::Ready(Open::from(&open.core, &done).map(TcpStream::new))
                }
                Poll::Ready(Event::Final(done)) => {
                    self.shots = None;
                    let error = result_of(&done).err();
                    let error = error.unwrap_or_else(|| error_of(sys::FERRY_E_CLOSED));
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// A TCP connection. Clones are the same connection, which is closed with the last of them.
#[derive(Clone)]
pub struct TcpStream {
    inner: Rc<Stream>,
}

struct Stream {
    open: Open,
    reading: Reading,
}

/// What receives that were dropped leave behind.
#[derive(Default)]
struct Reading {
    /// One that has not ended yet: the next has to wait for it.
    dropped: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
    /// What it received nevertheless.
    left: RefCell<Vec<u8>>,
}

impl Reading {
    fn settle(&self, context: &Context<'_>) -> Poll<()> {
        if !self.dropped.get() {
            return Poll::Ready(());
        }
        let before = self.waiter.borrow_mut().replace(context.waker().clone());
        drop(before);
        Poll::Pending
    }

    fn settled(&self, bytes: &[u8]) {
        self.left.borrow_mut().extend_from_slice(bytes);
        self.dropped.set(false);
        let waiter = self.waiter.borrow_mut().take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Moves so many bytes of what is left to `place`.
    ///
    /// # Safety
    ///
    /// There is room for `size` bytes.
    unsafe fn take(&self, place: *mut u8, size: usize) -> usize {
        let mut left = self.left.borrow_mut();
        let size = size.min(left.len());
        std::ptr::copy_nonoverlapping(left.as_ptr(), place, size);
        left.drain(..size);
        size
    }

    fn has_left(&self) -> bool {
        !self.left.borrow().is_empty()
    }
}

/// A receive's own part: its buffer, and the stream that gets the bytes if nobody else does.
struct Receive<B> {
    stream: Rc<Stream>,
    buffer: B,
    /// How many bytes of the buffer were filled before.
    filled: usize,
}

fn receive_dropped<B: BufferMut>(
    mut receive: Receive<B>,
    core: &Rc<Core>,
    done: &sys::ferry_completion,
) {
    let count = receive.filled + done.result.max(0) as usize;
    let count = count.min(receive.buffer.capacity());
    // SAFETY: so many bytes were written, and nobody writes any more.
    let bytes = unsafe { std::slice::from_raw_parts(receive.buffer.start(), count) };
    receive.stream.reading.settled(bytes);
    core.dispose(done);
}

fn lent_dropped(stream: Rc<Stream>, core: &Rc<Core>, done: &sys::ferry_completion) {
    let chunk = lent_of(core, done);
    stream.reading.settled(chunk.as_deref().unwrap_or(&[]));
}

fn lent_of(core: &Rc<Core>, done: &sys::ferry_completion) -> Option<Lent> {
    if done.flags & sys::FERRY_BUFFER == 0 {
        return None;
    }
    let size = done.result as usize;
    // SAFETY: the completion says that they are lent.
    Some(unsafe { Lent::new(core, done.data_u64 as *const u8, size, done.buffer) })
}

/// Marks the stream while a receive is pending, so that a dropped one is waited for.
struct Pending<K: 'static> {
    operation: Option<Operation<K>>,
    stream: Rc<Stream>,
}

impl<K: 'static> Pending<K> {
    fn new(stream: &Rc<Stream>, operation: Operation<K>) -> Self {
        Pending { operation: Some(operation), stream: stream.clone() }
    }
}

impl<K: 'static> Future for Pending<K> {
    type Output = (sys::ferry_completion, K);
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = self.operation.as_mut().expect("polled after its end");
        let polled = Pin::new(operation).poll(context);
        if polled.is_ready() {
            self.operation = None;
        }
        polled
    }
}

impl<K: 'static> Drop for Pending<K> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.stream.reading.dropped.set(true);
            drop(operation); // Whose end sets it back.
        }
    }
}

impl TcpStream {
    fn new(open: Open) -> Self {
        TcpStream { inner: Rc::new(Stream { open, reading: Reading::default() }) }
    }

    /// A stream that a composition has opened.
    pub(crate) fn of_handle(core: &Rc<Core>, raw: sys::ferry_handle) -> Self {
        TcpStream::new(Open { core: core.clone(), raw })
    }

    /// Connects to an address.
    pub async fn connect(handle: &Handle, address: SocketAddr) -> io::Result<TcpStream> {
        let done = run(&handle.core, connect_request(address)).await;
        Ok(TcpStream::new(Open::from(&handle.core, &done)?))
    }

    /// Connects to a name: to the first of its addresses that answers.
    pub async fn connect_name(handle: &Handle, name: &str, port: u16) -> io::Result<TcpStream> {
        let name = name_of(name)?;
        let mut connect = request(sys::FERRY_OP_TCP_CONNECT_NAME, 0);
        connect.params.connect_name = sys::ferry_connect_name_params {
            name_u64: name.as_ptr() as u64,
            port: u64::from(port),
            attempt_delay_ns: 0,
        };
        // SAFETY: the name is kept.
        let (done, _) = unsafe { Operation::start(&handle.core, connect, name) }.await;
        Ok(TcpStream::new(Open::from(&handle.core, &done)?))
    }

    fn core(&self) -> &Rc<Core> {
        &self.inner.open.core
    }

    /// Waits for a receive that was dropped. False: it has left bytes.
    pub(crate) async fn settle(&self) -> bool {
        let reading = &self.inner.reading;
        if reading.dropped.get() {
            crate::operation::poll_fn(|context| reading.settle(context)).await;
        }
        !reading.has_left()
    }

    async fn receive<B: BufferMut>(
        &self,
        opcode: u32,
        buffer: B,
        size: usize,
    ) -> BufResult<usize, B> {
        self.settle().await;
        let mut receive = Receive { stream: self.inner.clone(), buffer, filled: 0 };
        let place = receive.buffer.start();
        let some = opcode == sys::FERRY_OP_STREAM_RECEIVE;
        // SAFETY: the callers have compared size with the capacity.
        receive.filled = unsafe { self.inner.reading.take(place, size) };
        let filled = receive.filled;
        if filled > 0 && (some || filled == size) {
            // SAFETY: they have just been.
            unsafe { receive.buffer.set_filled(filled) };
            return (Ok(filled), receive.buffer);
        }
        let mut request = request(opcode, self.inner.open.raw);
        request.params.receive = sys::ferry_receive_params {
            // Within the buffer: less than size are filled.
            buffer_u64: place as u64 + filled as u64,
            size: (size - filled) as u64,
        };
        // SAFETY: the buffer is kept, and stays where it is.
        let operation =
            unsafe { Operation::start(self.core(), request, receive) }.or(receive_dropped::<B>);
        let (done, mut receive) = Pending::new(&self.inner, operation).await;
        let count = filled + done.result.max(0) as usize;
        // SAFETY: so many were.
        unsafe { receive.buffer.set_filled(count) };
        (result_of(&done).map(|_| count), receive.buffer)
    }

    /// What has arrived, as soon as anything has, up to the buffer's capacity; 0 is the end of the
    /// stream.
    pub async fn read<B: BufferMut>(&self, buffer: B) -> BufResult<usize, B> {
        let size = buffer.capacity();
        self.receive(sys::FERRY_OP_STREAM_RECEIVE, buffer, size).await
    }

    /// Exactly `size` bytes. If the stream ends before, the error's kind is `UnexpectedEof` and
    /// the buffer has what came.
    pub async fn read_exact<B: BufferMut>(&self, buffer: B, size: usize) -> BufResult<usize, B> {
        if size > buffer.capacity() {
            return (Err(error_of(sys::FERRY_E_INVALID)), buffer);
        }
        self.receive(sys::FERRY_OP_STREAM_RECEIVE_EXACTLY, buffer, size).await
    }

    /// All up to and with the delimiter, of 1 to 16 bytes, in at most `limit` bytes (64 KiB). A
    /// longer piece fails with `LIMIT`; it can be received otherwise then.
    pub async fn read_until(&self, delimiter: &[u8], limit: usize) -> io::Result<Lent> {
        if !self.settle().await {
            return self.read_until_slowly(delimiter, limit).await;
        }
        let mut until = request(sys::FERRY_OP_STREAM_RECEIVE_UNTIL, self.inner.open.raw);
        until.flags = sys::FERRY_LEND;
        let mut bytes = [0; 16];
        if delimiter.is_empty() || delimiter.len() > bytes.len() {
            return Err(error_of(sys::FERRY_E_INVALID));
        }
        bytes[..delimiter.len()].copy_from_slice(delimiter);
        until.params.receive_until = sys::ferry_receive_until_params {
            buffer_u64: 0,
            size: limit as u64,
            delimiter_size: delimiter.len() as u64,
            delimiter: bytes,
        };
        let done = self.receive_lent(until).await;
        let chunk = lent_of(self.core(), &done);
        result_of(&done)?;
        chunk.ok_or_else(|| error_of(sys::FERRY_E_END))
    }

    async fn receive_lent(&self, request: sys::ferry_request) -> sys::ferry_completion {
        // SAFETY: it points to nothing.
        let operation = unsafe { Operation::start(self.core(), request, self.inner.clone()) };
        Pending::new(&self.inner, operation.or(lent_dropped)).await.0
    }

    /// With bytes that a dropped receive had taken in.
    async fn read_until_slowly(&self, delimiter: &[u8], limit: usize) -> io::Result<Lent> {
        loop {
            {
                let mut left = self.inner.reading.left.borrow_mut();
                let found = left.windows(delimiter.len()).position(|piece| piece == delimiter);
                match found.map(|place| place + delimiter.len()) {
                    Some(end) if end <= limit => {
                        return Ok(Lent::owned(left.drain(..end).collect()))
                    }
                    Some(_) => return Err(error_of(sys::FERRY_E_LIMIT)),
                    None if left.len() >= limit => return Err(error_of(sys::FERRY_E_LIMIT)),
                    None => {}
                }
            }
            match self.lend_next().await? {
                Some(chunk) => self.inner.reading.settled(&chunk),
                None => return Err(error_of(sys::FERRY_E_END)),
            }
        }
    }

    async fn lend_next(&self) -> io::Result<Option<Lent>> {
        self.settle().await;
        let mut receive = request(sys::FERRY_OP_STREAM_RECEIVE, self.inner.open.raw);
        receive.flags = sys::FERRY_LEND;
        let done = self.receive_lent(receive).await;
        let chunk = lent_of(self.core(), &done);
        result_of(&done)?;
        Ok(chunk)
    }

    /// All that comes, in buffers that the engine lends: the fastest way to receive. Nothing else
    /// may be received meanwhile. A reader that falls behind makes it pause.
    pub fn chunks(&self) -> Chunks {
        Chunks { stream: self.inner.clone(), shots: None, ended: false, error: None }
    }

    /// Writes all of it. It begins now, and writes go out in the order in which they began;
    /// dropped, it is cancelled and may have been written in part.
    pub fn write_all<B: Buffer>(&self, buffer: B) -> Write<B> {
        let mut send = request(sys::FERRY_OP_STREAM_SEND, self.inner.open.raw);
        let bytes = buffer.bytes();
        if bytes.is_empty() {
            return Write { operation: None, nothing: Some(buffer) };
        }
        send.params.send =
            sys::ferry_send_params { data_u64: bytes.as_ptr() as u64, size: bytes.len() as u64 };
        // SAFETY: the buffer is kept, and its bytes stay where they are.
        let operation = unsafe { Operation::start(self.core(), send, buffer) };
        Write { operation: Some(operation), nothing: None }
    }

    /// Writes several pieces as if they were one; 1024 at most.
    pub fn write_vectored<B: Buffer>(&self, pieces: Vec<B>) -> Write<Pieces<B>> {
        let slices = pieces.iter().map(|piece| slice_of(piece.bytes())).collect::<Vec<_>>();
        let mut send = request(sys::FERRY_OP_STREAM_SEND_VECTORED, self.inner.open.raw);
        send.params.slices = sys::ferry_slices_params {
            slices_u64: slices.as_ptr() as u64,
            count: slices.len() as u64,
            offset: 0,
        };
        // SAFETY: both lists are kept, and their bytes stay where they are.
        let operation =
            unsafe { Operation::start(self.core(), send, Pieces { pieces, _slices: slices }) };
        Write { operation: Some(operation), nothing: None }
    }

    /// What was written goes out, then the peer sees the end. Receiving goes on.
    pub async fn shutdown(&self) -> io::Result<()> {
        let shutdown = request(sys::FERRY_OP_STREAM_SHUTDOWN, self.inner.open.raw);
        run_checked(self.core(), shutdown).await.map(drop)
    }

    /// Closes it, for all its clones; what is pending on it fails with `CLOSED`, and what comes
    /// later with `STALE`.
    pub async fn close(&self) -> io::Result<()> {
        self.inner.open.close().await
    }

    /// Its own address.
    pub async fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.open.address(0).await
    }

    /// The peer's address.
    pub async fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.open.address(1).await
    }

    /// Sets an option.
    pub async fn set(&self, option: SocketOption) -> io::Result<()> {
        self.inner.open.set(option).await
    }

    /// The engine's name for it.
    pub fn raw_handle(&self) -> u64 {
        self.inner.open.raw
    }
}

pub(crate) fn connect_request(address: SocketAddr) -> sys::ferry_request {
    let mut connect = request(sys::FERRY_OP_TCP_CONNECT, 0);
    connect.params.connect.address = address_of(address);
    connect
}

pub(crate) fn slice_of(bytes: &[u8]) -> sys::ferry_slice {
    sys::ferry_slice { data_u64: bytes.as_ptr() as u64, size: bytes.len() as u64 }
}

/// A write that is under way.
pub struct Write<B: 'static> {
    operation: Option<Operation<B>>,
    nothing: Option<B>,
}

impl<B: 'static> Write<B> {
    /// Lets it go on without anybody waiting. A failure shows in the writes after it.
    pub fn detach(mut self) {
        if let Some(operation) = self.operation.take() {
            operation.detach();
        }
    }
}

impl<B> Unpin for Write<B> {}

impl<B: 'static> Future for Write<B> {
    type Output = BufResult<(), B>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(operation) = &mut self.operation {
            return Pin::new(operation)
                .poll(context)
                .map(|(done, buffer)| (result_of(&done).map(drop), buffer));
        }
        Poll::Ready((Ok(()), self.nothing.take().expect("polled after its end")))
    }
}

/// The pieces of a vectored write.
pub struct Pieces<B> {
    /// As they were given.
    pub pieces: Vec<B>,
    _slices: Vec<sys::ferry_slice>,
}

/// What a stream receives, in lent buffers.
pub struct Chunks {
    stream: Rc<Stream>,
    shots: Option<Multishot>,
    ended: bool,
    error: Option<io::Error>,
}

impl Chunks {
    /// The next bytes; `None` at the end of the stream.
    pub async fn next(&mut self) -> io::Result<Option<Lent>> {
        crate::operation::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Lent>>> {
        while !self.ended {
            if self.shots.is_none() {
                if self.stream.reading.settle(context).is_pending() {
                    return Poll::Pending;
                }
                if self.stream.reading.has_left() {
                    let left = std::mem::take(&mut *self.stream.reading.left.borrow_mut());
                    return Poll::Ready(Ok(Some(Lent::owned(left))));
                }
                self.start();
            }
            let shots = self.shots.as_mut().expect("just started");
            let event = match shots.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(event) => event,
            };
            let core = &self.stream.open.core;
            match event {
                Event::More(done) => return Poll::Ready(Ok(lent_of(core, &done))),
                Event::Paused(done) => {
                    self.shots = None;
                    if let Some(chunk) = lent_of(core, &done) {
                        return Poll::Ready(Ok(Some(chunk)));
                    }
                }
                Event::Final(done) => {
                    self.shots = None;
                    self.ended = true;
                    self.error = result_of(&done).err();
                    if let Some(chunk) = lent_of(core, &done) {
                        return Poll::Ready(Ok(Some(chunk)));
                    }
                }
            }
        }
        Poll::Ready(self.error.take().map_or(Ok(None), Err))
    }

    fn start(&mut self) {
        let open = &self.stream.open;
        let mut receive = request(sys::FERRY_OP_STREAM_RECEIVE, open.raw);
        receive.flags = sys::FERRY_LEND | sys::FERRY_MULTISHOT;
        self.shots = Some(Multishot::start(&open.core, receive));
    }
}

impl Drop for Chunks {
    /// What had come and was not taken stays with the stream.
    fn drop(&mut self) {
        let shots = match self.shots.take() {
            Some(shots) => shots,
            None => return,
        };
        self.stream.reading.dropped.set(true);
        let stream = self.stream.clone();
        shots.abandon(Box::new(move |core, done| {
            let chunk = lent_of(core, done);
            let bytes = chunk.as_deref().unwrap_or(&[]);
            if done.flags & sys::FERRY_MORE == 0 {
                stream.reading.settled(bytes);
            } else {
                stream.reading.left.borrow_mut().extend_from_slice(bytes);
            }
        }));
    }
}
