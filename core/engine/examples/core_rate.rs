//! Reads captures with the core alone: `core_rate THREADS FILE...` prints frames and seconds.

use std::time::Instant;

use otic_engine::replay::Replay;
use otic_engine::spaces::SpaceMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads: usize = arguments.next().unwrap_or_default().parse()?;
    let paths: Vec<String> = arguments.collect();
    let started = Instant::now();
    let mut run = Replay::open(&paths, threads, SpaceMap::default())?;
    let (mut batches, mut bytes) = (0_u64, 0);
    while let Some(batch) = run.next_batch() {
        batches += 1;
        bytes += rmp_serde::to_vec(&batch)?.len();
    }
    let frames: u64 = run.captures().iter().map(|capture| capture.frames).sum();
    let seconds = started.elapsed().as_secs_f64();
    println!("{frames} frames {seconds:.3} s {batches} batches {bytes} bytes");
    Ok(())
}
