//! TriStation: Triconex safety controllers and their engineering stations, over UDP. No standard and
//! no vendor's document is public.
//!
//! Sources: FireEye, "A Totally Tubular Treatise on TRITON and TriStation" (2018) with its dissector
//! stvemillertime/TriStation-Wireshark-Dissector (message types, place of the fields, names of the
//! function codes as the malware TRITON has them). That the length counts the data alone and that the
//! check word is CRC-16 with polynomial 0x8005 follows from the ping that TRITON sends, published in
//! analyses of it: `06 00 00 00 00 88`. ICS-Pcaps--malware_exec.pcap holds a run of TRITON: all 896
//! messages have these lengths and check words; frame 4 answers get-cp-status and shows where the
//! project's name stands.
//!
//! The code of an operation is the message type; executed commands are `tristation-command` with
//! their function code. Commands that change the control program or its running are those that an
//! attack on a safety system needs: nothing here is ever sent.
//!
//! Rules broken on the wire:
//! * `tristation-crc`: the check word of a message is wrong; nothing else is read of it.
//!
//! Not decoded: the data of commands (no public description), TriStation over serial lines, the
//! other protocols of Triconex.

use crate::fields::{part_at, u16_at};
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// TriStation.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "TriStation",
    roles: ("TriStation", "Triconex controller"),
    carriers: &[Carrier::Udp(&[1502])],
    dissector: Dissector::Built { probe, session: || Box::new(TriStation::new()) },
    source: "FireEye TriStation dissector (2018); published analyses of TRITON",
};

const NAME: &str = "tristation";
const COMMAND_NAME: &str = "tristation-command";

/// Type and length.
const HEADER: usize = 4;
const CHECK: usize = 2;
/// Source, channel, function code, counter, two unknown bytes, checksum, length.
const COMMAND_HEADER: usize = 10;

const CONNECTION_REQUEST: u16 = 1;
const CONNECTION_RESPONSE: u16 = 2;
const DISCONNECTION_RESPONSE: u16 = 3;
const DISCONNECTION_REQUEST: u16 = 4;
const EXECUTION: u16 = 5;
const PING: u16 = 6;
const ACCESS_DENIED: u16 = 10;
const CONNECTION_FAILED: u16 = 11;

/// Response to get-cp-status, and where the project's name stands in its data.
const CP_STATUS: u8 = 108;
const PROJECT_NAME: usize = 66;
const PROJECT_NAME_LENGTH: usize = 7;

/// First function code of responses, and first of refusals.
const RESPONSES: u8 = 100;
const REFUSALS: u8 = 200;
const REJECTED: u8 = 100;

/// Requests of one flow that may wait at once.
const WAITING: usize = 32;

/// Name and action of a function code; none for those whose meaning nobody published.
const fn function(code: u8) -> Option<(&'static str, Action)> {
    use Action::{
        Configuration, Control, Diagnostics, Identify, Mode, ProgramDownload, ProgramUpload, Read,
        Session, Start, Stop, Write,
    };
    Some(match code {
        0 => ("start-download-all", ProgramDownload),
        1 => ("start-download-change", ProgramDownload),
        2 => ("update-configuration", Configuration),
        3 => ("upload-configuration", ProgramUpload),
        4 => ("set-io-addresses", Configuration),
        5 => ("allocate-network", ProgramDownload),
        6 => ("load-vector-table", ProgramDownload),
        7 => ("set-calendar", Configuration),
        8 => ("get-calendar", Read),
        9 => ("set-scan-time", Configuration),
        10 => ("end-download-all", ProgramDownload),
        11 => ("end-download-change", ProgramDownload),
        12 => ("cancel-download-change", ProgramDownload),
        13 => ("attach-tricon", Session),
        14 => ("set-io-address-limits", Configuration),
        15 => ("configure-module", Configuration),
        16 => ("set-multiple-point-values", Write),
        17 => ("enable-all-points", Control),
        18 => ("upload-vector-table", ProgramUpload),
        19 => ("get-cp-status", Diagnostics),
        20 => ("run-program", Start),
        21 => ("halt-program", Stop),
        22 => ("pause-program", Stop),
        23 => ("do-single-scan", Control),
        24 => ("get-chassis-status", Diagnostics),
        25 => ("get-minimum-scan-time", Read),
        26 => ("set-node-number", Configuration),
        27 => ("set-io-point-values", Write),
        28 => ("get-io-point-values", Read),
        29 => ("get-mp-status", Diagnostics),
        30 => ("set-retentive-values", Write),
        31 => ("adjust-clock-calendar", Configuration),
        32 => ("clear-module-alarms", Control),
        33 => ("get-event-log", Diagnostics),
        34 => ("set-soe-block", Configuration),
        35 => ("record-event-log", Diagnostics),
        36 => ("get-soe-data", Diagnostics),
        37 => ("enable-ovd", Control),
        38 => ("disable-ovd", Control),
        39 => ("enable-all-ovds", Control),
        40 => ("disable-all-ovds", Control),
        41 => ("process-modbus", Control),
        42 => ("upload-network", ProgramUpload),
        43 => ("set-label", Configuration),
        44 => ("configure-system-variables", Configuration),
        45 => ("deconfigure-module", Configuration),
        46 => ("get-system-variables", Read),
        47 => ("get-module-types", Identify),
        48 => ("begin-conversion-table-download", ProgramDownload),
        49 => ("continue-conversion-table-download", ProgramDownload),
        50 => ("end-conversion-table-download", ProgramDownload),
        51 => ("get-conversion-table", Read),
        52 => ("set-icm-status", Configuration),
        53 => ("broadcast-soe-data-available", Diagnostics),
        54 => ("get-module-versions", Identify),
        55 => ("allocate-program", ProgramDownload),
        56 => ("allocate-function", ProgramDownload),
        57 => ("clear-retentives", Write),
        58 => ("set-initial-values", Write),
        59 => ("start-ts2-program-download", ProgramDownload),
        60 => ("set-ts2-data-area", Write),
        61 => ("get-ts2-data", Read),
        62 => ("set-ts2-data", Write),
        63 => ("set-program-information", ProgramDownload),
        64 => ("get-program-information", Identify),
        65 => ("upload-program", ProgramUpload),
        66 => ("upload-function", ProgramUpload),
        67 => ("get-point-groups", Read),
        68 => ("allocate-symbol-table", ProgramDownload),
        69 => ("get-io-address", Read),
        70 => ("resend-io-address", Read),
        71 => ("get-program-timing", Diagnostics),
        72 => ("allocate-multiple-functions", ProgramDownload),
        73 => ("get-node-number", Identify),
        74 => ("get-symbol-table", ProgramUpload),
        80 => ("go-to-download-mode", Mode),
        _ => return None,
    })
}

/// The meaning of a refusal, where it tells more than that.
const fn refusal(code: u8) -> &'static str {
    match code {
        REJECTED => "command-rejected",
        200 => "wrong-command",
        201 => "load-in-progress",
        203 => "control-program-not-halted",
        204 => "control-program-checksum-error",
        205 => "no-memory-available",
        206 => "control-program-not-valid",
        207 => "not-loading-a-control-program",
        211 => "download-time-mismatch",
        212 => "key-setting-prohibits-operation",
        213 => "bad-control-program-version",
        214 => "command-not-in-correct-sequence",
        233 => "load-busy",
        240 => "node-number-mismatch",
        241 => "command-not-allowed",
        242 => "invalid-sequence-number",
        244 => "no-free-tristation-ports",
        252 => "invalid-length",
        _ => "refused",
    }
}

/// A message whose check word is right.
struct Message<'a> {
    kind: u16,
    data: &'a [u8],
}

enum Front<'a> {
    Message(Message<'a>),
    /// Its length is right, its check word wrong.
    Damaged,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let (Some(kind), Some(length)) = (u16_at(bytes, 0), u16_at(bytes, 2)) else {
        return Front::Foreign;
    };
    if kind > CONNECTION_FAILED || bytes.len() != HEADER + usize::from(length) + CHECK {
        return Front::Foreign;
    }
    let Some((checked, check)) = bytes.split_last_chunk::<CHECK>() else { return Front::Foreign };
    if crc(checked) != u16::from_le_bytes(*check) {
        return Front::Damaged;
    }
    Front::Message(Message { kind, data: checked.get(HEADER..).unwrap_or_default() })
}

/// CRC-16 with polynomial 0x8005, reflected, preset to zeros.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xa001 }
            },
        )
    })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Message(message) if message.kind == EXECUTION => Probe::Certain,
        Front::Message(_) => Probe::Likely,
        Front::Damaged => Probe::Weak,
        Front::Foreign => Probe::No,
    }
}

/// A flow that carries TriStation.
struct TriStation {
    /// Requests by sender: commands by their counter, others by message type.
    pending: Pending<(Side, u16, u8), Operation>,
    client_said: bool,
}

impl TriStation {
    const fn new() -> Self {
        Self { pending: Pending::new(WAITING), client_said: false }
    }

    fn say_client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let (words, request) = match message.kind {
            EXECUTION => return self.command(input, message, out),
            CONNECTION_REQUEST => (("connect", Action::Session), None),
            CONNECTION_RESPONSE => (("connect", Action::Session), Some(CONNECTION_REQUEST)),
            DISCONNECTION_REQUEST => (("disconnect", Action::Session), None),
            DISCONNECTION_RESPONSE => {
                (("disconnect", Action::Session), Some(DISCONNECTION_REQUEST))
            }
            PING => (("ping", Action::Identify), None),
            7 => (("connection-limit-reached", Action::Session), Some(CONNECTION_REQUEST)),
            8 => (("not-connected", Action::Session), Some(EXECUTION)),
            9 => (("main-processors-dead", Action::Diagnostics), Some(EXECUTION)),
            ACCESS_DENIED => (("access-denied", Action::Authenticate), Some(CONNECTION_REQUEST)),
            CONNECTION_FAILED => (("connection-failed", Action::Session), Some(CONNECTION_REQUEST)),
            _ => (("unknown", Action::Diagnostics), None),
        };
        let told = Operation {
            code: Some(message.kind.into()),
            ..input.operation(NAME, input.side, words, input.bytes)
        };
        let Some(request) = request else {
            // A ping answers a ping.
            let answered = self.pending.take(&(input.side.other(), message.kind, 0));
            if message.kind == PING
                && let Some(mut asked) = answered
            {
                asked.outcome = Outcome::Ok;
                out.operation(asked);
                return;
            }
            self.say_client(input.side, out);
            if let Some(unseen) = self.pending.insert((input.side, message.kind, 0), told) {
                out.operation(unseen);
            }
            return;
        };
        let client = input.side.other();
        self.say_client(client, out);
        let is_error = !matches!(message.kind, CONNECTION_RESPONSE | DISCONNECTION_RESPONSE);
        let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
        match self.pending.take(&(client, request, 0)) {
            Some(mut asked) => {
                asked.outcome = outcome;
                out.operation(asked);
            }
            None if is_error => out.operation(Operation { outcome: Outcome::None, ..told }),
            None => out.unpaired(Operation {
                sender: client,
                code: Some(request.into()),
                outcome,
                ..told
            }),
        }
    }

    fn command(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let [source, _channel, code, counter, ..] = *part_at(message.data, 0, COMMAND_HEADER)
        else {
            out.push(Item::NotDecoded(NAME, "command-without-header"));
            return;
        };
        let proof = part_at(message.data, 0, COMMAND_HEADER);
        // The station sends 0, the controller 1.
        let is_response = source == 1 || code >= RESPONSES;
        let client = if is_response { input.side.other() } else { input.side };
        self.say_client(client, out);
        if !is_response {
            let words = function(code).unwrap_or(("unknown", Action::Control));
            let asked = Operation {
                connection: NAME,
                code: Some(code.into()),
                ..input.operation(COMMAND_NAME, client, words, proof)
            };
            if let Some(unseen) = self.pending.insert((client, EXECUTION, counter), asked) {
                out.operation(unseen);
            }
            return;
        }
        if code == CP_STATUS {
            let at = COMMAND_HEADER + PROJECT_NAME;
            let name = text::trim(part_at(message.data, at, PROJECT_NAME_LENGTH));
            if text::is_printable(name) {
                out.claim(input.own_text((COMMAND_NAME, "get-cp-status"), "project_name", name));
            }
        }
        let is_error = code == REJECTED || code >= REFUSALS;
        let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
        match self.pending.take(&(client, EXECUTION, counter)) {
            Some(mut asked) => {
                asked.outcome = outcome;
                if is_error {
                    asked.object = Object::Text(refusal(code).into());
                }
                out.operation(asked);
            }
            None => out.unpaired(Operation {
                connection: NAME,
                code: Some(code.into()),
                outcome,
                ..input.operation(COMMAND_NAME, client, ("response", Action::Diagnostics), proof)
            }),
        }
    }
}

impl Session for TriStation {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        match front(input.bytes) {
            Front::Message(message) => {
                out.layer(NAME, input.side);
                self.message(input, &message, out);
            }
            Front::Damaged => {
                out.layer(NAME, input.side);
                out.push(input.violation(NAME, "tristation-crc", part_at(input.bytes, 0, 32)));
            }
            Front::Foreign => {}
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

    fn whole(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.extend_from_slice(data);
        let check = crc(&bytes);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    fn execute(source: u8, code: u8, counter: u8) -> Vec<u8> {
        whole(EXECUTION, &[source, 0, code, counter, 0, 0, 0, 0, 10, 0])
    }

    #[test]
    fn the_check_word_is_that_of_the_published_ping() {
        assert_eq!(vec![6, 0, 0, 0, 0, 0x88], whole(PING, &[]));
    }

    #[test]
    fn commands_are_paired_with_their_responses() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &whole(CONNECTION_REQUEST, &[0, 0])),
                (Side::B, &whole(CONNECTION_RESPONSE, &[0, 0])),
                (Side::A, &execute(0, 19, 1)),
                (Side::B, &execute(1, 108, 1)),
                (Side::A, &execute(0, 21, 2)),
                (Side::B, &execute(1, 212, 2)),
                (Side::A, &execute(0, 55, 3)),
            ],
        );
        let key = "key-setting-prohibits-operation".to_owned();
        assert_eq!(
            vec![
                ("connect", Some(1), String::new(), Outcome::Ok),
                ("get-cp-status", Some(19), String::new(), Outcome::Ok),
                ("halt-program", Some(21), key, Outcome::Error),
                ("allocate-program", Some(55), String::new(), Outcome::Unseen),
            ],
            testing::coded_operations(&items)
        );
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn the_status_names_the_project() {
        let mut data = vec![1, 1, CP_STATUS, 1, 0, 0, 0, 0, 0, 0];
        data.resize(COMMAND_HEADER + PROJECT_NAME, 0);
        data.extend_from_slice(b"BOILER\0\x05\x02");
        let items = testing::items(&PROTOCOL, &[(Side::B, &whole(EXECUTION, &data))]);
        assert_eq!(vec![("project_name", "BOILER".to_owned())], testing::claims(&items));
    }

    #[test]
    fn a_ping_is_answered_by_a_ping() {
        let ping = whole(PING, &[]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &ping), (Side::B, &ping)]);
        assert_eq!(vec![("ping", String::new(), Outcome::Ok)], testing::operations(&items));
    }

    #[test]
    fn a_wrong_check_word_is_a_violation_and_says_nothing() {
        let mut wrong = execute(0, 21, 2);
        wrong[6] = 20;
        let items = testing::items(&PROTOCOL, &[(Side::A, &wrong)]);
        assert!(testing::operations(&items).is_empty());
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "tristation-crc")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let good = execute(0, 19, 1);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &whole(PING, &[]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &good[..9])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &whole(77, &[]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, whole(CONNECTION_REQUEST, &[0, 0])),
            (Side::B, whole(ACCESS_DENIED, &[])),
            (Side::A, execute(0, 19, 1)),
            (Side::B, execute(1, 108, 1)),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
