//! NTLM messages inside other protocols: who logs in, and what the two machines say of themselves.
//!
//! Sources: [MS-NLMP] §2.2.1 (NEGOTIATE, CHALLENGE, AUTHENTICATE), §2.2.2.1 (AV_PAIR), §2.2.2.5
//! (negotiate flags), §2.2.2.10 (VERSION).
//!
//! The messages are found by their signature, whatever wraps them (SPNEGO, an auth verifier). The
//! responses, from which passwords can be guessed, are secrets and never kept.

use compact_str::{CompactString, format_compact};

use crate::fields::{array_at, part_at, u16_at, u32_at};
use crate::out::{Child, Claim, Confidence, Decode, Out, Who};
use crate::session::Input;
use crate::text;

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const UNICODE: u32 = 0x1;
const ANONYMOUS: u32 = 0x800;
const VERSION: u32 = 0x0200_0000;
const OEM_DOMAIN_SUPPLIED: u32 = 0x1000;
const OEM_WORKSTATION_SUPPLIED: u32 = 0x2000;

/// Bytes of one field that are read; names are shorter.
const FIELD: usize = 1024;

/// The Kerberos mechanism in a SPNEGO token, 1.2.840.113554.1.2.2 (RFC 4121 §4.1), and the form
/// that Windows 2000 sends, 1.2.840.48018.1.2.2 ([MS-SPNG] §2.2.1).
const KERBEROS: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02],
    &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02],
];

/// Who asks to be let in. Fields that were not told are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// `ntlm` or `kerberos`.
    pub mechanism: &'static str,
    /// Account name, `anonymous` for a null session.
    pub user: CompactString,
    /// Domain (or machine) of the account.
    pub domain: CompactString,
    /// Name the client gives its own machine.
    pub workstation: CompactString,
}

impl Login {
    /// The values of a log-in event, without empty ones, sorted by name.
    #[must_use]
    pub fn values(&self) -> Vec<(&'static str, CompactString)> {
        let mut values = vec![
            ("domain", self.domain.clone()),
            ("mechanism", self.mechanism.into()),
            ("user", self.user.clone()),
            ("workstation", self.workstation.clone()),
        ];
        values.retain(|(_, value)| !value.is_empty());
        values
    }
}

/// Reads the security blob `blob` of a message, a sub-slice of `input.bytes`: claims go to `out`;
/// the log-in it asks for, if it is the message that does.
pub fn read(
    input: &Input<'_>,
    blob: &[u8],
    protocol: &'static str,
    out: &mut Out,
) -> Option<Login> {
    let Some(at) = memchr::memmem::find(blob, SIGNATURE) else {
        let carries = |oid: &&[u8]| memchr::memmem::find(blob, oid).is_some();
        // A token that only offers Kerberos among others is followed by the one that is used.
        return KERBEROS
            .iter()
            .any(carries)
            .then(|| Login { mechanism: "kerberos", ..Login::default() });
    };
    let reader = Reader { input, protocol, message: blob.get(at..)? };
    match u32_at(reader.message, 8)? {
        1 => reader.negotiate(out),
        2 => reader.challenge(out),
        3 => return reader.authenticate(out),
        _ => {}
    }
    None
}

struct Reader<'a> {
    input: &'a Input<'a>,
    protocol: &'static str,
    message: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The bytes that the (length, most, offset) triple at `at` points to.
    fn field(&self, at: usize) -> &'a [u8] {
        let length = u16_at(self.message, at).unwrap_or_default();
        let offset = u32_at(self.message, at + 4).unwrap_or_default();
        part_at(self.message, offset as usize, usize::from(length).min(FIELD))
    }

    fn claim(
        &self,
        attribute: &'static str,
        part: &[u8],
        unicode: bool,
        message: &'static str,
        confidence: Confidence,
        out: &mut Out,
    ) {
        let (part, value, decode) = if unicode {
            let part = text::trim_utf16(part);
            (part, text::utf16le(part), Decode::Utf16Le)
        } else {
            let part = text::trim(part);
            (part, text::utf8(part), Decode::Utf8)
        };
        self.say(attribute, value, part, decode, message, confidence, out);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one claim")]
    fn say(
        &self,
        attribute: &'static str,
        value: CompactString,
        part: &[u8],
        decode: Decode,
        message: &'static str,
        confidence: Confidence,
        out: &mut Out,
    ) {
        out.claim(Claim {
            who: Who::Sender(Child::None),
            attribute,
            value,
            protocol: self.protocol,
            message,
            confidence,
            evidence: self.input.evidence(part, decode),
        });
    }

    /// The VERSION structure at `at`: major, minor, build. Implementations that are not Windows
    /// fill in a version without build, which says nothing.
    fn version(&self, at: usize, message: &'static str, out: &mut Out) {
        let Some([major, minor, low, high]) = array_at::<4>(self.message, at) else { return };
        let build = u16::from_le_bytes([low, high]);
        if build == 0 || !(5..=10).contains(&major) {
            return;
        }
        let value = format_compact!("Windows {major}.{minor}.{build}");
        let part = part_at(self.message, at, 4);
        self.say("os", value, part, Decode::Derived, message, Confidence::High, out);
    }

    fn negotiate(&self, out: &mut Out) {
        const MESSAGE: &str = "ntlm-negotiate";
        let flags = u32_at(self.message, 12).unwrap_or_default();
        if flags & OEM_DOMAIN_SUPPLIED != 0 {
            self.claim("domain", self.field(16), false, MESSAGE, Confidence::Medium, out);
        }
        if flags & OEM_WORKSTATION_SUPPLIED != 0 {
            self.claim("name", self.field(24), false, MESSAGE, Confidence::Medium, out);
        }
        if flags & VERSION != 0 {
            self.version(32, MESSAGE, out);
        }
    }

    fn challenge(&self, out: &mut Out) {
        const MESSAGE: &str = "ntlm-challenge";
        let flags = u32_at(self.message, 20).unwrap_or_default();
        let mut pairs = self.field(40);
        // Each pair: what it is, how long, the value (always UTF-16). 0 ends the list.
        for _ in 0..16 {
            let (Some(id), Some(length)) = (u16_at(pairs, 0), u16_at(pairs, 2)) else { break };
            let value = part_at(pairs, 4, usize::from(length));
            let attribute = match id {
                1 => "name",
                2 => "domain",
                3 => "dns_name",
                4 => "dns_domain",
                0 => break,
                _ => "",
            };
            if !attribute.is_empty() {
                self.claim(attribute, value, true, MESSAGE, Confidence::High, out);
            }
            pairs = pairs.get(4 + usize::from(length)..).unwrap_or_default();
        }
        if flags & VERSION != 0 {
            self.version(48, MESSAGE, out);
        }
    }

    fn authenticate(&self, out: &mut Out) -> Option<Login> {
        const MESSAGE: &str = "ntlm-authenticate";
        let flags = u32_at(self.message, 60).unwrap_or(UNICODE);
        let unicode = flags & UNICODE != 0;
        let read = |at| {
            let part = self.field(at);
            if unicode { text::utf16le(part) } else { text::utf8(text::trim(part)) }
        };
        let mut login =
            Login { mechanism: "ntlm", domain: read(28), user: read(36), workstation: read(44) };
        let no_response = u16_at(self.message, 20).unwrap_or_default() == 0;
        if login.user.is_empty() && (flags & ANONYMOUS != 0 || no_response) {
            login.user = "anonymous".into();
        }
        // A client may call itself anything, and tools do.
        self.claim("name", self.field(44), unicode, MESSAGE, Confidence::Medium, out);
        if flags & VERSION != 0 {
            self.version(64, MESSAGE, out);
        }
        Some(login)
    }
}

/// Messages for the tests of protocols that carry them.
#[cfg(test)]
pub mod messages {
    use super::SIGNATURE;

    /// A text as its bytes on the wire.
    pub fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn pointer(at: usize, part: &[u8]) -> Vec<u8> {
        let length = (part.len() as u16).to_le_bytes();
        [&length[..], &length, &(at as u32).to_le_bytes()].concat()
    }

    /// A challenge of `name` in `domain`, Windows 10.0 build 17763.
    pub fn challenge(name: &str, domain: &str) -> Vec<u8> {
        let mut pairs = Vec::new();
        for (id, value) in [(2_u16, utf16(domain)), (1, utf16(name))] {
            pairs.extend(id.to_le_bytes());
            pairs.extend((value.len() as u16).to_le_bytes());
            pairs.extend(value);
        }
        pairs.extend([0; 4]);
        let target = utf16(domain);
        let mut message = [SIGNATURE, &2_u32.to_le_bytes()].concat();
        message.extend(pointer(56, &target));
        message.extend(0x0200_0001_u32.to_le_bytes()); // version, Unicode
        message.extend([0x11; 8]); // server challenge
        message.extend([0; 8]);
        message.extend(pointer(56 + target.len(), &pairs));
        message.extend([10, 0, 0x63, 0x45, 0, 0, 0, 15]);
        message.extend(target);
        message.extend(pairs);
        message
    }

    /// The log-in of `user` of `domain` from `workstation`, with a response of 24 bytes 0xee.
    pub fn authenticate(user: &str, domain: &str, workstation: &str) -> Vec<u8> {
        let (user, domain, workstation) = (utf16(user), utf16(domain), utf16(workstation));
        let response = [0xee; 24];
        let mut at = 72;
        let mut message = [SIGNATURE, &3_u32.to_le_bytes()].concat();
        let mut tail: Vec<u8> = Vec::new();
        for part in [&response[..], &response, &domain, &user, &workstation, &[]] {
            message.extend(pointer(at, part));
            at += part.len();
            tail.extend(part);
        }
        message.extend(0x0200_0001_u32.to_le_bytes());
        message.extend([10, 0, 0x61, 0x4a, 0, 0, 0, 15]);
        message.extend(tail);
        message
    }
}

#[cfg(test)]
mod tests {
    use otic_wire::{FrameSpan, SpanMap};

    use super::*;
    use crate::out::Item;
    use crate::session::{Side, Transport};

    fn read_bytes(bytes: &[u8]) -> (Option<Login>, Vec<(&'static str, CompactString)>) {
        let length = bytes.len() as u32;
        let spans = SpanMap::single(FrameSpan { file: 0, frame: 1, offset: 0, length });
        let nobody = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
        let input = Input {
            bytes,
            spans: &spans,
            side: Side::A,
            transport: Transport::Tcp,
            source_port: 1,
            destination_port: 2,
            source: nobody,
            destination: nobody,
            source_mac: None,
            ts_ns: 0,
            stream_start: true,
            after_gap: false,
            truncated: false,
        };
        let mut out = Out::default();
        let login = read(&input, bytes, "smb", &mut out);
        assert!(!format!("{:?}", out.items).contains("eeee"));
        let claims = out.items.into_iter().filter_map(|item| match item {
            Item::Claim(claim) => Some((claim.attribute, claim.value)),
            _ => None,
        });
        (login, claims.collect())
    }

    #[test]
    fn a_challenge_names_the_server_and_its_system() {
        let (login, claims) = read_bytes(&messages::challenge("HISTORIAN", "PLANT"));
        assert_eq!(None, login);
        assert_eq!(
            vec![
                ("domain", "PLANT".into()),
                ("name", "HISTORIAN".into()),
                ("os", "Windows 10.0.17763".into()),
            ],
            claims
        );
    }

    #[test]
    fn an_authenticate_message_names_the_user_and_keeps_no_response() {
        let wrapped = [&[0xa1, 0x81, 0xff][..], &messages::authenticate("eve", "PLANT", "ES1")];
        let (login, claims) = read_bytes(&wrapped.concat());
        let login = login.unwrap();
        assert_eq!(
            vec![
                ("domain", "PLANT".into()),
                ("mechanism", "ntlm".into()),
                ("user", "eve".into()),
                ("workstation", "ES1".into()),
            ],
            login.values()
        );
        assert!(claims.contains(&("name", "ES1".into())));
    }

    #[test]
    fn pointers_beyond_the_end_give_nothing() {
        let mut message = messages::authenticate("eve", "PLANT", "ES1");
        message.truncate(72);
        let (login, claims) = read_bytes(&message);
        assert_eq!("", login.unwrap().user);
        assert_eq!(vec![("os", "Windows 10.0.19041".into())], claims);
    }
}
