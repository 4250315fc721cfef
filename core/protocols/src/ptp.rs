//! PTP: clocks of a network that follow its best one, on Ethernet and over UDP.
//!
//! Sources: IEEE Std 1588-2008 §7.5.2.2 (clock identity), §13.3 (header), §13.5 (announce), §13.12
//! (signaling), §14 (TLVs; 16.1 unicast negotiation), §15.4 (management message), §15.5.2 and 15.5.3
//! (management ids, clock description), §15.5.4 (error status), annex D to F (ports, EtherType); IEEE
//! Std 802.1AS-2011 §11.4 (same header); IEEE Std 1588-2002 §8 for version 1, of which only the kind of
//! message is read; names as tshark 4.0 has them (`ptp.v2`). nDPI--ptpv2.pcap frames 1, 4 and 10.
//!
//! The code of an operation is the message type. Management messages are `ptp-management` with their
//! management id as code, unicast negotiation is `ptp-signaling` with the TLV's type.
//!
//! Event: `ptp-announce`, what a port announces of its grandmaster: once, and whenever it changes.
//!
//! Rules broken on the wire:
//! * `ptp-length`: a message is shorter than its length or its fields.
//!
//! Not decoded: times, delays, TLVs of organisations, authentication, the fields of version 1.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// IEEE 1588, versions 1 and 2.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "PTP",
    roles: ("PTP timeReceiver", "PTP timeTransmitter"),
    carriers: &[Carrier::EtherType(&[0x88f7]), Carrier::Udp(&[320, 319])],
    dissector: Dissector::Built { probe, session: || Box::new(Ptp::new()) },
    source: "IEEE Std 1588-2008 §13 to §15; IEEE Std 802.1AS-2011 §11.4",
};

const NAME: &str = "ptp";
const MANAGEMENT_NAME: &str = "ptp-management";
const SIGNALING_NAME: &str = "ptp-signaling";

const HEADER: usize = 34;
/// Header of version 1.
const HEADER_1: usize = 40;

const SYNC: u8 = 0;
const DELAY_REQ: u8 = 1;
const DELAY_RESP: u8 = 9;
const ANNOUNCE: u8 = 11;
const SIGNALING: u8 = 12;
const MANAGEMENT: u8 = 13;

/// Types of TLVs.
const MANAGEMENT_TLV: u16 = 1;
const ERROR_TLV: u16 = 2;
const REQUEST_UNICAST: u16 = 4;
const GRANT_UNICAST: u16 = 5;

/// Actions of a management message.
const GET: u8 = 0;
const SET: u8 = 1;
const COMMAND: u8 = 3;

const CLOCK_DESCRIPTION: u16 = 1;

/// Requests of one flow that may wait at once.
const WAITING: usize = 32;

/// Name, action, and the least length of a message (§13.3.2.2).
const fn message(kind: u8) -> Option<(&'static str, Action, usize)> {
    Some(match kind {
        SYNC => ("sync", Action::Session, 44),
        DELAY_REQ => ("delay-req", Action::Session, 44),
        2 => ("pdelay-req", Action::Session, 54),
        3 => ("pdelay-resp", Action::Session, 54),
        8 => ("follow-up", Action::Session, 44),
        DELAY_RESP => ("delay-resp", Action::Session, 54),
        10 => ("pdelay-resp-follow-up", Action::Session, 54),
        ANNOUNCE => ("announce", Action::Session, 64),
        SIGNALING => ("signaling", Action::Session, 44),
        MANAGEMENT => ("management", Action::Diagnostics, 48),
        _ => return None,
    })
}

/// Name and action of a message of version 1, by its control field.
const fn message_1(control: u8) -> Option<(&'static str, Action)> {
    Some(match control {
        0 => ("sync", Action::Session),
        1 => ("delay-req", Action::Session),
        2 => ("follow-up", Action::Session),
        3 => ("delay-resp", Action::Session),
        4 => ("management", Action::Diagnostics),
        _ => return None,
    })
}

/// Name of a management id (§15.5.2.3).
const fn managed(id: u16) -> &'static str {
    match id {
        0 => "null-management",
        CLOCK_DESCRIPTION => "clock-description",
        2 => "user-description",
        3 => "save-in-non-volatile-storage",
        4 => "reset-non-volatile-storage",
        5 => "initialize",
        6 => "fault-log",
        7 => "fault-log-reset",
        0x2000 => "default-data-set",
        0x2001 => "current-data-set",
        0x2002 => "parent-data-set",
        0x2003 => "time-properties-data-set",
        0x2004 => "port-data-set",
        0x2005 => "priority1",
        0x2006 => "priority2",
        0x2007 => "domain",
        0x2008 => "slave-only",
        0x2009 => "log-announce-interval",
        0x200a => "announce-receipt-timeout",
        0x200b => "log-sync-interval",
        0x200c => "version-number",
        0x200d => "enable-port",
        0x200e => "disable-port",
        0x200f => "time",
        0x2010 => "clock-accuracy",
        0x2011 => "utc-properties",
        0x2012 => "traceability-properties",
        0x2013 => "timescale-properties",
        0x2014 => "unicast-negotiation-enable",
        0x2015 => "path-trace-list",
        0x2016 => "path-trace-enable",
        0x2017 => "grandmaster-cluster-table",
        0x2018 => "unicast-master-table",
        0x2019 => "unicast-master-max-table-size",
        0x201a => "acceptable-master-table",
        0x201b => "acceptable-master-table-enabled",
        0x201c => "acceptable-master-max-table-size",
        0x201d => "alternate-master",
        0x201e => "alternate-time-offset-enable",
        0x201f => "alternate-time-offset-name",
        0x2020 => "alternate-time-offset-max-key",
        0x2021 => "alternate-time-offset-properties",
        0x4000 => "transparent-clock-default-data-set",
        0x4001 => "transparent-clock-port-data-set",
        0x4002 => "primary-domain",
        0x6000 => "delay-mechanism",
        0x6001 => "log-min-pdelay-req-interval",
        _ => "unknown",
    }
}

/// What a management message does.
const fn management_action(action: u8, id: u16) -> (&'static str, Action) {
    match (action, id) {
        (GET, CLOCK_DESCRIPTION | 2) => ("get", Action::Identify),
        (GET, _) => ("get", Action::Read),
        (SET, _) => ("set", Action::Configuration),
        (COMMAND, 4 | 5) => ("command", Action::Reset),
        (COMMAND, 0x200d) => ("command", Action::Start),
        (COMMAND, 0x200e) => ("command", Action::Stop),
        (COMMAND, _) => ("command", Action::Configuration),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Names of clock sources (§7.6.2.6).
const fn time_source(number: u8) -> &'static str {
    match number {
        0x10 => "atomic-clock",
        0x20 => "gps",
        0x30 => "terrestrial-radio",
        0x40 => "ptp",
        0x50 => "ntp",
        0x60 => "hand-set",
        0x90 => "other",
        0xa0 => "internal-oscillator",
        _ => "unknown",
    }
}

/// A message of version 2.
struct Message<'a> {
    kind: u8,
    domain: &'a [u8],
    clock: &'a [u8],
    sequence: u16,
    control: u8,
    /// What follows the header.
    body: &'a [u8],
    all: &'a [u8],
}

/// Reads the header of a message of version 2; none where it is no such message.
fn read(bytes: &[u8]) -> Result<Option<Message<'_>>, Short> {
    let mut cursor = Cursor::new(bytes);
    let [kind, version, high, low] = cursor.array()?;
    let kind = kind & 0x0f;
    let Some((_, _, least)) = message(kind) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // minor version 0 or 1
    if version & 0x0f != 2 || version >> 4 > 1 || length < least {
        return Ok(None);
    }
    let domain = cursor.take(1)?;
    // minor SDO id, flags, correction, type-specific
    cursor.skip(1 + 2 + 8 + 4)?;
    let clock = cursor.take(8)?;
    let _port = cursor.u16_be()?;
    let sequence = cursor.u16_be()?;
    let (control, _interval) = (cursor.u8()?, cursor.u8()?);
    let body = cursor.take(length - HEADER)?;
    let all = part_at(bytes, 0, length);
    Ok(Some(Message { kind, domain, clock, sequence, control, body, all }))
}

/// The control field that version 2.0 gives to each type (§13.3.2.10).
const fn control_of(kind: u8) -> u8 {
    match kind {
        SYNC => 0,
        DELAY_REQ => 1,
        8 => 2,
        DELAY_RESP => 3,
        MANAGEMENT => 4,
        _ => 5,
    }
}

fn is_version_1(bytes: &[u8]) -> bool {
    let starts = matches!(bytes, [0, 1, 0, 1, ..]);
    let (kind, control) = (bytes.get(20), bytes.get(32));
    // event messages are 1, general ones 2
    let fits = match (kind, control) {
        (Some(1), Some(control)) => *control <= 1,
        (Some(2), Some(control)) => (2..=4).contains(control),
        _ => false,
    };
    starts && fits && bytes.len() >= HEADER_1
}

fn probe(input: &Input<'_>) -> Probe {
    let by_type = input.transport == Transport::Ethernet;
    match read(input.bytes) {
        Ok(Some(_)) if by_type => Probe::Certain,
        Ok(Some(message)) => {
            let is_whole = message.all.len() == input.bytes.len();
            // Sync of 802.1AS and version 2.1 may leave the control field 0.
            let fits = message.control == control_of(message.kind);
            match (is_whole, fits) {
                (true, true) => Probe::Likely,
                (true, false) | (false, true) => Probe::Weak,
                (false, false) => Probe::No,
            }
        }
        Ok(None) if is_version_1(input.bytes) => Probe::Weak,
        Err(_) if by_type || input.truncated => Probe::Weak,
        _ => Probe::No,
    }
}

/// The messages between two addresses.
struct Ptp {
    /// Management requests by asker and sequence number, unicast requests by asker and message type.
    pending: Pending<(Side, u16, u16), Operation>,
    /// Clock identity each side told last.
    clocks: [Vec<u8>; 2],
    /// What each side announced last.
    announced: [Vec<u8>; 2],
    client_said: bool,
}

impl Ptp {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            clocks: [Vec::new(), Vec::new()],
            announced: [Vec::new(), Vec::new()],
            client_said: false,
        }
    }

    fn message(
        &mut self,
        input: &Input<'_>,
        told: &Message<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let (name, action, _) = message(told.kind).unwrap_or(("unknown", Action::Session, 0));
        if !std::mem::replace(&mut self.client_said, true) {
            let asks = matches!(told.kind, DELAY_REQ | 2 | SIGNALING | MANAGEMENT);
            out.push(Item::Client(if asks { input.side } else { input.side.other() }));
        }
        let known = input.side.of(&mut self.clocks);
        if known != told.clock {
            told.clock.clone_into(known);
            let message = (NAME, name);
            let clock = hex(told.clock);
            out.claim(input.own_claim(message, "ptp_clock", clock, told.clock, Decode::Hex));
            let domain = told.domain.first().copied().unwrap_or_default();
            let domain = format_compact!("{domain}");
            let decode = Decode::UnsignedBe;
            out.claim(input.own_claim(message, "ptp_domain", domain, told.domain, decode));
        }
        match told.kind {
            MANAGEMENT => return self.management(input, told, out),
            SIGNALING => return self.signaling(input, told, out),
            ANNOUNCE => self.announce(input, told, out)?,
            _ => {}
        }
        let code = u32::from(told.kind);
        out.operation(operation(input, NAME, (name, action), code, domain(told), told));
        Ok(())
    }

    fn announce(
        &mut self,
        input: &Input<'_>,
        told: &Message<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(told.body);
        // origin time
        cursor.skip(10)?;
        let start = cursor.rest();
        let utc_offset = cursor.u16_be()?;
        let _reserved = cursor.u8()?;
        let (priority_1, class, accuracy) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let (variance, priority_2) = (cursor.u16_be()?, cursor.u8()?);
        let grandmaster = cursor.take(8)?;
        let (steps, source) = (cursor.u16_be()?, cursor.u8()?);
        let facts = part_at(start, 0, 20);
        let known = input.side.of(&mut self.announced);
        if known == facts {
            return Ok(());
        }
        facts.clone_into(known);
        let message = (NAME, "announce");
        let name = hex(grandmaster);
        let decode = Decode::Hex;
        out.claim(input.own_claim(message, "ptp_grandmaster", name.clone(), grandmaster, decode));
        let role = match (grandmaster == told.clock, steps) {
            (true, 0) => "grandmaster",
            _ => "boundary-clock",
        };
        let evidence = grandmaster;
        out.claim(input.own_claim(message, "ptp_role", role.into(), evidence, Decode::Derived));
        let number = |number: u32| format_compact!("{number}");
        let domain = told.domain.first().copied().unwrap_or_default();
        out.push(Item::Event(Event {
            kind: "ptp-announce",
            protocol: NAME,
            sender: input.side,
            values: vec![
                ("clock", hex(told.clock)),
                ("clock_accuracy", format_compact!("0x{accuracy:02x}")),
                ("clock_class", number(class.into())),
                ("clock_variance", number(variance.into())),
                ("domain", number(domain.into())),
                ("grandmaster", name),
                ("priority1", number(priority_1.into())),
                ("priority2", number(priority_2.into())),
                ("steps_removed", number(steps.into())),
                ("time_source", time_source(source).into()),
                ("utc_offset_s", number(utc_offset.into())),
            ],
            evidence: input.locate(facts),
        }));
        Ok(())
    }

    fn management(
        &mut self,
        input: &Input<'_>,
        told: &Message<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(told.body);
        // target port, boundary hops
        cursor.skip(10 + 2)?;
        let action = cursor.u8()? & 0x0f;
        let _reserved = cursor.u8()?;
        if cursor.is_empty() {
            return Ok(());
        }
        let (kind, length) = (cursor.u16_be()?, usize::from(cursor.u16_be()?));
        let mut content = cursor.sub(length)?;
        if kind == ERROR_TLV {
            let _error = content.u16_be()?;
        } else if kind != MANAGEMENT_TLV {
            return Ok(());
        }
        let id = content.u16_be()?;
        let data = content.rest();
        let object = Object::Text(managed(id).into());
        if matches!(action, GET | SET | COMMAND) {
            let words = management_action(action, id);
            let mut asked = operation(input, MANAGEMENT_NAME, words, id.into(), object, told);
            asked.outcome = Outcome::Unseen;
            let key = (input.side, told.sequence, id);
            if let Some(unseen) = self.pending.insert(key, asked) {
                out.operation(unseen);
            }
            return Ok(());
        }
        let outcome = if kind == ERROR_TLV { Outcome::Error } else { Outcome::Ok };
        let client = input.side.other();
        match self.pending.take(&(client, told.sequence, id)) {
            Some(mut asked) => {
                asked.outcome = outcome;
                out.operation(asked);
            }
            // The request went to the group address.
            None => {
                let words = ("response", Action::Diagnostics);
                let mut answer = operation(input, MANAGEMENT_NAME, words, id.into(), object, told);
                (answer.sender, answer.outcome) = (client, outcome);
                out.unpaired(answer);
            }
        }
        if id == CLOCK_DESCRIPTION && outcome == Outcome::Ok {
            description(input, data, out)?;
        }
        Ok(())
    }

    fn signaling(
        &mut self,
        input: &Input<'_>,
        told: &Message<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(told.body);
        // target port
        cursor.skip(10)?;
        while cursor.remaining() >= 4 {
            let (kind, length) = (cursor.u16_be()?, usize::from(cursor.u16_be()?));
            let mut content = cursor.sub(length)?;
            let name = match kind {
                REQUEST_UNICAST => "request-unicast-transmission",
                GRANT_UNICAST => "grant-unicast-transmission",
                6 => "cancel-unicast-transmission",
                7 => "acknowledge-cancel-unicast-transmission",
                _ => {
                    let words = ("signaling", Action::Session);
                    let code = u32::from(kind);
                    let object = Object::None;
                    out.operation(operation(input, SIGNALING_NAME, words, code, object, told));
                    continue;
                }
            };
            let about = content.u8()? >> 4;
            let object =
                message(about).map_or(Object::None, |(name, ..)| Object::Text(name.into()));
            let words = (name, Action::Subscribe);
            let mut told_now = operation(input, SIGNALING_NAME, words, kind.into(), object, told);
            match kind {
                REQUEST_UNICAST => {
                    told_now.outcome = Outcome::Unseen;
                    let key = (input.side, REQUEST_UNICAST, about.into());
                    if let Some(unseen) = self.pending.insert(key, told_now) {
                        out.operation(unseen);
                    }
                }
                GRANT_UNICAST => {
                    let _interval = content.u8()?;
                    // A grant for no time refuses.
                    let refused = content.u32_be()? == 0;
                    let outcome = if refused { Outcome::Error } else { Outcome::Ok };
                    let key = (input.side.other(), REQUEST_UNICAST, about.into());
                    if let Some(mut asked) = self.pending.take(&key) {
                        asked.outcome = outcome;
                        out.operation(asked);
                    } else {
                        (told_now.name, told_now.code) =
                            ("request-unicast-transmission", Some(REQUEST_UNICAST.into()));
                        (told_now.sender, told_now.outcome) = (input.side.other(), outcome);
                        out.unpaired(told_now);
                    }
                }
                _ => out.operation(told_now),
            }
        }
        Ok(())
    }
}

/// A text with its length before it (§5.3.9).
fn ptp_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
    let length = cursor.u8()?;
    cursor.take(usize::from(length))
}

/// What a clock says of its machine (§15.5.3.1.2): texts whose parts semicolons separate.
fn description(input: &Input<'_>, data: &[u8], out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(data);
    let _clock_type = cursor.u16_be()?;
    let _physical_protocol = ptp_text(&mut cursor)?;
    let physical = usize::from(cursor.u16_be()?);
    cursor.skip(physical)?;
    let _network_protocol = cursor.u16_be()?;
    let address = usize::from(cursor.u16_be()?);
    cursor.skip(address)?;
    // manufacturer's OUI, reserved
    cursor.skip(4)?;
    let (product, revision) = (ptp_text(&mut cursor)?, ptp_text(&mut cursor)?);
    let user = ptp_text(&mut cursor)?;
    let message = (MANAGEMENT_NAME, "clock-description");
    let fields = [
        (product, ["vendor", "model", "serial"]),
        (revision, ["hardware", "firmware", "software"]),
        (user, ["name", "location", ""]),
    ];
    for (text, attributes) in fields {
        for (part, attribute) in text.split(|byte| *byte == b';').zip(attributes) {
            if !attribute.is_empty() && !text::trim(part).is_empty() {
                out.claim(input.own_text(message, attribute, part));
            }
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> CompactString {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn domain(told: &Message<'_>) -> Object {
    let number = told.domain.first().copied().unwrap_or_default();
    Object::Number { kind: "domain", number: number.into() }
}

fn operation(
    input: &Input<'_>,
    protocol: &'static str,
    words: (&'static str, Action),
    code: u32,
    object: Object,
    told: &Message<'_>,
) -> Operation {
    Operation {
        connection: NAME,
        code: Some(code),
        object,
        outcome: Outcome::None,
        ..input.operation(protocol, input.side, words, told.all)
    }
}

impl Session for Ptp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        let fits = match read(input.bytes) {
            Ok(Some(told)) => self.message(input, &told, out).is_ok(),
            Ok(None) => {
                if is_version_1(input.bytes)
                    && let Some(control) = input.bytes.get(32..33)
                    && let Some(words) = control.first().and_then(|kind| message_1(*kind))
                {
                    out.operation(Operation {
                        code: control.first().map(|code| u32::from(*code)),
                        outcome: Outcome::None,
                        ..input.operation(NAME, input.side, words, control)
                    });
                }
                true
            }
            Err(_) => false,
        };
        if !fits && !input.truncated {
            out.push(input.violation(NAME, "ptp-length", part_at(input.bytes, 0, HEADER)));
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CLOCK: [u8; 8] = [0, 0xb0, 0xae, 0xff, 0xfe, 1, 0xf9, 0x21];

    fn whole(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (HEADER + body.len()) as u16;
        let mut bytes = vec![kind, 2];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(CLOCK);
        bytes.extend([0, 1, 0, 7, control_of(kind), 0]);
        bytes.extend_from_slice(body);
        bytes
    }

    fn announce(grandmaster: [u8; 8], steps: u8) -> Vec<u8> {
        let mut body = vec![0; 10];
        body.extend([0, 37, 0, 128, 6, 0x21, 0x4e, 0x5d, 127]);
        body.extend(grandmaster);
        body.extend([0, steps, 0x20]);
        whole(ANNOUNCE, &body)
    }

    /// A signaling message with one TLV: type, message type, duration.
    fn negotiate(kind: u16, about: u8, seconds: u8) -> Vec<u8> {
        let mut body = vec![0xff; 10];
        body.extend(kind.to_be_bytes());
        body.extend([0, 6, about << 4, 0, 0, 0, 0, seconds]);
        whole(SIGNALING, &body)
    }

    /// A management message: action, TLV type and its content.
    fn manage(action: u8, kind: u16, content: &[u8]) -> Vec<u8> {
        let mut body = vec![0xff; 10];
        body.extend([0, 0, action, 0]);
        body.extend(kind.to_be_bytes());
        body.extend((content.len() as u16).to_be_bytes());
        body.extend_from_slice(content);
        whole(MANAGEMENT, &body)
    }

    #[test]
    fn the_grandmaster_is_told_once_and_when_it_changes() {
        let other = [0, 0x20, 0x94, 0xff, 0xfe, 0, 0, 1];
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::B, &announce(CLOCK, 0)),
                (Side::B, &announce(CLOCK, 0)),
                (Side::B, &announce(other, 1)),
            ],
        );
        assert_eq!(
            vec![
                ("ptp_clock", "00b0aefffe01f921".to_owned()),
                ("ptp_domain", "0".to_owned()),
                ("ptp_grandmaster", "00b0aefffe01f921".to_owned()),
                ("ptp_role", "grandmaster".to_owned()),
                ("ptp_grandmaster", "002094fffe000001".to_owned()),
                ("ptp_role", "boundary-clock".to_owned()),
            ],
            testing::claims(&items)
        );
        let events = testing::events(&items);
        assert_eq!(2, events.len());
        assert!(events[0].values.contains(&("time_source", "gps".into())));
        assert!(events[0].values.is_sorted());
        assert_eq!(3, testing::operations(&items).len());
    }

    #[test]
    fn unicast_is_asked_for_and_granted() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &negotiate(REQUEST_UNICAST, ANNOUNCE, 200)),
                (Side::A, &negotiate(REQUEST_UNICAST, SYNC, 200)),
                (Side::B, &negotiate(GRANT_UNICAST, ANNOUNCE, 200)),
                (Side::B, &negotiate(GRANT_UNICAST, SYNC, 0)),
            ],
        );
        let name = "request-unicast-transmission";
        assert_eq!(
            vec![
                (name, "announce".to_owned(), Outcome::Ok),
                (name, "sync".to_owned(), Outcome::Error)
            ],
            testing::operations(&items)
        );
    }

    #[test]
    fn management_is_paired_and_describes_a_clock() {
        // management id, clock type, physical layer protocol
        let mut description = vec![0, 1, 0x80, 0, 4];
        description.extend_from_slice(b"IEEE");
        // physical address, IPv4 address, OUI
        description.extend([0, 2, 1, 2, 0, 1, 0, 4, 192, 0, 2, 1, 0, 0xb0, 0xae, 0]);
        for text in ["Maker;Clock 7;S-1", "hw1;fw2;sw3", "Hall 4;"] {
            description.push(text.len() as u8);
            description.extend_from_slice(text.as_bytes());
        }
        description.extend([0; 6]);
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &manage(GET, MANAGEMENT_TLV, &[0, 1])),
                (Side::B, &manage(2, MANAGEMENT_TLV, &description)),
                (Side::A, &manage(SET, MANAGEMENT_TLV, &[0x20, 5, 9, 0])),
                (Side::B, &manage(2, ERROR_TLV, &[0, 1, 0x20, 5, 0, 0, 0, 0])),
            ],
        );
        assert_eq!(
            vec![
                ("get", "clock-description".to_owned(), Outcome::Ok),
                ("set", "priority1".to_owned(), Outcome::Error)
            ],
            testing::operations(&items)
        );
        let told = testing::claims(&items);
        for (attribute, value) in [("vendor", "Maker"), ("serial", "S-1"), ("firmware", "fw2")] {
            assert!(told.contains(&(attribute, value.to_owned())), "{told:?}");
        }
    }

    #[test]
    fn version_1_is_named_by_its_control_field() {
        let mut bytes = vec![0; 124];
        bytes[1] = 1;
        bytes[3] = 1;
        bytes[20] = 1;
        let items = testing::items(&PROTOCOL, &[(Side::A, &bytes)]);
        assert_eq!("sync", testing::operations(&items)[0].0);
    }

    #[test]
    fn a_message_cut_short_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::B, &announce(CLOCK, 0)[..50])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "ptp-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, &announce(CLOCK, 0))));
        let mut wrong = announce(CLOCK, 0);
        wrong[1] = 3;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &wrong)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::B, announce(CLOCK, 0)),
            (Side::A, negotiate(REQUEST_UNICAST, ANNOUNCE, 200)),
            (Side::B, negotiate(GRANT_UNICAST, ANNOUNCE, 200)),
            (Side::A, manage(GET, MANAGEMENT_TLV, &[0, 1])),
            (Side::B, manage(2, MANAGEMENT_TLV, &[0, 1, 0, 1, 0, 0, 0])),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
