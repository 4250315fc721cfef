//! Blocks of frames in, batches out: workers read their shards, what they say is merged. The same for
//! capture files and for live interfaces.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use compact_str::CompactString;
use otic_wire::packet::Ends;
use otic_wire::{Address, AddressNumber, Packet, packet};
use rustc_hash::FxBuildHasher;

use crate::attempts::BUCKET_NS;
use crate::canary::Canary;
use crate::contexts::Context;
use crate::facts::Batch;
use crate::input::{Block, Cut};
use crate::merge::Merger;
use crate::output::Output;
use crate::shard::{Shard, Shared};
use crate::spaces::SpaceMap;
use crate::trace::{Line, Trace};

/// Virtual shards (contracts.md §3); results do not depend on how threads share them.
pub const SHARDS: usize = 64;

/// Shards, the threads that own them, and batches.
pub struct Run {
    shared: Shared,
    workers: Vec<Worker>,
    merger: Merger,
    /// A batch that may go on in the next block; the shards hold what they have to say of it.
    open: Option<Cut>,
    ready: VecDeque<Batch>,
    last_bucket: Option<i64>,
    rotate: bool,
}

/// One thread's shards.
struct Worker {
    index: usize,
    step: usize,
    shards: Vec<Shard>,
    /// Shards that may have something to say since the last batch, a bit each.
    touched: u64,
}

impl Run {
    /// Prepares `threads` workers.
    #[must_use]
    pub fn new(threads: usize, spaces: SpaceMap) -> Self {
        let step = threads.clamp(1, SHARDS);
        let workers = (0..step)
            .map(|index| {
                let count = (index..SHARDS).step_by(step).count();
                Worker {
                    index,
                    step,
                    shards: (0..count).map(|_| Shard::default()).collect(),
                    touched: 0,
                }
            })
            .collect();
        Self {
            shared: Shared { spaces, interfaces: Vec::new(), canary: None },
            workers,
            merger: Merger::default(),
            open: None,
            ready: VecDeque::new(),
            last_bucket: None,
            rotate: false,
        }
    }

    /// The next batch that is ready.
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.ready.pop_front()
    }

    /// Names of the interfaces, by the index that frames give.
    pub fn set_interfaces(&mut self, interfaces: &[CompactString]) {
        if self.shared.interfaces != interfaces {
            self.shared.interfaces = interfaces.to_vec();
        }
    }

    /// Says whether a monitored link is down: who is silent is not judged then.
    pub fn set_blind(&mut self, blind: bool) {
        self.merger.blind(blind);
    }

    /// Canaries as this one makes them are known from now on.
    pub fn set_canary(&mut self, canary: Canary) {
        self.shared.canary = Some(canary);
    }

    /// What long-lived connections agreed, as far as later messages depend on it.
    #[must_use]
    pub fn contexts(&self) -> Vec<Context> {
        let shards = self.workers.iter().flat_map(|worker| &worker.shards);
        shards.flat_map(|shard| shard.contexts(&self.shared)).collect()
    }

    /// Takes over what [`Self::contexts`] of an earlier run gave.
    pub fn remember(&mut self, contexts: Vec<Context>) {
        let count = self.workers.len();
        for context in contexts {
            let [(a, _), (b, _)] = context.ends;
            let number = |ip| Some(AddressNumber::from(&Address::Ip(ip)));
            let shard = shard_of(&(number(a), number(b)));
            let worker = self.workers.get_mut(shard % count);
            if let Some(shard) = worker.and_then(|worker| worker.shards.get_mut(shard / count)) {
                shard.remember(context);
            }
        }
    }

    /// Collects what the dissector of this protocol says from now on.
    pub fn trace(&mut self, protocol: &str) {
        for shard in self.workers.iter_mut().flat_map(|worker| &mut worker.shards) {
            shard.trace = Some(Box::new(Trace::new(protocol)));
        }
    }

    /// What was collected, in the order of the frames.
    #[must_use]
    pub fn traced(&self) -> Vec<Line> {
        let shards = self.workers.iter().flat_map(|worker| &worker.shards);
        let mut lines: Vec<Line> = shards
            .filter_map(|shard| shard.trace.as_ref())
            .flat_map(|trace| trace.lines())
            .cloned()
            .collect();
        lines.sort_by_key(|line| line.frame);
        lines
    }

    /// Asks for a new generation: from some batch on facts are sent in full again, so that a
    /// journal segment that starts there can be read alone. [`Self::take_rotation`] says when.
    pub const fn request_rotation(&mut self) {
        self.rotate = true;
    }

    /// Whether a new generation starts with the batch that comes next. Batches of the generation
    /// before are all handed over by then.
    pub fn take_rotation(&mut self) -> bool {
        if !self.rotate || !self.ready.is_empty() {
            return false;
        }
        self.close();
        if !self.ready.is_empty() {
            // The open batch belongs to the old segment: hand it over first.
            return false;
        }
        self.rotate = false;
        self.merger.next_generation();
        for shard in self.workers.iter_mut().flat_map(|worker| &mut worker.shards) {
            shard.next_generation();
        }
        true
    }

    /// Reads the frames of a block.
    pub fn read(&mut self, block: &Block) {
        let ticks = self.ticks(block);
        let shared = &self.shared;
        let results: Vec<Vec<Vec<Output>>> = match self.workers.as_mut_slice() {
            [worker] => vec![worker.read(block, None, &ticks, shared)],
            workers => {
                let shards = shards_of(block, workers.len());
                let shards = shards.as_slice();
                let ticks = ticks.as_slice();
                std::thread::scope(|scope| {
                    let running: Vec<_> = workers
                        .iter_mut()
                        .map(|worker| {
                            scope.spawn(move || worker.read(block, Some(shards), ticks, shared))
                        })
                        .collect();
                    // A worker does not panic: dissectors are total. Were one to, its shards'
                    // output of this block would be missing rather than the run lost.
                    running.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
                })
            }
        };
        let mut workers: Vec<_> = results.into_iter().map(Vec::into_iter).collect();
        for cut in &block.cuts {
            if cut.continued {
                match &mut self.open {
                    Some(before) => join(before, cut),
                    None => self.open = Some(cut.clone()),
                }
                continue;
            }
            let outputs = workers.iter_mut().filter_map(Iterator::next).collect();
            self.end_batch(outputs);
            self.open = Some(cut.clone());
        }
    }

    /// Merges the open batch, of which the workers' shards say `outputs`.
    fn end_batch(&mut self, outputs: Vec<Vec<Output>>) {
        if let Some(cut) = self.open.take() {
            let outputs = interleave(outputs);
            let Shared { spaces, interfaces, .. } = &self.shared;
            let space = |index| spaces.name(index).into();
            self.ready.push_back(self.merger.batch(&cut, outputs, interfaces, space));
        }
    }

    /// Ends the open batch before the input does.
    pub fn close(&mut self) {
        if self.open.is_some() {
            let outputs = self.workers.iter_mut().map(Worker::take_outputs).collect();
            self.end_batch(outputs);
        }
    }

    /// Time went on to `now_ns` without a frame: the open batch ends, and so does what was waited for.
    /// A batch without frames is made where there is something to say, or `cut` asks for one.
    pub fn advance(&mut self, now_ns: i64, ordinal: u64, cut: Option<Cut>) {
        self.close();
        let bucket = now_ns.div_euclid(BUCKET_NS);
        if self.last_bucket.replace(bucket) != Some(bucket) {
            for worker in &mut self.workers {
                for shard in &mut worker.shards {
                    shard.tick(now_ns, ordinal, &self.shared);
                }
                worker.touched = u64::MAX;
            }
        }
        self.end_without_frames(now_ns, cut);
    }

    /// The input is over: everything that waits is handed over.
    pub fn finish(&mut self, now_ns: i64, ordinal: u64) {
        for worker in &mut self.workers {
            for shard in &mut worker.shards {
                shard.finish(now_ns, ordinal, &self.shared);
            }
            worker.touched = u64::MAX;
        }
        self.end_without_frames(now_ns, None);
    }

    fn end_without_frames(&mut self, now_ns: i64, cut: Option<Cut>) {
        let outputs: Vec<_> = self.workers.iter_mut().map(Worker::take_outputs).collect();
        if self.open.is_none() && outputs.iter().flatten().any(|output| !output.is_empty()) {
            self.open = Some(Cut { start_ns: now_ns, end_ns: now_ns, ..Cut::default() });
        }
        if cut.is_some() {
            self.open = cut;
        }
        self.end_batch(outputs);
    }

    /// For each batch of the block, whether time entered another bucket with it.
    fn ticks(&mut self, block: &Block) -> Vec<bool> {
        let mut last = self.last_bucket;
        let ticks = (block.cuts.iter())
            .map(|cut| {
                let bucket = cut.start_ns.div_euclid(BUCKET_NS);
                last.replace(bucket) != Some(bucket)
            })
            .collect();
        self.last_bucket = last;
        ticks
    }
}

impl Worker {
    /// Reads the frames of this worker's shards. Gives the outputs of each batch that ended, in
    /// shard order: of the batch before every one that starts in this block.
    fn read(
        &mut self,
        block: &Block,
        shards: Option<&[u8]>,
        ticks: &[bool],
        shared: &Shared,
    ) -> Vec<Vec<Output>> {
        let mut ended = Vec::with_capacity(block.cuts.len());
        let mut packet = Packet::default();
        for (position, cut) in block.cuts.iter().enumerate() {
            if !cut.continued {
                ended.push(self.take_outputs());
            }
            let end = block.cuts.get(position + 1).map_or(block.len(), |next| next.start);
            if ticks.get(position).copied().unwrap_or_default() {
                let ordinal = block.frame(cut.start).map_or(0, |frame| frame.ordinal);
                for shard in &mut self.shards {
                    shard.tick(cut.start_ns, ordinal, shared);
                }
                self.touched = u64::MAX;
            }
            for index in cut.start..end {
                let known =
                    shards.and_then(|shards| shards.get(index)).map(|shard| *shard as usize);
                if known.is_some_and(|shard| shard % self.step != self.index) {
                    continue;
                }
                let Some(frame) = block.frame(index) else { continue };
                packet.decode(frame.link_type, frame.bytes);
                let ends = packet.ends();
                // One worker has all shards and finds them by itself.
                let own = known.map_or_else(|| shard_of(&ends), |shard| shard / self.step);
                if let Some(shard) = self.shards.get_mut(own) {
                    self.touched |= 1 << own;
                    shard.frame(&frame, &packet, &ends, shared);
                }
            }
        }
        ended
    }

    /// What the shards say of the batch that ends, in their order.
    fn take_outputs(&mut self) -> Vec<Output> {
        let touched = std::mem::take(&mut self.touched);
        (self.shards.iter_mut().enumerate())
            .map(|(own, shard)| match touched >> own & 1 {
                1 => shard.take_output(),
                _ => Output::default(),
            })
            .collect()
    }
}

/// The shard of a frame: by its unordered innermost address pair.
#[inline]
pub(crate) fn shard_of((a, b): &Ends) -> usize {
    let hash = |address: &Option<AddressNumber>| FxBuildHasher.hash_one(address);
    // A sum does not know the order of the pair.
    (hash(a).wrapping_add(hash(b)) >> 32) as usize % SHARDS
}

/// The shards of all frames of a block, computed by `threads` threads.
fn shards_of(block: &Block, threads: usize) -> Vec<u8> {
    let mut shards = vec![0_u8; block.len()];
    let size = block.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (part, slots) in shards.chunks_mut(size).enumerate() {
            scope.spawn(move || {
                for (offset, slot) in slots.iter_mut().enumerate() {
                    if let Some(frame) = block.frame(part * size + offset) {
                        let packet = packet::decode(frame.link_type, frame.bytes);
                        *slot = shard_of(&packet.ends()) as u8;
                    }
                }
            });
        }
    });
    shards
}

/// Outputs of all workers (worker w holds shards w, w + step, …) in shard order.
fn interleave(workers: Vec<Vec<Output>>) -> Vec<Output> {
    let mut sources: Vec<_> = workers.into_iter().map(Vec::into_iter).collect();
    let mut outputs = Vec::with_capacity(SHARDS);
    loop {
        let round: Vec<Output> = sources.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            return outputs;
        }
        outputs.extend(round);
    }
}

/// Adds the rest of a batch that went on in the next block.
fn join(before: &mut Cut, rest: &Cut) {
    before.end_ns = rest.end_ns;
    before.epochs.extend(rest.epochs.iter().cloned());
    let (sum, more) = (&mut before.coverage, &rest.coverage);
    sum.frames += more.frames;
    sum.bytes += more.bytes;
    sum.truncated += more.truncated;
    sum.out_of_order += more.out_of_order;
    for (name, count) in &more.undecoded_link_types {
        *sum.undecoded_link_types.entry(name.clone()).or_default() += count;
    }
}
