//! The memory of the process: that of the C and C++ libraries, too, which take theirs by the same names. Why not the C library's
//! own: docs/adr/0019.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What is free goes back to the system within a second, by a thread of its own. jemalloc looks for a C string by this name.
// SAFETY: nothing else has the name, and jemalloc reads a pointer from it, which comes first in a slice.
#[unsafe(export_name = "malloc_conf")]
pub(crate) static CONFIGURATION: &[u8] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";
