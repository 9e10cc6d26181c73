//! Files.
use crate::buffer::{Buffer, BufferMut, Lent};
use crate::core::Core;
use crate::error::{error_of, result_of};
use crate::net::{BufResult, Open};
use crate::operation::{records, request, run, run_checked, Operation};
use crate::runtime::Handle;
use ferry_sys as sys;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) fn path_of(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| error_of(sys::FERRY_E_INVALID))
}

pub(crate) fn load_request(path: &CString, size_max: u64) -> sys::ferry_request {
    let mut load = request(sys::FERRY_OP_FILE_LOAD, 0);
    load.params.load = sys::ferry_load_params { path_u64: path.as_ptr() as u64, size_max };
    load
}

/// A whole file, in memory of the engine's. Larger than `size_max` (0: no limit but the engine's)
/// it fails with `LIMIT`.
///
/// ```
/// let runtime = ferry::Runtime::new()?;
/// let path = std::env::temp_dir().join(format!("ferry-doc-{}", std::process::id()));
/// runtime.block_on(async {
///     ferry::fs::store(&runtime, &path, "all of it").await.0?;
///     let file = ferry::fs::load(&runtime, &path, 0).await?;
///     assert_eq!(&file[..], b"all of it");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn load(handle: &Handle, path: impl AsRef<Path>, size_max: u64) -> io::Result<Lent> {
    let path = path_of(path.as_ref())?;
    let load = load_request(&path, size_max);
    // SAFETY: the path is kept.
    let (done, _) = unsafe { Operation::start(&handle.core, load, path) }.await;
    let file = lent_of(&handle.core, &done);
    result_of(&done).map(|_| file)
}

/// An empty file has no buffer.
fn lent_of(core: &Rc<Core>, done: &sys::ferry_completion) -> Lent {
    if done.flags & sys::FERRY_BUFFER == 0 {
        return Lent::owned(Vec::new());
    }
    // SAFETY: the completion says that they are lent.
    unsafe { Lent::new(core, done.data_u64 as *const u8, done.result as usize, done.buffer) }
}

/// Stores a whole file at once: whoever opens the path finds the old bytes or the new ones, and
/// they are durable when this has ended.
pub async fn store<B: Buffer>(
    handle: &Handle,
    path: impl AsRef<Path>,
    data: B,
) -> BufResult<u64, B> {
    let path = match path_of(path.as_ref()) {
        Ok(path) => path,
        Err(error) => return (Err(error), data),
    };
    let mut store = request(sys::FERRY_OP_FILE_STORE, 0);
    let bytes = data.bytes();
    store.params.store = sys::ferry_store_params {
        path_u64: path.as_ptr() as u64,
        data_u64: bytes.as_ptr() as u64,
        size: bytes.len() as u64,
        mode: 0,
    };
    // SAFETY: path and data are kept, and the bytes stay where they are.
    let operation = unsafe { Operation::start(&handle.core, store, (data, path)) };
    let (done, (data, _)) = operation.await;
    (result_of(&done), data)
}

/// What the system knows of a file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    info: sys::ferry_file_info,
}

impl Metadata {
    /// Its bytes.
    #[allow(clippy::len_without_is_empty)] // As in std::fs.
    pub fn len(&self) -> u64 {
        self.info.size
    }

    /// Whether it is a file of bytes.
    pub fn is_file(&self) -> bool {
        self.info.r#type == sys::FERRY_FILE_REGULAR
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.info.r#type == sys::FERRY_FILE_DIRECTORY
    }

    /// The lower twelve bits of its mode.
    pub fn permissions(&self) -> u32 {
        self.info.permissions
    }

    /// When its bytes were changed last.
    pub fn modified(&self) -> SystemTime {
        let distance = Duration::from_nanos(self.info.modified_ns.unsigned_abs());
        if self.info.modified_ns < 0 {
            return UNIX_EPOCH - distance;
        }
        UNIX_EPOCH + distance
    }

    /// All there is.
    pub fn raw(&self) -> &sys::ferry_file_info {
        &self.info
    }

    fn of(core: &Rc<Core>, done: &sys::ferry_completion) -> io::Result<Metadata> {
        // SAFETY: both kinds of stat bring such a record.
        let list: Vec<sys::ferry_file_info> = unsafe { records(core, done) }?;
        let info = list.first().copied().ok_or_else(|| error_of(sys::FERRY_E_INTERNAL))?;
        Ok(Metadata { info })
    }
}

/// What the system knows of a path.
pub async fn metadata(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path_of(path.as_ref())?;
    let mut stat = request(sys::FERRY_OP_PATH_STAT, 0);
    stat.params.path = sys::ferry_path_params { path_u64: path.as_ptr() as u64, no_follow: 0 };
    // SAFETY: the path is kept.
    let (done, _) = unsafe { Operation::start(&handle.core, stat, path) }.await;
    Metadata::of(&handle.core, &done)
}

/// How to open a file, as `std::fs::OpenOptions`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    flags: u32,
    mode: u32,
}

macro_rules! options {
    ($($(#[$words:meta])* $name:ident = $flag:ident,)*) => {
        $($(#[$words])*
        pub fn $name(mut self, on: bool) -> Self {
            if on {
                self.flags |= sys::$flag;
            } else {
                self.flags &= !(sys::$flag);
            }
            self
        })*
    };
}

impl OpenOptions {
    /// Nothing is set.
    pub fn new() -> Self {
        OpenOptions::default()
    }

    options! {
        /// For reading.
        read = FERRY_OPEN_READ,
        /// For writing.
        write = FERRY_OPEN_WRITE,
        /// Made if it is not there.
        create = FERRY_OPEN_CREATE,
        /// With `create`: fails if it is there.
        exclusive = FERRY_OPEN_EXCLUSIVE,
        /// Made empty.
        truncate = FERRY_OPEN_TRUNCATE,
        /// Every write goes to the end.
        append = FERRY_OPEN_APPEND,
        /// Fails if the path's last part is a symbolic link.
        no_follow = FERRY_OPEN_NO_FOLLOW,
    }

    /// Permissions of a file that is created; 0 = 0666.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Opens the file.
    pub async fn open(self, handle: &Handle, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path_of(path.as_ref())?;
        let open = self.request(&path);
        // SAFETY: the path is kept.
        let (done, _) = unsafe { Operation::start(&handle.core, open, path) }.await;
        Ok(File { open: Open::from(&handle.core, &done)? })
    }

    pub(crate) fn request(self, path: &CString) -> sys::ferry_request {
        let mut open = request(sys::FERRY_OP_FILE_OPEN, 0);
        open.params.open = sys::ferry_open_params {
            path_u64: path.as_ptr() as u64,
            open_flags: self.flags,
            mode: self.mode,
        };
        open
    }
}

/// An open file, closed when it is dropped.
pub struct File {
    open: Open,
}

impl File {
    /// Opens it for reading.
    pub async fn open(handle: &Handle, path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(handle, path).await
    }

    /// Makes it, or makes it empty, for reading and writing.
    pub async fn create(handle: &Handle, path: impl AsRef<Path>) -> io::Result<File> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true);
        options.open(handle, path).await
    }

    pub(crate) fn of_handle(core: &Rc<Core>, raw: sys::ferry_handle) -> Self {
        File { open: Open { core: core.clone(), raw } }
    }

    fn request(&self, opcode: u32) -> sys::ferry_request {
        request(opcode, self.open.raw)
    }

    /// Reads at this place, up to the buffer's capacity: fewer only at the file's end.
    pub async fn read_at<B: BufferMut>(&self, mut buffer: B, offset: u64) -> BufResult<usize, B> {
        let mut read = self.request(sys::FERRY_OP_FILE_READ);
        read.params.file = sys::ferry_file_params {
            buffer_u64: buffer.start() as u64,
            size: buffer.capacity() as u64,
            offset,
        };
        // SAFETY: the buffer is kept, and stays where it is.
        let (done, mut buffer) = unsafe { Operation::start(&self.open.core, read, buffer) }.await;
        // SAFETY: so many were filled.
        unsafe { buffer.set_filled(done.result.max(0) as usize) };
        (result_of(&done).map(|count| count as usize), buffer)
    }

    /// Writes all of it at this place.
    pub async fn write_at<B: Buffer>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        let mut write = self.request(sys::FERRY_OP_FILE_WRITE);
        let bytes = buffer.bytes();
        write.params.file = sys::ferry_file_params {
            buffer_u64: bytes.as_ptr() as u64,
            size: bytes.len() as u64,
            offset,
        };
        // SAFETY: the buffer is kept, and stays where it is.
        let (done, buffer) = unsafe { Operation::start(&self.open.core, write, buffer) }.await;
        (result_of(&done).map(|count| count as usize), buffer)
    }

    /// What the system knows of it.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let done = run(&self.open.core, self.request(sys::FERRY_OP_FILE_STAT)).await;
        Metadata::of(&self.open.core, &done)
    }

    /// Sets its size.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        let mut truncate = self.request(sys::FERRY_OP_FILE_TRUNCATE);
        truncate.params.truncate.size = size;
        run_checked(&self.open.core, truncate).await.map(drop)
    }

    async fn sync(&self, data_only: u64) -> io::Result<()> {
        let mut sync = self.request(sys::FERRY_OP_FILE_SYNC);
        sync.params.sync.data_only = data_only;
        run_checked(&self.open.core, sync).await.map(drop)
    }

    /// Makes durable what was written, with all metadata.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(0).await
    }

    /// Makes durable what was written, and what is needed to read it.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(1).await
    }

    /// Closes it, and tells what the system has to say of that.
    pub async fn close(self) -> io::Result<()> {
        self.open.close().await
    }

    /// The engine's name for it.
    pub fn raw_handle(&self) -> u64 {
        self.open.raw
    }
}
