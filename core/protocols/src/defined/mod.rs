//! Protocols that a file defines: recognition, framing, fields and functions, without code.
//!
//! A definition is read at start or while a sensor runs ([`registry::define`](crate::registry)) and
//! compiled to a [`plan::Plan`], which reads messages at about the speed of a dissector written in
//! Rust: nothing is looked up by name and nothing allocated but what is told. Built-in definitions
//! and those of users are the same; `docs/protocol-definitions.md` describes the format.
//!
//! | module | subject |
//! |---|---|
//! | [`file`] | the format |
//! | [`compile`] | what is wrong with a file, or its plan |
//! | [`plan`] | reading one message |
//! | [`session`] | messages into facts |

pub(crate) mod compile;
mod file;
pub(crate) mod plan;
pub(crate) mod session;
#[cfg(test)]
mod tests;

pub use compile::protocol;
pub use plan::Plan;

/// A definition that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Name of the file.
    pub file: String,
    /// The line or the field.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}: {}", self.file, self.place, self.reason)
    }
}

impl std::error::Error for Refused {}
