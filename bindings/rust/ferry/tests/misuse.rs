//! What should not be done, or is done at a bad moment: an error or silence, never a crash.
use ferry::net::{TcpListener, TcpStream};
use ferry::{Driver, Engine, Error, Options, Runtime, Status};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn pair(runtime: &Runtime) -> (TcpStream, TcpStream) {
    runtime.block_on(async {
        let listener = TcpListener::bind(runtime, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let client = TcpStream::connect(runtime, listener.local_addr().await.unwrap()).await;
        (client.unwrap(), listener.accept().await.unwrap())
    })
}

fn status<T>(result: io::Result<T>) -> Status {
    Error::of(&result.err().expect("an error")).unwrap().status
}

/// Polls once.
struct Once<'a, F>(&'a mut F);

impl<F: Future + Unpin> Future for Once<'_, F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut *self.0).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        }
    }
}

#[test]
#[should_panic(expected = "block_on within block_on")]
fn nested_block_on() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { runtime.block_on(async {}) });
}

#[test]
fn a_future_outlives_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let (client, _server) = pair(&runtime);
    let mut read = Box::pin(async move { client.read(vec![0; 64]).await });
    assert!(runtime.block_on(Once(&mut read)).is_none());
    drop(runtime);
    let other = Runtime::new().unwrap();
    let (result, buffer) = other.block_on(read);
    assert_eq!(buffer.capacity(), 64);
    assert_eq!(status(result), Status::SHUTDOWN);
}

#[test]
fn a_future_is_dropped_after_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let (client, _server) = pair(&runtime);
    let mut read = Box::pin(async move { client.read(vec![0; 64]).await });
    assert!(runtime.block_on(Once(&mut read)).is_none());
    drop(runtime);
    drop(read);
}

#[test]
fn a_forgotten_future_keeps_its_buffer() {
    let runtime = Runtime::new().unwrap();
    let (client, server) = pair(&runtime);
    let mut read = Box::pin(async move { client.read(vec![0; 64]).await });
    assert!(runtime.block_on(Once(&mut read)).is_none());
    std::mem::forget(read);
    runtime.block_on(server.write_all("into memory that nobody frees")).0.unwrap();
    runtime.block_on(runtime.sleep(Duration::from_millis(1))).unwrap();
}

#[test]
fn a_task_cancels_itself() {
    let runtime = Runtime::new().unwrap();
    let own: Rc<RefCell<Option<ferry::JoinHandle<()>>>> = Rc::default();
    let task = runtime.spawn({
        let (own, handle) = (own.clone(), runtime.handle());
        async move {
            handle.yield_now().await;
            own.borrow().as_ref().unwrap().cancel();
            let _ = handle.sleep(LONG).await;
            unreachable!();
        }
    });
    *own.borrow_mut() = Some(task);
    runtime.block_on(runtime.sleep(Duration::from_millis(2))).unwrap();
    assert!(own.borrow().as_ref().unwrap().is_finished());
    assert_eq!(runtime.engine().info().unwrap().operations, 0);
}

#[test]
fn a_cancelled_task_frees_all_it_had() {
    let alive = Rc::new(());
    let runtime = Runtime::new().unwrap();
    for _ in 0..100 {
        let (held, handle) = (alive.clone(), runtime.handle());
        let task = runtime.spawn(async move {
            let _held = held;
            let _ = handle.sleep(LONG).await;
        });
        runtime.block_on(runtime.yield_now());
        task.cancel();
        assert_eq!(Rc::strong_count(&alive), 1);
    }
    runtime.block_on(runtime.sleep(Duration::from_millis(1))).unwrap();
    assert_eq!(runtime.engine().info().unwrap().operations, 0);
}

#[test]
fn tasks_are_dropped_with_their_runtime() {
    let alive = Rc::new(());
    let runtime = Runtime::new().unwrap();
    let (held, handle) = (alive.clone(), runtime.handle());
    runtime.spawn(async move {
        let _held = held;
        let _ = handle.sleep(LONG).await;
    });
    runtime.block_on(runtime.yield_now());
    drop(runtime);
    assert_eq!(Rc::strong_count(&alive), 1);
}

/// Ready when another thread has woken it.
struct Woken(mpsc::Sender<Waker>, bool);

impl Future for Woken {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Ready(());
        }
        self.0.send(context.waker().clone()).unwrap();
        Poll::Pending
    }
}

fn woken_by_another_thread(runtime: Runtime) {
    let (sender, receiver) = mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || {
        for (number, waker) in receiver.into_iter().enumerate() {
            if number % 2 == 0 {
                std::thread::sleep(Duration::from_micros(100)); // It sleeps by then.
            }
            waker.wake();
        }
    });
    for _ in 0..200 {
        runtime.block_on(Woken(sender.clone(), false));
        let task = runtime.spawn(Woken(sender.clone(), false));
        runtime.block_on(task);
    }
    drop(sender);
    thread.join().unwrap();
}

#[test]
fn another_thread_wakes_who_runs_the_engine() {
    woken_by_another_thread(Runtime::new().unwrap());
}

#[test]
fn another_thread_wakes_who_waits_for_the_queue() {
    let engine = Engine::new(&Options::default()).unwrap();
    woken_by_another_thread(Runtime::attach(&engine).unwrap());
}

#[test]
fn a_waker_outlives_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let (sender, receiver) = mpsc::channel();
    runtime.spawn(Woken(sender, false));
    runtime.block_on(runtime.yield_now());
    runtime.block_on(runtime.yield_now());
    drop(runtime);
    let waker = receiver.recv().unwrap();
    waker.wake_by_ref();
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn lent_bytes_outlive_their_runtime() {
    let runtime = Runtime::new().unwrap();
    let (client, server) = pair(&runtime);
    let chunk = runtime.block_on(async {
        server.write_all("lent").await.0.unwrap();
        client.chunks().next().await.unwrap().unwrap()
    });
    drop((client, server, runtime));
    assert_eq!(&chunk[..], b"lent");
}

#[test]
fn dropped_chunks_leave_their_bytes() {
    let runtime = Runtime::new().unwrap();
    let (client, server) = pair(&runtime);
    runtime.block_on(async {
        for number in 0..100_u8 {
            let mut chunks = client.chunks();
            assert!(Once(&mut Box::pin(chunks.next())).await.is_none());
            server.write_all(vec![number; 3]).await.0.unwrap();
            drop(chunks); // With its bytes here, on their way, or not yet.
            let (count, bytes) = client.read_exact(Vec::with_capacity(3), 3).await;
            assert_eq!((count.unwrap(), bytes), (3, vec![number; 3]));
        }
    });
}

#[test]
fn a_slow_reader_pauses_its_stream() {
    let runtime = Runtime::new().unwrap();
    let (client, server) = pair(&runtime);
    const SIZE: usize = 64 << 20;
    runtime.block_on(async {
        let writing = runtime.spawn(async move { server.write_all(vec![7; SIZE]).await.0 });
        let mut chunks = client.chunks();
        let mut size = chunks.next().await.unwrap().unwrap().len();
        runtime.sleep(Duration::from_millis(100)).await.unwrap();
        let lent = runtime.engine().info().unwrap().buffers;
        assert!(lent < 200, "{} buffers wait", lent);
        assert!(!writing.is_finished());
        while let Some(chunk) = chunks.next().await.unwrap() {
            size += chunk.len();
        }
        assert_eq!(size, SIZE);
        writing.await.unwrap();
    });
}

#[test]
fn detached_writes_go_on() {
    let runtime = Runtime::new().unwrap();
    let (client, server) = pair(&runtime);
    runtime.block_on(async {
        client.write_all("one ").detach();
        client.write_all("two").detach();
        let (count, bytes) = server.read_exact(Vec::with_capacity(7), 7).await;
        assert_eq!((count.unwrap(), &bytes[..]), (7, &b"one two"[..]));
    });
}

#[test]
fn a_channel_on_another_engine_is_foreign() {
    let (one, other) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let channel = one.block_on(ferry::Channel::open(&one, 1)).unwrap();
    let there = channel.share().attach(&other);
    assert_eq!(status(other.block_on(there.send((1, 1)))), Status::FOREIGN);
}

#[test]
fn names_and_paths_with_a_zero_byte() {
    let runtime = Runtime::new().unwrap();
    let load = runtime.block_on(ferry::fs::load(&runtime, "a\0b", 0));
    assert_eq!(load.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let resolve = runtime.block_on(ferry::net::resolve(&runtime, "a\0b", 0));
    assert_eq!(status(resolve), Status::INVALID);
}

#[test]
fn impossible_sizes() {
    let runtime = Runtime::new().unwrap();
    let (client, _server) = pair(&runtime);
    runtime.block_on(async {
        assert_eq!(status(client.read(Vec::new()).await.0), Status::INVALID);
        assert_eq!(status(client.read_exact(vec![0; 4], 1 << 40).await.0), Status::INVALID);
        assert_eq!(status(client.read_until(b"", 9).await), Status::INVALID);
        assert_eq!(status(client.read_until(&[0; 17], 90).await), Status::INVALID);
        client.write_all("").await.0.unwrap();
        assert_eq!(status(client.write_vectored(Vec::<String>::new()).await.0), Status::INVALID);
    });
}

#[test]
fn the_driver_is_an_option() {
    let uv = Engine::new(&Options { driver: Driver::Uv, ..Options::default() }).unwrap();
    let info = uv.info().unwrap();
    assert_eq!((info.driver, info.ring), (Driver::Uv, 0));
    let without = Engine::new(&Options { ring_without: 1, ..Options::default() }).unwrap();
    let info = without.info().unwrap();
    assert_eq!(info.ring & 1, 0);
    assert_eq!(info.ring != 0, info.driver == Driver::Uring);
    let none = Engine::new(&Options { ring_without: 1 << 63, ..Options::default() });
    assert_eq!(status(none), Status::UNSUPPORTED);
}
