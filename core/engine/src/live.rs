//! A run over live interfaces: ticks, blind times, the facts journal and the packet ring.
//!
//! ```text
//! source ─ parcels ─┐
//! source ─ parcels ─┤
//! canary ───────────┴─> engine thread ─ batches ─> journal thread (every batch durable, or tried again)
//!                            └─ blocks ─> packet thread (what does not fit the budget is counted)
//! ```
//!
//! The canary enters where captured frames do, and each stage that it passes says so ([`Passed`]).
//!
//! Nothing waits for the packet ring. When the journal cannot be written, the engine waits for it and
//! the kernel's rings fill: what they drop then is counted by them and told by the ticks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use compact_str::{CompactString, ToCompactString};
use otic_capture::LinkType;
use otic_capture::filter::{FilterInstruction, Program};
use otic_capture::packet_ring::{Kept, Limits, PacketRing};
use otic_capture::source::{Parcel, Source, Status};
use otic_wire::Packet;

use crate::canary::Canary;
use crate::contexts;
use crate::facts::{Batch, Blind, Tick};
use crate::input::{Arrived, Block, Clock, Cut};
use crate::journal;
use crate::keys::pair;
use crate::run::Run;
use crate::spaces::SpaceMap;

/// Longest time of a batch: how long a new fact may wait, ns.
const BATCH: Duration = Duration::from_millis(250);
/// Longest time that a source waits before it hands over what it has.
const RECEIVE: Duration = Duration::from_millis(20);
/// Time between two ticks.
const TICK: Duration = Duration::from_secs(1);
/// A clock that is off by more than this against the monotonic one was set, ns (contracts.md §2).
const STEP_NS: i64 = 2_000_000_000;
/// Without frames for so long, time goes on by ticks; before, frames may still be on their way.
const QUIET: Duration = Duration::from_millis(500);
/// Parcels that may wait for the engine, batches for the journal, parcels for the packet ring.
const PARCELS: usize = 32;
const BATCHES: usize = 64;
const KEPT_PARCELS: usize = 64;
/// Size of a segment of the packet ring, bytes, and its time, ns.
const PACKETS_BYTES: u64 = 128 << 20;
const PACKETS_NS: i64 = 60_000_000_000;
/// How often what connections agreed is kept: so much is lost when capture is killed.
const KEEP_CONTEXTS: Duration = Duration::from_secs(30);
/// Time after which a journal or packet ring that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Where the packets of a live run stay.
#[derive(Debug, Clone)]
pub struct Packets {
    /// Folder of the segments.
    pub folder: PathBuf,
    /// How much stays.
    pub limits: Limits,
    /// How fast may be written, bytes a second; 0: no limit.
    pub bytes_per_s: u64,
}

/// What a live run needs to know.
pub struct Options {
    /// Folder of the journal.
    pub journal: PathBuf,
    /// The packet ring, if there is one.
    pub packets: Option<Packets>,
    /// Name of the sensor.
    pub sensor: String,
    /// Address spaces as people wrote them: (kind, match, name).
    pub spaces: Vec<(String, String, String)>,
    /// Hash of the content (rules, settings) in force.
    pub content: String,
    /// Threads that read frames.
    pub threads: usize,
    /// Last moment that the run before saw, ns.
    pub last_seen_ns: Option<i64>,
    /// Time between two canaries.
    pub canary: Duration,
}

/// What the stages of capture are called, in the order in which a canary passes them.
pub const STAGES: [&str; 3] = ["capture", "engine", "journal"];

/// The last canary that passed a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Its number in this run; 0 while none did.
    pub sequence: u64,
    /// When, nanoseconds since 1970 UTC.
    pub wall_ns: i64,
}

/// What passed each of [`STAGES`].
#[derive(Default)]
struct Stages([Mutex<Passed>; STAGES.len()]);

impl Stages {
    const CAPTURE: usize = 0;
    const ENGINE: usize = 1;
    const JOURNAL: usize = 2;

    fn pass(&self, stage: usize, sequence: u64) {
        if let Some(Ok(mut last)) = self.0.get(stage).map(Mutex::lock) {
            *last = Passed { sequence, wall_ns: wall_ns() };
        }
    }
}

/// What arrives at the engine. That a frame is the canary is said here and not by its bytes.
enum Arriving {
    Parcel(usize, Parcel),
    Canary(u64),
}

/// A running capture; dropping it lets it run on.
pub struct Live {
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
    /// Of each interface, the filters that its readers shall take next.
    filters: BTreeMap<String, Vec<WantedFilter>>,
    engine: Option<JoinHandle<()>>,
    run_ns: i64,
    stages: Arc<Stages>,
}

/// A filter that a reader shall take, until it has.
type WantedFilter = Arc<Mutex<Option<Vec<FilterInstruction>>>>;

impl Live {
    /// Starts the threads on these sources.
    ///
    /// # Errors
    /// A mapping of address spaces that means nothing; a journal or packet folder that cannot be
    /// written, or is damaged.
    pub fn start(sources: Vec<Box<dyn Source>>, options: Options) -> Result<Self, String> {
        let spaces = SpaceMap::new(&options.spaces)?;
        let (writer, _) = journal::Writer::open(
            &options.journal,
            "facts",
            &options.sensor,
            &options.spaces,
            &options.content,
        )
        .map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let trouble = Arc::new(Mutex::new(None));

        // Several rings may share one interface.
        let mut described: Vec<(String, LinkType)> = Vec::new();
        let mut interface_of = Vec::new();
        for source in &sources {
            let one = (source.interface().to_owned(), source.link_type());
            let known = described.iter().position(|other| *other == one);
            interface_of.push(known.unwrap_or(described.len()));
            if known.is_none() {
                described.push(one);
            }
        }
        let mut filters: BTreeMap<String, Vec<WantedFilter>> = BTreeMap::new();
        let run_ns = wall_ns();
        let stages = Arc::new(Stages::default());
        let mut engine =
            Engine::new(&described, spaces, options.threads, run_ns, Arc::clone(&stages));
        engine.run.remember(contexts::load(&options.journal, run_ns));
        engine.contexts.clone_from(&options.journal);
        if let Some(last_ns) = options.last_seen_ns {
            engine.restarted(last_ns, wall_ns());
        }
        if let Some(packets) = options.packets {
            let ring = PacketRing::open(&packets.folder, packets.limits, described)
                .map_err(|error| format!("{}: {error}", packets.folder.display()))?;
            engine.segment.number = ring.newest();
            engine.packets =
                Some(PacketsLine::start(ring, packets.bytes_per_s, Arc::clone(&engine.spare)));
        }
        engine.segment.begin(wall_ns());
        let journal = JournalLine::start(
            writer,
            Arc::clone(&stop),
            Arc::clone(&trouble),
            Arc::clone(&stages),
        );

        let (parcels, arriving) = sync_channel(PARCELS);
        let reading = Arc::new(());
        for (source, index) in sources.into_iter().zip(interface_of) {
            let Some(interface) = engine.interfaces.get_mut(index) else { continue };
            let seen = Arc::new(Seen::default());
            interface.seen.push(Arc::clone(&seen));
            let filter = WantedFilter::default();
            filters.entry(source.interface().to_owned()).or_default().push(filter.clone());
            let reader = Reader {
                index,
                source,
                parcels: parcels.clone(),
                seen,
                filter,
                spare: Arc::clone(&engine.spare),
                stop: Arc::clone(&stop),
                _reading: Arc::clone(&reading),
            };
            std::thread::Builder::new()
                .name(format!("read-{index}"))
                .spawn(move || reader.run())
                .map_err(|error| error.to_string())?;
        }
        let birds = Birds {
            parcels,
            every: options.canary,
            stages: Arc::clone(&stages),
            reading: Arc::downgrade(&reading),
            stop: Arc::clone(&stop),
        };
        drop(reading);
        std::thread::Builder::new()
            .name("canary".to_owned())
            .spawn(move || birds.run())
            .map_err(|error| error.to_string())?;
        let ending = Arc::clone(&stop);
        let engine = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || engine.run(&arriving, journal, &ending))
            .map_err(|error| error.to_string())?;
        Ok(Self { stop, trouble, filters, engine: Some(engine), run_ns, stages })
    }

    /// Whether it ended: all sources are over, or it was stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.engine.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What is wrong at the moment, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().ok().and_then(|trouble| trouble.clone())
    }

    /// Name of this run: its start, nanoseconds since 1970 UTC.
    #[must_use]
    pub const fn run_ns(&self) -> i64 {
        self.run_ns
    }

    /// The last canary that passed each stage, in the order of [`STAGES`].
    #[must_use]
    pub fn passed(&self) -> Vec<(&'static str, Passed)> {
        let last = |stage: &Mutex<Passed>| stage.lock().map(|last| *last).unwrap_or_default();
        STAGES.into_iter().zip(self.stages.0.iter().map(last)).collect()
    }

    /// Other frames of an interface are wanted from now on. False where no such interface is read, or
    /// the program is not valid.
    #[must_use]
    pub fn set_filter(&self, interface: &str, program: &[FilterInstruction]) -> bool {
        let Some(readers) = self.filters.get(interface) else { return false };
        if Program::new(program).is_err() {
            return false;
        }
        for wanted in readers {
            if let Ok(mut wanted) = wanted.lock() {
                *wanted = Some(program.to_vec());
            }
        }
        true
    }

    /// Ends it: what arrived is read and written. False when a thread of it had died.
    pub fn stop(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        self.engine.take().is_none_or(|engine| engine.join().is_ok())
    }
}

/// What a reader says of its interface, for the ticks.
#[derive(Default)]
struct Seen {
    frames: AtomicU64,
    bytes: AtomicU64,
    over: AtomicBool,
    /// None until the reader looked for the first time.
    status: Mutex<Option<Status>>,
}

/// Reads one source.
struct Reader {
    index: usize,
    source: Box<dyn Source>,
    parcels: SyncSender<Arriving>,
    seen: Arc<Seen>,
    filter: WantedFilter,
    spare: Arc<Mutex<Vec<Parcel>>>,
    stop: Arc<AtomicBool>,
    /// Held as long as it reads.
    _reading: Arc<()>,
}

/// Sends canaries the way that readers send frames, as long as one reads.
struct Birds {
    parcels: SyncSender<Arriving>,
    every: Duration,
    stages: Arc<Stages>,
    reading: Weak<()>,
    stop: Arc<AtomicBool>,
}

impl Birds {
    fn run(self) {
        let mut next = Instant::now();
        let mut sequence = 0;
        while !self.stop.load(Ordering::Relaxed) && self.reading.strong_count() > 0 {
            if Instant::now() >= next {
                next = Instant::now() + self.every;
                sequence += 1;
                if self.parcels.send(Arriving::Canary(sequence)).is_err() {
                    return;
                }
                self.stages.pass(Stages::CAPTURE, sequence);
            }
            std::thread::sleep(RECEIVE);
        }
    }
}

impl Reader {
    fn run(mut self) {
        let mut looked: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let mut parcel =
                self.spare.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
            parcel.clear();
            if let Some(program) = self.filter.lock().ok().and_then(|mut wanted| wanted.take()) {
                // It was proven valid before; a source that has no filter keeps all frames.
                let _ = self.source.set_filter(&program);
            }
            let more = self.source.receive(&mut parcel, RECEIVE);
            if looked.is_none_or(|looked| looked.elapsed() >= TICK / 4) {
                looked = Some(Instant::now());
                self.look();
            }
            if !parcel.frames.is_empty() {
                let bytes: u64 = parcel.frames.iter().map(|f| u64::from(f.original_length)).sum();
                self.seen.frames.fetch_add(parcel.frames.len() as u64, Ordering::Relaxed);
                self.seen.bytes.fetch_add(bytes, Ordering::Relaxed);
                if self.parcels.send(Arriving::Parcel(self.index, parcel)).is_err() {
                    return;
                }
            }
            match more {
                Ok(true) => {}
                Ok(false) => break,
                // An interface that went away may come back.
                Err(_) => {
                    if let Ok(mut status) = self.seen.status.lock() {
                        status.get_or_insert_default().up = false;
                    }
                    std::thread::sleep(TRY_AGAIN);
                }
            }
        }
        self.look();
        self.seen.over.store(true, Ordering::Relaxed);
    }

    fn look(&mut self) {
        if let (Ok(now), Ok(mut status)) = (self.source.status(), self.seen.status.lock()) {
            *status = Some(now);
        }
    }
}

/// One interface as the engine knows it.
struct Interface {
    name: CompactString,
    link_type: LinkType,
    /// What its readers say.
    seen: Vec<Arc<Seen>>,
    /// Counters at the last tick.
    frames: u64,
    bytes: u64,
    drops: BTreeMap<&'static str, u64>,
    /// Last tick with a link, ns; none while there never was one.
    up_ns: Option<i64>,
    was_up: bool,
}

/// Which segment of the packet ring frames go to; evidence cites it, also when no ring is kept.
struct SegmentNumber {
    number: u32,
    frames: u64,
    bytes: u64,
    start_ns: i64,
}

impl SegmentNumber {
    /// The next segment: called after the second it starts in, and always later than the one before.
    fn begin(&mut self, now_ns: i64) {
        let second = u32::try_from(now_ns / 1_000_000_000).unwrap_or_default();
        self.number = second.max(self.number.saturating_add(1));
        (self.frames, self.bytes, self.start_ns) = (0, 0, now_ns);
    }

    /// The next frame begins a segment, unless this one began in the same second.
    const fn end(&mut self) {
        self.bytes = PACKETS_BYTES;
    }

    /// Number of the next frame, in the right segment.
    fn next(&mut self, length: usize, ts_ns: i64) -> (u32, u64) {
        let full = self.bytes >= PACKETS_BYTES || (ts_ns - self.start_ns).abs() >= PACKETS_NS;
        // At most one segment a second, so that a number says when.
        if full && ts_ns / 1_000_000_000 != self.start_ns / 1_000_000_000 {
            self.begin(ts_ns);
        }
        self.frames += 1;
        self.bytes += length as u64;
        (self.number, self.frames)
    }
}

/// The thread in the middle.
struct Engine {
    run: Run,
    clock: Clock,
    interfaces: Vec<Interface>,
    segment: SegmentNumber,
    packets: Option<PacketsLine>,
    block: Block,
    spare: Arc<Mutex<Vec<Parcel>>>,
    ticks: Vec<Tick>,
    blinds: Vec<Blind>,
    /// Wall clock less monotonic clock at the last tick, ns.
    offset_ns: Option<i64>,
    started: Instant,
    /// When the last frame was read.
    frame_at: Option<Instant>,
    canary: Canary,
    stages: Arc<Stages>,
    /// Where what connections agreed is kept, when it was, and whether anything was.
    contexts: PathBuf,
    kept_at: Instant,
    kept: bool,
}

impl Engine {
    fn new(
        described: &[(String, LinkType)],
        spaces: SpaceMap,
        threads: usize,
        run_ns: i64,
        stages: Arc<Stages>,
    ) -> Self {
        let mut run = Run::new(threads, spaces);
        let canary = Canary::new(run_ns);
        run.set_canary(canary.clone());
        let interfaces: Vec<Interface> = described
            .iter()
            .map(|(name, link_type)| Interface {
                name: name.to_compact_string(),
                link_type: *link_type,
                seen: Vec::new(),
                frames: 0,
                bytes: 0,
                drops: BTreeMap::new(),
                up_ns: None,
                was_up: true,
            })
            .collect();
        let names: Vec<CompactString> = interfaces.iter().map(|one| one.name.clone()).collect();
        run.set_interfaces(&names);
        Self {
            run,
            clock: Clock::new(BATCH.as_nanos() as i64),
            interfaces,
            segment: SegmentNumber { number: 0, frames: 0, bytes: 0, start_ns: 0 },
            packets: None,
            block: Block::default(),
            spare: Arc::new(Mutex::new(Vec::new())),
            ticks: Vec::new(),
            blinds: Vec::new(),
            offset_ns: None,
            started: Instant::now(),
            frame_at: None,
            canary,
            stages,
            contexts: PathBuf::new(),
            kept_at: Instant::now(),
            kept: false,
        }
    }

    fn run(mut self, arriving: &Receiver<Arriving>, mut journal: JournalLine, stop: &AtomicBool) {
        let mut next_tick = Instant::now();
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now()).min(RECEIVE * 2);
            let over = match arriving.recv_timeout(wait) {
                Ok(Arriving::Parcel(index, parcel)) => {
                    self.parcel(index, parcel);
                    false
                }
                Ok(Arriving::Canary(sequence)) => {
                    self.canary(sequence);
                    false
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.end_old_batch();
                    // A source that waits for another program does not notice the end.
                    stop.load(Ordering::Relaxed)
                }
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.tick();
                if self.kept_at.elapsed() >= KEEP_CONTEXTS {
                    self.keep_contexts();
                }
            }
            if over {
                break;
            }
            self.hand_over(&mut journal);
        }
        self.tick();
        self.keep_contexts();
        self.run.finish(self.clock.now_ns(), self.clock.ordinal());
        self.hand_over(&mut journal);
        journal.end();
        if let Some(packets) = self.packets {
            packets.end();
        }
    }

    /// Keeps what connections agreed; what cannot be written is tried again later.
    fn keep_contexts(&mut self) {
        self.kept_at = Instant::now();
        let found = self.run.contexts();
        if (self.kept || !found.is_empty()) && contexts::save(&self.contexts, &found).is_ok() {
            self.kept = !found.is_empty();
        }
    }

    fn parcel(&mut self, index: usize, parcel: Parcel) {
        let Some(interface) = self.interfaces.get(index) else { return };
        let link_type = interface.link_type;
        self.block.clear();
        if self.packets.as_ref().is_some_and(PacketsLine::needs_segment) {
            self.segment.end();
        }
        for frame in &parcel.frames {
            let bytes = parcel.bytes_of(frame);
            let (file, number) = self.segment.next(bytes.len(), frame.ts_ns);
            let arrived = Arrived {
                file,
                number,
                ts_ns: frame.ts_ns,
                link_type,
                interface: index as u32,
                original_length: frame.original_length,
            };
            self.clock.push(&mut self.block, &arrived, bytes);
        }
        self.frame_at = Some(Instant::now());
        self.run.read(&self.block);
        match &mut self.packets {
            Some(packets) => {
                let places = self.block.places();
                let kept = ToKeep::Parcel { interface: index as u32, link_type, parcel, places };
                packets.offer(kept, &self.spare);
            }
            None => give_back(&self.spare, parcel),
        }
    }

    /// Reads a canary. It is no frame: the clock, the counts and the packet ring know nothing of it.
    fn canary(&mut self, sequence: u64) {
        self.block.clear();
        self.clock.push_canary(&mut self.block, &self.canary.frame(sequence));
        self.run.read(&self.block);
    }

    /// Ends the open batch when its time is over and no frame came to say so.
    fn end_old_batch(&mut self) {
        if self.frame_at.is_some_and(|at| at.elapsed() > BATCH) {
            self.advance(self.clock.now_ns());
        }
    }

    fn advance(&mut self, now_ns: i64) {
        let cut = self.clock.advance(now_ns);
        self.run.advance(self.clock.now_ns(), self.clock.ordinal(), cut);
    }

    /// A second is over: counters of each interface, and how the clock is.
    fn tick(&mut self) {
        self.tick_at(wall_ns(), self.started.elapsed());
    }

    fn tick_at(&mut self, now_ns: i64, running: Duration) {
        let monotonic_ns = running.as_nanos() as i64;
        self.check_clock(now_ns, monotonic_ns);
        for interface in &mut self.interfaces {
            interface.tick(now_ns, monotonic_ns, &mut self.ticks, &mut self.blinds);
        }
        self.run.set_blind(self.interfaces.iter().any(|interface| !interface.was_up));
        // The first frame of a pipe may be of before the start: the clock waits for it a while.
        let silent = self.frame_at.map_or(running, |at| at.elapsed());
        if silent > QUIET {
            self.advance(now_ns - QUIET.as_nanos() as i64);
        } else if self.frame_at.is_some() {
            self.advance(self.clock.now_ns());
        }
        if let Some(packets) = &mut self.packets {
            packets.tick(monotonic_ns);
        }
    }

    /// Capture stopped at `last_ns` and starts now. A clock that was set back meanwhile opens a new
    /// epoch; one that was set forward cannot be told from a long stop.
    fn restarted(&mut self, last_ns: i64, now_ns: i64) {
        if last_ns - now_ns > STEP_NS {
            self.clock.step(last_ns, now_ns);
        }
        self.blinds.push(Blind {
            interface: CompactString::default(),
            start_ns: last_ns.min(now_ns),
            end_ns: now_ns,
            cause: "restart".into(),
        });
    }

    /// A clock that was set opens a new epoch (contracts.md §2).
    fn check_clock(&mut self, now_ns: i64, monotonic_ns: i64) {
        let offset_ns = now_ns - monotonic_ns;
        let moved_ns = offset_ns - self.offset_ns.replace(offset_ns).unwrap_or(offset_ns);
        let clock_ns = self.clock.now_ns();
        let followed = (clock_ns - now_ns).abs() <= STEP_NS;
        let set = moved_ns.abs() > STEP_NS && !followed;
        // Frames of before the step may come after it: the clock never stays in the future.
        let ahead = clock_ns > now_ns + STEP_NS;
        if clock_ns != 0 && (set || ahead) {
            self.run.close();
            self.clock.step(if set { now_ns - moved_ns } else { clock_ns }, now_ns);
            self.segment.begin(now_ns);
        }
    }

    fn hand_over(&mut self, journal: &mut JournalLine) {
        if journal.is_full() {
            self.run.request_rotation();
        }
        loop {
            if self.run.take_rotation() {
                journal.rotate();
            }
            let Some(mut batch) = self.run.take_batch() else { break };
            self.add_to(&mut batch);
            journal.send(&batch);
        }
        if !self.ticks.is_empty() || !self.blinds.is_empty() {
            // No frame came since the last batch.
            let now_ns = self.clock.now_ns();
            let cut = Cut { start_ns: now_ns, end_ns: now_ns, ..Cut::default() };
            self.run.advance(now_ns, self.clock.ordinal(), Some(cut));
            if let Some(mut batch) = self.run.take_batch() {
                self.add_to(&mut batch);
                journal.send(&batch);
            }
        }
    }

    fn add_to(&mut self, batch: &mut Batch) {
        batch.ticks.append(&mut self.ticks);
        batch.blinds.append(&mut self.blinds);
        if let Some(packets) = &self.packets {
            packets.tell(&mut batch.coverage.capped);
        }
        if let Some(canary) = batch.canaries.last() {
            self.stages.pass(Stages::ENGINE, canary.sequence);
        }
    }
}

impl Interface {
    fn tick(
        &mut self,
        wall_ns: i64,
        monotonic_ns: i64,
        ticks: &mut Vec<Tick>,
        blinds: &mut Vec<Blind>,
    ) {
        let (mut frames, mut bytes, mut up) = (0, 0, true);
        let mut totals: BTreeMap<&'static str, u64> = BTreeMap::new();
        for seen in &self.seen {
            let status = seen.status.lock().ok().and_then(|status| status.clone());
            // A reader that has not looked yet has nothing to say.
            let Some(status) = status else { return };
            frames += seen.frames.load(Ordering::Relaxed);
            bytes += seen.bytes.load(Ordering::Relaxed);
            up = up && status.up && !seen.over.load(Ordering::Relaxed);
            for (cause, total) in status.drops {
                *totals.entry(cause).or_default() += total;
            }
        }
        let mut drops = BTreeMap::new();
        for (cause, total) in totals {
            let before = self.drops.insert(cause, total).unwrap_or_default();
            if total > before {
                drops.insert(CompactString::const_new(cause), total - before);
            }
        }
        if up && !self.was_up {
            blinds.push(Blind {
                interface: self.name.clone(),
                start_ns: self.up_ns.unwrap_or(wall_ns),
                end_ns: wall_ns,
                cause: "link-down".into(),
            });
        }
        if up {
            self.up_ns = Some(wall_ns);
        }
        self.was_up = up;
        ticks.push(Tick {
            interface: self.name.clone(),
            wall_ns,
            monotonic_ns,
            up,
            frames: frames - self.frames,
            bytes: bytes - self.bytes,
            drops,
        });
        (self.frames, self.bytes) = (frames, bytes);
    }
}

/// What the journal thread is told.
enum Entry {
    /// A batch, the clock at its end, ns, and the number of the last canary in it.
    Batch(Vec<u8>, i64, Option<u64>),
    Rotate,
}

/// The way to the journal thread.
struct JournalLine {
    entries: SyncSender<Entry>,
    full: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl JournalLine {
    fn start(
        mut writer: journal::Writer,
        stop: Arc<AtomicBool>,
        trouble: Arc<Mutex<Option<String>>>,
        stages: Arc<Stages>,
    ) -> Self {
        let (entries, waiting) = sync_channel(BATCHES);
        let full = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&full);
        let work = move || {
            let say = |what: Option<String>| {
                if let Ok(mut trouble) = trouble.lock() {
                    *trouble = what;
                }
            };
            while let Ok(entry) = waiting.recv() {
                while let Err(error) = keep(&mut writer, &entry, &told) {
                    say(Some(error.to_string()));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(TRY_AGAIN);
                }
                say(None);
                if let Entry::Batch(_, _, Some(sequence)) = entry {
                    stages.pass(Stages::JOURNAL, sequence);
                }
            }
        };
        let thread = std::thread::spawn(work);
        Self { entries, full, thread }
    }

    fn is_full(&self) -> bool {
        self.full.swap(false, Ordering::Relaxed)
    }

    fn rotate(&self) {
        // The thread ends before this line only when it was told to give up.
        let _ = self.entries.send(Entry::Rotate);
    }

    fn send(&self, batch: &Batch) {
        // A batch is made of strings, numbers and bytes: it always encodes.
        if let Ok(bytes) = rmp_serde::to_vec(batch) {
            let canary = batch.canaries.last().map(|canary| canary.sequence);
            let _ = self.entries.send(Entry::Batch(bytes, batch.end_ns, canary));
        }
    }

    fn end(self) {
        drop(self.entries);
        let _ = self.thread.join();
    }
}

fn keep(
    writer: &mut journal::Writer,
    entry: &Entry,
    full: &AtomicBool,
) -> Result<(), journal::Error> {
    match entry {
        Entry::Rotate => writer.rotate(),
        Entry::Batch(bytes, end_ns, _) => {
            let done = writer.append(bytes, *end_ns).and_then(|_| writer.sync());
            if done.is_err() {
                writer.rewind()?;
            } else if writer.is_full(*end_ns) {
                full.store(true, Ordering::Relaxed);
            }
            done
        }
    }
}

/// Frames that the packet ring did not get, by cause, since they were last told.
#[derive(Default)]
struct Missed {
    queue: AtomicU64,
    budget: AtomicU64,
    disk: AtomicU64,
}

/// What the packet thread is told.
enum ToKeep {
    /// Frames of an interface with their segments and numbers.
    Parcel { interface: u32, link_type: LinkType, parcel: Parcel, places: Vec<(u32, u64)> },
    /// A second is over; time since the ring was opened, ns.
    Tick(i64),
}

/// The way to the packet thread.
struct PacketsLine {
    waiting: SyncSender<ToKeep>,
    missed: Arc<Missed>,
    /// The ring gave a segment up: frames are kept again only in another.
    broken_off: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl PacketsLine {
    fn start(ring: PacketRing, bytes_per_s: u64, spare: Arc<Mutex<Vec<Parcel>>>) -> Self {
        let (waiting, told) = sync_channel(KEPT_PARCELS);
        let missed = Arc::new(Missed::default());
        let budget = Budget::new(bytes_per_s);
        let broken_off = Arc::new(AtomicBool::new(false));
        let writer = PacketWriter {
            ring,
            budget,
            missed: Arc::clone(&missed),
            broken_off: Arc::clone(&broken_off),
            broken: None,
            spare,
        };
        let thread = std::thread::spawn(move || writer.run(&told));
        Self { waiting, missed, broken_off, thread }
    }

    /// Hands frames over; the ring does without them when its thread is behind.
    fn offer(&mut self, frames: ToKeep, spare: &Mutex<Vec<Parcel>>) {
        if let Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) =
            self.waiting.try_send(frames)
            && let ToKeep::Parcel { parcel, .. } = refused
        {
            self.missed.queue.fetch_add(parcel.frames.len() as u64, Ordering::Relaxed);
            give_back(spare, parcel);
        }
    }

    fn tick(&mut self, monotonic_ns: i64) {
        // A full queue hears of the next one.
        let _ = self.waiting.try_send(ToKeep::Tick(monotonic_ns));
    }

    fn needs_segment(&self) -> bool {
        self.broken_off.swap(false, Ordering::Relaxed)
    }

    fn tell(&self, capped: &mut BTreeMap<&'static str, u64>) {
        for (name, count) in [
            ("packet-ring-queue", &self.missed.queue),
            ("packet-ring-budget", &self.missed.budget),
            ("packet-ring-disk", &self.missed.disk),
        ] {
            match count.swap(0, Ordering::Relaxed) {
                0 => {}
                count => *capped.entry(name).or_default() += count,
            }
        }
    }

    fn end(self) {
        drop(self.waiting);
        let _ = self.thread.join();
    }
}

struct PacketWriter {
    ring: PacketRing,
    budget: Budget,
    missed: Arc<Missed>,
    broken_off: Arc<AtomicBool>,
    /// When writing failed last.
    broken: Option<Instant>,
    spare: Arc<Mutex<Vec<Parcel>>>,
}

impl PacketWriter {
    fn run(mut self, told: &Receiver<ToKeep>) {
        while let Ok(told) = told.recv() {
            match told {
                ToKeep::Tick(passed_ns) => {
                    self.ring.pass(passed_ns);
                    if self.ring.flush().is_err() {
                        self.failed();
                    }
                    if self.ring.needs_segment() {
                        self.broken_off.store(true, Ordering::Relaxed);
                    }
                }
                ToKeep::Parcel { interface, link_type, parcel, places } => {
                    self.keep(interface, link_type, &parcel, &places);
                    give_back(&self.spare, parcel);
                }
            }
        }
    }

    fn keep(
        &mut self,
        interface: u32,
        link_type: LinkType,
        parcel: &Parcel,
        places: &[(u32, u64)],
    ) {
        let mut packet = Packet::default();
        for (frame, (segment, number)) in parcel.frames.iter().zip(places) {
            let bytes = parcel.bytes_of(frame);
            if self.broken.is_some_and(|since| since.elapsed() < TRY_AGAIN) {
                self.missed.disk.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.broken = None;
            if !self.budget.allows(bytes.len() as u64) {
                self.missed.budget.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            packet.decode(link_type.0, bytes);
            let kept = Kept {
                number: *number,
                ts_ns: frame.ts_ns,
                original_length: frame.original_length,
                interface,
                pair: pair(&packet.ends()),
                bytes,
            };
            match self.ring.write(*segment, &kept) {
                Ok(true) => {}
                Ok(false) => {
                    self.missed.disk.fetch_add(1, Ordering::Relaxed);
                    self.broken_off.store(self.ring.needs_segment(), Ordering::Relaxed);
                }
                Err(_) => {
                    self.missed.disk.fetch_add(1, Ordering::Relaxed);
                    self.failed();
                }
            }
        }
        self.missed.disk.fetch_add(self.ring.take_lost(), Ordering::Relaxed);
    }

    /// The disk is full or broken: the oldest frames make room, and it is tried again later.
    fn failed(&mut self) {
        self.ring.drop_oldest();
        self.missed.disk.fetch_add(self.ring.take_lost(), Ordering::Relaxed);
        self.broken_off.store(true, Ordering::Relaxed);
        self.broken = Some(Instant::now());
    }
}

/// How fast the packet ring may write: a second's worth may come at once.
struct Budget {
    bytes_per_s: u64,
    left: u64,
    filled: Instant,
}

impl Budget {
    fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, left: bytes_per_s, filled: Instant::now() }
    }

    fn allows(&mut self, bytes: u64) -> bool {
        if self.bytes_per_s == 0 {
            return true;
        }
        if self.left < bytes {
            let now = Instant::now();
            let earned = (now - self.filled).as_secs_f64() * self.bytes_per_s as f64;
            self.left = (self.left + earned as u64).min(self.bytes_per_s);
            self.filled = now;
        }
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// Keeps a parcel's memory for the next frames.
fn give_back(spare: &Mutex<Vec<Parcel>>, parcel: Parcel) {
    if let Ok(mut spare) = spare.lock()
        && spare.len() < PARCELS
    {
        spare.push(parcel);
    }
}

/// Nanoseconds since 1970 UTC.
fn wall_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;
    const BEGIN_NS: i64 = 1_700_000_000 * SECOND_NS;
    const YEAR_NS: i64 = 365 * 86_400 * SECOND_NS;

    fn engine(threads: usize) -> Engine {
        let described = [("eth1".to_owned(), LinkType::ETHERNET)];
        let spaces = SpaceMap::new(&[]).unwrap();
        Engine::new(&described, spaces, threads, 7, Arc::default())
    }

    /// The batch that ends now.
    fn batch(engine: &mut Engine) -> Batch {
        engine.run.close();
        engine.run.take_batch().unwrap()
    }

    #[test]
    fn a_canary_comes_through_every_shard_and_counts_nowhere() {
        for threads in [1, 3] {
            let mut engine = engine(threads);
            let mut shards = std::collections::BTreeSet::new();
            for sequence in 1..=1000 {
                engine.canary(sequence);
                let told = batch(&mut engine);
                let found: Vec<_> =
                    told.canaries.iter().map(|one| (one.run_ns, one.sequence)).collect();
                assert_eq!(vec![(7, sequence)], found);
                let nothing = Batch {
                    schema: told.schema,
                    number: told.number,
                    canaries: told.canaries.clone(),
                    ..Batch::default()
                };
                assert_eq!(nothing, told);
                let packet = otic_wire::packet::decode(1, &engine.canary.frame(sequence));
                shards.insert(crate::run::shard_of(&packet.ends()));
            }
            assert_eq!(crate::run::SHARDS, shards.len());
            assert_eq!(0, engine.clock.ordinal());
        }
    }

    #[test]
    fn the_same_bytes_off_the_wire_are_a_frame_like_others() {
        let mut engine = engine(1);
        let mut parcel = Parcel::default();
        let bytes = engine.canary.frame(3);
        parcel.push(1_000_000_000, bytes.len() as u32, &bytes);
        engine.parcel(0, parcel);
        let told = batch(&mut engine);
        assert_eq!(Vec::<crate::facts::Canary>::new(), told.canaries);
        assert_eq!(1, told.coverage.frames);
        assert_eq!(1, told.endpoints.len());
    }

    #[test]
    fn what_is_changed_on_the_way_is_no_canary() {
        let mut engine = engine(1);
        engine.canary = Canary::new(7);
        engine.canary(1);
        assert_eq!(None, engine.run.take_batch());
        assert!(batch(&mut engine).canaries.is_empty());
    }

    /// A source on which nothing happens.
    struct Quiet;

    impl Source for Quiet {
        fn interface(&self) -> &'static str {
            "eth1"
        }

        fn link_type(&self) -> LinkType {
            LinkType::ETHERNET
        }

        fn receive(&mut self, _: &mut Parcel, wait: Duration) -> std::io::Result<bool> {
            std::thread::sleep(wait);
            Ok(true)
        }

        fn status(&mut self) -> std::io::Result<Status> {
            Ok(Status { up: true, ..Status::default() })
        }

        fn set_filter(&mut self, _: &[FilterInstruction]) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Waits until something holds, at most ten seconds.
    fn until(holds: impl Fn() -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while !holds() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        holds()
    }

    #[test]
    fn a_stage_that_stands_still_is_the_first_that_shows_no_canary() {
        let folder = std::env::temp_dir().join(format!("otic-canary-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let options = Options {
            journal: folder.clone(),
            packets: None,
            sensor: "s".to_owned(),
            spaces: Vec::new(),
            content: String::new(),
            threads: 1,
            last_seen_ns: None,
            canary: Duration::from_millis(30),
        };
        let mut live = Live::start(vec![Box::new(Quiet)], options).unwrap();
        let at = |stage: usize| live.stages.0[stage].lock().unwrap().sequence;
        assert!(until(|| at(Stages::JOURNAL) >= 2));
        {
            // The engine waits for this lock when the next canary comes to it.
            let held = live.stages.0[Stages::ENGINE].lock().unwrap();
            let stood = held.sequence;
            assert!(until(|| at(Stages::CAPTURE) >= stood + 4));
            assert!(at(Stages::JOURNAL) <= stood);
        }
        let later = at(Stages::CAPTURE);
        assert!(until(|| at(Stages::JOURNAL) > later));
        assert!(live.stop());
        fs::remove_dir_all(folder).unwrap();
    }

    fn watching() -> Engine {
        let described = [("mon0".to_owned(), LinkType::ETHERNET)];
        let mut engine = Engine::new(&described, SpaceMap::default(), 1, 7, Arc::default());
        let seen = Seen::default();
        *seen.status.lock().unwrap() = Some(Status { up: true, ..Status::default() });
        engine.interfaces[0].seen.push(Arc::new(seen));
        engine.segment.begin(BEGIN_NS);
        engine
    }

    /// An ARP request of a machine, at this time.
    fn arrives(engine: &mut Engine, machine: u8, ts_ns: i64) {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, machine, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([2, 0, 0, 0, 0, machine, 10, 0, 0, machine]);
        frame.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 99]);
        let mut parcel = Parcel::default();
        parcel.push(ts_ns, frame.len() as u32, &frame);
        engine.parcel(0, parcel);
    }

    /// A segment between two machines of which the second listens on port 50000.
    fn segment(engine: &mut Engine, ts_ns: i64, sequence: u32, payload: &[u8]) {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
        frame.extend((40 + payload.len() as u16).to_be_bytes());
        frame.extend([0, sequence as u8, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x9c, 0x40, 0xc3, 0x50]);
        frame.extend(sequence.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        let mut parcel = Parcel::default();
        parcel.push(ts_ns, frame.len() as u32, &frame);
        engine.parcel(0, parcel);
    }

    /// Name and object of each operation that this engine has to tell.
    fn told(engine: &mut Engine) -> Vec<(String, String)> {
        engine.run.finish(engine.clock.now_ns(), engine.clock.ordinal());
        batches(engine)
            .iter()
            .flat_map(|batch| &batch.operations)
            .map(|operation| (operation.name.to_string(), operation.object.to_string()))
            .collect()
    }

    #[test]
    fn what_connections_agreed_is_known_after_a_restart() {
        let folder = std::env::temp_dir().join(format!("otic-restart-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // Bind of context 1 to the service control manager, and call 12 (create a service) on it.
        let mut bind = vec![5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0];
        bind.extend([0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0]);
        bind.extend([0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35]);
        bind.extend([0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 0x03, 2, 0, 0, 0]);
        bind.extend([0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11]);
        bind.extend([0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0, 0]);
        let call = |number| {
            let mut call = vec![5, 0, 0, 3, 0x10, 0, 0, 0, 28, 0, 0, 0, number, 0, 0, 0];
            call.extend([4, 0, 0, 0, 1, 0, 12, 0, 0, 0, 0, 0]);
            call
        };

        let mut engine = watching();
        engine.contexts.clone_from(&folder);
        segment(&mut engine, BEGIN_NS, 1000, &bind);
        engine.keep_contexts();
        let mut again = watching();
        again.contexts.clone_from(&folder);
        again.run.remember(contexts::load(&folder, BEGIN_NS + SECOND_NS));
        // Until the connection is seen again, its context is kept on.
        again.keep_contexts();
        assert_eq!(1, contexts::load(&folder, BEGIN_NS + SECOND_NS).len());
        segment(&mut again, BEGIN_NS + SECOND_NS, 5000, &call(9));
        let mut without = watching();
        segment(&mut without, BEGIN_NS + SECOND_NS, 5000, &call(9));

        let found = told(&mut again);
        assert_eq!(vec![("RCreateServiceW".to_owned(), "svcctl".to_owned())], found);
        assert!(!told(&mut without).iter().any(|(name, _)| name == "RCreateServiceW"));
        fs::remove_dir_all(folder).unwrap();
    }

    fn batches(engine: &mut Engine) -> Vec<Batch> {
        std::iter::from_fn(|| engine.run.take_batch()).collect()
    }

    #[test]
    fn a_clock_that_is_set_opens_an_epoch_that_names_both_times() {
        for moved_ns in [YEAR_NS, -YEAR_NS, -BEGIN_NS] {
            for frames_first in [false, true] {
                let mut engine = watching();
                let second = Duration::from_secs;
                arrives(&mut engine, 1, BEGIN_NS);
                engine.tick_at(BEGIN_NS + SECOND_NS / 2, second(1));
                let before = engine.segment.number;
                let now_ns = BEGIN_NS + SECOND_NS / 2 + SECOND_NS + moved_ns;
                if frames_first {
                    arrives(&mut engine, 2, now_ns - SECOND_NS / 4);
                }
                engine.tick_at(now_ns, second(2));
                arrives(&mut engine, 3, now_ns + SECOND_NS / 4);
                engine.tick_at(now_ns + SECOND_NS, second(3));
                engine.run.finish(engine.clock.now_ns(), engine.clock.ordinal());

                let batches = batches(&mut engine);
                let epochs: Vec<_> = batches.iter().flat_map(|batch| &batch.epochs).collect();
                let [epoch] = epochs.as_slice() else { panic!("{epochs:?}") };
                assert!((epoch.before_ns - BEGIN_NS).abs() < 2 * SECOND_NS, "{epoch:?}");
                assert!((epoch.after_ns - now_ns).abs() < SECOND_NS, "{epoch:?}");
                // Time goes on from there, and segments of the packet ring keep rising.
                assert!((engine.clock.now_ns() - now_ns).abs() < 2 * SECOND_NS);
                assert!(engine.segment.number > before);
                let frames: u64 = batches.iter().map(|batch| batch.coverage.frames).sum();
                assert_eq!(if frames_first { 3 } else { 2 }, frames);
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_back_while_nothing_ran_opens_an_epoch() {
        for now_ns in [BEGIN_NS - YEAR_NS, 5 * SECOND_NS, BEGIN_NS + YEAR_NS] {
            let mut engine = watching();
            engine.restarted(BEGIN_NS, now_ns);
            assert!(engine.blinds[0].start_ns <= engine.blinds[0].end_ns);
            arrives(&mut engine, 1, now_ns);
            engine.run.finish(engine.clock.now_ns(), engine.clock.ordinal());
            let batches = batches(&mut engine);
            let epochs: Vec<_> = batches
                .iter()
                .flat_map(|batch| &batch.epochs)
                .map(|epoch| (epoch.before_ns, epoch.after_ns, epoch.cause))
                .collect();
            let expected =
                if now_ns < BEGIN_NS { vec![(BEGIN_NS, now_ns, "step")] } else { vec![] };
            assert_eq!(expected, epochs);
        }
    }

    #[test]
    fn without_frames_time_goes_on_after_the_clock_was_set_back() {
        let mut engine = watching();
        arrives(&mut engine, 1, BEGIN_NS);
        engine.tick_at(BEGIN_NS, Duration::from_secs(1));
        engine.frame_at = Instant::now().checked_sub(QUIET * 2);
        for second in 1..10 {
            let now_ns = BEGIN_NS - YEAR_NS + second * SECOND_NS;
            engine.tick_at(now_ns, Duration::from_secs(1 + second as u64));
            assert!((engine.clock.now_ns() - now_ns).abs() < SECOND_NS);
        }
    }
}
