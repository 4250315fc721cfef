//! The file format of a definition, as TOML gives it; `compile.rs` says what it means.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A definition file.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "some of it is words that only Python reads")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// Name used in facts.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Who made the protocol; empty for nobody in particular.
    #[serde(default)]
    pub vendor: String,
    /// Where the wire facts come from.
    pub source: String,
    /// What the client is called.
    pub client: String,
    /// What the server is called.
    pub server: String,
    /// What is not decoded; for the documents.
    #[serde(default)]
    pub not_decoded: String,
    /// Words for the inventory, which Python reads.
    #[serde(default)]
    pub inventory: Option<toml::Table>,
    /// Messages and what must be said of them, which `otic protocol test` looks at.
    #[serde(default)]
    pub examples: Option<toml::Value>,
    /// Where it is carried.
    pub carriers: Carriers,
    /// Byte order of numbers.
    #[serde(default)]
    pub order: Order,
    /// Where a message of a stream ends, when no field says it.
    #[serde(default)]
    pub stream: Option<Stream>,
    /// Fields that a response has in common with its request.
    #[serde(default)]
    pub pair: Vec<String>,
    /// Child behind the client.
    #[serde(default)]
    pub client_child: Option<Child>,
    /// Child behind the server.
    #[serde(default)]
    pub server_child: Option<Child>,
    /// Fields of every message.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// What fits no kind of message belongs to the message before it.
    #[serde(default)]
    pub others_are_data: bool,
    /// Kinds of messages, the first that fits counts.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Codes and what they mean.
    #[serde(default)]
    pub tables: BTreeMap<String, BTreeMap<String, Row>>,
}

/// Where a protocol is carried.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Carriers {
    pub tcp: Option<Vec<u16>>,
    pub udp: Option<Vec<u16>>,
    pub ethertype: Option<Vec<u16>>,
    pub llc: Option<Vec<u8>>,
    pub snap: Option<Vec<(u32, u16)>>,
    pub ip: Option<Vec<u8>>,
}

/// Byte order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    #[default]
    Big,
    Little,
}

/// How a stream is cut into messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stream {
    /// Every message ends with this text.
    pub ends: String,
}

/// One field.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Field {
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub order: Option<Order>,
    pub size: Option<Size>,
    pub leave: Option<usize>,
    pub check: Option<String>,
    pub start: Option<usize>,
    pub plus: i64,
    pub unit: Option<u32>,
    pub ends: Option<String>,
    pub until: Option<String>,
    pub is: Option<Is>,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub of: Option<String>,
    pub mask: Option<u64>,
    pub counts: Option<Counts>,
    pub base: Option<u32>,
    pub show: Option<Show>,
    pub optional: bool,
    pub type_size: Option<usize>,
    pub length_size: Option<usize>,
    pub length_counts: Option<LengthCounts>,
    pub align: Option<usize>,
    pub pad: Option<u64>,
    pub stop: Option<u64>,
    pub separator: Option<String>,
    pub equals: Option<String>,
    pub entries: BTreeMap<String, Entry>,
}

/// A number of bytes, or the field that tells it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Size {
    Bytes(usize),
    Field(String),
}

/// What a length field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// The whole message.
    Message,
    /// What follows the field.
    Rest,
}

/// What the length of a typed entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthCounts {
    /// Its value alone.
    Value,
    /// Type and length too.
    Entry,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    Hex,
}

/// The values a field may have.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Is {
    Number(u64),
    Text(String),
    Numbers(Vec<u64>),
    Texts(Vec<String>),
    Range { min: u64, max: u64 },
}

/// What stands under one type, name or column.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// A text with this name.
    Name(String),
    /// One field.
    Field(Box<Field>),
    /// Several fields in a row.
    Fields(Vec<Field>),
}

/// A kind of message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Message {
    pub name: String,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub from: Option<End>,
    #[serde(default)]
    pub when: BTreeMap<String, Is>,
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Nothing follows the fields.
    #[serde(default)]
    pub exact: bool,
    #[serde(default)]
    pub operation: Option<Operation>,
    /// A response: when the request was refused.
    #[serde(default)]
    pub refused: BTreeMap<String, Is>,
    #[serde(default)]
    pub claims: BTreeMap<String, Claim>,
    #[serde(default)]
    pub change: Option<Change>,
    #[serde(default)]
    pub event: Option<Event>,
    #[serde(default)]
    pub payload: Option<Payload>,
    /// Such a message breaks the protocol: name of the rule.
    #[serde(default)]
    pub breaks: Option<String>,
}

/// How messages belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[default]
    OneWay,
    Request,
    Response,
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    Client,
    Server,
}

/// What a message does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Operation {
    /// Field whose value is the code.
    pub code: Option<String>,
    /// Table that says what the code means.
    pub table: Option<String>,
    /// Name, where no table says it.
    pub name: Option<String>,
    /// Action class, where no table says it.
    pub action: Option<String>,
    pub object: Option<Object>,
}

/// What an operation acts on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Object {
    /// Fields whose texts, joined, name it.
    pub text: Option<Vec<String>>,
    /// What stands between the texts.
    pub join: Option<String>,
    /// What the number counts.
    pub kind: Option<String>,
    pub number: Option<String>,
    /// The space of a run of numbered items.
    pub space: Option<String>,
    pub first: Option<String>,
    pub count: Option<String>,
}

/// A child address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Child {
    pub kind: String,
    pub field: String,
}

/// A field that tells an attribute.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    Field(String),
    Full(FullClaim),
}

/// The same with all that can be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FullClaim {
    pub field: String,
    pub table: Option<String>,
    pub confidence: Option<Confidence>,
    pub about: Option<About>,
}

/// How much a claim proves.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    Low,
    Medium,
    High,
}

/// Whom a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    Sender,
    Receiver,
}

/// A value that is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    pub new: String,
    #[serde(default)]
    pub old: Option<String>,
    /// What is written, when it is not the operation's object.
    #[serde(default)]
    pub object: Option<Object>,
}

/// Something that happens once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    pub kind: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Bytes that a plug-in reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Payload {
    pub kind: String,
    pub field: String,
}

/// What a code means.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Row {
    Name(String),
    Function(Function),
}

/// A function: its name and what kind of act it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Function {
    pub name: String,
    pub action: String,
}
