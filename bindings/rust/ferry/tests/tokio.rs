//! Inside a tokio runtime of one thread, which does IO of its own at the same time.
#![cfg(feature = "tokio")]

use ferry::net::{TcpListener, TcpStream};
use ferry::{fs, Channel, Error, Options, Request, Runtime, Status};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::Interest;
use tokio::task::{spawn_local, LocalSet};

fn inside<T>(test: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    LocalSet::new().block_on(&tokio, test)
}

fn start() -> Runtime {
    ferry::tokio::runtime(&Options::default()).unwrap()
}

/// Waits until nothing is left, while tokio goes on.
async fn assert_clean(runtime: &Runtime) {
    for _ in 0..1000 {
        let info = runtime.engine().info().unwrap();
        if (info.operations, info.handles, info.buffers) == (0, 0, 0) {
            return;
        }
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("left over: {:?}", runtime.engine().info());
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut chunks = stream.chunks();
    while let Some(chunk) = chunks.next().await? {
        stream.write_all(chunk).await.0?;
    }
    Ok(())
}

/// Tokio's own socket, on the same thread, is the client.
async fn tokio_client(port: u16, text: &'static [u8]) -> io::Result<Vec<u8>> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sent, mut received) = (0, Vec::new());
    while received.len() < text.len() {
        let wanted = if sent < text.len() { Interest::WRITABLE } else { Interest::READABLE };
        stream.ready(wanted).await?;
        let mut part = [0; 100];
        let done = match sent < text.len() {
            true => stream.try_write(&text[sent..]).map(|count| sent += count),
            false => stream.try_read(&mut part).map(|count| received.extend(&part[..count])),
        };
        match done {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok(received)
}

#[test]
fn echo_server_serves_tokios_own_clients() {
    inside(async {
        let runtime = start();
        let listener = TcpListener::bind(&runtime, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = listener.port();
        let handle = runtime.handle();
        let server = spawn_local(async move {
            let mut incoming = listener.incoming();
            for _ in 0..20 {
                handle.spawn(serve(incoming.next().await?));
            }
            io::Result::Ok(())
        });
        let clients: Vec<_> = (0..20).map(|_| spawn_local(tokio_client(port, b"hello"))).collect();
        for client in clients {
            assert_eq!(client.await.unwrap().unwrap(), b"hello");
        }
        server.await.unwrap().unwrap();
        assert_clean(&runtime).await;
    });
}

#[test]
fn many_round_trips_between_two_tasks() {
    inside(async {
        let runtime = start();
        let listener = TcpListener::bind(&runtime, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().await.unwrap();
        let server = spawn_local(async move { serve(listener.accept().await?).await });
        let client = TcpStream::connect(&runtime, address).await.unwrap();
        for size in 1..500 {
            let sent = vec![size as u8; size * 20];
            client.write_all(sent.clone()).await.0.unwrap();
            let (count, back) = client.read_exact(Vec::with_capacity(sent.len()), sent.len()).await;
            assert_eq!((count.unwrap(), back), (sent.len(), sent));
        }
        drop(client);
        server.await.unwrap().unwrap();
        assert_clean(&runtime).await;
    });
}

#[test]
fn files_timers_compositions_and_channels() {
    inside(async {
        let runtime = start();
        let path = std::env::temp_dir().join(format!("ferry-tokio-{}", std::process::id()));
        fs::store(&runtime, &path, "stored").await.0.unwrap();
        assert_eq!(fs::load(&runtime, &path, 0).await.unwrap()[..], *b"stored");
        std::fs::remove_file(&path).unwrap();
        let missing = fs::load(&runtime, &path, 0).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);

        let timers = [3, 1, 2].map(|ms| Request::sleep(Duration::from_millis(ms)));
        assert_eq!(runtime.run(Request::all(timers)).await.children.len(), 3);
        assert!(runtime.interval(Duration::from_millis(1)).tick().await.unwrap() >= 1);

        let channel = Channel::open(&runtime, 0).await.unwrap();
        let sending = channel.share().attach(&runtime);
        let send = spawn_local(async move { sending.send((1, 2)).await });
        assert_eq!(channel.receive().await.unwrap(), Some((1, 2)));
        send.await.unwrap().unwrap();
        drop(channel);
        assert_clean(&runtime).await;
    });
}

#[test]
fn ten_thousand_sleeps_and_their_cancellation() {
    inside(async {
        let runtime = start();
        let sleeps = |delay| {
            let handle = runtime.handle();
            spawn_local(async move { handle.sleep(Duration::from_millis(delay)).await })
        };
        let short: Vec<_> = (0..5000).map(|_| sleeps(10)).collect();
        let long: Vec<_> = (0..5000).map(|_| sleeps(3_600_000)).collect();
        for sleep in short {
            sleep.await.unwrap().unwrap();
        }
        long.iter().for_each(|sleep| sleep.abort());
        for sleep in long {
            assert!(sleep.await.unwrap_err().is_cancelled());
        }
        assert_clean(&runtime).await;
    });
}

#[test]
fn a_timeout_loses_no_byte() {
    inside(async {
        let runtime = start();
        let listener = TcpListener::bind(&runtime, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let client = TcpStream::connect(&runtime, listener.local_addr().await.unwrap()).await;
        let (client, server) = (client.unwrap(), listener.accept().await.unwrap());
        let wait = runtime.timeout(Duration::from_millis(5), client.read(Vec::with_capacity(9)));
        assert_eq!(wait.await.map(drop).unwrap_err().kind(), ErrorKind::TimedOut);
        server.write_all("late").await.0.unwrap();
        let (count, buffer) = client.read_exact(Vec::with_capacity(4), 4).await;
        assert_eq!((count.unwrap(), &buffer[..]), (4, &b"late"[..]));
        drop((client, server, listener));
        assert_clean(&runtime).await;
    });
}

#[test]
fn what_is_pending_when_the_runtime_goes_fails() {
    inside(async {
        let runtime = start();
        let handle = runtime.handle();
        let sleep = spawn_local(async move { handle.sleep(Duration::from_secs(3600)).await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        drop(runtime);
        let error = sleep.await.unwrap().unwrap_err();
        let status = Error::of(&error).unwrap().status;
        assert!(status == Status::CANCELED || status == Status::SHUTDOWN, "{:?}", status);
    });
}

#[test]
#[should_panic(expected = "foreign executor")]
fn it_does_not_block_tokio() {
    inside(async { start().block_on(async {}) });
}
