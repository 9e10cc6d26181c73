//! Echoes what it gets, on one thread.
//!
//!     echo_server [PORT]
use ferry::net::{TcpListener, TcpStream};
use ferry::Runtime;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut chunks = stream.chunks();
    while let Some(chunk) = chunks.next().await? {
        // The engine's own buffer goes out as it is, and back to the engine afterwards.
        stream.write_all(chunk).await.0?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse());
    let port = port.map_err(|_| io::ErrorKind::InvalidInput)?;
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(&runtime, address).await?;
        println!("port {}", listener.port());
        let mut incoming = listener.incoming();
        loop {
            let stream = incoming.next().await?;
            runtime.spawn(async move {
                if let Err(error) = echo(stream).await {
                    eprintln!("a connection: {}", error);
                }
            });
        }
    })
}
