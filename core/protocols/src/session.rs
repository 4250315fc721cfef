//! What a dissector is given and must provide.

use compact_str::CompactString;
use otic_wire::{Address, Mac, SpanMap, Spans};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out, Outcome,
    Violation, Who,
};
use crate::text;

/// What carries the bytes of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Frames between two MAC addresses (also ARCNET and MS/TP).
    Ethernet,
    /// Datagrams of an IP protocol without ports.
    Ip,
    /// UDP datagrams.
    Udp,
    /// A reassembled TCP stream.
    Tcp,
}

/// One of the two ends of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end with the smaller (address, port).
    A,
    /// The other end.
    B,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// What a pair holds for this end.
    #[inline]
    pub const fn of<T>(self, [a, b]: &mut [T; 2]) -> &mut T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}

/// Bytes that one end of a flow sent, and what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The bytes: one datagram, or all bytes of a TCP direction not consumed so far.
    pub bytes: &'a [u8],
    /// The frame bytes behind [`Self::bytes`].
    pub spans: &'a SpanMap,
    /// Who sent them.
    pub side: Side,
    /// What carried them.
    pub transport: Transport,
    /// Sender's port, 0 where the transport has none. For [`Transport::Ethernet`] 0.
    pub source_port: u16,
    /// Receiver's port, 0 where the transport has none.
    pub destination_port: u16,
    /// Sender: innermost IP, else outermost MAC.
    pub source: Address,
    /// Receiver: innermost IP, else outermost MAC.
    pub destination: Address,
    /// The MAC that sent the (last) frame, where the link has one.
    pub source_mac: Option<Mac>,
    /// Capture time of the last byte, nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// TCP: [`Self::bytes`] start where this side's stream starts (its SYN was seen and no byte is
    /// missing since). Always false for datagrams.
    pub stream_start: bool,
    /// TCP: bytes are missing just before [`Self::bytes`], or the stream was joined in the middle:
    /// the first byte is the first of a segment, but perhaps not of a message.
    pub after_gap: bool,
    /// The capture cut the (last) frame: bytes that should follow were on the wire but not stored.
    /// Never a reason to report a violation.
    pub truncated: bool,
}

impl<'a> Input<'a> {
    /// Cites `part`, a sub-slice of [`Self::bytes`], as evidence that reads as `decode`.
    #[must_use]
    pub fn evidence(&self, part: &[u8], decode: Decode) -> Evidence {
        Evidence { spans: self.locate(part), decode }
    }

    /// The frame bytes behind `part`, a sub-slice of [`Self::bytes`].
    #[must_use]
    pub fn locate(&self, part: &[u8]) -> Spans {
        self.spans.locate(self.bytes, part)
    }

    /// An operation that this message asks for: without code, object and children, its outcome not
    /// seen yet; `part` proves it.
    #[inline]
    #[must_use]
    pub fn operation(
        &self,
        protocol: &'static str,
        sender: Side,
        (name, action): (&'static str, Action),
        part: &[u8],
    ) -> Operation {
        Operation {
            protocol,
            connection: protocol,
            sender,
            code: None,
            name,
            action,
            object: Object::None,
            outcome: Outcome::Unseen,
            client_child: Child::None,
            server_child: Child::None,
            evidence: self.locate(part),
            ts_ns: self.ts_ns,
        }
    }

    /// `part`, which its sender sent, breaks this rule of the protocol.
    #[must_use]
    pub fn violation(&self, protocol: &'static str, rule: &'static str, part: &[u8]) -> Item {
        Item::Violation(Violation {
            rule,
            protocol,
            sender: self.side,
            values: Vec::new(),
            evidence: self.locate(part),
        })
    }

    /// What the sender says of itself in a field made for it: `part`, read as `decode`, is `value`.
    #[must_use]
    pub fn own_claim(
        &self,
        (protocol, message): (&'static str, &'static str),
        attribute: &'static str,
        value: CompactString,
        part: &[u8],
        decode: Decode,
    ) -> Claim {
        Claim {
            who: Who::Sender(Child::None),
            attribute,
            value,
            protocol,
            message,
            confidence: Confidence::High,
            evidence: self.evidence(part, decode),
        }
    }

    /// The same for text in UTF-8 (or ASCII), without its padding.
    #[must_use]
    pub fn own_text(
        &self,
        told_in: (&'static str, &'static str),
        attribute: &'static str,
        part: &[u8],
    ) -> Claim {
        let part = text::trim(part);
        self.own_claim(told_in, attribute, text::utf8(part), part, Decode::Utf8)
    }

    /// Whether either port is `port`.
    #[must_use]
    pub const fn on_port(&self, port: u16) -> bool {
        self.source_port == port || self.destination_port == port
    }

    /// The same input with other bytes, which must be a sub-slice of the present ones to keep their
    /// evidence only if `spans` fits them; used for buffers that a dissector reassembled itself.
    #[must_use]
    pub const fn with_bytes<'b>(&self, bytes: &'b [u8], spans: &'b SpanMap) -> Input<'b>
    where
        'a: 'b,
    {
        Input { bytes, spans, ..*self }
    }
}

/// A dissector at work on one flow.
///
/// Total: any bytes in any split give items or a violation, never a panic and never an allocation
/// beyond a small fixed bound. The same bytes in another TCP split give the same items.
pub trait Session: Send {
    /// Reads messages from the front of `input.bytes` and returns how many bytes were used up.
    ///
    /// * Datagrams (Ethernet, IP, UDP): called once with the whole payload; the return value is
    ///   ignored.
    /// * TCP: bytes not used up come again, in front of what follows. Return 0 to wait for more.
    ///   When a message is larger than [`Self::stream_cap`] the engine skips to the next segment
    ///   and sets `after_gap`.
    ///
    /// After a gap the session finds the next message by structure: where the first bytes cannot
    /// be one, it uses up all of `input.bytes` and waits for the next segment.
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize;

    /// The flow is over or idle: report what still waits for a response as unseen.
    fn finish(&mut self, _out: &mut Out) {}

    /// What both ends agreed and later messages do not say again (interfaces by number, connections
    /// by id): it is kept over a restart of capture. None where there is nothing.
    fn context(&self) -> Option<Vec<u8>> {
        None
    }

    /// Takes over what [`Self::context`] of an earlier session of the same flow gave; bytes that are
    /// none are ignored.
    fn restore(&mut self, _context: &[u8]) {}

    /// Whether what was read proves the protocol. A probe that says [`Probe::More`](crate::Probe)
    /// to a datagram starts a session on trial: what it says is believed once it is proven, and
    /// until then other protocols may still take the flow.
    fn is_proven(&self) -> bool {
        true
    }

    /// Most bytes of one direction kept while a message is incomplete.
    fn stream_cap(&self) -> usize {
        64 * 1024
    }
}
