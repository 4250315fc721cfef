//! Frames with a clock, in blocks: what workers read. Capture files as such blocks.

use std::collections::BTreeMap;
use std::path::Path;

use compact_str::{CompactString, ToCompactString, format_compact};
use otic_capture::{CaptureFile, Error, FrameHeader, LinkType, Merged};
use otic_wire::packet;

use crate::canary;
use crate::facts::{Capture, Coverage, Epoch};
use crate::shard::Frame;

/// Frames of a block: enough to keep workers busy, few enough to stay in the caches.
const BLOCK_FRAMES: usize = 16_384;
/// Bytes of a block.
const BLOCK_BYTES: usize = 8 << 20;
/// Frames of a batch at most (contracts.md §3).
const BATCH_FRAMES: u64 = 65_536;
/// A jump of the clock that opens a new epoch, ns (contracts.md §2).
const EPOCH_NS: i64 = 3_600_000_000_000;
/// A frame earlier than the clock by more than this is out of order, ns.
const LATE_NS: i64 = 1_000_000_000;

const SECOND_NS: i64 = 1_000_000_000;

/// A frame before the clock has seen it.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// Ordinal of its file; live: number of the packet ring's segment.
    pub file: u32,
    /// Number in that file, from 1.
    pub number: u64,
    /// Its own time, ns.
    pub ts_ns: i64,
    /// Link type number.
    pub link_type: LinkType,
    /// Index of its interface.
    pub interface: u32,
    /// Length on the wire.
    pub original_length: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ordinal: u64,
    file: u32,
    number: u64,
    clock_ns: i64,
    link_type: u16,
    interface: u32,
    original_length: u32,
    start: u32,
    end: u32,
}

/// A batch inside a block.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// Index of its first frame in the block.
    pub start: usize,
    /// Clock at its first frame, ns.
    pub start_ns: i64,
    /// Clock at its last frame, ns.
    pub end_ns: i64,
    /// The batch began in the block before.
    pub continued: bool,
    /// What the reader says of its frames.
    pub coverage: Coverage,
    /// Clock jumps at its start.
    pub epochs: Vec<Epoch>,
}

/// Frames read together.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Batches, in order; the first starts at frame 0.
    pub cuts: Vec<Cut>,
}

impl Block {
    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frame at `index`.
    #[must_use]
    pub fn frame(&self, index: usize) -> Option<Frame<'_>> {
        let entry = self.entries.get(index)?;
        Some(Frame {
            ordinal: entry.ordinal,
            file: entry.file,
            number: entry.number,
            clock_ns: entry.clock_ns,
            link_type: entry.link_type,
            interface: entry.interface,
            original_length: entry.original_length,
            bytes: self.bytes.get(entry.start as usize..entry.end as usize)?,
        })
    }

    /// File and number of each frame.
    #[must_use]
    pub fn places(&self) -> Vec<(u32, u64)> {
        self.entries.iter().map(|entry| (entry.file, entry.number)).collect()
    }

    /// Keeps a frame's bytes; gives where they lie.
    #[inline]
    fn hold(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        (start, self.bytes.len() as u32)
    }

    /// Forgets all frames; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.cuts.clear();
    }
}

/// The clock of a run (contracts.md §2), and where it ends batches.
#[derive(Debug)]
pub struct Clock {
    now_ns: Option<i64>,
    ordinal: u64,
    /// Longest time of a batch, ns; batches start at its multiples.
    batch_ns: i64,
    batch_start_ns: i64,
    batch_frames: u64,
    in_batch: bool,
    /// Jumps that the next batch names.
    epochs: Vec<Epoch>,
}

impl Clock {
    /// A clock before its first frame.
    #[must_use]
    pub const fn new(batch_ns: i64) -> Self {
        Self {
            now_ns: None,
            ordinal: 0,
            batch_ns,
            batch_start_ns: 0,
            batch_frames: 0,
            in_batch: false,
            epochs: Vec::new(),
        }
    }

    /// Frames read so far.
    #[must_use]
    pub const fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Its time, ns; 0 before the first frame.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.now_ns.unwrap_or_default()
    }

    /// Adds a frame to the block, with the time it happened.
    #[inline]
    pub fn push(&mut self, block: &mut Block, frame: &Arrived, bytes: &[u8]) {
        let (start, end) = block.hold(bytes);
        self.enter(block, frame, start, end);
    }

    /// Adds the frame whose bytes lie in the block already.
    ///
    /// Always inlined: with two callers, files and live, it became a call for every frame and the
    /// core lost 6 %.
    #[inline(always)]
    fn enter(&mut self, block: &mut Block, frame: &Arrived, start: u32, end: u32) {
        let captured = end - start;
        let ts_ns = frame.ts_ns;
        let mut epoch = None;
        let before = self.now_ns.unwrap_or(ts_ns);
        let clock_ns = match ts_ns.saturating_sub(before) {
            ahead if ahead > EPOCH_NS => {
                epoch = Some("gap");
                ts_ns
            }
            ahead if ahead < -EPOCH_NS => {
                epoch = Some("backward");
                ts_ns
            }
            _ => before.max(ts_ns),
        };
        self.now_ns = Some(clock_ns);
        let goes_on = self.in_batch
            && epoch.is_none()
            && (0..self.batch_ns).contains(&clock_ns.wrapping_sub(self.batch_start_ns))
            && self.batch_frames < BATCH_FRAMES;
        if !goes_on || block.cuts.is_empty() {
            self.cut(block, clock_ns, goes_on);
        }
        self.batch_frames += 1;
        if let Some(cut) = block.cuts.last_mut() {
            cut.end_ns = clock_ns;
            if let Some(cause) = epoch {
                cut.epochs.push(Epoch {
                    before_ns: before,
                    after_ns: clock_ns,
                    cause,
                    spans: vec![(frame.file, frame.number, 0, captured)],
                });
            }
            let coverage = &mut cut.coverage;
            coverage.frames += 1;
            coverage.bytes += u64::from(frame.original_length);
            coverage.truncated += u64::from(captured < frame.original_length);
            coverage.out_of_order += u64::from(ts_ns < clock_ns - LATE_NS);
            if !packet::is_decoded(frame.link_type.0) {
                let name = frame.link_type.to_compact_string();
                *coverage.undecoded_link_types.entry(name).or_default() += 1;
            }
        }
        block.entries.push(Entry {
            ordinal: self.ordinal,
            file: frame.file,
            number: frame.number,
            clock_ns,
            link_type: frame.link_type.0,
            interface: frame.interface,
            original_length: frame.original_length,
            start,
            end,
        });
        self.ordinal += 1;
    }

    /// Adds a canary: it is read like a frame at the time that it is, and counts nowhere.
    pub fn push_canary(&mut self, block: &mut Block, bytes: &[u8]) {
        let (start, end) = block.hold(bytes);
        let clock_ns = self.now_ns();
        if !self.in_batch || block.cuts.is_empty() {
            self.cut(block, clock_ns, self.in_batch);
        }
        if let Some(cut) = block.cuts.last_mut() {
            cut.end_ns = clock_ns;
        }
        block.entries.push(Entry {
            ordinal: self.ordinal,
            file: 0,
            number: 0,
            clock_ns,
            link_type: LinkType::ETHERNET.0,
            interface: canary::INTERFACE,
            original_length: end - start,
            start,
            end,
        });
    }

    /// Starts a batch, or goes on with one in a new block.
    #[cold]
    fn cut(&mut self, block: &mut Block, clock_ns: i64, continued: bool) {
        let start = block.entries.len();
        let mut cut = Cut { start, start_ns: clock_ns, continued, ..Cut::default() };
        if !continued {
            self.in_batch = true;
            self.batch_start_ns = clock_ns.div_euclid(self.batch_ns).wrapping_mul(self.batch_ns);
            self.batch_frames = 0;
            cut.epochs.append(&mut self.epochs);
        }
        block.cuts.push(cut);
    }

    /// Time went on without a frame: the batch at hand is over. Gives one without frames when the
    /// clock jumped and no frame was there to say so.
    pub fn advance(&mut self, now_ns: i64) -> Option<Cut> {
        self.now_ns = Some(self.now_ns.map_or(now_ns, |before| before.max(now_ns)));
        self.in_batch = false;
        let now_ns = self.now_ns();
        (!self.epochs.is_empty()).then(|| Cut {
            start_ns: now_ns,
            end_ns: now_ns,
            epochs: std::mem::take(&mut self.epochs),
            ..Cut::default()
        })
    }

    /// The machine's clock was set: a new epoch begins at `after_ns`.
    pub fn step(&mut self, before_ns: i64, after_ns: i64) {
        self.now_ns = Some(after_ns);
        self.in_batch = false;
        self.epochs.push(Epoch { before_ns, after_ns, cause: "step", spans: Vec::new() });
    }
}

#[derive(Debug, Clone)]
struct FileTotals {
    frames: u64,
    bytes: u64,
    link_types: BTreeMap<u16, CompactString>,
    last_link_type: Option<u16>,
    first_ns: i64,
    last_ns: i64,
}

impl Default for FileTotals {
    fn default() -> Self {
        Self {
            frames: 0,
            bytes: 0,
            link_types: BTreeMap::new(),
            last_link_type: None,
            first_ns: i64::MAX,
            last_ns: i64::MIN,
        }
    }
}

/// The capture files of one run, read as one stream.
pub struct CaptureInput {
    merged: Merged,
    names: Vec<CompactString>,
    totals: Vec<FileTotals>,
    interface_of: BTreeMap<(usize, u32), u32>,
    /// File and interface of the last frame, and the index of that interface.
    last_interface: Option<(usize, u32, u32)>,
    /// Names of all interfaces, by index.
    pub interfaces: Vec<CompactString>,
    clock: Clock,
}

impl CaptureInput {
    /// Opens the files.
    ///
    /// # Errors
    /// The first file that is no readable capture.
    pub fn open(paths: &[String]) -> Result<Self, Error> {
        let files: Vec<CaptureFile> = paths
            .iter()
            .map(|path| CaptureFile::open(Path::new(path)))
            .collect::<Result<_, _>>()?;
        let base = |path: &String| {
            Path::new(path).file_name().map_or_else(
                || path.to_compact_string(),
                |name| CompactString::from(name.to_string_lossy()),
            )
        };
        let plain: Vec<CompactString> = paths.iter().map(base).collect();
        let names = (plain.iter().enumerate())
            .map(|(index, name)| {
                let doubled = plain.iter().filter(|other| *other == name).count() > 1;
                if doubled { format_compact!("{}:{name}", index + 1) } else { name.clone() }
            })
            .collect();
        Ok(Self {
            totals: vec![FileTotals::default(); files.len()],
            merged: Merged::new(files),
            names,
            interface_of: BTreeMap::new(),
            last_interface: None,
            interfaces: Vec::new(),
            clock: Clock::new(SECOND_NS),
        })
    }

    /// Fills `block` with the next frames; false when there are none.
    pub fn fill(&mut self, block: &mut Block) -> bool {
        block.clear();
        while block.entries.len() < BLOCK_FRAMES && block.bytes.len() < BLOCK_BYTES {
            let Some(file) = self.merged.advance() else { break };
            self.take(file, block);
        }
        !block.is_empty()
    }

    fn take(&mut self, file: usize, block: &mut Block) {
        let Some((&FrameHeader { number, ts_ns, original_length, link_type, interface }, bytes)) =
            self.merged.frame()
        else {
            return;
        };
        let (start, end) = block.hold(bytes);
        let interface = self.interface(file, interface);
        if let Some(totals) = self.totals.get_mut(file) {
            totals.frames += 1;
            totals.bytes += u64::from(original_length);
            if totals.last_link_type != Some(link_type.0) {
                totals.last_link_type = Some(link_type.0);
                totals
                    .link_types
                    .entry(link_type.0)
                    .or_insert_with(|| link_type.to_compact_string());
            }
            totals.first_ns = totals.first_ns.min(ts_ns);
            totals.last_ns = totals.last_ns.max(ts_ns);
        }
        let frame =
            Arrived { file: file as u32, number, ts_ns, link_type, interface, original_length };
        self.clock.enter(block, &frame, start, end);
    }

    /// Index over all files of an interface of a file.
    #[inline]
    fn interface(&mut self, file: usize, number: u32) -> u32 {
        if let Some((last_file, last_number, index)) = self.last_interface
            && (last_file, last_number) == (file, number)
        {
            return index;
        }
        self.find_interface(file, number)
    }

    #[cold]
    fn find_interface(&mut self, file: usize, number: u32) -> u32 {
        let index = match self.interface_of.get(&(file, number)) {
            Some(index) => *index,
            None => {
                let name = (self.merged.files().get(file))
                    .and_then(|open| open.interfaces().get(number as usize))
                    .map_or_else(CompactString::default, |found| found.name.as_str().into());
                self.interfaces.push(name);
                let index = self.interfaces.len() as u32 - 1;
                self.interface_of.insert((file, number), index);
                index
            }
        };
        self.last_interface = Some((file, number, index));
        index
    }

    /// The clock of the run.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is known of each file by now, in argument order.
    #[must_use]
    pub fn captures(&self) -> Vec<Capture> {
        (self.names.iter().zip(&self.totals).zip(self.merged.files()))
            .map(|((name, totals), file)| {
                let mut link_types: Vec<CompactString> =
                    totals.link_types.values().cloned().collect();
                link_types.sort();
                Capture {
                    file: name.clone(),
                    frames: totals.frames,
                    bytes: totals.bytes,
                    link_types,
                    first_seen: (totals.frames > 0).then_some(totals.first_ns),
                    last_seen: (totals.frames > 0).then_some(totals.last_ns),
                    cut_off: file.cut_off().map(CompactString::from),
                }
            })
            .collect()
    }

    /// Bytes of the files read so far, and in all.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.merged
            .files()
            .iter()
            .map(CaptureFile::progress)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}
