//! A live interface as a source: its ring, its link, what was dropped on the way.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::LinkType;
use crate::filter::FilterInstruction;
use crate::nic::NicFacts;
use crate::ring::{Link, Ring, RingOptions};
use crate::source::{Parcel, Source, Status};

/// Frames of one ring of one interface.
pub struct InterfaceSource {
    ring: Ring,
    /// Whether this ring tells what the network card lost: one of several does.
    tells_nic: bool,
    /// What the card had lost when the ring was opened; none where it does not tell.
    nic_before: Option<u64>,
}

impl InterfaceSource {
    /// Opens the ring.
    ///
    /// # Errors
    /// No such interface, of a kind that is not read, or no right to read it.
    pub fn open(options: &RingOptions, tells_nic: bool) -> io::Result<Self> {
        let ring = Ring::open(options)?;
        let nic_before = nic_lost(&ring);
        Ok(Self { ring, tells_nic, nic_before })
    }

    /// The ring.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }
}

/// What the card counted as lost before the kernel saw it.
fn nic_lost(ring: &Ring) -> Option<u64> {
    let facts = NicFacts::read_by(ring.fd(), ring.interface());
    // Drivers count the same loss under either name.
    facts.rx_missed.into_iter().chain(facts.rx_fifo).max()
}

impl Source for InterfaceSource {
    fn interface(&self) -> &str {
        self.ring.interface()
    }

    fn link_type(&self) -> LinkType {
        self.ring.link_type()
    }

    fn receive(&mut self, parcel: &mut Parcel, wait: Duration) -> io::Result<bool> {
        if !self.ring.poll(wait.as_millis() as i32)? {
            return Ok(true);
        }
        while !parcel.is_full() {
            let more = self.ring.next_block(&mut |frame| {
                if !frame.outgoing {
                    parcel.push(frame.ts_ns, frame.original_length, frame.bytes);
                }
            })?;
            if !more {
                break;
            }
        }
        Ok(true)
    }

    fn status(&mut self) -> io::Result<Status> {
        let link = self.ring.link()?;
        // An interface that was made anew under its name is taken again; a ring of a fan-out group
        // cannot, and stays down until capture is started again.
        let back = link == Link::Gone && self.ring.reattach().unwrap_or(false);
        let counters = self.ring.counters()?;
        let mut drops =
            BTreeMap::from([("ring", counters.kernel_dropped), ("filter", counters.filtered)]);
        if self.tells_nic
            && let (Some(before), Some(now)) = (self.nic_before, nic_lost(&self.ring))
        {
            drops.insert("nic", now.saturating_sub(before));
        }
        Ok(Status { up: back || link == Link::Up, drops })
    }

    fn set_filter(&mut self, program: &[FilterInstruction]) -> io::Result<()> {
        self.ring.set_filter(program)
    }
}
