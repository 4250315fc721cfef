//! Link headers, tunnels, fragments, streams and everything behind them: the first byte chooses
//! the link type, then frames follow as (time step in 10 ms, length, bytes) into one shard.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otic_engine::shard::{Frame, Shard, Shared};
use otic_engine::spaces::SpaceMap;
use otic_wire::{Cursor, packet};

const LINKS: [u16; 17] = [1, 0, 7, 9, 10, 12, 50, 51, 101, 104, 108, 113, 129, 165, 239, 276, 999];

fuzz_target!(|data: &[u8]| {
    let mut cursor = Cursor::new(data);
    let Ok(choice) = cursor.u8() else { return };
    let link_type = LINKS[usize::from(choice) % LINKS.len()];
    let shared =
        Shared { spaces: SpaceMap::default(), interfaces: vec!["eth0".into()], canary: None };
    let mut shard = Shard::default();
    let (mut clock_ns, mut ordinal) = (1_700_000_000_000_000_000, 0);
    while let (Ok(step), Ok(length)) = (cursor.u8(), cursor.u16_le()) {
        let bytes = cursor.take(usize::from(length).min(cursor.remaining())).unwrap_or_default();
        clock_ns += i64::from(step) * 10_000_000;
        let frame = Frame {
            ordinal,
            file: 0,
            number: ordinal + 1,
            clock_ns,
            link_type,
            interface: 0,
            original_length: u32::from(length).max(bytes.len() as u32),
            bytes,
        };
        let packet = packet::decode(link_type, bytes);
        assert!(packet.start <= packet.end && packet.end as usize <= bytes.len());
        shard.frame(&frame, &packet, &packet.ends(), &shared);
        if step > 200 {
            shard.tick(clock_ns, ordinal, &shared);
            let _ = shard.take_output();
        }
        ordinal += 1;
    }
    shard.finish(clock_ns, ordinal, &shared);
    let _ = shard.take_output();
});
