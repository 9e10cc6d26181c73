//! Random reads of a file in the page cache: tokio's blocking pool from a current_thread runtime.
//!
//!     reads_tokio FILE READS IN_FLIGHT THREADS
use ferry_bench::{cpu_ns, number};
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::{spawn_blocking, spawn_local, LocalSet};

const BLOCK: usize = 4096;

struct Reads {
    file: Arc<File>,
    blocks: u64,
    left: Cell<usize>,
    random: Cell<u64>,
}

impl Reads {
    fn open() -> io::Result<Reads> {
        let path = std::env::args().nth(1).expect("FILE READS IN_FLIGHT THREADS");
        let blocks = (std::fs::read(&path)?.len() / BLOCK) as u64;
        let file = Arc::new(File::open(path)?);
        let (left, random) = (Cell::new(number(2, 0)), Cell::new(0x9e3779b97f4a7c15));
        Ok(Reads { file, blocks, left, random })
    }

    /// The next block, in the order of support.c.
    fn next(&self) -> Option<u64> {
        self.left.set(self.left.get().checked_sub(1)?);
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        Some(x % self.blocks)
    }
}

async fn read_many(reads: Rc<Reads>) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    while let Some(number) = reads.next() {
        let file = reads.file.clone();
        block = spawn_blocking(move || {
            file.read_exact_at(&mut block, number * BLOCK as u64).map(|_| block)
        })
        .await
        .expect("a thread")?;
        let found: [u8; 8] = block[..8].try_into().expect("eight bytes");
        assert_eq!(u64::from_le_bytes(found), number, "a block was read wrongly");
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(number(4, 4)).build()?;
    let reads = Rc::new(Reads::open()?);
    let (count, start, start_cpu) = (number(2, 0), Instant::now(), cpu_ns());
    LocalSet::new().block_on(&runtime, async {
        let readers: Vec<_> =
            (0..number(3, 32)).map(|_| spawn_local(read_many(reads.clone()))).collect();
        for reader in readers {
            reader.await.expect("a task")?;
        }
        io::Result::Ok(())
    })?;
    let elapsed = start.elapsed().as_nanos();
    println!(
        "{{\"count\":{},\"elapsed_ns\":{},\"cpu_ns\":{}}}",
        count,
        elapsed,
        cpu_ns() - start_cpu
    );
    Ok(())
}
