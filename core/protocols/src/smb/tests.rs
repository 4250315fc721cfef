use super::*;
use crate::dcerpc::messages as rpc;
use crate::ntlm::messages::{authenticate, challenge, utf16};
use crate::out::Claim;
use crate::testing::{self, events};

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// A header of [MS-SMB2] §2.2.1.2 and a body.
fn smb2(command: u16, id: u64, status: Option<u32>, tree: u32, body: &[u8]) -> Vec<u8> {
    let mut message = b"\xfeSMB\x40\0\0\0".to_vec();
    message.extend(status.unwrap_or_default().to_le_bytes());
    message.extend(command.to_le_bytes());
    message.extend([1, 0]);
    message.extend(u32::from(status.is_some()).to_le_bytes());
    message.extend([0; 4]); // last of its compound
    message.extend(id.to_le_bytes());
    message.extend([0; 4]);
    message.extend(tree.to_le_bytes());
    message.extend([0; 24]); // session id, signature
    message.extend(body);
    frame(&message)
}

/// A body of `fixed` bytes with (offset, length) of `part` at `at`, and the part behind it.
fn body(mut fixed: Vec<u8>, at: usize, part: &[u8]) -> Vec<u8> {
    let start = (64 + fixed.len()) as u16;
    fixed[at..at + 2].copy_from_slice(&start.to_le_bytes());
    fixed[at + 2..at + 4].copy_from_slice(&(part.len() as u16).to_le_bytes());
    fixed.extend(part);
    fixed
}

fn file_body(length: usize, at: usize) -> Vec<u8> {
    let mut fixed = vec![0; length];
    fixed[at] = 9;
    fixed[at + 8] = 7;
    fixed
}

fn log_in(status: u32) -> Vec<(Side, Vec<u8>)> {
    let mut agreed = vec![0; 64];
    agreed[2] = 3; // signing required
    agreed[4..6].copy_from_slice(&[0x11, 0x03]);
    vec![
        (Side::A, smb2(0, 0, None, 0, &[0; 36])),
        (Side::B, smb2(0, 0, Some(0), 0, &agreed)),
        (Side::A, smb2(1, 1, None, 0, &body(vec![0; 24], 12, b"NTLMSSP\0\x01\0\0\0\x01\0\0\0"))),
        (
            Side::B,
            smb2(
                1,
                1,
                Some(MORE_PROCESSING_REQUIRED),
                0,
                &body(vec![0; 8], 4, &challenge("HISTORIAN", "PLANT")),
            ),
        ),
        (
            Side::A,
            smb2(1, 2, None, 0, &body(vec![0; 24], 12, &authenticate("eve", "PLANT", "ES1"))),
        ),
        (Side::B, smb2(1, 2, Some(status), 0, &body(vec![0; 8], 4, b""))),
    ]
}

fn files() -> Vec<(Side, Vec<u8>)> {
    let mut opened = file_body(88, 64);
    opened[0] = 89;
    let mut delete = file_body(32, 16);
    delete[2..4].copy_from_slice(&[1, 13]);
    delete[8] = 64 + 32;
    delete.push(1);
    vec![
        (Side::A, smb2(3, 3, None, 0, &body(vec![0; 8], 4, &utf16("\\\\srv\\recipes")))),
        (Side::B, smb2(3, 3, Some(0), 5, &[0; 16])),
        (Side::A, smb2(5, 4, None, 5, &body(vec![0; 56], 44, &utf16("line1\\a.txt")))),
        (Side::B, smb2(5, 4, Some(0), 5, &opened)),
        (Side::A, smb2(8, 5, None, 5, &file_body(49, 16))),
        (Side::B, smb2(8, 5, Some(0x103), 5, &[0; 16])),
        (Side::B, smb2(8, 5, Some(0xc000_0022), 5, &[0; 16])),
        (Side::A, smb2(17, 6, None, 5, &delete)),
        (Side::B, smb2(17, 6, Some(0), 5, &[2, 0])),
    ]
}

fn items(talk: &[(Side, Vec<u8>)]) -> Vec<Item> {
    let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::items(&PROTOCOL, &talk)
}

fn survives(talk: &[(Side, Vec<u8>)]) {
    let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    testing::survives(&PROTOCOL, &talk);
}

fn operations(items: &[Item]) -> Vec<(&'static str, CompactString, Outcome)> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Operation(op) => Some((op.name, op.object.to_text(), op.outcome)),
            _ => None,
        })
        .collect()
}

fn claims(items: &[Item]) -> Vec<&Claim> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Claim(claim) => Some(claim),
            _ => None,
        })
        .collect()
}

fn has_claim(items: &[Item], attribute: &str, value: &str) -> bool {
    claims(items).iter().any(|claim| claim.attribute == attribute && claim.value == value)
}

#[test]
fn a_session_tells_who_logs_in_and_what_the_machines_are() {
    let said = items(&log_in(0));
    let [login] = events(&said)[..] else { panic!("one event") };
    assert_eq!("login", login.kind);
    assert_eq!(
        vec![
            ("domain", "PLANT".into()),
            ("mechanism", "ntlm".into()),
            ("user", "eve".into()),
            ("workstation", "ES1".into()),
        ],
        login.values
    );
    assert!(has_claim(&said, "smb_dialect", "3.1.1"));
    assert!(has_claim(&said, "smb_signing", "required"));
    assert!(has_claim(&said, "name", "HISTORIAN"));
    assert!(has_claim(&said, "os", "Windows 10.0.17763"));
    assert_eq!(
        vec![
            ("negotiate", "".into(), Outcome::Ok),
            ("session-setup", "".into(), Outcome::Ok),
            ("session-setup", "".into(), Outcome::Ok),
        ],
        operations(&said)
    );
    survives(&log_in(0));
}

#[test]
fn a_refused_session_says_why_and_keeps_no_response() {
    let said = items(&log_in(0xc000_006a));
    let [login] = events(&said)[..] else { panic!("one event") };
    assert_eq!("login-failed", login.kind);
    assert!(login.values.contains(&("reason", "wrong-password".into())));
    assert!(!format!("{said:?}").contains("238, 238"));
}

#[test]
fn files_are_named_by_share_and_path() {
    let said = items(&files());
    assert_eq!(
        vec![
            ("tree-connect", "\\\\srv\\recipes".into(), Outcome::Ok),
            ("create", "recipes\\line1\\a.txt".into(), Outcome::Ok),
            ("read", "recipes\\line1\\a.txt".into(), Outcome::Error),
            ("set-info", "recipes\\line1\\a.txt".into(), Outcome::Ok),
        ],
        operations(&said)
    );
    let [deleted] = events(&said)[..] else { panic!("one event") };
    assert_eq!("file-deleted", deleted.kind);
    survives(&files());
}

#[test]
fn pipes_carry_rpc() {
    let mut talk = files();
    talk.truncate(4);
    let ioctl = |data: &[u8], at: usize| {
        let mut fixed = file_body(56, 8);
        fixed[4..8].copy_from_slice(&0x0011_c017_u32.to_le_bytes());
        fixed[at..at + 4].copy_from_slice(&(64_u32 + 56).to_le_bytes());
        fixed[at + 4..at + 8].copy_from_slice(&(data.len() as u32).to_le_bytes());
        fixed.extend(data);
        fixed
    };
    talk.push((Side::A, smb2(11, 5, None, 5, &ioctl(&rpc::bind(1, &rpc::SVCCTL), 24))));
    talk.push((Side::B, smb2(11, 5, Some(0), 5, &ioctl(&rpc::bind_ack(1), 32))));
    talk.push((Side::A, smb2(11, 6, None, 5, &ioctl(&rpc::request(2, 15, &[]), 24))));
    talk.push((Side::B, smb2(11, 6, Some(0), 5, &ioctl(&rpc::pdu(2, 2, &[0; 8]), 32))));
    let said = items(&talk);
    assert!(
        said.iter().any(|item| matches!(item, Item::Operation(op)
        if op.connection == "dcerpc" && op.name == "ROpenSCManagerW" && op.outcome == Outcome::Ok))
    );
    assert!(said.iter().any(|item| matches!(item, Item::Layer { protocol: "dcerpc", .. })));
    survives(&talk);
}

#[test]
fn encrypted_messages_are_coverage() {
    let secret = frame(&[b"\xfdSMB".as_slice(), &[7; 60]].concat());
    let said = items(&[(Side::A, secret.clone()), (Side::B, secret)]);
    let encrypted = said.iter().filter(|item| **item == Item::NotDecoded(NAME, "encrypted"));
    assert_eq!(1, encrypted.count());
}

#[test]
fn large_messages_are_read_at_their_head_and_skipped() {
    let mut talk = files();
    talk.truncate(4);
    let mut data = file_body(48, 16);
    data.extend(vec![0xaa; 40_000]);
    talk.push((Side::A, smb2(9, 7, None, 5, &data)));
    talk.push((Side::B, smb2(9, 7, Some(0), 5, &[0; 16])));
    talk.push((Side::A, smb2(13, 8, None, 0, &[4, 0, 0, 0])));
    talk.push((Side::B, smb2(13, 8, Some(0), 0, &[4, 0, 0, 0])));
    let said = items(&talk);
    assert_eq!(
        [("write", "recipes\\line1\\a.txt".into(), Outcome::Ok), ("echo", "".into(), Outcome::Ok),],
        operations(&said)[2..]
    );
}

/// A header of [MS-CIFS] §2.2.3.1, parameter words and data bytes.
fn smb1(command: u8, reply: bool, id: u16, words: &[u8], data: &[u8]) -> Vec<u8> {
    let mut message = vec![0xff, b'S', b'M', b'B', command, 0, 0, 0, 0];
    message.push(if reply { 0x80 } else { 0 });
    message.extend(0xc000_u16.to_le_bytes()); // Unicode, NT status
    message.extend([0; 12]);
    message.extend([5, 0, 1, 0, 6, 0]); // tree, process, user
    message.extend(id.to_le_bytes());
    message.push(words.len() as u8 / 2);
    message.extend(words);
    message.extend((data.len() as u16).to_le_bytes());
    message.extend(data);
    frame(&message)
}

fn old_session() -> Vec<(Side, Vec<u8>)> {
    let mut agreed = vec![1, 0, 0]; // second dialect, share level, passwords in clear
    agreed.resize(34, 0);
    let mut setup = vec![0xff, 0, 0, 0];
    setup.resize(26, 0);
    setup[14] = 3; // a password of 3 bytes
    let mut names = b"abc".to_vec(); // then aligned: header 32, 27 words and counts, 3
    for name in ["operator", "PLANT", "Windows 5.1", "Windows 2000 LAN Manager"] {
        names.extend(utf16(name));
        names.extend([0, 0]);
    }
    let tree = vec![0xff, 0, 0, 0, 0, 0, 1, 0];
    let mut path = vec![0];
    path.extend(utf16("\\\\srv\\C$"));
    path.extend([0, 0]);
    path.extend(b"?????\0");
    let mut delete = vec![4];
    delete.extend(utf16("\\x.s7p"));
    delete.extend([0, 0]);
    vec![
        (Side::A, smb1(0x72, false, 1, &[], b"\x02LANMAN1.0\0\x02NT LM 0.12\0")),
        (Side::B, smb1(0x72, true, 1, &agreed, &utf16("PLANT\0SRV\0"))),
        (Side::A, smb1(0x73, false, 2, &setup, &names)),
        (Side::B, smb1(0x73, true, 2, &[0xff, 0, 0, 0, 0, 0], b"\0")),
        (Side::A, smb1(0x75, false, 3, &tree, &path)),
        (Side::B, smb1(0x75, true, 3, &[0xff, 0, 0, 0, 0, 0], b"A:\0")),
        (Side::A, smb1(0x06, false, 4, &[0, 0], &delete)),
        (Side::B, smb1(0x06, true, 4, &[], &[])),
    ]
}

#[test]
fn an_old_session_is_read_as_well() {
    let said = items(&old_session());
    assert_eq!(
        vec![
            ("negotiate", "".into(), Outcome::Ok),
            ("session-setup-andx", "".into(), Outcome::Ok),
            ("tree-connect-andx", "\\\\srv\\C$".into(), Outcome::Ok),
            ("delete", "C$\\x.s7p".into(), Outcome::Ok),
        ],
        operations(&said)
    );
    let kinds: Vec<_> = events(&said).iter().map(|event| event.kind).collect();
    assert_eq!(vec!["cleartext-credentials", "login", "file-deleted"], kinds);
    assert!(has_claim(&said, "smb_dialect", "NT LM 0.12"));
    assert!(has_claim(&said, "smb_signing", "disabled"));
    assert!(has_claim(&said, "os", "Windows 5.1"));
    assert!(has_claim(&said, "name", "SRV"));
    assert!(!format!("{said:?}").contains("abc"));
    survives(&old_session());
}

#[test]
fn the_implant_answers_with_another_id() {
    let mut words = vec![0; 30];
    words[26] = 1; // one set-up word
    words[28] = 0x0e;
    let ask = (Side::A, smb1(0x32, false, 0x41, &words, &[]));
    let implant = [ask.clone(), (Side::B, smb1(0x32, true, 0x51, &[], &[]))];
    assert_eq!("smb-implant-reply", events(&items(&implant))[0].kind);
    let server = [ask, (Side::B, smb1(0x32, true, 0x41, &[], &[]))];
    assert!(events(&items(&server)).is_empty());
    survives(&implant);
}

#[test]
fn announcements_name_the_machine() {
    let mut announcement = vec![1, 0, 0, 0, 0, 0];
    announcement.extend(b"HMI7\0\0\0\0\0\0\0\0\0\0\0\0");
    announcement.extend([6, 1, 3, 0, 0, 0, 15, 1, 0x55, 0xaa]);
    announcement.extend(b"filling line\0");
    let mut words = vec![0; 34];
    let name = b"\\MAILSLOT\\BROWSE\0";
    let start = 32 + 1 + words.len() + 2 + name.len();
    words[22] = announcement.len() as u8;
    words[24] = start as u8;
    let message = smb1(0x25, false, 0, &words, &[name.as_slice(), &announcement].concat());
    let mut datagram = vec![0x11, 2, 0, 1, 192, 0, 2, 1, 0, 138, 0, 100, 0, 0];
    for _ in 0..2 {
        datagram.push(32);
        datagram.extend([b'E'; 32]);
        datagram.push(0);
    }
    datagram.extend(&message[4..]);
    let udp = Protocol { carriers: &[Carrier::Udp(&[138])], ..PROTOCOL };
    let said = testing::items(&udp, &[(Side::A, &datagram)]);
    assert!(has_claim(&said, "name", "HMI7"));
    assert!(has_claim(&said, "browser_os_version", "6.1"));
    assert!(has_claim(&said, "description", "filling line"));
    assert_eq!(
        vec![("transaction", "\\MAILSLOT\\BROWSE".into(), Outcome::None)],
        operations(&said)
    );
    assert_eq!(Probe::Certain, testing::probe(&udp, (Side::A, &datagram)));
    testing::survives(&udp, &[(Side::A, &datagram)]);

    // The same over IPX, in its Name Management Protocol.
    let mut packet = vec![0; 98];
    packet[..2].fill(0xff);
    packet[16..18].copy_from_slice(&[5, 0x53]);
    packet[62] = 0xfc;
    packet.extend(&message[4..]);
    let ipx = Protocol { carriers: &[Carrier::EtherType(&[0x8137])], ..PROTOCOL };
    let over_ipx = testing::items(&ipx, &[(Side::A, &packet)]);
    assert_eq!(operations(&said), operations(&over_ipx));
    assert!(has_claim(&over_ipx, "name", "HMI7"));
    assert_eq!(Probe::Certain, testing::probe(&ipx, (Side::A, &packet)));
    testing::survives(&ipx, &[(Side::A, &packet)]);
    packet[17] = 0x51;
    assert_eq!(Probe::No, testing::probe(&ipx, (Side::A, &packet)));
}

#[test]
fn frames_without_ip_carry_commands() {
    let llc = Protocol { carriers: &[Carrier::Llc(&[0xf0])], ..PROTOCOL };
    let frame = |command: u8, message: &[u8]| {
        let mut bytes = vec![14, 0, 0xff, 0xef, command, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        bytes.extend(&message[4..]);
        bytes
    };
    let session = old_session();
    let talk: Vec<_> = session.iter().map(|(side, bytes)| (*side, frame(0x16, bytes))).collect();
    let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    assert_eq!(operations(&items(&session)), operations(&testing::items(&llc, &talk)));
    assert_eq!(Probe::Certain, testing::probe(&llc, talk[0]));
    let name_query = frame(0x0a, &[0; 40]);
    assert_eq!(Probe::No, testing::probe(&llc, (Side::A, &name_query)));
    testing::survives(&llc, &talk);
}

#[test]
fn a_session_request_names_the_client() {
    let mut request = vec![0x81, 0, 0, 68];
    for letters in [*b"EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE", *b"EIENEJDHCACACACACACACACACACACAAA"] {
        request.push(32);
        request.extend(letters);
        request.push(0);
    }
    let said = items(&[(Side::A, request)]);
    assert!(has_claim(&said, "name", "HMI7"));
}

#[test]
fn something_else_where_a_message_must_start_is_a_violation() {
    let said = items(&[
        (Side::A, smb2(13, 8, None, 0, &[4, 0, 0, 0])),
        (Side::A, b"GET / HTTP/1.1\r\n".to_vec()),
    ]);
    assert!(said.iter().any(|item| matches!(item, Item::Violation(violation)
        if violation.rule == "smb-frame")));
}

#[test]
fn the_probe_knows_its_own() {
    let first = smb2(0, 0, None, 0, &[0; 36]);
    assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &first)));
    assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &first[..6])));
    assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
    // Modbus: transaction 1, protocol 0, length 6, unit 1, function 3
    let modbus = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
    assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &modbus)));
}
