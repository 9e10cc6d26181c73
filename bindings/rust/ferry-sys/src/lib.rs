//! Ferry's C API as it is: records, constants and functions, generated from its headers.
//!
//! Nothing here is safe or convenient; the crate `ferry` is. The build links to `libferry`: in the
//! folder that the environment variable `FERRY_LIB_DIR` names, else where `pkg-config` says, else
//! where the linker looks.
#![allow(non_camel_case_types)]

#[rustfmt::skip]
mod raw;
pub use raw::*;

impl Default for ferry_request {
    /// A record of zeros, as every byte must be that an operation does not name.
    fn default() -> Self {
        // SAFETY: all fields are integers.
        unsafe { std::mem::zeroed() }
    }
}
