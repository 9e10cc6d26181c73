//! One record or one field of ours beside the library's.
use std::ffi::CString;
use std::ptr;

pub fn size_behind<T>(_: *const T) -> usize {
    std::mem::size_of::<T>()
}

pub fn compare(record: &str, field: Option<&str>, size: usize, offset: usize) {
    let name = CString::new(record).unwrap();
    let place = field.map(|field| CString::new(field).unwrap());
    let place = place.as_ref().map_or(ptr::null(), |place| place.as_ptr());
    // SAFETY: both are strings that end with NUL, or null.
    let there = unsafe {
        (
            ferry_sys::ferry_layout_size(name.as_ptr(), place),
            ferry_sys::ferry_layout_offset(name.as_ptr(), place),
        )
    };
    assert_eq!(there, (size as i32, offset as i32), "{} {:?}", record, field);
}

macro_rules! record {
    ($record:ident) => {
        compare::compare(stringify!($record), None, std::mem::size_of::<ferry_sys::$record>(), 0)
    };
}

macro_rules! field {
    ($record:ident, $name:expr, $($path:tt)+) => {{
        let record = std::mem::MaybeUninit::<ferry_sys::$record>::uninit();
        let base = record.as_ptr();
        // SAFETY: only the address is computed; nothing is read.
        let place = unsafe { std::ptr::addr_of!((*base).$($path)+) };
        compare::compare(
            stringify!($record),
            Some($name),
            compare::size_behind(place),
            place as usize - base as usize,
        )
    }};
}
