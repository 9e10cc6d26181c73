//! Every scenario of bindings/CONFORMANCE.md. Run it by bindings/conformance/run.py.
//!
//!     conformance [SCENARIO...]
mod sha256;

use ferry::fs::{self, File, OpenOptions};
use ferry::net::{resolve, SocketOption, TcpListener, TcpStream};
use ferry::{Channel, Engine, Error, Handle, Info, Options, Request, Runtime, Status, Target};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Scenario = fn(&Runtime) -> Outcome;

macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+).into());
        }
    };
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn peer_address() -> SocketAddr {
    std::env::var("FERRY_PEER").expect("FERRY_PEER").parse().expect("an address")
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(std::env::var("FERRY_SCRATCH").expect("FERRY_SCRATCH")).join(name)
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("a literal")
}

/// A connection to the peer, which is told how to behave.
async fn peer(handle: &Handle, behaviour: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(handle, peer_address()).await?;
    stream.write_all(format!("{}\n", behaviour)).await.0?;
    Ok(stream)
}

/// Two ends of one connection.
async fn pair(handle: &Handle) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(handle, loopback()).await?;
    let client = TcpStream::connect(handle, listener.local_addr().await?).await?;
    Ok((client, listener.accept().await?))
}

fn status_of<T>(result: &io::Result<T>) -> Status {
    match result {
        Ok(_) => Status::OK,
        Err(error) => Error::of(error).map_or(Status::INTERNAL, |error| error.status),
    }
}

fn fails<T>(result: io::Result<T>, kind: ErrorKind, status: Status) -> Outcome {
    let got = status_of(&result);
    ensure!(got == status, "{:?} expected, {:?} came", status, got);
    let got = result.err().map(|error| error.kind());
    ensure!(got == Some(kind), "{:?} expected, {:?} came", kind, got);
    Ok(())
}

/// The peer's bytes: each its number.
fn counted(from: usize, size: usize) -> Vec<u8> {
    (from..from + size).map(|number| number as u8).collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % below.max(1)
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| self.next(256) as u8).collect()
    }
}

// ---- streams

async fn echo_server(stream: TcpStream) -> io::Result<()> {
    let mut chunks = stream.chunks();
    while let Some(chunk) = chunks.next().await? {
        stream.write_all(chunk).await.0?;
    }
    Ok(())
}

async fn round_trip(stream: &TcpStream, data: Vec<u8>) -> Outcome {
    let size = data.len();
    let writing = stream.write_all(data);
    let (received, back) = stream.read_exact(Vec::with_capacity(size), size).await;
    received?;
    let (written, data) = writing.await;
    written?;
    ensure!(back == data, "other bytes came back");
    Ok(())
}

fn echo(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let (client, server) = pair(runtime).await?;
        let serving = runtime.spawn(echo_server(server));
        let mut random = Random(1);
        for _ in 0..100 {
            let size = 1 + random.next(65536);
            round_trip(&client, random.bytes(size)).await?;
        }
        client.shutdown().await?;
        serving.await?;
        Ok(())
    })
}

fn echo_many(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let listener = TcpListener::bind(runtime, loopback()).await?;
        let address = listener.local_addr().await?;
        let clients: Vec<_> = (0..64)
            .map(|seed| {
                let handle = runtime.handle();
                runtime.spawn(async move {
                    let stream = TcpStream::connect(&handle, address).await?;
                    let mut random = Random(seed);
                    for _ in 0..20 {
                        round_trip(&stream, random.bytes(1000)).await?;
                    }
                    Outcome::Ok(())
                })
            })
            .collect();
        let mut incoming = listener.incoming();
        for _ in 0..clients.len() {
            runtime.spawn(echo_server(incoming.next().await?));
        }
        for client in clients {
            client.await?;
        }
        Ok(())
    })
}

fn receive_short(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "drip 20 1").await?;
        let mut all = Vec::new();
        loop {
            let (count, buffer) = stream.read(Vec::with_capacity(7)).await;
            if count? == 0 {
                break;
            }
            all.extend(buffer);
        }
        ensure!(all == counted(0, 20), "{:?} came", all);
        Ok(())
    })
}

fn receive_exactly(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "bytes 100000").await?;
        let mut at = 0;
        for size in [1, 99, 65536] {
            let (count, buffer) = stream.read_exact(Vec::with_capacity(size), size).await;
            ensure!(count? == size && buffer == counted(at, size), "not the bytes from {}", at);
            at += size;
        }
        let left = 100000 - at;
        let (count, buffer) = stream.read_exact(Vec::with_capacity(left + 1), left + 1).await;
        let told = count.as_ref().err().and_then(Error::of).map(|error| error.transferred);
        ensure!(told == Some(left as u64) && buffer.len() == left, "{:?} told", told);
        fails(count, ErrorKind::UnexpectedEof, Status::END)
    })
}

fn receive_until(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "lines 1000").await?;
        for number in 0..500 {
            let line = stream.read_until(b"\n", 100).await?;
            ensure!(line[..] == *format!("line {}\n", number).as_bytes(), "line {:?}", line);
        }
        fails(stream.read_until(b"\n", 5).await, ErrorKind::InvalidData, Status::LIMIT)?;
        let (count, buffer) = stream.read_exact(Vec::with_capacity(9), 9).await;
        ensure!(count? == 9 && buffer == b"line 500\n", "{:?} came", buffer);
        for number in 501..1000 {
            let line = stream.read_until(b"\n", 100).await?;
            ensure!(line[..] == *format!("line {}\n", number).as_bytes(), "line {:?}", line);
        }
        fails(stream.read_until(b"\n", 100).await, ErrorKind::UnexpectedEof, Status::END)
    })
}

fn receive_lent(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "bytes 10000000").await?;
        let mut chunks = stream.chunks();
        let mut at = 0;
        while let Some(chunk) = chunks.next().await? {
            let right = chunk.iter().enumerate().all(|(i, byte)| *byte == (at + i) as u8);
            ensure!(right, "wrong bytes from {}", at);
            at += chunk.len();
        }
        ensure!(at == 10_000_000, "{} bytes", at);
        Ok(())
    })
}

/// What the peer answers to so many bytes.
async fn check_count(stream: &TcpStream, sent: &[u8]) -> Outcome {
    stream.shutdown().await?;
    let line = stream.read_until(b"\n", 200).await?;
    let wanted = format!("{} {}\n", sent.len(), sha256::hex(sent));
    ensure!(line[..] == *wanted.as_bytes(), "{} expected, {:?} came", wanted, line);
    Ok(())
}

fn send_large(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "count").await?;
        let mut random = Random(2);
        let large = random.bytes(8 << 20);
        let mut all = large.clone();
        let mut writes = vec![stream.write_all(large)];
        for _ in 0..300 {
            let size = 1 + random.next(2000);
            let piece = random.bytes(size);
            all.extend(&piece);
            writes.push(stream.write_all(piece));
        }
        for write in writes {
            write.await.0?;
        }
        check_count(&stream, &all).await
    })
}

fn send_vectored(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "count").await?;
        let pieces: Vec<_> = (0..100).map(|number| counted(number, number + 1)).collect();
        let (written, back) = stream.write_vectored(pieces).await;
        written?;
        check_count(&stream, &back.pieces.concat()).await
    })
}

fn backpressure(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "slow 65536").await?;
        let all = counted(0, 4 << 20);
        let begin = Instant::now();
        let mut taken = 0;
        for piece in all.chunks(65536) {
            stream.write_all(piece.to_vec()).await.0?;
            taken += 1;
        }
        // 64 pieces at 10 ms each, less what the system's buffers hold.
        ensure!(begin.elapsed() > ms(50), "{} in {:?}", taken, begin.elapsed());
        check_count(&stream, &all).await
    })
}

fn half_close(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "echo").await?;
        stream.write_all("what is left").await.0?;
        stream.shutdown().await?;
        let (count, buffer) = stream.read_exact(Vec::with_capacity(12), 12).await;
        ensure!(count? == 12 && buffer == b"what is left", "{:?} came", buffer);
        let (count, _) = stream.read(buffer).await;
        ensure!(count? == 0, "no end");
        Ok(())
    })
}

fn peer_reset(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "reset 10").await?;
        let (count, _) = stream.read_exact(Vec::with_capacity(10), 10).await;
        count?;
        stream.write_all("x").await.0?;
        let (count, _) = stream.read(Vec::with_capacity(1)).await;
        fails(count, ErrorKind::ConnectionReset, Status::CONNECTION_RESET)?;
        let status = status_of(&stream.write_all("x").await.0);
        let told = status == Status::CONNECTION_RESET || status == Status::BROKEN_PIPE;
        ensure!(told, "the write ended with {:?}", status);
        Ok(())
    })
}

/// A port that was free a moment ago.
async fn dead_address(handle: &Handle) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(handle, loopback()).await?;
    let address = listener.local_addr().await?;
    listener.close().await?;
    Ok(address)
}

fn connect_refused(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let address = dead_address(runtime).await?;
        let refused = TcpStream::connect(runtime, address).await;
        fails(refused, ErrorKind::ConnectionRefused, Status::CONNECTION_REFUSED)
    })
}

fn connect_name(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let port = peer_address().port();
        let stream = TcpStream::connect_name(runtime, "localhost", port).await?;
        stream.write_all("echo\n").await.0?;
        round_trip(&stream, b"by name".to_vec()).await
    })
}

fn name_resolve(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let list = resolve(runtime, "localhost", 80).await?;
        let right = list.iter().any(|address| address.ip().is_loopback() && address.port() == 80);
        ensure!(right, "{:?}", list);
        Ok(())
    })
}

fn name_failed(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let status = status_of(&resolve(runtime, "nowhere.invalid", 80).await);
        let wanted = [Status::NAME_NOT_FOUND, Status::NAME_TRY_AGAIN, Status::NAME_FAILED];
        ensure!(wanted.contains(&status), "{:?}", status);
        Ok(())
    })
}

fn socket(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let (client, server) = pair(runtime).await?;
        ensure!(client.local_addr().await? == server.peer_addr().await?, "the client's differs");
        ensure!(server.local_addr().await? == client.peer_addr().await?, "the server's differs");
        client.set(SocketOption::NoDelay(true)).await?;
        let set = client.set(SocketOption::KeepAlive(1 << 30)).await;
        fails(set, ErrorKind::InvalidInput, Status::INVALID)
    })
}

// ---- time and cancellation

fn sleep(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let begin = Instant::now();
        let ends = Rc::new(RefCell::new(Vec::new()));
        let tasks = [40, 20].map(|delay| {
            let (handle, ends) = (runtime.handle(), ends.clone());
            runtime.spawn(async move {
                handle.sleep(ms(delay)).await?;
                ends.borrow_mut().push((delay, begin.elapsed()));
                io::Result::Ok(())
            })
        });
        for task in tasks {
            task.await?;
        }
        let ends = ends.borrow();
        let order: Vec<_> = ends.iter().map(|end| end.0).collect();
        ensure!(order == [20, 40], "{:?}", ends);
        ensure!(ends.iter().all(|(delay, end)| *end >= ms(*delay)), "early: {:?}", ends);
        Ok(())
    })
}

fn interval(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let begin = Instant::now();
        let mut interval = runtime.interval(ms(2));
        let mut expired = 0;
        while expired < 5 {
            expired += interval.tick().await?;
        }
        ensure!(begin.elapsed() >= ms(10), "early: {:?}", begin.elapsed());
        Ok(())
    })
}

async fn is_late(stream: &TcpStream) -> Outcome {
    let (count, buffer) = stream.read_exact(Vec::with_capacity(5), 5).await;
    ensure!(count? == 5 && buffer == b"late\n", "{:?} came", buffer);
    Ok(())
}

fn deadline(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "silent-then 200").await?;
        let read = runtime.timeout(ms(20), stream.read(Vec::with_capacity(9))).await;
        fails(read.map(drop), ErrorKind::TimedOut, Status::TIMED_OUT)?;
        // The same by the request's own deadline.
        let whole = runtime.run(Request::receive(&stream).deadline(ms(20))).await;
        fails(whole.result(), ErrorKind::TimedOut, Status::TIMED_OUT)?;
        is_late(&stream).await
    })
}

fn cancel_before(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let before = runtime.engine().info()?.operations;
        let (client, _server) = pair(runtime).await?;
        let ended = Rc::new(Cell::new(false));
        let task = runtime.spawn({
            let (handle, ended) = (runtime.handle(), ended.clone());
            async move {
                let slept = handle.sleep(ms(1)).await;
                ended.set(true);
                slept
            }
        });
        task.cancel(); // Before it was polled.
        drop(client.write_all("never")); // Begun, and not submitted.
        runtime.yield_now().await;
        runtime.sleep(ms(5)).await?;
        ensure!(!ended.get() && task.is_finished(), "it ran");
        let after = runtime.engine().info()?.operations;
        ensure!(after == before, "{} in flight, {} before", after, before);
        Ok(())
    })
}

fn cancel_during(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "silent-then 100").await?;
        let task = runtime.spawn({
            let stream = stream.clone();
            async move { stream.read(Vec::with_capacity(9)).await.0 }
        });
        runtime.sleep(ms(10)).await?;
        ensure!(!task.is_finished(), "it was not pending");
        task.cancel();
        is_late(&stream).await
    })
}

fn cancel_after(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let handle = runtime.handle();
        let task = runtime.spawn(async move { handle.sleep(ms(1)).await.map(|_| 7) });
        while !task.is_finished() {
            runtime.sleep(ms(1)).await?;
        }
        task.cancel();
        ensure!(task.await? == 7, "another result");
        Ok(())
    })
}

/// A buffer that knows when it is freed, and that is overwritten then.
struct Canary {
    bytes: Box<[u8]>,
    freed: Rc<Cell<usize>>,
}

// SAFETY: the bytes are on the heap.
unsafe impl ferry::BufferMut for Canary {
    fn start(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }
    fn capacity(&self) -> usize {
        self.bytes.len()
    }
    unsafe fn set_filled(&mut self, _: usize) {}
}

thread_local! {
    static GRAVEYARD: RefCell<Vec<Box<[u8]>>> = RefCell::default();
}

impl Drop for Canary {
    fn drop(&mut self) {
        // From now on nobody may write to it: that is looked at when all is over.
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.fill(0xCA);
        GRAVEYARD.with(|graves| graves.borrow_mut().push(bytes));
        self.freed.set(self.freed.get() + 1);
    }
}

fn dropped(runtime: &Runtime) -> Outcome {
    let freed = Rc::new(Cell::new(0));
    let mut random = Random(3);
    for round in 0..100 {
        let delay = Duration::from_micros(random.next(600) as u64);
        runtime.block_on(async {
            let stream = peer(runtime, "bytes 100000").await?;
            let canary = Canary { bytes: vec![0; 65536].into(), freed: freed.clone() };
            if round % 2 == 0 {
                drop(runtime.timeout(delay, stream.read_exact(canary, 65536)).await);
            } else {
                let reading = stream.clone();
                let task = runtime.spawn(async move { reading.read(canary).await.0 });
                runtime.sleep(delay).await?;
                task.cancel();
            }
            io::Result::Ok(())
        })?;
    }
    settle(runtime)?;
    ensure!(freed.get() == 100, "{} of 100 buffers were freed", freed.get());
    let untouched = GRAVEYARD.with(|graves| {
        let graves = std::mem::take(&mut *graves.borrow_mut());
        graves.iter().all(|bytes| bytes.iter().all(|byte| *byte == 0xCA))
    });
    ensure!(untouched, "a buffer was written to after it was freed");
    Ok(())
}

// ---- compositions

fn all(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let begin = Instant::now();
        let timers = [30, 10, 20].map(|delay| Request::sleep(ms(delay)));
        let outcome = runtime.run(Request::all(timers)).await;
        outcome.result()?;
        ensure!(begin.elapsed() >= ms(30), "early");
        let counts: Vec<_> = outcome.children.iter().map(|child| child.count).collect();
        ensure!(counts == [1, 1, 1], "{:?}", counts);
        Ok(())
    })
}

fn race(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "silent").await?;
        let race = [Request::receive(&stream), Request::sleep(ms(10))];
        let outcome = runtime.run(Request::race(race)).await;
        outcome.result()?;
        let winners: Vec<_> = outcome.children.iter().map(|child| child.winner).collect();
        ensure!(winners == [false, true], "{:?}", winners);
        let lost = outcome.children[0].status;
        ensure!(lost == Status::CANCELED, "{:?}", lost);
        Ok(())
    })
}

fn read_in_one(path: &PathBuf) -> io::Result<Request> {
    Ok(Request::chain([
        Request::open(path, OpenOptions::new().read(true))?,
        Request::read_at(Target::step(0), Vec::with_capacity(100), 0),
        Request::close(Target::step(0)),
    ]))
}

fn chain(runtime: &Runtime) -> Outcome {
    let path = scratch("chain");
    std::fs::write(&path, "handed on")?;
    runtime.block_on(async {
        let mut outcome = runtime.run(read_in_one(&path)?).await;
        outcome.result()?;
        let read = outcome.children[1].buffer.take();
        ensure!(read.as_deref() == Some(b"handed on"), "{:?}", read);
        Ok(())
    })
}

fn chain_failed(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let outcome = runtime.run(read_in_one(&scratch("not-there"))?).await;
        fails(outcome.result(), ErrorKind::NotFound, Status::NOT_FOUND)?;
        let statuses: Vec<_> = outcome.children.iter().map(|child| child.status).collect();
        let wanted = [Status::NOT_FOUND, Status::CANCELED, Status::CANCELED];
        ensure!(statuses == wanted, "{:?}", statuses);
        Ok(())
    })
}

fn retry(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let connect = Request::connect(dead_address(runtime).await?);
        let begin = Instant::now();
        let outcome = runtime.run(connect.retry(3, ms(10), Duration::ZERO)).await;
        ensure!(begin.elapsed() >= ms(30), "early: {:?}", begin.elapsed());
        fails(outcome.result(), ErrorKind::ConnectionRefused, Status::CONNECTION_REFUSED)
    })
}

// ---- bounds

fn queue_full(_: &Runtime) -> Outcome {
    let runtime = Runtime::with(&Options { ops_max: 8, ..Options::default() })?;
    let handle = runtime.handle();
    runtime.block_on(async {
        let sleeps: Vec<_> = (0..8)
            .map(|_| {
                let handle = handle.clone();
                runtime.spawn(async move { handle.sleep(ms(30)).await })
            })
            .collect();
        runtime.yield_now().await;
        fails(runtime.sleep(ms(1)).await, ErrorKind::WouldBlock, Status::FULL)?;
        for sleep in sleeps {
            sleep.await?;
        }
        runtime.sleep(ms(1)).await?;
        Outcome::Ok(())
    })?;
    clean(&runtime)
}

fn sleeps(
    runtime: &Runtime,
    count: usize,
    delay: Duration,
) -> Vec<ferry::JoinHandle<io::Result<()>>> {
    let sleep = |_| {
        let handle = runtime.handle();
        runtime.spawn(async move { handle.sleep(delay).await })
    };
    (0..count).map(sleep).collect()
}

fn ring_small(_: &Runtime) -> Outcome {
    let runtime = Runtime::with(&Options { queue_capacity: 8, ..Options::default() })?;
    runtime.block_on(async {
        let timers = sleeps(&runtime, 1000, Duration::ZERO);
        for timer in timers {
            timer.await?;
        }
        Outcome::Ok(())
    })?;
    clean(&runtime)
}

fn ten_thousand(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let timers = sleeps(runtime, 10_000, ms(20));
        for timer in timers {
            timer.await?;
        }
        Ok(())
    })
}

fn ten_thousand_cancelled(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let timers = sleeps(runtime, 10_000, Duration::from_secs(3600));
        runtime.yield_now().await;
        runtime.yield_now().await;
        let flying = runtime.engine().info()?.operations;
        ensure!(flying == 10_000, "{} in flight", flying);
        timers.iter().for_each(|timer| timer.cancel());
        Ok(())
    })
}

// ---- handles

fn close_pending(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "silent").await?;
        let reading = stream.clone();
        let task = runtime.spawn(async move { reading.read(Vec::with_capacity(9)).await.0 });
        runtime.sleep(ms(5)).await?;
        stream.close().await?;
        fails(task.await, ErrorKind::NotConnected, Status::CLOSED)
    })
}

fn close_twice(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "silent").await?;
        stream.close().await?;
        stream.close().await?;
        let (count, _) = stream.read(Vec::with_capacity(9)).await;
        fails(count, ErrorKind::NotConnected, Status::STALE)
    })
}

fn wrong_kind(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let stream = peer(runtime, "silent").await?;
        // A file's type has no such call: by the composition's untyped target.
        let outcome = runtime.run(Request::read_at(&stream, vec![0; 9], 0)).await;
        ensure!(outcome.status == Status::WRONG_KIND, "{:?}", outcome.status);
        Ok(())
    })
}

fn foreign(runtime: &Runtime) -> Outcome {
    let other = Runtime::new()?;
    let stream = runtime.block_on(peer(runtime, "silent"))?;
    let outcome = other.block_on(other.run(Request::receive(Target::raw(stream.raw_handle()))));
    ensure!(outcome.status == Status::FOREIGN, "{:?}", outcome.status);
    Ok(())
}

// ---- threads

fn post(runtime: &Runtime) -> Outcome {
    let (poster, mailbox) = runtime.mailbox();
    let thread = std::thread::spawn(move || {
        for number in 0..10_000 {
            while let Err(error) = poster.post(number, number as u64 * 3) {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                std::thread::yield_now();
            }
        }
    });
    let came = runtime.block_on(async {
        for number in 0..10_000 {
            let message = mailbox.receive().await;
            ensure!(message == (number, number as u64 * 3), "{:?} for {}", message, number);
        }
        Outcome::Ok(())
    });
    thread.join().map_err(|_| "the other thread panicked")?;
    came
}

fn channel(_: &Runtime) -> Outcome {
    let engine = Engine::new(&Options::default())?;
    let runtime = Runtime::attach(&engine)?;
    let channel = runtime.block_on(Channel::open(&runtime, 4))?;
    let shared = channel.share();
    let producer = std::thread::spawn(move || {
        let runtime = Runtime::attach(&engine)?;
        runtime.block_on(async {
            let channel = shared.attach(&runtime);
            for number in 0..1000 {
                channel.send((number, 1)).await?;
            }
            channel.finish().await
        })
    });
    runtime.block_on(async {
        for number in 0..1000 {
            let message = channel.receive().await?;
            ensure!(message == Some((number, 1)), "{:?} for {}", message, number);
        }
        let end = channel.receive().await?;
        ensure!(end.is_none(), "{:?} after the end", end);
        Outcome::Ok(())
    })?;
    producer.join().map_err(|_| "the producer panicked")??;
    drop(channel);
    clean(&runtime)
}

fn channel_rendezvous(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let channel = Rc::new(Channel::open(runtime, 0).await?);
        let sending = channel.clone();
        let send = runtime.spawn(async move { sending.send((7, 8)).await });
        runtime.sleep(ms(10)).await?;
        ensure!(!send.is_finished(), "it ended without a receiver");
        let message = channel.receive().await?;
        ensure!(message == Some((7, 8)), "{:?}", message);
        Ok(send.await?)
    })
}

// ---- files

fn file_load(runtime: &Runtime) -> Outcome {
    let mut random = Random(4);
    let sizes: Vec<_> = (0..200).map(|number| random.next(100_001).min(number * 1000)).collect();
    for (number, size) in sizes.iter().enumerate() {
        std::fs::write(scratch(&format!("load-{}", number)), counted(number, *size))?;
    }
    let next = Rc::new(Cell::new(0));
    runtime.block_on(async {
        let loaders: Vec<_> = (0..16)
            .map(|_| {
                let (handle, next, sizes) = (runtime.handle(), next.clone(), sizes.clone());
                runtime.spawn(async move {
                    loop {
                        let number = next.replace(next.get() + 1);
                        if number >= sizes.len() {
                            return Outcome::Ok(());
                        }
                        let path = scratch(&format!("load-{}", number));
                        let file = fs::load(&handle, path, 0).await?;
                        ensure!(file[..] == counted(number, sizes[number]), "file {}", number);
                    }
                })
            })
            .collect();
        for loader in loaders {
            loader.await?;
        }
        let missing = fs::load(runtime, scratch("load-missing"), 0).await;
        fails(missing, ErrorKind::NotFound, Status::NOT_FOUND)?;
        std::fs::write(scratch("load-large"), [0; 11])?;
        let large = fs::load(runtime, scratch("load-large"), 10).await;
        fails(large, ErrorKind::InvalidData, Status::LIMIT)
    })
}

fn file_store(runtime: &Runtime) -> Outcome {
    let path = scratch("stored");
    runtime.block_on(async {
        let (old, new) = (vec![b'o'; 300_000], vec![b'n'; 200_000]);
        let (stored, old) = fs::store(runtime, &path, old).await;
        ensure!(stored? == 300_000 && std::fs::read(&path)? == old, "not the old bytes");
        let storing = runtime.spawn({
            let (handle, path) = (runtime.handle(), path.clone());
            async move { fs::store(&handle, path, new).await }
        });
        loop {
            let there = std::fs::read(&path)?;
            let whole = there == old || there == vec![b'n'; 200_000];
            ensure!(whole, "{} bytes of neither", there.len());
            if storing.is_finished() {
                break;
            }
            runtime.yield_now().await;
        }
        let (stored, new) = storing.await;
        ensure!(stored? == 200_000 && std::fs::read(&path)? == new, "not the new bytes");
        let (stored, _) = fs::store(runtime, scratch("nowhere/stored"), "x").await;
        fails(stored, ErrorKind::NotFound, Status::NOT_FOUND)
    })
}

fn file_io(runtime: &Runtime) -> Outcome {
    runtime.block_on(async {
        let file = File::create(runtime, scratch("io")).await?;
        file.write_at("begin", 0).await.0?;
        file.write_at("end", 10_000).await.0?;
        let (count, bytes) = file.read_at(Vec::with_capacity(20_000), 0).await;
        ensure!(count? == 10_003, "{} bytes", bytes.len());
        let hole = bytes[5..10_000].iter().all(|byte| *byte == 0);
        ensure!(hole && bytes.starts_with(b"begin") && bytes.ends_with(b"end"), "other bytes");
        let metadata = file.metadata().await?;
        ensure!(metadata.len() == 10_003 && metadata.is_file(), "{:?}", metadata);
        file.set_len(5).await?;
        file.sync_all().await?;
        file.sync_data().await?;
        let (count, _) = file.read_at(Vec::with_capacity(9), 5).await;
        ensure!(count? == 0, "no end");
        file.close().await?;
        let size = fs::metadata(runtime, scratch("io")).await?.len();
        ensure!(size == 5, "{} bytes after the truncation", size);
        Ok(())
    })
}

fn copy(runtime: &Runtime) -> Outcome {
    let bytes = Random(5).bytes(1_000_000);
    let path = scratch("copied");
    std::fs::write(&path, &bytes)?;
    runtime.block_on(async {
        let stream = peer(runtime, "count").await?;
        let outcome = runtime
            .run(Request::chain([
                Request::open(&path, OpenOptions::new().read(true))?,
                Request::copy(Target::step(0), &stream, u64::MAX),
                Request::close(Target::step(0)),
            ]))
            .await;
        outcome.result()?;
        ensure!(outcome.children[1].count == 1_000_000, "{}", outcome.children[1].count);
        check_count(&stream, &bytes).await
    })
}

// ---- ends

/// A boxed future that tells its status.
fn told<T>(
    future: impl Future<Output = io::Result<T>> + 'static,
) -> Pin<Box<dyn Future<Output = Status>>> {
    Box::pin(async move { status_of(&future.await) })
}

fn shutdown_load(_: &Runtime) -> Outcome {
    let runtime = Runtime::new()?;
    let handle = runtime.handle();
    runtime.block_on(async {
        let listener = Rc::new(TcpListener::bind(&runtime, loopback()).await?);
        let mut tasks = Vec::new();
        let mut others = Vec::new(); // They read nothing.
        for number in 0..250 {
            let (stream, other) = pair(&runtime).await?;
            others.push(other);
            let (handle, reader) = (handle.clone(), stream.clone());
            let sleeper = handle.clone();
            tasks.push(told(async move { sleeper.sleep(ms(3_600_000)).await }));
            tasks.push(told(async move { reader.read(vec![0; 100]).await.0 }));
            tasks.push(told(async move { stream.write_all(vec![0; 16 << 20]).await.0 }));
            let channel = Channel::open(&handle, 1).await?;
            tasks.push(match number {
                0 => {
                    let listener = listener.clone();
                    told(async move { listener.accept().await })
                }
                _ => told(async move { channel.receive().await }),
            });
        }
        let count = tasks.len();
        let ends: Vec<_> = tasks.into_iter().map(|task| runtime.spawn(task)).collect();
        runtime.sleep(ms(5)).await?;
        let flying = runtime.engine().info()?.operations;
        ensure!(count == 1000 && flying >= 1000, "{} tasks, {} in flight", count, flying);
        runtime.shutdown(Duration::from_secs(10))?;
        for end in ends {
            let status = end.await;
            let right = [Status::SHUTDOWN, Status::CANCELED, Status::CLOSED].contains(&status);
            ensure!(right, "one ended with {:?}", status);
        }
        Outcome::Ok(())
    })?;
    clean(&runtime)
}

fn after_shutdown(runtime: &Runtime) -> Outcome {
    let gone = Runtime::new()?;
    let (poster, mailbox) = gone.mailbox();
    let stream = gone.block_on(peer(&gone, "silent"))?;
    let file = gone.block_on(File::create(&gone, scratch("after")))?;
    let channel = gone.block_on(Channel::open(&gone, 1))?;
    gone.shutdown(Duration::from_secs(10))?;
    let statuses = gone.block_on(async {
        vec![
            status_of(&gone.sleep(ms(1)).await),
            status_of(&gone.interval(ms(1)).tick().await),
            status_of(&TcpStream::connect(&gone, peer_address()).await),
            status_of(&TcpListener::bind(&gone, loopback()).await),
            status_of(&stream.read(vec![0; 9]).await.0),
            status_of(&stream.write_all("x").await.0),
            status_of(&stream.chunks().next().await),
            status_of(&stream.close().await),
            status_of(&file.read_at(vec![0; 9], 0).await.0),
            status_of(&file.close().await),
            status_of(&channel.send((1, 1)).await),
            status_of(&fs::load(&gone, scratch("after"), 0).await),
            status_of(&resolve(&gone, "localhost", 1).await),
            gone.run(Request::all([Request::sleep(ms(1))])).await.status,
        ]
    });
    for (number, status) in statuses.iter().enumerate() {
        let right = [Status::SHUTDOWN, Status::STALE].contains(status);
        ensure!(right, "call {} ended with {:?}", number, status);
    }
    gone.shutdown(ms(1))?; // Again is fine.
    let handle = gone.handle();
    drop((stream, channel, mailbox, gone));
    let _ = poster.post(1, 1); // Whatever it says, nothing crashes.
    let late = runtime.block_on(handle.sleep(ms(1)));
    fails(late, ErrorKind::Other, Status::SHUTDOWN)
}

fn two_engines(runtime: &Runtime) -> Outcome {
    let listener = runtime.block_on(TcpListener::bind(runtime, loopback()))?;
    let address = runtime.block_on(listener.local_addr())?;
    let other = std::thread::spawn(move || {
        let runtime = Runtime::new()?;
        runtime.block_on(async {
            let stream = TcpStream::connect(&runtime, address).await?;
            let mut random = Random(6);
            for _ in 0..50 {
                round_trip(&stream, random.bytes(5000))
                    .await
                    .map_err(|_| ErrorKind::InvalidData)?;
            }
            io::Result::Ok(())
        })
    });
    runtime.block_on(async { echo_server(listener.accept().await?).await })?;
    other.join().map_err(|_| "the other thread panicked")??;
    Ok(())
}

fn collected(runtime: &Runtime) -> Outcome {
    let before = runtime.engine().info()?.handles;
    let path = scratch("collected");
    std::fs::write(&path, "x")?;
    runtime.block_on(async {
        let mut forgotten = Vec::new();
        for _ in 0..200 {
            let stream = TcpStream::connect(runtime, peer_address()).await?;
            forgotten.push((stream, File::open(runtime, &path).await?));
        }
        let open = runtime.engine().info()?.handles - before;
        ensure!(open == 400, "{} open", open);
        drop(forgotten);
        Ok(())
    })
}

extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn alarm(seconds: u32) -> u32;
}

/// The child's part; its exit code.
fn forked_child(runtime: &Runtime, stream: &TcpStream) -> i32 {
    let forked = |status| i32::from(status != Status::FORKED);
    let statuses = runtime.block_on(async {
        [
            status_of(&runtime.sleep(ms(1)).await),
            status_of(&stream.read(vec![0; 9]).await.0),
            status_of(&runtime.engine().info()),
            status_of(&runtime.shutdown(ms(1))),
        ]
    });
    statuses.into_iter().map(forked).sum()
}

fn forked(runtime: &Runtime) -> Outcome {
    let stream = runtime.block_on(peer(runtime, "silent"))?;
    // SAFETY: the child only works with its own memory, and ends.
    let code = unsafe {
        match fork() {
            0 => {
                alarm(20);
                std::process::exit(forked_child(runtime, &stream))
            }
            pid => {
                let mut status = -1;
                ensure!(waitpid(pid, &mut status, 0) == pid, "no child");
                status
            }
        }
    };
    ensure!(code == 0, "the child ended with {:#x}", code);
    Ok(())
}

const EXIT_CODE: i32 = 41;

/// Run as a child: ends with a hundred operations in flight.
fn exit_child() -> io::Result<()> {
    let runtime = Runtime::new()?;
    let _pending = sleeps(&runtime, 100, Duration::from_secs(3600));
    runtime.block_on(runtime.sleep(ms(5)))?;
    std::process::exit(EXIT_CODE)
}

fn exit(_: &Runtime) -> Outcome {
    let begin = Instant::now();
    let output = std::process::Command::new(std::env::current_exe()?).arg("--exit").output()?;
    ensure!(output.status.code() == Some(EXIT_CODE), "{}", output.status);
    ensure!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    ensure!(output.stdout.is_empty() && output.stderr.is_empty(), "it said {:?}", output);
    Ok(())
}

// ---- the program

const SCENARIOS: &[(&str, Scenario)] = &[
    ("echo", echo),
    ("echo-many", echo_many),
    ("receive-short", receive_short),
    ("receive-exactly", receive_exactly),
    ("receive-until", receive_until),
    ("receive-lent", receive_lent),
    ("send-large", send_large),
    ("send-vectored", send_vectored),
    ("backpressure", backpressure),
    ("half-close", half_close),
    ("peer-reset", peer_reset),
    ("connect-refused", connect_refused),
    ("connect-name", connect_name),
    ("name-resolve", name_resolve),
    ("name-failed", name_failed),
    ("socket", socket),
    ("sleep", sleep),
    ("interval", interval),
    ("deadline", deadline),
    ("cancel-before", cancel_before),
    ("cancel-during", cancel_during),
    ("cancel-after", cancel_after),
    ("dropped", dropped),
    ("all", all),
    ("race", race),
    ("chain", chain),
    ("chain-failed", chain_failed),
    ("retry", retry),
    ("queue-full", queue_full),
    ("ring-small", ring_small),
    ("ten-thousand", ten_thousand),
    ("ten-thousand-cancelled", ten_thousand_cancelled),
    ("close-pending", close_pending),
    ("close-twice", close_twice),
    ("wrong-kind", wrong_kind),
    ("foreign", foreign),
    ("post", post),
    ("channel", channel),
    ("channel-rendezvous", channel_rendezvous),
    ("file-load", file_load),
    ("file-store", file_store),
    ("file-io", file_io),
    ("copy", copy),
    ("shutdown-load", shutdown_load),
    ("after-shutdown", after_shutdown),
    ("two-engines", two_engines),
    ("collected", collected),
    ("forked", forked),
    ("exit", exit),
];

const SKIPPED: &[(&str, &str)] =
    &[("wrong-thread", "a runtime is not Send: what would be on another thread does not compile")];

fn is_nothing(info: &Info) -> bool {
    (info.operations, info.handles, info.buffers) == (0, 0, 0)
}

/// Gives what was cancelled the time to end.
fn settle(runtime: &Runtime) -> io::Result<Info> {
    let begin = Instant::now();
    loop {
        runtime.block_on(runtime.yield_now());
        let info = runtime.engine().info()?;
        if is_nothing(&info) || begin.elapsed() > Duration::from_secs(5) {
            return Ok(info);
        }
        std::thread::sleep(ms(1));
    }
}

fn clean(runtime: &Runtime) -> Outcome {
    let info = settle(runtime)?;
    ensure!(is_nothing(&info), "left over: {:?}", info);
    Ok(())
}

fn run(runtime: &Runtime, scenario: Scenario) -> Outcome {
    scenario(runtime)?;
    clean(runtime)
}

fn main() -> io::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.first().map(String::as_str) == Some("--exit") {
        return exit_child();
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|other| other == name);
    let runtime = Runtime::new()?;
    let mut failures = 0;
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| is_wanted(name)) {
        match run(&runtime, *scenario) {
            Ok(()) => println!("{} ok", name),
            Err(error) => {
                println!("{} FAIL {}", name, error);
                failures += 1;
            }
        }
    }
    for (name, reason) in SKIPPED.iter().filter(|(name, _)| is_wanted(name)) {
        println!("{} skip {}", name, reason);
    }
    drop(runtime);
    std::process::exit(failures)
}
