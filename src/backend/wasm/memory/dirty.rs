//! Which pages of a mapping were written: `PAGEMAP_SCAN`, and write tracking by asynchronous write protection.
//!
//! A private page (an anonymous one: neither the image's own nor the zero page) is one that was written at some time.
//! With tracking on, everything is write-protected, the kernel lifts the protection of a page by itself at its first
//! write, and a scan reports (and protects again) the pages without protection: those written since the last scan.
//! Where the system lacks either feature, a scan reports all private pages. Either may report pages that did not
//! change, never fewer than did: the callers compare contents.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use linux_raw_sys::general as sys;
use rustix::ioctl::{Opcode, Updater, opcode};
use rustix::mm::UserfaultfdFlags;

use super::PAGE_BYTES;

const PAGEMAP_SCAN: Opcode = opcode::read_write::<sys::pm_scan_arg>(b'f', 16);
const UFFDIO_API: Opcode = opcode::read_write::<sys::uffdio_api>(0xAA, 0x3F);
const UFFDIO_REGISTER: Opcode = opcode::read_write::<sys::uffdio_register>(0xAA, 0x00);
const UFFDIO_UNREGISTER: Opcode = opcode::read::<sys::uffdio_range>(0xAA, 0x01);

// The kernel's names in <linux/fs.h>.
const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
const PM_SCAN_WP_MATCHING: u64 = 1;

/// Regions per system call.
const BATCH: usize = 512;

static PAGEMAP: LazyLock<io::Result<File>> = LazyLock::new(|| File::open("/proc/self/pagemap"));
static TRACKER: LazyLock<Option<OwnedFd>> = LazyLock::new(|| tracker().ok());

/// The process's one userfaultfd, only ever used for asynchronous write protection: it gets no events.
fn tracker() -> rustix::io::Result<OwnedFd> {
    // USER_MODE_ONLY needs no privilege; asynchronous protection is lifted before that restriction is looked at.
    const USER_MODE_ONLY: u32 = 1;
    let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::from_bits_retain(USER_MODE_ONLY);
    // SAFETY: the descriptor is used for write protection of our own mappings alone, which no reader can tell.
    let fd = unsafe { rustix::mm::userfaultfd(flags) }?;
    let mut api =
        sys::uffdio_api { api: u64::from(sys::UFFD_API), features: u64::from(sys::UFFD_FEATURE_WP_ASYNC), ioctls: 0 };
    // SAFETY: UFFDIO_API reads and writes one `uffdio_api`.
    unsafe { rustix::ioctl::ioctl(&fd, Updater::<UFFDIO_API, _>::new(&mut api)) }?;
    Ok(fd)
}

/// Turns write tracking on for a range of page-aligned addresses; false where the system can't.
pub(super) fn track(addresses: Range<usize>) -> bool {
    let Some(fd) = &*TRACKER else { return false };
    let mut register = sys::uffdio_register {
        range: sys::uffdio_range { start: addresses.start as u64, len: addresses.len() as u64 },
        mode: u64::from(sys::UFFDIO_REGISTER_MODE_WP),
        ioctls: 0,
    };
    // SAFETY: UFFDIO_REGISTER reads and writes one `uffdio_register`; with WP_ASYNC it changes no content.
    unsafe { rustix::ioctl::ioctl(fd, Updater::<UFFDIO_REGISTER, _>::new(&mut register)) }.is_ok()
}

/// Turns write tracking off again.
pub(super) fn untrack(addresses: Range<usize>) {
    if let Some(fd) = &*TRACKER {
        let mut range = sys::uffdio_range { start: addresses.start as u64, len: addresses.len() as u64 };
        // SAFETY: UFFDIO_UNREGISTER reads one `uffdio_range`.
        let _ = unsafe { rustix::ioctl::ioctl(fd, Updater::<UFFDIO_UNREGISTER, _>::new(&mut range)) };
    }
}

fn pagemap() -> io::Result<&'static File> {
    PAGEMAP.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// The numbers (from the range's start) of the private pages in a range of addresses, in ascending order.
///
/// # Errors
/// What the system says when the page map can't be read.
pub(super) fn private_pages(addresses: Range<usize>) -> io::Result<Vec<Range<usize>>> {
    anonymous_pages(addresses, PAGE_IS_PRESENT | PAGE_IS_SWAPPED)
}

/// As [`private_pages`], without those that are swapped out. Only good for counting; but with tracking on, what the
/// system leaves where it protects a page that is not there looks like a swapped one.
///
/// # Errors
/// What the system says when the page map can't be read.
pub(super) fn resident_pages(addresses: Range<usize>) -> io::Result<Vec<Range<usize>>> {
    anonymous_pages(addresses, PAGE_IS_PRESENT)
}

fn anonymous_pages(addresses: Range<usize>, any_of: u64) -> io::Result<Vec<Range<usize>>> {
    let pagemap = pagemap()?;
    let private = sys::pm_scan_arg {
        category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_anyof_mask: any_of,
        return_mask: any_of,
        ..SCAN
    };
    match scan(pagemap, addresses.clone(), private) {
        Err(error) if error == rustix::io::Errno::NOTTY || error == rustix::io::Errno::INVAL => {
            read_entries(pagemap, addresses)
        }
        scanned => Ok(scanned?),
    }
}

/// As [`private_pages`] for a range on which tracking is on: those written since the last call, or since
/// [`protect`].
///
/// # Errors
/// What the system says when the page map can't be read.
pub(super) fn written_pages(addresses: Range<usize>) -> io::Result<Vec<Range<usize>>> {
    // Exactly this question takes the system's short cut, which looks at nothing but the protection.
    let written = sys::pm_scan_arg {
        flags: PM_SCAN_WP_MATCHING,
        category_mask: PAGE_IS_WRITTEN,
        return_mask: PAGE_IS_WRITTEN,
        ..SCAN
    };
    Ok(scan(pagemap()?, addresses, written)?)
}

/// Protects all pages of a range on which tracking is on.
///
/// # Errors
/// What the system says when the page map can't be read.
pub(super) fn protect(addresses: Range<usize>) -> io::Result<()> {
    let mut arg = sys::pm_scan_arg {
        flags: PM_SCAN_WP_MATCHING,
        start: addresses.start as u64,
        end: addresses.end as u64,
        category_mask: PAGE_IS_WRITTEN,
        return_mask: PAGE_IS_WRITTEN,
        ..SCAN
    };
    // SAFETY: PAGEMAP_SCAN reads and writes one `pm_scan_arg`; without a vector it only protects, which changes no
    // content.
    unsafe { rustix::ioctl::ioctl(pagemap()?, Scan(&mut arg)) }?;
    Ok(())
}

const SCAN: sys::pm_scan_arg = sys::pm_scan_arg {
    size: size_of::<sys::pm_scan_arg>() as u64,
    flags: 0,
    start: 0,
    end: 0,
    walk_end: 0,
    vec: 0,
    vec_len: 0,
    max_pages: 0,
    category_inverted: 0,
    category_mask: 0,
    category_anyof_mask: 0,
    return_mask: 0,
};

fn scan(pagemap: &File, addresses: Range<usize>, question: sys::pm_scan_arg) -> rustix::io::Result<Vec<Range<usize>>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut regions = [const { sys::page_region { start: 0, end: 0, categories: 0 } }; BATCH];
    let mut start = addresses.start as u64;
    while start < addresses.end as u64 {
        let (vec, vec_len) = (regions.as_mut_ptr() as u64, BATCH as u64);
        let mut arg = sys::pm_scan_arg { start, end: addresses.end as u64, vec, vec_len, ..question };
        // SAFETY: PAGEMAP_SCAN reads and writes one `pm_scan_arg` and writes at most `vec_len` regions to `vec`;
        // it answers how many. Protecting pages for tracking changes no content.
        let count = unsafe { rustix::ioctl::ioctl(pagemap, Scan(&mut arg)) }?;
        for region in &regions[..count.min(BATCH)] {
            let first = (region.start as usize - addresses.start) / PAGE_BYTES;
            let end = (region.end as usize - addresses.start) / PAGE_BYTES;
            match found.last_mut() {
                Some(last) if last.end == first => last.end = end,
                _ => found.push(first..end),
            }
        }
        if arg.walk_end <= start {
            break;
        }
        start = arg.walk_end;
    }
    Ok(found)
}

/// `Updater` drops the system call's answer, which here is the number of regions.
struct Scan<'a>(&'a mut sys::pm_scan_arg);

// SAFETY: the opcode is PAGEMAP_SCAN's own, whose argument is a pointer to one `pm_scan_arg`.
unsafe impl rustix::ioctl::Ioctl for Scan<'_> {
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        PAGEMAP_SCAN
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(
        output: rustix::ioctl::IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<usize> {
        usize::try_from(output).map_err(|_| rustix::io::Errno::RANGE)
    }
}

/// The way of systems before Linux 6.7: one entry of eight bytes a page.
fn read_entries(pagemap: &File, addresses: Range<usize>) -> io::Result<Vec<Range<usize>>> {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const FILE_OR_SHARED: u64 = 1 << 61;
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut entries = vec![0_u8; 1 << 16];
    let pages = addresses.len() / PAGE_BYTES;
    let mut page = 0;
    while page < pages {
        let bytes = entries.len().min((pages - page) * 8);
        pagemap.read_exact_at(&mut entries[..bytes], ((addresses.start / PAGE_BYTES + page) * 8) as u64)?;
        for entry in entries[..bytes].as_chunks::<8>().0 {
            let entry = u64::from_ne_bytes(*entry);
            if entry & (PRESENT | SWAPPED) != 0 && entry & FILE_OR_SHARED == 0 {
                match found.last_mut() {
                    Some(last) if last.end == page => last.end = page + 1,
                    _ => found.push(page..page + 1),
                }
            }
            page += 1;
        }
    }
    Ok(found)
}
