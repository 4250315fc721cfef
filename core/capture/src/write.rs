//! Frames back into a pcapng file (draft-ietf-opsawg-pcapng: section header, interface
//! description, enhanced packet blocks).

use std::io::{self, Write};

use crate::LinkType;

/// Writes pcapng blocks, one interface a link type, timestamps in nanoseconds.
pub struct PcapngWriter<W: Write> {
    sink: W,
    interfaces: Vec<LinkType>,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// What the sink says.
    pub fn new(mut sink: W) -> io::Result<Self> {
        // Section header: byte-order magic, version 1.0, section length not specified.
        let mut body = Vec::new();
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        block(&mut sink, 0x0a0d_0d0a, &body)?;
        Ok(Self { sink, interfaces: Vec::new() })
    }

    /// Adds one frame.
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
        let interface = match self.interfaces.iter().position(|known| *known == link_type) {
            Some(index) => index,
            None => {
                let mut body = Vec::new();
                body.extend_from_slice(&link_type.0.to_le_bytes());
                body.extend_from_slice(&[0, 0]);
                body.extend_from_slice(&0_u32.to_le_bytes());
                // if_tsresol (9), length 1, 10^-9, padded; end of options.
                body.extend_from_slice(&[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
                block(&mut self.sink, 1, &body)?;
                self.interfaces.push(link_type);
                self.interfaces.len() - 1
            }
        };
        let units = ts_ns.max(0) as u64;
        let mut body = Vec::with_capacity(bytes.len() + 24);
        body.extend_from_slice(&(interface as u32).to_le_bytes());
        body.extend_from_slice(&((units >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(units as u32).to_le_bytes());
        body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        body.extend_from_slice(&original_length.to_le_bytes());
        body.extend_from_slice(bytes);
        block(&mut self.sink, 6, &body)
    }

    /// Ends the file and gives the sink back.
    ///
    /// # Errors
    /// What the sink says.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

fn block(sink: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = (body.len() + padding + 12) as u32;
    sink.write_all(&kind.to_le_bytes())?;
    sink.write_all(&length.to_le_bytes())?;
    sink.write_all(body)?;
    sink.write_all([0; 4].get(..padding).unwrap_or_default())?;
    sink.write_all(&length.to_le_bytes())
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
