//! Prints each second what a live interface delivers and drops: `ring_rate INTERFACE [SECONDS]`.
//!
//! Runs in the sandbox and prints its proof first. Needs `CAP_NET_RAW` at the start.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::time::{Duration, Instant};

    use otic_capture::nic::NicFacts;
    use otic_capture::ring::{Ring, RingOptions};
    use otic_capture::sandbox::{SandboxOptions, drop_rights};

    let mut arguments = std::env::args().skip(1);
    let interface = arguments.next().ok_or("ring_rate INTERFACE [SECONDS]")?;
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let mut ring = Ring::open(&RingOptions {
        interface,
        block_bytes: 1 << 20,
        blocks: 64,
        block_timeout_ms: 50,
        fanout: None,
        promiscuous: true,
        filter: Vec::new(),
        snap_length: 262_144,
    })?;
    let options = SandboxOptions { sockets: vec![ring.fd()], ..SandboxOptions::default() };
    let proof = drop_rights(&options)?;
    println!("cannot transmit: {}; {:?}", proof.cannot_transmit(), proof.landlock);

    let mut before = ring.counters()?;
    for _ in 0..seconds {
        let started = Instant::now();
        let (mut frames, mut bytes) = (0_u64, 0_u64);
        while started.elapsed() < Duration::from_secs(1) {
            if ring.poll(100)? {
                ring.next_block(&mut |frame| {
                    frames += 1;
                    bytes += frame.bytes.len() as u64;
                })?;
            }
        }
        let now = ring.counters()?;
        let elapsed = started.elapsed().as_secs_f64();
        println!(
            "{:?} {:.0} frames/s {:.1} Mbit/s {:.0} dropped/s",
            ring.link()?,
            frames as f64 / elapsed,
            bytes as f64 * 8.0 / elapsed / 1e6,
            (now.kernel_dropped - before.kernel_dropped) as f64 / elapsed,
        );
        before = now;
    }
    println!("{before:?}");
    println!("{:?}", NicFacts::read_by(ring.fd(), ring.interface()));
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("live capture needs Linux");
}
