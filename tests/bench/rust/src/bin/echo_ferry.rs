//! Echo server: Rust on Ferry, one thread.
//!
//!     echo_ferry [lent|detached|read]
//!
//! lent: the usual way, chunks that are sent from where they lie. detached: nobody waits for the
//! sends. read: into a buffer of the program's own.
use ferry::net::{TcpListener, TcpStream};
use std::io;

async fn lent(stream: TcpStream) -> io::Result<()> {
    let mut chunks = stream.chunks();
    while let Some(chunk) = chunks.next().await? {
        stream.write_all(chunk).await.0?;
    }
    Ok(())
}

async fn detached(stream: TcpStream) -> io::Result<()> {
    let mut chunks = stream.chunks();
    while let Some(chunk) = chunks.next().await? {
        stream.write_all(chunk).detach();
    }
    Ok(())
}

async fn read(stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(65536);
    loop {
        let (count, filled) = stream.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        let (written, back) = stream.write_all(filled).await;
        written?;
        buffer = back;
    }
}

fn main() -> io::Result<()> {
    let way = std::env::args().nth(1);
    let runtime = ferry::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(&runtime, "127.0.0.1:0".parse().unwrap()).await?;
        println!("port {}", listener.port());
        let mut incoming = listener.incoming();
        loop {
            let stream = incoming.next().await?;
            match way.as_deref() {
                Some("detached") => drop(runtime.spawn(detached(stream))),
                Some("read") => drop(runtime.spawn(read(stream))),
                _ => drop(runtime.spawn(lent(stream))),
            }
        }
    })
}
