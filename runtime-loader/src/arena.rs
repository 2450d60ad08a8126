//! Memory for a program that runs for seconds: taken once, given back by its end.
//!
//! Nothing is freed one by one, so there is no code in the binary that only frees
//! (docs/adr/0012-memory-that-is-never-freed.md). What the loader reads is bounded (`nodeplan::limits`, and everything on
//! a node together by the size of a `MachineConfig`), and a block that grows last, a file while it is read, grows in
//! place.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ffi::c_void,
    ptr,
};

/// Bytes asked of the kernel at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// An allocator that never frees. For one thread.
pub(crate) struct Arena {
    /// Address of the next free byte, and of the end of the chunk.
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: the loader has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0) }
    }

    /// A new chunk of at least `bytes`; what is left of the old one is lost.
    #[inline(never)]
    fn chunk(&self, bytes: usize) -> bool {
        let Some(bytes) = bytes.checked_next_multiple_of(CHUNK_BYTES) else { return false };
        // SAFETY: asks for new memory; nothing that exists is touched.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return false;
        }
        self.next.set(start as usize);
        self.end.set(start as usize + bytes);
        true
    }
}

// SAFETY: every block lies in a chunk that is never given back, and blocks do not overlap: within a chunk `next` only
// rises.
unsafe impl GlobalAlloc for Arena {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            let start = self.next.get().next_multiple_of(layout.align());
            let end = start.saturating_add(layout.size());
            if self.next.get() != 0 && end <= self.end.get() {
                self.next.set(end);
                return ptr::with_exposed_provenance_mut(start);
            }
            if !self.chunk(layout.size().saturating_add(layout.align())) {
                return ptr::null_mut();
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`; memory of the kernel is zero, and none is used twice.
        unsafe { self.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size <= layout.size() {
            return block; // what is left over is never used again, so that new memory is zero
        }
        let start = block.addr();
        if start + layout.size() == self.next.get() && start.saturating_add(size) <= self.end.get() {
            self.next.set(start + size);
            return block;
        }
        // SAFETY: the caller's promise about `layout` and `size` is that of `alloc`; the new block is another one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size());
            }
            new
        }
    }
}

/// What the C library takes for itself, for directories that it reads, is of the arena too: its own allocator, 6 KB, is
/// not linked.
mod of_c {
    use super::{GlobalAlloc as _, Layout, c_void, ptr};
    use crate::ARENA;

    /// What any type of C asks for.
    const ALIGN: usize = align_of::<libc::max_align_t>();

    // SAFETY: malloc(3), under the only name that the C library knows.
    #[unsafe(no_mangle)]
    extern "C" fn malloc(bytes: usize) -> *mut c_void {
        match Layout::from_size_align(bytes, ALIGN) {
            // SAFETY: none of the arena's blocks needs a size above zero.
            Ok(layout) => unsafe { ARENA.alloc(layout).cast() },
            Err(_) => ptr::null_mut(),
        }
    }

    // SAFETY: as `malloc`; memory of the arena is zero.
    #[unsafe(no_mangle)]
    extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
        count.checked_mul(bytes).map_or(ptr::null_mut(), |bytes| malloc(bytes))
    }

    // SAFETY: realloc(3) that finds no memory: how long the block is is not known here, and nothing that is linked grows
    // one.
    #[unsafe(no_mangle)]
    extern "C" fn realloc(_: *mut c_void, _: usize) -> *mut c_void {
        ptr::null_mut()
    }

    // SAFETY: free(3).
    #[unsafe(no_mangle)]
    extern "C" fn free(_: *mut c_void) {}
}
