//! Small safe shells around librdkafka's C types that several files here need.

use rdkafka::bindings as sys;
use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

/// Length of the buffers that librdkafka writes its messages to.
const ERROR_LENGTH: usize = 512;

/// A string for C. Topic and option names come from the user: a NUL in one is cut off, and the shorter
/// name is then refused by the broker or by librdkafka.
pub(super) fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).expect("cut before the first NUL")
}

pub(super) fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// What a call that fills an error buffer said.
pub(super) struct ErrorBuffer([c_char; ERROR_LENGTH]);

impl ErrorBuffer {
    pub(super) fn new() -> Self {
        Self([0; ERROR_LENGTH])
    }

    pub(super) fn pointer(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), ERROR_LENGTH)
    }

    pub(super) fn message(&self) -> String {
        // SAFETY: the buffer lives as long as self, and librdkafka ends what it writes with a NUL.
        unsafe { CStr::from_ptr(self.0.as_ptr()) }.to_string_lossy().into_owned()
    }
}

/// An error object that a transactional call returned.
#[derive(Clone, Debug)]
pub(super) struct NativeError {
    pub(super) code: sys::rd_kafka_resp_err_t,
    pub(super) message: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
}

impl NativeError {
    /// Takes `error`; None is success.
    ///
    /// # Safety
    /// `error` is null or an error object that nobody else destroys.
    pub(super) unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Option<Self> {
        if error.is_null() {
            return None;
        }
        // SAFETY: not null, and ours by the caller's promise; destroyed once, after the last use.
        unsafe {
            let taken = Self {
                code: sys::rd_kafka_error_code(error),
                message: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Some(taken)
        }
    }
}

pub(super) fn error_text(code: sys::rd_kafka_resp_err_t) -> String {
    // SAFETY: librdkafka returns a static string for every code.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) }.to_string_lossy().into_owned()
}

/// A copy of a string of C; empty where there is none.
///
/// # Safety
/// `text` is null or a string that lives for the call.
pub(super) unsafe fn pointed_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
