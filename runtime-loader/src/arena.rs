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
