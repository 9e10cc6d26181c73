//! What it costs to take one completion out of the mapped ring.
//!
//!     reap COUNT
//!
//! prints {"slot_ns":..,"woken_ns":..}: into the operation's slot; and with the task woken.
use std::time::Duration;

const BATCH: usize = 1024;

fn main() -> std::io::Result<()> {
    let rounds = ferry_bench::number(1, 10_000_000) / BATCH;
    let runtime = ferry::Runtime::new()?;
    let mut sums = [Duration::ZERO; 2];
    for round in 0..rounds * 2 {
        sums[round % 2] += runtime.time_reaping(BATCH, round % 2 == 1);
    }
    let [slot, woken] = sums.map(|sum| sum.as_nanos() as f64 / (rounds * BATCH) as f64);
    println!("{{\"slot_ns\":{:.2},\"woken_ns\":{:.2}}}", slot, woken);
    Ok(())
}
