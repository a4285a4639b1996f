//! What the allocator is told, once, before anything else runs. Written for glibc's; with another one
//! nothing of it does harm.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The largest buffer that raises glibc's threshold: 32 MiB with the allocator's own header and page.
const LARGEST_BYTES: usize = (32 << 20) - (64 << 10);
/// Where the kernel says to whom it gives huge pages.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Every large piece of memory asks for huge pages.
const HUGE: &str = "glibc.malloc.hugetlb=1";
/// Threads take memory from one heap: those of their own do not ask for huge pages.
const ONE_HEAP: &str = "glibc.malloc.arena_max=1";

/// Makes the allocator keep large buffers that are freed.
///
/// glibc gives them back to the system and asks again with the next one: what comes is cleared a page at a
/// time, by a fault each. Reading in bulk spent a fifth of its time so. The size from which it does that
/// rises by itself, up to 32 MiB, with the largest buffer that was ever freed; the heap then keeps twice as
/// much free memory at its end (mallopt(3), `M_MMAP_THRESHOLD`). The buffer that raises it here is never
/// touched.
///
/// For processes that read in bulk. A peer, publishers and followers do without: there it brought now and then
/// a stall of 50 to 100 ms.
pub fn keep_large_buffers() {
    drop(black_box(Vec::<u8>::with_capacity(LARGEST_BYTES)));
}

/// Puts the memory of this process on huge pages, where the kernel gives them to those who ask: starts the
/// program again, under the same process id, for glibc reads this wish at a program's start only.
///
/// A lookup among a million topics is a few reads of memory at random, and on small pages each needs a walk
/// of page tables that no cache holds. Measured: 15-30 % more lookups a second, the same memory.
pub fn on_huge_pages() {
    let given = fs::read_to_string(HUGE_PAGES).is_ok_and(|text| text.contains("[madvise]"));
    let wish = wished(std::env::var_os(TUNABLES).as_deref());
    if let Some(wish) = wish.filter(|_| given)
        && let Ok(program) = std::env::current_exe()
    {
        let mut line = std::env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = line.next() {
            again.arg0(name);
        }
        // Comes back only if it fails; then the pages stay small.
        let _ = again.args(line).env(TUNABLES, wish).exec();
    }
}

/// The variable with the wish added; `None`: somebody has decided already, perhaps this program.
fn wished(tunables: Option<&OsStr>) -> Option<OsString> {
    let given = tunables.unwrap_or_default();
    let text = given.to_string_lossy();
    if text.contains("glibc.malloc.hugetlb") {
        return None;
    }
    let mut wish = given.to_owned();
    let heap = (!text.contains("glibc.malloc.arena_max")).then_some(ONE_HEAP);
    for wanted in std::iter::once(HUGE).chain(heap) {
        if !wish.is_empty() {
            wish.push(":");
        }
        wish.push(wanted);
    }
    Some(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_starts_itself_again_once_and_keeps_other_wishes() {
        let ours = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1";
        assert_eq!(wished(None).unwrap(), ours);
        let both = wished(Some(OsStr::new("glibc.malloc.check=1"))).unwrap();
        assert_eq!(both, *format!("glibc.malloc.check=1:{ours}"));
        assert_eq!(wished(Some(&both)), None);
        assert_eq!(wished(Some(OsStr::new("glibc.malloc.hugetlb=0"))), None);
        let heaps = "glibc.malloc.arena_max=4";
        let kept = wished(Some(OsStr::new(heaps))).unwrap();
        assert_eq!(kept, *format!("{heaps}:{HUGE}"));
    }
}
