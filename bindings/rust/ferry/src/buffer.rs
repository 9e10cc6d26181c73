//! Memory that operations work on: buffers given by value, and buffers lent by the engine.
use crate::core::Core;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that an operation may read from while it is under way.
///
/// # Safety
///
/// The bytes stay where they are, readable and unchanged, when the value is moved.
pub unsafe trait Buffer: 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

/// Bytes that an operation may write to while it is under way.
///
/// # Safety
///
/// As for [`Buffer`]; `capacity` bytes at `start` may be written, and nobody else has them.
pub unsafe trait BufferMut: 'static {
    /// Where they begin.
    fn start(&mut self) -> *mut u8;
    /// How many there are.
    fn capacity(&self) -> usize;
    /// Told how many were written.
    ///
    /// # Safety
    ///
    /// At most `capacity`, and they have been.
    unsafe fn set_filled(&mut self, filled: usize);
}

// SAFETY: the bytes of all of these are on the heap or static.
unsafe impl Buffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}
// SAFETY: as above.
unsafe impl Buffer for Box<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}
// SAFETY: as above.
unsafe impl Buffer for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}
// SAFETY: as above.
unsafe impl Buffer for &'static [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
}
// SAFETY: as above.
unsafe impl<const N: usize> Buffer for &'static [u8; N] {
    fn bytes(&self) -> &[u8] {
        *self
    }
}
// SAFETY: as above.
unsafe impl Buffer for &'static str {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}
// SAFETY: as above; shared bytes do not change.
unsafe impl Buffer for Rc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}
// SAFETY: as above.
unsafe impl Buffer for Arc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}
// SAFETY: lent bytes stay where they are until they are given back, which dropping does.
unsafe impl Buffer for Lent {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Its capacity is filled, from the beginning; its length is then what was received.
// SAFETY: a vector's bytes are on the heap.
unsafe impl BufferMut for Vec<u8> {
    fn start(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }
    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }
    unsafe fn set_filled(&mut self, filled: usize) {
        self.set_len(filled);
    }
}
// SAFETY: a box's bytes are on the heap.
unsafe impl BufferMut for Box<[u8]> {
    fn start(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }
    fn capacity(&self) -> usize {
        self.len()
    }
    unsafe fn set_filled(&mut self, _: usize) {}
}

/// Bytes of the engine's, given back when this is dropped. Can be written to a stream as they are.
pub struct Lent {
    place: *const u8,
    size: usize,
    origin: Origin,
}

enum Origin {
    Engine(Rc<Core>, u64),
    // What a dropped operation had already taken in; never changed.
    Owned(Vec<u8>),
}

impl Lent {
    /// # Safety
    ///
    /// `size` bytes at `place` were lent under this id by this core's engine.
    pub(crate) unsafe fn new(core: &Rc<Core>, place: *const u8, size: usize, id: u64) -> Self {
        Lent { place, size, origin: Origin::Engine(core.clone(), id) }
    }

    pub(crate) fn owned(bytes: Vec<u8>) -> Self {
        Lent { place: bytes.as_ptr(), size: bytes.len(), origin: Origin::Owned(bytes) }
    }
}

impl Deref for Lent {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        if let Origin::Owned(bytes) = &self.origin {
            return bytes;
        }
        // SAFETY: lent until drop, and never empty.
        unsafe { std::slice::from_raw_parts(self.place, self.size) }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Origin::Engine(core, id) = &self.origin {
            core.engine.release(*id);
        }
    }
}
