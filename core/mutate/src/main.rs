//! Broken captures for every dissector and for the whole engine, for a given time.
//!
//! `otic-mutate SECONDS [FOLDER...]`: frames of the captures in the folders (and in `seeds/`) are cut,
//! flipped, joined and repeated. Every case goes through the engine as a capture file, and pieces of it
//! straight into every dissector. A panic, a case slower than [`SLOWEST`], bytes used that were not
//! there or a flood of items fails: the case is kept in `crashes/` beside this crate, to become a
//! seed once it is understood. Needs nothing but stable Rust.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use otic_capture::write::PcapngWriter;
use otic_capture::{CaptureFile, LinkType};
use otic_engine::replay::Replay;
use otic_engine::spaces::SpaceMap;
use otic_protocols::registry::{define, protocols};
use otic_protocols::{Carrier, Input, Out, Protocol, Side, Transport};
use otic_wire::{FrameSpan, Mac, SpanMap};

/// Longest time one case may take.
const SLOWEST: Duration = Duration::from_secs(10);
/// Frames taken from one capture.
const FRAMES_OF_A_CAPTURE: usize = 400;
/// Frames of one case.
const FRAMES_OF_A_CASE: usize = 60;
/// Where the payload of common frames starts: Ethernet, UDP over IPv4, TCP without and with
/// timestamps.
const PAYLOADS: [usize; 4] = [14, 42, 54, 66];
/// Bytes that length and count fields go wrong with.
const AWKWARD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, 0x10, 0x40];

/// One frame with its link type.
type Frame = (LinkType, Vec<u8>);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(seconds) = arguments.next().and_then(|text| text.parse::<u64>().ok()) else {
        eprintln!("usage: otic-mutate SECONDS [FOLDER...]");
        return ExitCode::from(2);
    };
    let mut captures: Vec<PathBuf> =
        arguments.flat_map(|folder| files(Path::new(&folder))).collect();
    captures.extend(files(&here().join("seeds")));
    let corpus: Vec<Vec<Frame>> =
        captures.iter().map(|path| frames(path)).filter(|frames| !frames.is_empty()).collect();
    if corpus.is_empty() {
        eprintln!("otic-mutate: no capture holds a frame");
        return ExitCode::from(2);
    }
    if let Err(refused) = define(&definitions()) {
        eprintln!("otic-mutate: {refused}");
        return ExitCode::from(2);
    }
    let start = Instant::now();
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 | 1);
    let mut random = Random(seed);
    let mut cases = 0_u64;
    let scratch = std::env::temp_dir().join(format!("otic-mutate-{}.pcapng", std::process::id()));
    while start.elapsed() < Duration::from_secs(seconds) {
        let case = broken(&corpus, &mut random);
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| run(&case, &scratch)));
        let slow = begun.elapsed() > SLOWEST;
        if slow || !matches!(result, Ok(Ok(()))) {
            let why = match result {
                Ok(Err(why)) => why,
                Ok(Ok(())) => format!("took {:?}", begun.elapsed()),
                Err(_) => "panicked".to_owned(),
            };
            let kept = keep(&case);
            eprintln!("otic-mutate: case {cases} {why}; kept as {}", kept.display());
            drop(fs::remove_file(&scratch));
            return ExitCode::FAILURE;
        }
        cases += 1;
    }
    drop(fs::remove_file(&scratch));
    println!(
        "fuzz: {cases} cases of up to {FRAMES_OF_A_CASE} broken frames from {} captures in {} s, \
         no failure (seed {seed})",
        corpus.len(),
        start.elapsed().as_secs()
    );
    ExitCode::SUCCESS
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, sorted; none where it is missing.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

fn frames(path: &Path) -> Vec<Frame> {
    let Ok(mut file) = CaptureFile::open(path) else { return Vec::new() };
    let mut frames = Vec::new();
    while frames.len() < FRAMES_OF_A_CAPTURE && file.advance() {
        let (header, bytes) = file.frame();
        frames.push((header.link_type, bytes.to_vec()));
    }
    frames
}

/// A run of frames from one capture, some of them broken, some from another capture between.
fn broken(corpus: &[Vec<Frame>], random: &mut Random) -> Vec<Frame> {
    let frames = &corpus[random.below(corpus.len())];
    let from = random.below(frames.len());
    let count = 1 + random.below(FRAMES_OF_A_CASE);
    let mut case: Vec<Frame> = frames.iter().skip(from).take(count).cloned().collect();
    for at in 0..case.len() {
        match random.below(8) {
            0 | 1 => flip(&mut case[at].1, random),
            2 => awkward(&mut case[at].1, random),
            3 => {
                let length = case[at].1.len();
                case[at].1.truncate(random.below(length + 1));
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let tail = &other[random.below(other.len())].1;
                let keep = random.below(case[at].1.len() + 1);
                let skip = random.below(tail.len() + 1);
                case[at].1.truncate(keep);
                case[at].1.extend_from_slice(&tail[skip..]);
            }
            5 => {
                let with = random.below(case.len());
                case.swap(at, with);
            }
            _ => {}
        }
    }
    case
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(6) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
    }
}

/// The definitions that come with Otic: (file, text).
fn definitions() -> Vec<(String, String)> {
    let folder = here().join("../../src/otic/protocols");
    let mut found = files(&folder);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let read = |path: PathBuf| Some((path.display().to_string(), fs::read_to_string(&path).ok()?));
    found.into_iter().filter_map(read).collect()
}

fn awkward(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = AWKWARD[random.below(AWKWARD.len())];
        }
    }
}

/// One case through every dissector and the engine; says what went wrong.
fn run(case: &[Frame], scratch: &Path) -> Result<(), String> {
    for protocol in protocols() {
        for start in PAYLOADS {
            dissect(protocol, case, start)?;
        }
    }
    write(case, scratch).map_err(|error| format!("could not write the case: {error}"))?;
    let path = scratch.to_string_lossy().into_owned();
    let mut replay = Replay::open(&[path], 1, SpaceMap::default())
        .map_err(|error| format!("its own capture was refused: {error}"))?;
    while replay.next_batch().is_some() {}
    Ok(())
}

fn dissect(protocol: &Protocol, case: &[Frame], start: usize) -> Result<(), String> {
    let transport = match protocol.carriers.first() {
        Some(Carrier::Tcp(_)) => Transport::Tcp,
        Some(Carrier::Udp(_)) => Transport::Udp,
        Some(Carrier::Ip(_)) => Transport::Ip,
        _ => Transport::Ethernet,
    };
    let port = match protocol.carriers.first() {
        Some(Carrier::Tcp(ports) | Carrier::Udp(ports)) => ports.first().copied().unwrap_or(50000),
        _ => 0,
    };
    let client = if port == 0 { 0 } else { 40000 };
    let ends = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
    let mut session = protocol.session();
    let mut out = Out::default();
    let mut given = 0;
    for (at, (_, frame)) in case.iter().enumerate() {
        let bytes = frame.get(start..).unwrap_or_default();
        given += bytes.len();
        let length = bytes.len() as u32;
        let spans = SpanMap::single(FrameSpan {
            file: 0,
            frame: at as u64 + 1,
            offset: start as u32,
            length,
        });
        let from_client = at % 2 == 0;
        let input = Input {
            bytes,
            spans: &spans,
            side: if from_client { Side::A } else { Side::B },
            transport,
            source_port: if from_client { client } else { port },
            destination_port: if from_client { port } else { client },
            source: ends[at % 2].into(),
            destination: ends[(at + 1) % 2].into(),
            source_mac: Some(Mac([2, 0, 0, 0, 0, at as u8])),
            ts_ns: 1_700_000_000_000_000_000 + at as i64,
            stream_start: at == 0,
            after_gap: at % 5 == 4,
            truncated: false,
        };
        let _ = protocol.probe(&input);
        if session.read(&input, &mut out) > bytes.len() {
            return Err(format!("{} used more bytes than there were", protocol.name));
        }
    }
    session.finish(&mut out);
    if out.items.len() > 64 + 8 * (given + case.len()) {
        return Err(format!("{} said {} items of {given} bytes", protocol.name, out.items.len()));
    }
    Ok(())
}

fn write(case: &[Frame], path: &Path) -> io::Result<()> {
    let mut writer = PcapngWriter::new(io::BufWriter::new(fs::File::create(path)?))?;
    let mut ts_ns = 1_700_000_000_000_000_000_i64;
    for (link_type, bytes) in case {
        writer.frame(ts_ns, bytes.len() as u32, *link_type, bytes)?;
        ts_ns += 1_000_000;
    }
    writer.finish().map(drop)
}

/// Keeps a failing case as a capture named by its bytes.
fn keep(case: &[Frame]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    case.iter().for_each(|(_, bytes)| bytes.hash(&mut hasher));
    let folder = here().join("crashes");
    let path = folder.join(format!("{:016x}.pcapng", hasher.finish()));
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| write(case, &path)) {
        eprintln!("otic-mutate: the case could not be kept: {error}");
    }
    path
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_once_stays_mended() {
        let scratch = std::env::temp_dir().join(format!("otic-seed-{}.pcapng", std::process::id()));
        let seeds = files(&here().join("seeds"));
        assert!(!seeds.is_empty());
        for seed in seeds {
            let case = frames(&seed);
            assert!(!case.is_empty(), "{} holds no frame", seed.display());
            assert_eq!(Ok(()), run(&case, &scratch), "{}", seed.display());
        }
        drop(fs::remove_file(&scratch));
    }

    #[test]
    fn broken_frames_fail_nothing() {
        let scratch = std::env::temp_dir().join(format!("otic-few-{}.pcapng", std::process::id()));
        let corpus: Vec<_> = files(&here().join("seeds")).iter().map(|path| frames(path)).collect();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..50 {
            assert_eq!(Ok(()), run(&broken(&corpus, &mut random), &scratch));
        }
        drop(fs::remove_file(&scratch));
    }
}
