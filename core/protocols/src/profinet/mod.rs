//! PROFINET. On EtherType 0x8892 DCP, cyclic data, alarms and time share the frames between two
//! stations, and the frame id says which of them a frame is; devices are set up over UDP.
//!
//! Source: IEC 61158-6-10 §4.2.2.3 (FrameID).
//!
//! | module | subject |
//! |---|---|
//! | [`cm`] | set-up of devices, records, over UDP |
//! | [`dcp`] | finding, naming and addressing devices |
//! | [`rt`] | cyclic data, alarms, time synchronisation |

pub mod cm;
pub mod dcp;
pub mod rt;

use crate::out::Out;
use crate::session::{Input, Session};

/// EtherType of PROFINET.
pub const ETHER_TYPE: u16 = 0x8892;

/// The frames between two stations, whichever of the protocols they carry.
#[derive(Default)]
struct Profinet {
    dcp: dcp::Dcp,
    rt: rt::Rt,
}

fn session() -> Box<dyn Session> {
    Box::<Profinet>::default()
}

impl Session for Profinet {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        match input.bytes {
            [high, low, ..] if dcp::has_frame_id(u16::from_be_bytes([*high, *low])) => {
                self.dcp.frame(input, out);
            }
            _ => self.rt.frame(input, out),
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        self.dcp.finish(out);
    }
}
