//! The services of OPC UA (OPC 10000-4 §5) and the parts of their messages that are read.

use compact_str::{CompactString, ToCompactString, format_compact};

use super::binary::{NodeId, Reader, Variant};
use crate::out::{Action, Object};
use crate::text;

/// Encoding ids of requests that are read further (OPC 10000-6 annex A).
pub const FIND_SERVERS: u32 = 422;
/// GetEndpoints.
pub const GET_ENDPOINTS: u32 = 428;
/// OpenSecureChannel.
pub const OPEN_SECURE_CHANNEL: u32 = 446;
/// CreateSession.
pub const CREATE_SESSION: u32 = 461;
/// ActivateSession.
pub const ACTIVATE_SESSION: u32 = 467;
/// Browse.
pub const BROWSE: u32 = 527;
/// Read.
pub const READ: u32 = 631;
/// Write.
pub const WRITE: u32 = 673;
/// Call.
pub const CALL: u32 = 712;
/// CreateMonitoredItems.
pub const CREATE_MONITORED_ITEMS: u32 = 751;
/// The response that stands for any refused request.
pub const SERVICE_FAULT: u32 = 397;

/// The attribute that holds a node's value (OPC 10000-6 annex A).
pub const VALUE: u32 = 13;

/// Most elements of a list that are read.
pub const LISTED: usize = 256;
/// Most nodes an object spells out; the others are counted.
const SPELLED: usize = 8;

/// Name and action of a request by the id of its binary encoding.
#[must_use]
pub const fn service(id: u32) -> Option<(&'static str, Action)> {
    Some(match id {
        FIND_SERVERS => ("find-servers", Action::Identify),
        12208 => ("find-servers-on-network", Action::Identify),
        GET_ENDPOINTS => ("get-endpoints", Action::Identify),
        437 => ("register-server", Action::Configuration),
        12211 => ("register-server-2", Action::Configuration),
        OPEN_SECURE_CHANNEL => ("open-secure-channel", Action::Session),
        452 => ("close-secure-channel", Action::Session),
        CREATE_SESSION => ("create-session", Action::Session),
        ACTIVATE_SESSION => ("activate-session", Action::Authenticate),
        473 => ("close-session", Action::Session),
        479 => ("cancel", Action::Session),
        488 => ("add-nodes", Action::Configuration),
        494 => ("add-references", Action::Configuration),
        500 => ("delete-nodes", Action::Configuration),
        506 => ("delete-references", Action::Configuration),
        BROWSE => ("browse", Action::Read),
        533 => ("browse-next", Action::Read),
        554 => ("translate-browse-paths", Action::Read),
        560 => ("register-nodes", Action::Session),
        566 => ("unregister-nodes", Action::Session),
        615 => ("query-first", Action::Read),
        621 => ("query-next", Action::Read),
        READ => ("read", Action::Read),
        664 => ("history-read", Action::Read),
        WRITE => ("write", Action::Write),
        700 => ("history-update", Action::Write),
        CALL => ("call", Action::Control),
        CREATE_MONITORED_ITEMS => ("create-monitored-items", Action::Subscribe),
        763 => ("modify-monitored-items", Action::Subscribe),
        769 => ("set-monitoring-mode", Action::Subscribe),
        775 => ("set-triggering", Action::Subscribe),
        781 => ("delete-monitored-items", Action::Subscribe),
        787 => ("create-subscription", Action::Subscribe),
        793 => ("modify-subscription", Action::Subscribe),
        799 => ("set-publishing-mode", Action::Subscribe),
        826 => ("publish", Action::Subscribe),
        832 => ("republish", Action::Subscribe),
        841 => ("transfer-subscriptions", Action::Subscribe),
        847 => ("delete-subscriptions", Action::Subscribe),
        _ => return None,
    })
}

/// The request that a response answers, by the ids of their binary encodings.
#[must_use]
pub const fn request_of(response: u32) -> Option<u32> {
    let request = match response {
        12209 | 12212 => response - 1,
        _ => response.wrapping_sub(3),
    };
    if service(request).is_some() { Some(request) } else { None }
}

/// RequestHeader (OPC 10000-4 §7.33), skipped.
pub fn request_header(reader: &mut Reader<'_>) -> Option<()> {
    reader.node_id()?;
    // time, handle, diagnostics wanted
    reader.skip(16)?;
    reader.string()?;
    reader.skip(4)?;
    reader.extension_object().map(drop)
}

/// ResponseHeader (OPC 10000-4 §7.34): the service's result.
pub fn response_header(reader: &mut Reader<'_>) -> Option<u32> {
    // time, handle
    reader.skip(12)?;
    let status = reader.u32()?;
    reader.diagnostic_info()?;
    reader.strings()?;
    reader.extension_object()?;
    Some(status)
}

/// Whether a status code is bad (OPC 10000-4 §7.39: the two top bits are severity).
#[must_use]
pub const fn is_bad(status: u32) -> bool {
    status >> 30 == 2
}

/// A node and its attribute, in a read, a write or a monitored item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node's id as text.
    pub node: CompactString,
    /// The node's number in OPC UA's own namespace.
    pub standard: Option<u32>,
    /// Which of its attributes.
    pub attribute: u32,
}

impl Target {
    fn new(node: NodeId<'_>, attribute: u32) -> Self {
        Self { node: node.to_text(), standard: node.standard(), attribute }
    }

    /// The target as people write it: the node, and the attribute unless it is the value.
    #[must_use]
    pub fn name(&self) -> CompactString {
        if self.attribute == VALUE {
            self.node.clone()
        } else {
            format_compact!("{} attribute {}", self.node, self.attribute)
        }
    }
}

/// The next ReadValueId (OPC 10000-4 §7.29).
fn read_value_id(reader: &mut Reader<'_>) -> Option<Target> {
    let target = Target::new(reader.node_id()?, reader.u32()?);
    reader.string()?;
    reader.qualified_name()?;
    Some(target)
}

/// What a list of an array's first elements holds; stops at the first that cannot be read.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut next: impl FnMut(&mut Reader<'a>) -> Option<T>,
) -> Vec<T> {
    let count = reader.array().unwrap_or(0).min(LISTED);
    (0..count).map_while(|_| next(reader)).collect()
}

/// The nodes of a read, after its header.
#[must_use]
pub fn reads(mut reader: Reader<'_>) -> Vec<Target> {
    // longest age, time stamps wanted
    if reader.skip(12).is_none() {
        return Vec::new();
    }
    list(&mut reader, read_value_id)
}

/// The nodes of a write, after its header, with what is written.
#[must_use]
pub fn writes(mut reader: Reader<'_>) -> Vec<(Target, Option<Variant<'_>>)> {
    list(&mut reader, |reader| {
        let target = Target::new(reader.node_id()?, reader.u32()?);
        reader.string()?;
        let (value, _) = reader.data_value()?;
        Some((target, value))
    })
}

/// The methods of a call, after its header: the object's id and the method's.
#[must_use]
pub fn calls(mut reader: Reader<'_>) -> Vec<CompactString> {
    list(&mut reader, |reader| {
        let (object, method) = (reader.node_id()?, reader.node_id()?);
        for _ in 0..reader.array()? {
            reader.variant()?;
        }
        Some(format_compact!("{} {}", object.to_text(), method.to_text()))
    })
}

/// The nodes of a browse, after its header.
#[must_use]
pub fn browses(mut reader: Reader<'_>) -> Vec<CompactString> {
    // view: node, time, version; most references wanted
    if reader.node_id().and_then(|_| reader.skip(16)).is_none() {
        return Vec::new();
    }
    list(&mut reader, |reader| {
        let node = reader.node_id()?.to_text();
        // direction, type of reference, with subtypes, class mask, result mask
        reader.skip(4)?;
        reader.node_id()?;
        reader.skip(9)?;
        Some(node)
    })
}

/// The nodes of monitored items, after the request's header.
#[must_use]
pub fn monitors(mut reader: Reader<'_>) -> Vec<CompactString> {
    // subscription, time stamps wanted
    if reader.skip(8).is_none() {
        return Vec::new();
    }
    list(&mut reader, |reader| {
        let name = read_value_id(reader)?.name();
        // mode, handle, sampling interval, filter, queue size, discard oldest
        reader.skip(16)?;
        reader.extension_object()?;
        reader.skip(5)?;
        Some(name)
    })
}

/// The results of a read, after the response's header: value and status of each node.
#[must_use]
pub fn read_results(mut reader: Reader<'_>) -> Vec<(Option<Variant<'_>>, u32)> {
    list(&mut reader, |reader| reader.data_value())
}

/// The status codes of a write, after the response's header.
#[must_use]
pub fn write_results(mut reader: Reader<'_>) -> Vec<u32> {
    list(&mut reader, |reader| reader.u32())
}

/// The status codes of a call, after the response's header.
#[must_use]
pub fn call_results(mut reader: Reader<'_>) -> Vec<u32> {
    list(&mut reader, |reader| {
        let status = reader.u32()?;
        for _ in 0..reader.array()? {
            reader.u32()?;
        }
        for _ in 0..reader.array()? {
            reader.diagnostic_info()?;
        }
        for _ in 0..reader.array()? {
            reader.variant()?;
        }
        Some(status)
    })
}

/// ApplicationDescription (OPC 10000-4 §7.2), the texts that are told.
#[derive(Debug, Clone, Copy)]
pub struct Application<'a> {
    /// The application's own URI.
    pub uri: &'a [u8],
    /// The URI of the product.
    pub product: &'a [u8],
    /// Its name for people.
    pub name: &'a [u8],
}

/// The next ApplicationDescription.
pub fn application<'a>(reader: &mut Reader<'a>) -> Option<Application<'a>> {
    let (uri, product, name) = (reader.string()?, reader.string()?, reader.localized_text()?);
    // type, gateway, discovery profile, discovery URLs
    reader.skip(4)?;
    reader.string()?;
    reader.string()?;
    reader.strings()?;
    Some(Application { uri, product, name })
}

/// EndpointDescription (OPC 10000-4 §7.14).
#[derive(Debug, Clone)]
pub struct Endpoint<'a> {
    /// Where it is.
    pub url: &'a [u8],
    /// The server behind it.
    pub server: Application<'a>,
    /// The server's certificate in DER; empty for none.
    pub certificate: &'a [u8],
    /// 1 none, 2 sign, 3 sign and encrypt.
    pub mode: u32,
    /// URI of the security policy.
    pub policy: &'a [u8],
    /// How users may log in: 0 anonymous, 1 user name, 2 certificate, 3 issued token.
    pub tokens: Vec<u32>,
}

/// The next EndpointDescription.
pub fn endpoint<'a>(reader: &mut Reader<'a>) -> Option<Endpoint<'a>> {
    let (url, server, certificate) = (reader.string()?, application(reader)?, reader.string()?);
    let (mode, policy) = (reader.u32()?, reader.string()?);
    let mut tokens = Vec::new();
    for _ in 0..reader.array()? {
        reader.string()?;
        let kind = reader.u32()?;
        if tokens.len() < 8 && !tokens.contains(&kind) {
            tokens.push(kind);
        }
        for _ in 0..3 {
            reader.string()?;
        }
    }
    reader.string()?;
    reader.skip(1)?;
    Some(Endpoint { url, server, certificate, mode, policy, tokens })
}

/// The endpoints of a list.
pub fn endpoints<'a>(reader: &mut Reader<'a>) -> Vec<Endpoint<'a>> {
    list(reader, endpoint)
}

/// The applications of a list.
pub fn applications<'a>(reader: &mut Reader<'a>) -> Vec<Application<'a>> {
    list(reader, application)
}

/// The standard's word for a security mode (OPC 10000-4 §7.20).
#[must_use]
pub const fn mode(number: u32) -> &'static str {
    match number {
        1 => "none",
        2 => "sign",
        3 => "sign-and-encrypt",
        _ => "invalid",
    }
}

/// The name of a security policy: what follows the `#` of its URI.
#[must_use]
pub fn policy(uri: &[u8]) -> CompactString {
    let name = uri.rsplit(|byte| *byte == b'#').next().unwrap_or_default();
    text::utf8(name.get(..64).unwrap_or(name))
}

/// How a user is proven (OPC 10000-4 §7.41.1), as words.
#[must_use]
pub fn tokens(kinds: &[u32]) -> CompactString {
    let mut list = CompactString::default();
    for kind in kinds {
        if !list.is_empty() {
            list.push(' ');
        }
        match kind {
            0 => list.push_str("anonymous"),
            1 => list.push_str("user-name"),
            2 => list.push_str("certificate"),
            3 => list.push_str("issued-token"),
            other => list.push_str(&other.to_compact_string()),
        }
    }
    list
}

/// The user of an ActivateSession request, after its header: the name and whether the password
/// stands in clear text. None for anonymous users and those who log in otherwise.
#[must_use]
pub fn user(mut reader: Reader<'_>) -> Option<(&[u8], bool)> {
    // signature: algorithm and bytes
    reader.string()?;
    reader.string()?;
    for _ in 0..reader.array()? {
        reader.string()?;
        reader.string()?;
    }
    reader.strings()?;
    let (kind, body) = reader.extension_object()?;
    // UserNameIdentityToken: policy, name, password, its encryption
    if kind.standard() != Some(324) {
        return None;
    }
    let mut token = Reader::new(body);
    token.string()?;
    let (name, password) = (token.string()?, token.string()?);
    let encryption = token.string()?;
    Some((name, encryption.is_empty() && !password.is_empty()))
}

/// The names as one object: one name, or a list that counts what it does not spell out.
#[must_use]
pub fn object(names: impl ExactSizeIterator<Item = CompactString>) -> Object {
    let count = names.len();
    let mut text = CompactString::default();
    for name in names.take(SPELLED) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&name);
    }
    if count > SPELLED {
        text.push_str(&format_compact!(", +{}", count - SPELLED));
    }
    if text.is_empty() { Object::None } else { Object::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_know_their_request() {
        assert_eq!(Some(READ), request_of(634));
        assert_eq!(Some(12211), request_of(12212));
        assert_eq!(None, request_of(READ));
        assert_eq!(None, request_of(0));
    }

    #[test]
    fn policies_and_users_read_like_words() {
        let uri = b"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256";
        assert_eq!("Basic256Sha256", policy(uri));
        assert_eq!("anonymous user-name 9", tokens(&[0, 1, 9]));
    }

    #[test]
    fn a_long_list_is_counted() {
        let names = vec![CompactString::from("i=1"); 10];
        let expected = "i=1, i=1, i=1, i=1, i=1, i=1, i=1, i=1, +2";
        assert_eq!(expected, object(names.into_iter()).to_text());
        assert_eq!(Object::None, object(std::iter::empty()));
    }
}
