//! What it costs to take one completion out of the mapped ring.
//!
//!     reap COUNT
//!
//! prints {"slot_ns":..,"woken_ns":..}: into the operation's slot; and with the task woken.
use std::time::Duration;

const BATCH: usize = 1024;

/// Of batches, for one completion: what interrupts a batch now and then does not count.
fn median_ns(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_nanos() as f64 / BATCH as f64
}

fn main() -> std::io::Result<()> {
    let rounds = ferry_bench::number(1, 10_000_000) / BATCH;
    let runtime = ferry::Runtime::new()?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds * 2 {
        times[round % 2].push(runtime.time_reaping(BATCH, round % 2 == 1));
    }
    let [slot, woken] = times.map(median_ns);
    println!("{{\"slot_ns\":{:.2},\"woken_ns\":{:.2}}}", slot, woken);
    Ok(())
}
