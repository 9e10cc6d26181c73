//! Whole files: threads that block in std::fs::read. THREADS in place of the tasks, 64 by default.
//!
//!     files_threads DIRECTORY COUNT PASSES [THREADS]
use ferry_bench::{check, number, Files, FILES_IN_FLIGHT};
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() {
    let files = Files::open();
    let (paths, total) = (&files.paths, files.total());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..number(4, FILES_IN_FLIGHT) {
            scope.spawn(|| loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return;
                }
                check(&std::fs::read(&paths[number % paths.len()]).expect("a file"));
            });
        }
    });
    files.report();
}
