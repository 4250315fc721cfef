//! One 5-tuple in time: its streams, the dissector at work on it, and who is the client.

use std::hash::{BuildHasher, Hash, Hasher};
use std::num::NonZeroU64;

use otic_protocols::registry::{Carrier, Probe, Protocol, generation, protocols};
use otic_protocols::{Claim, Input, Item, Out, Session, Side, Transport};
use otic_wire::stream::Stream;
use otic_wire::{Address, AddressNumber, Mac};
use smallvec::SmallVec;

use crate::conversation::TightSpan;
use crate::facts::Span;

/// Payload-bearing messages without a known protocol after which a flow counts as unknown. Between
/// two MACs or under an IP protocol every frame is asked anew: several kinds may share the flow.
const TRIES: u8 = 32;
/// Bytes of a stream a probe may ask for before it must decide.
const PROBE_BYTES: usize = 2048;
/// Datagrams that a dissector on trial may see before it is proven, where its probe believes its
/// usual port only.
const WEAK_TRIES: u8 = 8;
/// Items kept of a dissector on trial.
const SAID: usize = 64;

/// What names a flow, in numbers: both ends in order, what carries it, and its address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowKey {
    /// Addresses of side A and side B.
    addresses: [u128; 2],
    /// Ports, kinds of addresses, transport and address space.
    rest: u64,
    /// EtherType, SAPs, SNAP id or IP protocol; 0 for UDP and TCP.
    discriminator: u64,
}

impl FlowKey {
    /// The key of the flow between these ends (address, port), `a` the smaller one.
    #[inline]
    #[must_use]
    pub fn new(
        a: (AddressNumber, u16),
        b: (AddressNumber, u16),
        transport: Transport,
        carrier: CarrierId,
        space: u16,
    ) -> Self {
        let kinds = u64::from(a.0.kind) << 6 | u64::from(b.0.kind) << 4 | transport as u64;
        let ports = u64::from(a.1) << 16 | u64::from(b.1);
        Self {
            addresses: [a.0.value, b.0.value],
            rest: ports << 32 | u64::from(space) << 16 | kinds,
            discriminator: carrier.discriminator(),
        }
    }
}

impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b] = self.addresses;
        state.write_u128(a);
        state.write_u128(b);
        state.write_u128(u128::from(self.rest) << 64 | u128::from(self.discriminator));
    }
}

/// What was last seen of one end, to notice what is new without a table look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Where it was seen.
    pub tap: Tap,
    /// Its MAC.
    pub mac: Option<Mac>,
    /// TTL or hop limit.
    pub hop_limit: u8,
}

/// Names an interface and a VLAN stack: two tags and fewer exactly, deeper stacks by their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tap(NonZeroU64);

impl Tap {
    /// The name of this interface and stack.
    #[inline]
    #[must_use]
    pub fn new(interface: u32, vlans: &[u16], hasher: &impl BuildHasher) -> Self {
        // Interfaces are counted from 0 and few; an end of a flow has the greatest number.
        let interface = u64::from(interface & 0x0fff_ffff);
        let name = match vlans {
            [] => interface,
            [one] => 1 << 60 | u64::from(*one) << 28 | interface,
            [one, two] => 2 << 60 | u64::from(*one) << 44 | u64::from(*two) << 28 | interface,
            _ => 3 << 60 | hasher.hash_one((interface, vlans)) >> 4,
        };
        // Never 0: `Option<Tap>` is one word.
        Self(NonZeroU64::MIN | name << 1)
    }
}

/// A dissector that is not believed before more datagrams were seen.
pub struct Trial {
    protocol: &'static Protocol,
    session: Box<dyn Session>,
    /// What it said so far, and of the datagrams of which side.
    said: Vec<(Side, Item)>,
}

/// The dissector of a flow, once one is found.
pub enum Reader {
    /// Not recognised yet, after so many messages; perhaps a dissector is on trial.
    Searching(u8, Option<Box<Trial>>),
    /// Recognised.
    Found(&'static Protocol, Box<dyn Session>),
    /// No dissector knew it while these definitions were in force.
    Unknown(u32),
}

/// Frames and bytes of each side.
pub type Waiting = [(u64, u64); 2];

/// One 5-tuple in time.
pub struct Flow {
    /// Its name.
    pub key: FlowKey,
    /// Its place among the shard's flows.
    pub slot: u32,
    /// Address and port of each side, the smaller one first.
    pub ends: [(Address, u16); 2],
    /// What carries it.
    pub transport: Transport,
    /// Address space.
    pub space: u16,
    /// TCP directions, by [`Side`].
    pub streams: Option<Box<[Stream; 2]>>,
    /// Last acknowledgement number each side sent.
    pub acknowledged: [Option<u32>; 2],
    /// The dissector.
    pub reader: Reader,
    /// A side that speaks another protocol than the rest of the flow (HTTP to an SSH server) has a
    /// dissector of its own.
    pub own_reader: Option<Box<[Option<Reader>; 2]>>,
    /// Sides whose first bytes were looked at.
    pub heard: [bool; 2],
    /// Who is the client, once decided.
    pub client: Option<Side>,
    /// What the SYN of each side says of its stack, until the connection proves real.
    pub stacks: [Option<Box<Claim>>; 2],
    /// The client was told by a SYN: nothing contradicts that.
    pub client_by_syn: bool,
    /// Who sent the first frame.
    pub first_sender: Side,
    /// What was last seen of each end.
    pub seen: [Option<Seen>; 2],
    /// Connection rows it counts into, as indices into the shard's.
    pub connections: SmallVec<[u32; 4]>,
    /// The row used last, a position among them.
    pub last_connection: u32,
    /// Frames and bytes of each side that wait for a row: the protocol is not known yet.
    pub waiting: Option<Box<Waiting>>,
    /// Time of the first frame.
    pub first_ns: i64,
    /// Bytes of the first frame.
    pub first_span: TightSpan,
    /// Time of the last frame.
    pub last_ns: i64,
    /// Any payload was seen.
    pub payload: bool,
    /// The TCP attempt was refused.
    pub refused: bool,
    /// An attempt by this side still waits for its result.
    pub attempt: Option<Side>,
    /// Frames of both sides were seen.
    pub two_way: bool,
    /// Its frames were seen without VLAN tag, with one.
    pub tags: [bool; 2],
    /// Lane of its last frame.
    pub lane: u32,
}

impl Flow {
    /// A new flow.
    #[must_use]
    pub fn new(
        key: FlowKey,
        ends: [(Address, u16); 2],
        transport: Transport,
        space: u16,
        first_sender: Side,
        now_ns: i64,
        first_span: Span,
    ) -> Self {
        let streams = (transport == Transport::Tcp).then(Box::default);
        Self {
            key,
            slot: u32::MAX,
            ends,
            transport,
            space,
            streams,
            acknowledged: [None; 2],
            reader: Reader::searching(),
            own_reader: None,
            heard: [false; 2],
            client: None,
            client_by_syn: false,
            stacks: [None, None],
            first_sender,
            seen: Default::default(),
            connections: SmallVec::new(),
            last_connection: 0,
            waiting: None,
            first_ns: now_ns,
            first_span: first_span.into(),
            last_ns: now_ns,
            payload: false,
            refused: false,
            attempt: None,
            two_way: false,
            tags: [false; 2],
            lane: 0,
        }
    }

    /// The address and port of a side.
    #[must_use]
    pub fn end(&self, side: Side) -> (Address, u16) {
        let [a, b] = self.ends;
        match side {
            Side::A => a,
            Side::B => b,
        }
    }

    /// Counts a frame that waits for a row.
    pub fn wait(&mut self, side: Side, bytes: u32) {
        let waiting = self.waiting.get_or_insert_default();
        if let Some(waiting) = waiting.get_mut(side as usize) {
            waiting.0 += 1;
            waiting.1 += u64::from(bytes);
        }
    }

    /// The client, decided once: SYN; never a group address; what the dissector said; the port
    /// that a protocol is known by; the lower port; the first sender (contracts.md §4).
    pub fn decide_client(&mut self, told: Option<Side>) -> Side {
        if let Some(client) = self.client {
            return client;
        }
        let [a, b] = self.ends;
        let server = |side: Side| side.other();
        let client = if b.0.is_group() {
            Side::A
        } else if a.0.is_group() {
            Side::B
        } else if let Some(side) = told {
            side
        } else if a.1 != b.1 {
            match (is_known_port(self.transport, a.1), is_known_port(self.transport, b.1)) {
                (true, false) => server(Side::A),
                (false, true) => server(Side::B),
                _ => server(if a.1 < b.1 { Side::A } else { Side::B }),
            }
        } else {
            self.first_sender
        };
        self.client = Some(client);
        client
    }
}

impl Reader {
    /// Nothing is known yet.
    #[must_use]
    pub const fn searching() -> Self {
        Self::Searching(0, None)
    }

    /// Name of the protocol, once found.
    #[must_use]
    pub const fn protocol(&self) -> Option<&'static Protocol> {
        match self {
            Self::Found(protocol, _) => Some(protocol),
            _ => None,
        }
    }

    /// Name of the protocol whose dissector is on trial.
    #[must_use]
    pub fn on_trial(&self) -> Option<&'static str> {
        match self {
            Self::Searching(_, Some(trial)) => Some(trial.protocol.name),
            _ => None,
        }
    }

    /// Reads a message or the next bytes of a stream, the last `fresh` of which are new; returns the
    /// bytes used up. `served` is the protocol that one end is known to serve at its port.
    pub fn read(
        &mut self,
        carrier: &CarrierId,
        input: &Input<'_>,
        fresh: usize,
        served: Option<&'static Protocol>,
        out: &mut Out,
    ) -> usize {
        if let Self::Found(_, session) = self {
            return session.read(input, out);
        }
        if !self.is_searching() || input.bytes.is_empty() {
            return input.bytes.len();
        }
        let recognised = recognise(carrier, input, served);
        if let Recognised::Protocol(protocol) = recognised {
            return self.start(protocol, input, out);
        }
        let before = input.bytes.len().saturating_sub(fresh);
        if before > 0 {
            // What was kept may be a greeting that no dissector knows (SOCKS): does the new segment
            // by itself start something?
            let mut spans = input.spans.clone();
            spans.consume(before);
            let bytes = input.bytes.get(before..).unwrap_or_default();
            let rest = Input { bytes, spans: &spans, after_gap: true, ..*input };
            if let Recognised::Protocol(protocol) = recognise(carrier, &rest, served) {
                if protocol.probe(input) == Probe::Weak {
                    return self.start(protocol, input, out);
                }
                return before + self.start(protocol, &rest, out);
            }
        }
        if *carrier == CarrierId::Tcp && recognised.is_open() && input.bytes.len() < PROBE_BYTES {
            return 0;
        }
        self.try_on(carrier, &recognised, input, out);
        input.bytes.len()
    }

    /// Sets the dissector to work if these bytes, of a stream, show what the flow speaks; nothing
    /// is read.
    pub fn recognise(&mut self, input: &Input<'_>, served: Option<&'static Protocol>) {
        if self.is_searching()
            && let Recognised::Protocol(protocol) = recognise(&CarrierId::Tcp, input, served)
        {
            *self = Self::Found(protocol, protocol.session());
        }
    }

    /// Whether the protocol is still looked for: also when definitions came since nobody knew it.
    pub fn is_searching(&mut self) -> bool {
        if matches!(self, Self::Unknown(asked) if *asked != generation()) {
            *self = Self::searching();
        }
        matches!(self, Self::Searching(..))
    }

    /// A message by which no protocol is known: the dissector on trial looks at it.
    fn try_on(
        &mut self,
        carrier: &CarrierId,
        recognised: &Recognised,
        input: &Input<'_>,
        out: &mut Out,
    ) {
        let Self::Searching(tries, trial) = self else { return };
        *tries = tries.saturating_add(1);
        let protocol = match recognised {
            Recognised::OnTrial(protocol) => Some(*protocol),
            Recognised::Weak(protocol) if *tries <= WEAK_TRIES => Some(*protocol),
            _ => None,
        };
        if let Some(protocol) = protocol.filter(|_| *carrier == CarrierId::Udp) {
            let mut known = match trial.take() {
                Some(known) if known.protocol.name == protocol.name => known,
                _ => Box::new(Trial { protocol, session: protocol.session(), said: Vec::new() }),
            };
            let before = out.items.len();
            known.session.read(input, out);
            if matches!(recognised, Recognised::OnTrial(_)) && known.session.is_proven() {
                let said = std::mem::take(&mut known.said);
                *self = Self::Found(protocol, known.session);
                out.earlier = said;
                return;
            }
            let room = SAID.saturating_sub(known.said.len());
            let items = out.items.drain(before..).map(|item| (input.side, item));
            known.said.extend(items.take(room));
            *trial = Some(known);
        } else {
            *trial = None;
        }
        if *tries >= TRIES && matches!(carrier, CarrierId::Tcp | CarrierId::Udp) {
            *self = Self::Unknown(generation());
        }
    }

    fn start(&mut self, protocol: &'static Protocol, input: &Input<'_>, out: &mut Out) -> usize {
        let mut session = match self {
            Self::Searching(_, Some(trial)) if trial.protocol.name == protocol.name => {
                out.earlier = std::mem::take(&mut trial.said);
                std::mem::replace(&mut trial.session, protocol.session())
            }
            _ => protocol.session(),
        };
        let used = session.read(input, out);
        *self = Self::Found(protocol, session);
        used
    }

    /// Looks at bytes that start a side or a segment for a protocol the flow was not known to
    /// speak: TLS that takes a running session over (CONNECT, STARTTLS), or, in the first bytes of
    /// a side, anything certain that the flow's protocol cannot read.
    #[must_use]
    pub fn other(&self, carrier: &CarrierId, input: &Input<'_>, first: bool) -> Option<Self> {
        let Self::Found(known, _) = self else { return None };
        let hello = matches!(input.bytes, [0x16, 0x03, 0..=4, _, _, 1 | 2, ..]);
        if !(first || hello) || known.name == "tls" || known.probe(input) != Probe::No {
            return None;
        }
        match recognise(carrier, input, None) {
            Recognised::Protocol(protocol)
                if protocol.probe(input) == Probe::Certain && (first || protocol.name == "tls") =>
            {
                Some(Self::Found(protocol, protocol.session()))
            }
            _ => None,
        }
    }

    /// Whether the flow's protocol could read bytes that were kept before it was known.
    #[must_use]
    pub fn fits(&self, input: &Input<'_>) -> bool {
        match self {
            Self::Found(protocol, _) => protocol.probe(input) != Probe::No,
            _ => true,
        }
    }

    /// Most bytes of a direction to keep.
    #[must_use]
    pub fn cap(&self) -> usize {
        match self {
            Self::Found(_, session) => session.stream_cap(),
            _ => PROBE_BYTES,
        }
    }
}

/// What carries a flow, in the terms of [`Carrier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierId {
    /// EtherType.
    EtherType(u16),
    /// DSAP and SSAP.
    Llc(u8, u8),
    /// SNAP organisation and protocol id.
    Snap(u32, u16),
    /// Named by the link layer.
    Link(&'static str),
    /// IP protocol.
    Ip(u8),
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl CarrierId {
    /// A number that tells flows of different carriers between the same MACs apart.
    #[must_use]
    pub fn discriminator(self) -> u64 {
        match self {
            Self::EtherType(number) => u64::from(number),
            Self::Llc(dsap, ssap) => 1 << 32 | u64::from(dsap) << 8 | u64::from(ssap),
            Self::Snap(organisation, id) => 2 << 48 | u64::from(organisation) << 16 | u64::from(id),
            Self::Link(_) => 3 << 32,
            Self::Ip(number) => 4 << 32 | u64::from(number),
            Self::Tcp | Self::Udp => 0,
        }
    }

    /// Whether `carrier` is of this kind, and whether its numbers hint at this very flow.
    fn fits(self, carrier: &Carrier, ports: (u16, u16)) -> Option<bool> {
        let hinted = |list: &[u16]| list.contains(&ports.0) || list.contains(&ports.1);
        match (self, carrier) {
            (Self::Tcp, Carrier::Tcp(list)) | (Self::Udp, Carrier::Udp(list)) => Some(hinted(list)),
            (Self::EtherType(number), Carrier::EtherType(list)) => {
                list.contains(&number).then_some(true)
            }
            (Self::Llc(dsap, _), Carrier::Llc(list)) => list.contains(&dsap).then_some(true),
            (Self::Snap(organisation, id), Carrier::Snap(list)) => {
                list.contains(&(organisation, id)).then_some(true)
            }
            (Self::Link(name), Carrier::Link(known)) => (name == *known).then_some(true),
            (Self::Ip(number), Carrier::Ip(list)) => list.contains(&number).then_some(true),
            _ => None,
        }
    }
}

enum Recognised {
    Protocol(&'static Protocol),
    /// A session of it should look at this datagram and at those that follow.
    OnTrial(&'static Protocol),
    /// More bytes of the stream may tell.
    More,
    /// It would be believed on its usual port.
    Weak(&'static Protocol),
    No,
}

impl Recognised {
    /// Whether what follows may prove a protocol.
    const fn is_open(&self) -> bool {
        matches!(self, Self::More | Self::Weak(_))
    }
}

/// Asks every protocol of this carrier; the port decides between equals and makes weak ones
/// believable.
fn recognise(
    carrier: &CarrierId,
    input: &Input<'_>,
    served: Option<&'static Protocol>,
) -> Recognised {
    let ports = (input.source_port, input.destination_port);
    let mut best: Option<(Probe, bool, &'static Protocol)> = None;
    let mut more_on_port = false;
    let mut more = false;
    let mut weak = None;
    let mut on_trial = None;
    for protocol in protocols() {
        let Some(hinted) =
            protocol.carriers.iter().filter_map(|known| carrier.fits(known, ports)).max()
        else {
            continue;
        };
        let hinted = hinted || served.is_some_and(|served| served.name == protocol.name);
        let probe = protocol.probe(input);
        match probe {
            Probe::No => {}
            Probe::More => {
                more = true;
                more_on_port |= hinted;
                if *carrier == CarrierId::Udp
                    && on_trial.is_none()
                    && !protocol.session().is_proven()
                {
                    on_trial = Some(protocol);
                }
            }
            Probe::Weak if !hinted => {
                weak.get_or_insert(protocol);
            }
            _ => {
                if best.is_none_or(|(known, on_port, _)| (probe, hinted) > (known, on_port)) {
                    best = Some((probe, hinted, protocol));
                }
            }
        }
    }
    match best {
        Some((Probe::Certain, _, protocol)) => Recognised::Protocol(protocol),
        // A weaker guess waits while the usual protocol of the port still wants to see more.
        Some((_, hinted, protocol)) if hinted || !more_on_port => Recognised::Protocol(protocol),
        _ if more && *carrier == CarrierId::Tcp => Recognised::More,
        _ => match (on_trial, weak) {
            (Some(protocol), _) => Recognised::OnTrial(protocol),
            (None, Some(protocol)) => Recognised::Weak(protocol),
            (None, None) => Recognised::No,
        },
    }
}

/// Whether a protocol is known by this port on this transport.
fn is_known_port(transport: Transport, port: u16) -> bool {
    protocols().flat_map(|protocol| protocol.carriers).any(|carrier| match (transport, carrier) {
        (Transport::Tcp, Carrier::Tcp(list)) | (Transport::Udp, Carrier::Udp(list)) => {
            list.contains(&port)
        }
        _ => false,
    })
}
