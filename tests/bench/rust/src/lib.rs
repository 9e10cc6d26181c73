//! What the programs share: clocks, and the job of the file benchmarks.
use std::cell::Cell;
use std::time::Instant;

pub const FILES_IN_FLIGHT: usize = 64;
const FILE_SIZE: usize = 4096;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;

/// CPU time of this process in ns, user and system.
pub fn cpu_ns() -> u64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: one record, which is ours.
    unsafe { clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

/// The positional argument, or a fallback.
pub fn number(index: usize, fallback: usize) -> usize {
    let text = std::env::args().nth(index);
    text.map_or(fallback, |text| text.parse().expect("a number"))
}

/// Loads every file of a folder, so many times over: `files_... DIRECTORY COUNT PASSES`.
pub struct Files {
    pub paths: Vec<String>,
    total: usize,
    begun: Cell<usize>,
    start: Instant,
    start_cpu: u64,
}

impl Files {
    /// Loads all once: the page cache is hot from here on.
    pub fn open() -> Files {
        let folder = std::env::args().nth(1).expect("DIRECTORY COUNT PASSES");
        let paths: Vec<_> = (0..number(2, 0)).map(|i| format!("{}/{}", folder, i)).collect();
        paths.iter().for_each(|path| check(&std::fs::read(path).expect("a file")));
        let total = paths.len() * number(3, 1);
        let (start, start_cpu) = (Instant::now(), cpu_ns());
        Files { paths, total, begun: Cell::new(0), start, start_cpu }
    }

    pub fn total(&self) -> usize {
        self.total
    }

    pub fn path(&self, number: usize) -> &str {
        &self.paths[number % self.paths.len()]
    }

    /// The next one to load.
    pub fn next(&self) -> Option<&str> {
        let number = self.begun.get();
        if number == self.total {
            return None;
        }
        self.begun.set(number + 1);
        Some(self.path(number))
    }

    pub fn report(&self) {
        println!(
            "{{\"count\":{},\"elapsed_ns\":{},\"cpu_ns\":{}}}",
            self.total,
            self.start.elapsed().as_nanos(),
            cpu_ns() - self.start_cpu
        );
    }
}

/// A benchmark that lost something must not print a figure.
pub fn check(file: &[u8]) {
    assert!(file.len() == FILE_SIZE && file[FILE_SIZE - 1] == b'f', "a file was loaded wrongly");
}
