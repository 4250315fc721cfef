//! Several files as one stream: always the file whose next frame is earliest (contracts.md §2).

use crate::file::{CaptureFile, FrameHeader};

/// Files read together. Ties go to the file given first; inside a file its order stays.
pub struct Merged {
    files: Vec<CaptureFile>,
    /// Whether each file has a frame in hand.
    ready: Vec<bool>,
    current: Option<usize>,
}

impl Merged {
    /// Reads `files` together.
    #[must_use]
    pub fn new(mut files: Vec<CaptureFile>) -> Self {
        let ready = files.iter_mut().map(CaptureFile::advance).collect();
        Self { files, ready, current: None }
    }

    /// Takes the next frame into hand and says which file it is of (by argument order).
    pub fn advance(&mut self) -> Option<usize> {
        if let ([file], [ready]) = (self.files.as_mut_slice(), self.ready.as_mut_slice()) {
            // A file by itself needs no comparing.
            if self.current.is_some() {
                *ready = file.advance();
            }
            self.current = ready.then_some(0);
            return self.current;
        }
        if let Some(last) = self.current.take() {
            let more = self.files.get_mut(last).is_some_and(CaptureFile::advance);
            if let Some(ready) = self.ready.get_mut(last) {
                *ready = more;
            }
        }
        self.current = (self.files.iter().zip(&self.ready).enumerate())
            .filter(|(_, (_, ready))| **ready)
            .min_by_key(|(index, (file, _))| (file.header().ts_ns, *index))
            .map(|(index, _)| index);
        self.current
    }

    /// The frame in hand.
    #[must_use]
    pub fn frame(&self) -> Option<(&FrameHeader, &[u8])> {
        self.current.and_then(|index| self.files.get(index)).map(CaptureFile::frame)
    }

    /// The files, in argument order.
    #[must_use]
    pub fn files(&self) -> &[CaptureFile] {
        &self.files
    }
}
