//! Frames back into a pcapng file (draft-ietf-opsawg-pcapng: section header, interface
//! description, enhanced packet blocks).

use std::io::{self, Write};

use crate::LinkType;

/// Writes pcapng blocks, timestamps in nanoseconds.
pub struct PcapngWriter<W: Write> {
    sink: W,
    interfaces: Vec<(String, LinkType)>,
    written: u64,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// What the sink says.
    pub fn new(sink: W) -> io::Result<Self> {
        Self::with_comment(sink, "")
    }

    /// Starts a file with a comment on all of it, unless it is empty.
    ///
    /// # Errors
    /// What the sink says.
    pub fn with_comment(sink: W, comment: &str) -> io::Result<Self> {
        let mut writer = Self { sink, interfaces: Vec::new(), written: 0 };
        // Section header: byte-order magic, version 1.0, section length not specified.
        let mut body = Vec::new();
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        if !comment.is_empty() {
            option(&mut body, COMMENT, comment.as_bytes());
            option(&mut body, END_OF_OPTIONS, &[]);
        }
        writer.block(0x0a0d_0d0a, &[&body])?;
        Ok(writer)
    }

    /// The index of this interface, described in the file the first time it is asked for.
    ///
    /// # Errors
    /// What the sink says.
    pub fn interface(&mut self, name: &str, link_type: LinkType) -> io::Result<u32> {
        let same = |(known, kind): &(String, LinkType)| known == name && *kind == link_type;
        if let Some(index) = self.interfaces.iter().position(same) {
            return Ok(index as u32);
        }
        let mut body = Vec::new();
        body.extend_from_slice(&link_type.0.to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&0_u32.to_le_bytes());
        if !name.is_empty() {
            option(&mut body, IF_NAME, name.as_bytes());
        }
        // 10^-9 s.
        option(&mut body, IF_TSRESOL, &[9]);
        option(&mut body, END_OF_OPTIONS, &[]);
        self.block(1, &[&body])?;
        self.interfaces.push((name.to_owned(), link_type));
        Ok(self.interfaces.len() as u32 - 1)
    }

    /// Adds one frame of an interface without a name.
    ///
    /// # Errors
    /// What the sink says.
    pub fn frame(
        &mut self,
        ts_ns: i64,
        original_length: u32,
        link_type: LinkType,
        bytes: &[u8],
    ) -> io::Result<()> {
        let interface = self.interface("", link_type)?;
        self.frame_of(interface, ts_ns, original_length, bytes, "")
    }

    /// Adds one frame, with a comment unless it is empty.
    ///
    /// # Errors
    /// What the sink says.
    pub fn frame_of(
        &mut self,
        interface: u32,
        ts_ns: i64,
        original_length: u32,
        bytes: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let units = ts_ns.max(0) as u64;
        let mut head = [0; 20];
        for (place, number) in head.chunks_exact_mut(4).zip([
            interface,
            (units >> 32) as u32,
            units as u32,
            bytes.len() as u32,
            original_length,
        ]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        if comment.is_empty() {
            return self.block(6, &[&head, bytes]);
        }
        let mut options = vec![0; padding(bytes.len())];
        option(&mut options, COMMENT, comment.as_bytes());
        option(&mut options, END_OF_OPTIONS, &[]);
        self.block(6, &[&head, bytes, &options])
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Where the bytes go.
    pub const fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Gives the sink back as it is.
    #[must_use]
    pub fn into_sink(self) -> W {
        self.sink
    }

    /// Ends the file and gives the sink back.
    ///
    /// # Errors
    /// What the sink says.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn block(&mut self, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
        let body: usize = parts.iter().map(|part| part.len()).sum();
        let padding = padding(body);
        let length = (body + padding + 12) as u32;
        self.sink.write_all(&kind.to_le_bytes())?;
        self.sink.write_all(&length.to_le_bytes())?;
        for part in parts {
            self.sink.write_all(part)?;
        }
        self.sink.write_all([0; 4].get(..padding).unwrap_or_default())?;
        self.sink.write_all(&length.to_le_bytes())?;
        self.written += u64::from(length);
        Ok(())
    }
}

/// Option codes of the draft: §3.5 for all blocks, §4.2 for interfaces.
const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(usize::from(u16::MAX))).unwrap_or_default();
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len() + padding(value.len()), 0);
}

const fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CaptureFile;

    #[test]
    fn what_is_written_reads_back() {
        let path = std::env::temp_dir().join(format!("otic-write-{}.pcapng", std::process::id()));
        let mut writer = PcapngWriter::new(std::fs::File::create(&path).unwrap()).unwrap();
        writer.frame(1_700_000_000_123_456_789, 60, LinkType::ETHERNET, &[1, 2, 3]).unwrap();
        writer.frame(1_700_000_001_000_000_001, 4, LinkType::RAW, &[4, 5, 6, 7]).unwrap();
        writer.finish().unwrap();
        let mut file = CaptureFile::open(&path).unwrap();
        assert!(file.advance());
        let (header, bytes) = file.frame();
        assert_eq!(
            (1, 1_700_000_000_123_456_789, 60),
            (header.number, header.ts_ns, header.original_length)
        );
        assert_eq!(&[1, 2, 3], bytes);
        assert!(file.advance());
        assert_eq!((LinkType::RAW, 2), (file.frame().0.link_type, file.frame().0.number));
        assert!(!file.advance());
        assert_eq!(None, file.cut_off());
        // Cut inside the last record: read up to the cut, and say so.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut file = CaptureFile::open(&path).unwrap();
        assert!(file.advance());
        assert!(!file.advance());
        assert_eq!(Some("ends inside the record after frame 1"), file.cut_off());
        std::fs::remove_file(&path).unwrap();
    }
}
