//! A run over capture files.

use otic_capture::Error;

use crate::facts::{Batch, Capture};
use crate::input::{Block, CaptureInput};
use crate::run::Run;
use crate::spaces::SpaceMap;
use crate::trace::Line;

/// A run over capture files.
pub struct Replay {
    input: CaptureInput,
    run: Run,
    block: Block,
    finished: bool,
}

impl Replay {
    /// Opens the files and prepares `threads` workers.
    ///
    /// # Errors
    /// The first file that is no readable capture.
    pub fn open(paths: &[String], threads: usize, spaces: SpaceMap) -> Result<Self, Error> {
        Ok(Self {
            input: CaptureInput::open(paths)?,
            run: Run::new(threads, spaces),
            block: Block::default(),
            finished: false,
        })
    }

    /// See [`Run::trace`].
    pub fn trace(&mut self, protocol: &str) {
        self.run.trace(protocol);
    }

    /// See [`Run::traced`].
    #[must_use]
    pub fn traced(&self) -> Vec<Line> {
        self.run.traced()
    }

    /// The next batch, or none at the end.
    pub fn next_batch(&mut self) -> Option<Batch> {
        loop {
            if let Some(batch) = self.run.take_batch() {
                return Some(batch);
            }
            if self.finished {
                return None;
            }
            if self.input.fill(&mut self.block) {
                self.run.set_interfaces(&self.input.interfaces);
                self.run.read(&self.block);
            } else {
                self.finished = true;
                let clock = self.input.clock();
                self.run.finish(clock.now_ns(), clock.ordinal());
            }
        }
    }

    /// What is known of the files by now.
    #[must_use]
    pub fn captures(&self) -> Vec<Capture> {
        self.input.captures()
    }

    /// Bytes of the files read so far, and in all.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.input.progress()
    }

    /// See [`Run::request_rotation`].
    pub const fn request_rotation(&mut self) {
        self.run.request_rotation();
    }

    /// See [`Run::take_rotation`].
    pub fn take_rotation(&mut self) -> bool {
        !self.finished && self.run.take_rotation()
    }
}
