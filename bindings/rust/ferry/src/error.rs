//! Ferry's status codes, and what they are as `std::io::Error`.
use ferry_sys as sys;
use std::ffi::CStr;
use std::fmt;
use std::io::{self, ErrorKind};

/// One of Ferry's status codes: 0 or a negative number, the same on every system.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub i32);

macro_rules! statuses {
    ($($name:ident = $raw:ident,)*) => {
        impl Status {
            $(#[doc = concat!("`", stringify!($raw), "`")]
            pub const $name: Status = Status(sys::$raw);)*
        }
    };
}

statuses! {
    OK = FERRY_OK,
    INVALID = FERRY_E_INVALID,
    UNSUPPORTED = FERRY_E_UNSUPPORTED,
    NO_MEMORY = FERRY_E_NO_MEMORY,
    FULL = FERRY_E_FULL,
    BUSY = FERRY_E_BUSY,
    CANCELED = FERRY_E_CANCELED,
    TIMED_OUT = FERRY_E_TIMED_OUT,
    SHUTDOWN = FERRY_E_SHUTDOWN,
    FORKED = FERRY_E_FORKED,
    WRONG_THREAD = FERRY_E_WRONG_THREAD,
    BAD_HANDLE = FERRY_E_BAD_HANDLE,
    STALE = FERRY_E_STALE,
    WRONG_KIND = FERRY_E_WRONG_KIND,
    FOREIGN = FERRY_E_FOREIGN,
    CLOSED = FERRY_E_CLOSED,
    LIMIT = FERRY_E_LIMIT,
    NO_HANDLES = FERRY_E_NO_HANDLES,
    END = FERRY_E_END,
    WRONG_SHARD = FERRY_E_WRONG_SHARD,
    OS = FERRY_E_OS,
    NOT_FOUND = FERRY_E_NOT_FOUND,
    ACCESS = FERRY_E_ACCESS,
    EXISTS = FERRY_E_EXISTS,
    NO_SPACE = FERRY_E_NO_SPACE,
    NO_DESCRIPTORS = FERRY_E_NO_DESCRIPTORS,
    IO = FERRY_E_IO,
    NAME_TOO_LONG = FERRY_E_NAME_TOO_LONG,
    CONNECTION_REFUSED = FERRY_E_CONNECTION_REFUSED,
    CONNECTION_RESET = FERRY_E_CONNECTION_RESET,
    BROKEN_PIPE = FERRY_E_BROKEN_PIPE,
    ADDRESS_IN_USE = FERRY_E_ADDRESS_IN_USE,
    NOT_CONNECTED = FERRY_E_NOT_CONNECTED,
    NAME_NOT_FOUND = FERRY_E_NAME_NOT_FOUND,
    NAME_TRY_AGAIN = FERRY_E_NAME_TRY_AGAIN,
    NAME_FAILED = FERRY_E_NAME_FAILED,
    INTERNAL = FERRY_E_INTERNAL,
}

impl Status {
    /// The constant's name in C, `"FERRY_E_TIMED_OUT"`.
    pub fn name(self) -> &'static str {
        // SAFETY: a static string, never null.
        text(unsafe { CStr::from_ptr(sys::ferry_status_name(self.0)) })
    }

    /// One sentence for people.
    pub fn message(self) -> &'static str {
        // SAFETY: a static string, never null.
        text(unsafe { CStr::from_ptr(sys::ferry_status_message(self.0)) })
    }

    /// The kind of `std::io::Error` that stands for it.
    pub fn kind(self) -> ErrorKind {
        match self.0 {
            sys::FERRY_E_INVALID => ErrorKind::InvalidInput,
            sys::FERRY_E_UNSUPPORTED => ErrorKind::Unsupported,
            sys::FERRY_E_NO_MEMORY => ErrorKind::OutOfMemory,
            sys::FERRY_E_FULL | sys::FERRY_E_BUSY => ErrorKind::WouldBlock,
            sys::FERRY_E_TIMED_OUT | sys::FERRY_E_CONNECTION_TIMED_OUT => ErrorKind::TimedOut,
            sys::FERRY_E_LIMIT => ErrorKind::InvalidData,
            sys::FERRY_E_END => ErrorKind::UnexpectedEof,
            sys::FERRY_E_CLOSED | sys::FERRY_E_STALE => ErrorKind::NotConnected,
            sys::FERRY_E_NOT_FOUND | sys::FERRY_E_NAME_NOT_FOUND => ErrorKind::NotFound,
            sys::FERRY_E_ACCESS | sys::FERRY_E_READ_ONLY => ErrorKind::PermissionDenied,
            sys::FERRY_E_EXISTS => ErrorKind::AlreadyExists,
            sys::FERRY_E_NAME_TOO_LONG => ErrorKind::InvalidInput,
            sys::FERRY_E_CONNECTION_REFUSED => ErrorKind::ConnectionRefused,
            sys::FERRY_E_CONNECTION_RESET => ErrorKind::ConnectionReset,
            sys::FERRY_E_CONNECTION_ABORTED => ErrorKind::ConnectionAborted,
            sys::FERRY_E_BROKEN_PIPE => ErrorKind::BrokenPipe,
            sys::FERRY_E_ADDRESS_IN_USE => ErrorKind::AddrInUse,
            sys::FERRY_E_ADDRESS_NOT_AVAILABLE => ErrorKind::AddrNotAvailable,
            sys::FERRY_E_NOT_CONNECTED => ErrorKind::NotConnected,
            _ => ErrorKind::Other,
        }
    }
}

fn text(message: &'static CStr) -> &'static str {
    message.to_str().unwrap_or("?")
}

impl fmt::Debug for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.message())
    }
}

/// What is inside every `std::io::Error` of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Error {
    /// Ferry's code.
    pub status: Status,
    /// The system's own number, or 0.
    pub os_error: i32,
    /// How many bytes were transferred nevertheless.
    pub transferred: u64,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.status)?;
        if self.os_error != 0 {
            write!(out, " (system error {})", self.os_error)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Ferry's own part of an error that this crate returned.
    ///
    /// ```
    /// let runtime = ferry::Runtime::new()?;
    /// let error = runtime.block_on(ferry::fs::load(&runtime, "/not/there", 0)).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// assert_eq!(ferry::Error::of(&error).unwrap().status, ferry::Status::NOT_FOUND);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.status.kind(), error)
    }
}

/// Of a call that answers with a status.
pub(crate) fn check(status: i32) -> io::Result<()> {
    if status >= 0 {
        return Ok(());
    }
    Err(error_of(status))
}

pub(crate) fn error_of(status: i32) -> io::Error {
    Error { status: Status(status), os_error: 0, transferred: 0 }.into()
}

/// The result of an operation.
pub(crate) fn result_of(done: &sys::ferry_completion) -> io::Result<u64> {
    if done.status == 0 {
        return Ok(done.result as u64);
    }
    Err(Error {
        status: Status(done.status),
        os_error: done.os_error,
        transferred: done.result.max(0) as u64,
    }
    .into())
}
