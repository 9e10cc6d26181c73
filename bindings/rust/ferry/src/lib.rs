//! Asynchronous sockets, files, timers, names and channels by the Ferry engine.
//!
//! A [`Runtime`] is an engine's queue on one thread. Everything is started on a reference to it;
//! nothing is global. [`Runtime::block_on`] runs tasks and engine on the calling thread; with the
//! feature `tokio` a runtime lives inside a tokio runtime instead.
//!
//! ```
//! use ferry::net::{TcpListener, TcpStream};
//!
//! fn main() -> std::io::Result<()> {
//!     let runtime = ferry::Runtime::new()?;
//!     runtime.block_on(async {
//!         let listener = TcpListener::bind(&runtime, "127.0.0.1:0".parse().unwrap()).await?;
//!         let address = listener.local_addr().await?;
//!         runtime.spawn(async move {
//!             let stream = listener.accept().await?;
//!             let mut chunks = stream.chunks();
//!             while let Some(chunk) = chunks.next().await? {
//!                 stream.write_all(chunk).await.0?; // From where it lies, without a copy.
//!             }
//!             Ok::<(), std::io::Error>(())
//!         });
//!         let stream = TcpStream::connect(&runtime, address).await?;
//!         stream.write_all("hello").await.0?;
//!         stream.shutdown().await?;
//!         let (received, buffer) = stream.read_exact(Vec::with_capacity(5), 5).await;
//!         received?;
//!         assert_eq!(buffer, b"hello");
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Buffers
//!
//! The system writes into a buffer while an operation is under way, also for a while after it was
//! cancelled. So a buffer is given by value and comes back with the result ([`BufResult`]). When the
//! future is dropped, the operation is cancelled and keeps the buffer until its final completion.
//! The other way is to borrow from the engine: [`Lent`] bytes are given back when they are dropped.
//!
//! # Errors
//!
//! Everything fails with `std::io::Error` of a fitting kind; [`Error::of`] has Ferry's own status,
//! the system's number and how many bytes were transferred nevertheless. Past the ceiling of
//! operations, starting one fails with `WouldBlock`.
#![warn(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod buffer;
mod channel;
mod core;
mod engine;
mod error;
pub mod fs;
pub mod net;
mod operation;
mod post;
mod request;
mod runtime;
mod task;
mod time;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use crate::buffer::{Buffer, BufferMut, Lent};
pub use crate::channel::{Channel, SharedChannel};
pub use crate::engine::{Driver, Engine, Info, Options};
pub use crate::error::{Error, Status};
pub use crate::net::BufResult;
pub use crate::post::{Mailbox, Message, Poster};
pub use crate::request::{Outcome, Request, Target};
pub use crate::runtime::{Handle, JoinHandle, Runtime};
pub use crate::time::Interval;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
