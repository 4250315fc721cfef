//! SQL statements of database protocols: what they do and to which table, never their values.
//!
//! Sources: ISO/IEC 9075-2 (statements, identifiers, comments); the statement lists of PostgreSQL
//! 16, of the MySQL 8.0 reference manual §15 and of Transact-SQL, for what each adds.
//!
//! Not decoded: conditions, columns and literals; further tables of a join.

use crate::out::{Action, Object};
use crate::text;

/// Longest table name that an object spells out.
const SPELLED: usize = 128;
/// Statements of one text that are looked at.
const STATEMENTS: usize = 16;
/// Words of one statement that are looked at.
const WORDS: usize = 512;

/// What follows a verb and names what it acts on.
#[derive(Clone, Copy)]
enum Target {
    /// A name behind this word, anywhere.
    Behind(&'static [u8]),
    /// The first name that is no modifier.
    Name,
    /// The kind of a thing and its name.
    Thing,
    Nothing,
}

const FROM: Target = Target::Behind(b"FROM");

/// Verbs, and where the name stands that they act on.
const VERBS: &[(&str, Action, Target)] = &[
    ("select", Action::Read, FROM),
    ("insert", Action::Write, Target::Behind(b"INTO")),
    ("update", Action::Write, Target::Name),
    ("delete", Action::Write, FROM),
    ("merge", Action::Write, Target::Behind(b"INTO")),
    ("replace", Action::Write, Target::Behind(b"INTO")),
    ("truncate", Action::Write, Target::Name),
    ("copy", Action::Write, Target::Name),
    ("load", Action::Write, Target::Behind(b"TABLE")),
    ("bulk", Action::Write, Target::Behind(b"INSERT")),
    ("show", Action::Read, Target::Name),
    ("explain", Action::Read, FROM),
    ("describe", Action::Read, Target::Name),
    ("desc", Action::Read, Target::Name),
    ("fetch", Action::Read, FROM),
    ("table", Action::Read, Target::Name),
    ("values", Action::Read, Target::Nothing),
    ("create", Action::Configuration, Target::Thing),
    ("alter", Action::Configuration, Target::Thing),
    ("drop", Action::Configuration, Target::Thing),
    ("rename", Action::Configuration, Target::Thing),
    ("comment", Action::Configuration, Target::Nothing),
    ("grant", Action::Configuration, Target::Nothing),
    ("revoke", Action::Configuration, Target::Nothing),
    ("vacuum", Action::Configuration, Target::Nothing),
    ("analyze", Action::Configuration, Target::Nothing),
    ("reindex", Action::Configuration, Target::Nothing),
    ("flush", Action::Configuration, Target::Nothing),
    ("kill", Action::Stop, Target::Nothing),
    ("shutdown", Action::Stop, Target::Nothing),
    ("backup", Action::File, Target::Thing),
    ("restore", Action::File, Target::Thing),
    ("dbcc", Action::Diagnostics, Target::Nothing),
    ("call", Action::Control, Target::Name),
    ("exec", Action::Control, Target::Name),
    ("execute", Action::Control, Target::Name),
    ("do", Action::Control, Target::Nothing),
    ("begin", Action::Session, Target::Nothing),
    ("start", Action::Session, Target::Nothing),
    ("commit", Action::Session, Target::Nothing),
    ("end", Action::Session, Target::Nothing),
    ("rollback", Action::Session, Target::Nothing),
    ("abort", Action::Session, Target::Nothing),
    ("savepoint", Action::Session, Target::Nothing),
    ("release", Action::Session, Target::Nothing),
    ("set", Action::Session, Target::Name),
    ("reset", Action::Session, Target::Name),
    ("discard", Action::Session, Target::Nothing),
    ("use", Action::Session, Target::Name),
    ("declare", Action::Session, Target::Nothing),
    ("close", Action::Session, Target::Nothing),
    ("prepare", Action::Session, Target::Nothing),
    ("deallocate", Action::Session, Target::Nothing),
    ("listen", Action::Subscribe, Target::Name),
    ("unlisten", Action::Subscribe, Target::Name),
    ("notify", Action::Write, Target::Name),
    ("lock", Action::Session, Target::Name),
    ("unlock", Action::Session, Target::Nothing),
    ("checkpoint", Action::Session, Target::Nothing),
    ("print", Action::Session, Target::Nothing),
    ("waitfor", Action::Session, Target::Nothing),
    ("if", Action::Session, Target::Nothing),
    ("while", Action::Session, Target::Nothing),
];

/// Words between a verb or the kind of a thing and its name.
const MODIFIERS: &[&[u8]] = &[
    b"ALL",
    b"CLUSTERED",
    b"COLUMNS",
    b"CONCURRENTLY",
    b"EXISTS",
    b"EXTENDED",
    b"FROM",
    b"FULL",
    b"GLOBAL",
    b"IF",
    b"IGNORE",
    b"LOCAL",
    b"LOW_PRIORITY",
    b"MATERIALIZED",
    b"NONCLUSTERED",
    b"NOT",
    b"ONLY",
    b"OR",
    b"PERSIST",
    b"RECURSIVE",
    b"REPLACE",
    b"SESSION",
    b"TABLES",
    b"TEMP",
    b"TEMPORARY",
    b"UNIQUE",
    b"UNLOGGED",
];

/// One statement.
pub struct Statement<'a> {
    /// Its verb in lower case; `unknown` for one that is not in the list.
    pub name: &'static str,
    /// What kind of act it is.
    pub action: Action,
    /// The table or other thing it acts on, as far as it is named.
    pub object: Object,
    /// The verb as it was written.
    pub verb: &'a [u8],
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Word(&'a [u8]),
    /// A quoted identifier, without its quotes.
    Quoted(&'a [u8]),
    Literal,
    Symbol(u8),
}

struct Tokens<'a> {
    bytes: &'a [u8],
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | b'@') || byte >= 0x80
}

impl<'a> Tokens<'a> {
    /// Takes everything up to `end` and what follows it; all that is left where it is missing.
    fn until(&mut self, end: &[u8]) -> &'a [u8] {
        let at = memchr::memmem::find(self.bytes, end).unwrap_or(self.bytes.len());
        let (part, rest) = self.bytes.split_at_checked(at).unwrap_or((self.bytes, &[]));
        self.bytes = rest.get(end.len()..).unwrap_or_default();
        part
    }

    /// A literal in single quotes: a quote inside is doubled or stands behind a backslash.
    fn literal(&mut self) {
        while let [first, rest @ ..] = self.bytes {
            self.bytes = rest;
            match (first, rest) {
                (b'\\', [_, rest @ ..]) | (b'\'', [b'\'', rest @ ..]) => self.bytes = rest,
                (b'\'', _) => return,
                _ => {}
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (first, rest) = self.bytes.split_first()?;
            match (first, rest) {
                (b'-', [b'-', ..]) => {
                    self.until(b"\n");
                }
                (b'/', [b'*', ..]) => {
                    self.until(b"*/");
                }
                (b'\'', _) => {
                    self.bytes = rest;
                    self.literal();
                    return Some(Token::Literal);
                }
                (b'"', _) => {
                    self.bytes = rest;
                    return Some(Token::Quoted(self.until(b"\"")));
                }
                (b'`', _) => {
                    self.bytes = rest;
                    return Some(Token::Quoted(self.until(b"`")));
                }
                (b'[', _) => {
                    self.bytes = rest;
                    return Some(Token::Quoted(self.until(b"]")));
                }
                // Dollar quotes of PostgreSQL hold whole programs.
                (b'$', [b'$', rest @ ..]) => {
                    self.bytes = rest;
                    self.until(b"$$");
                    return Some(Token::Literal);
                }
                (byte, _) if in_word(*byte) => {
                    let end = self.bytes.iter().position(|byte| !in_word(*byte));
                    let (word, rest) = self
                        .bytes
                        .split_at_checked(end.unwrap_or(self.bytes.len()))
                        .unwrap_or((self.bytes, &[]));
                    self.bytes = rest;
                    return Some(Token::Word(word));
                }
                (byte, _) => {
                    self.bytes = rest;
                    if !byte.is_ascii_whitespace() && *byte != 0 {
                        return Some(Token::Symbol(*byte));
                    }
                }
            }
        }
    }
}

fn is_modifier(word: &[u8]) -> bool {
    MODIFIERS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// A name at the front of `tokens`, its parts joined by dots; empty where none stands there.
fn name(tokens: &[Token<'_>]) -> String {
    let mut name = String::new();
    let mut tokens = tokens.iter().peekable();
    loop {
        match tokens.next() {
            Some(Token::Word(part)) if !part.first().is_some_and(u8::is_ascii_digit) => {
                name.push_str(&text::utf8(part));
            }
            Some(Token::Quoted(part)) => name.push_str(&text::utf8(part)),
            _ => return String::new(),
        }
        if name.len() > SPELLED {
            return String::new();
        }
        // `base..table` of Transact-SQL leaves the schema out.
        let mut goes_on = false;
        while tokens.next_if(|token| matches!(token, Token::Symbol(b'.'))).is_some() {
            goes_on = true;
        }
        if !goes_on {
            return name;
        }
        name.push('.');
    }
}

/// A name behind modifiers.
fn plain_name(mut tokens: &[Token<'_>]) -> String {
    while let [Token::Word(word), rest @ ..] = tokens
        && is_modifier(word)
    {
        tokens = rest;
    }
    // EXEC @result = procedure.
    if let [Token::Word([b'@', ..]), Token::Symbol(b'='), rest @ ..] = tokens {
        tokens = rest;
    }
    name(tokens)
}

fn name_behind(word: &[u8], tokens: &[Token<'_>]) -> String {
    let mut rest = tokens;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let Token::Word(found) = first
            && found.eq_ignore_ascii_case(word)
        {
            let found = plain_name(rest);
            // A sub-query stands there instead: its table is as good.
            if !found.is_empty() {
                return found;
            }
        }
    }
    String::new()
}

fn object(target: Target, tokens: &[Token<'_>]) -> Object {
    let name = match target {
        Target::Nothing => String::new(),
        Target::Behind(word) => match name_behind(word, tokens) {
            // INSERT and REPLACE of MySQL and Transact-SQL do without INTO.
            name if name.is_empty() && word == b"INTO" => plain_name(tokens),
            name => name,
        },
        Target::Name => match tokens {
            [Token::Word(word), rest @ ..] if word.eq_ignore_ascii_case(b"TABLE") => {
                plain_name(rest)
            }
            // COPY (SELECT ...) TO.
            [Token::Symbol(b'('), ..] => name_behind(b"FROM", tokens),
            _ => plain_name(tokens),
        },
        Target::Thing => {
            let modifiers = tokens
                .iter()
                .take_while(|token| matches!(token, Token::Word(word) if is_modifier(word)))
                .count();
            match tokens.get(modifiers..) {
                Some([Token::Word(kind), rest @ ..]) => match plain_name(rest) {
                    name if name.is_empty() => String::new(),
                    name => format!("{} {name}", text::utf8(&kind.to_ascii_lowercase())),
                },
                _ => String::new(),
            }
        }
    };
    if name.is_empty() { Object::None } else { Object::Text(name.into()) }
}

/// The verb of a statement behind WITH: the first one outside of parentheses.
fn behind_with<'a, 't>(tokens: &'t [Token<'a>]) -> Option<(&'a [u8], &'t [Token<'a>])> {
    let mut depth = 0_u32;
    let mut rest = tokens;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            Token::Word(word)
                if depth == 0
                    && ["select", "insert", "update", "delete", "merge"]
                        .iter()
                        .any(|verb| word.eq_ignore_ascii_case(verb.as_bytes())) =>
            {
                return Some((word, rest));
            }
            _ => {}
        }
    }
    None
}

fn statement<'a>(tokens: &[Token<'a>]) -> Option<Statement<'a>> {
    let opened = tokens.iter().take_while(|token| matches!(token, Token::Symbol(b'('))).count();
    let Some([Token::Word(verb), rest @ ..]) = tokens.get(opened..) else { return None };
    let (mut verb, mut rest) = (*verb, rest);
    if verb.eq_ignore_ascii_case(b"WITH")
        && let Some(found) = behind_with(rest)
    {
        (verb, rest) = found;
    }
    let row = VERBS.iter().find(|(known, ..)| verb.eq_ignore_ascii_case(known.as_bytes()));
    let (name, action, target) =
        row.copied().unwrap_or(("unknown", Action::Session, Target::Nothing));
    Some(Statement { name, action, object: object(target, rest), verb })
}

/// The statements of a text, in their order.
#[must_use]
pub fn statements(text: &[u8]) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut tokens = Vec::new();
    for token in (Tokens { bytes: text }) {
        if matches!(token, Token::Symbol(b';')) {
            found.extend(statement(&tokens));
            tokens.clear();
            if found.len() >= STATEMENTS {
                return found;
            }
        } else if tokens.len() < WORDS {
            tokens.push(token);
        }
    }
    found.extend(statement(&tokens));
    found
}

/// Whether a text starts with a known verb.
#[must_use]
pub fn starts_statement(text: &[u8]) -> bool {
    match (Tokens { bytes: text }).find(|token| !matches!(token, Token::Symbol(b'('))) {
        Some(Token::Word(word)) => {
            word.eq_ignore_ascii_case(b"WITH")
                || VERBS.iter().any(|(verb, ..)| word.eq_ignore_ascii_case(verb.as_bytes()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&'static str, String)> {
        statements(text.as_bytes())
            .into_iter()
            .map(|statement| (statement.name, statement.object.to_text().into()))
            .collect()
    }

    fn one(text: &str) -> (&'static str, String) {
        read(text).remove(0)
    }

    #[test]
    fn the_verb_and_the_table_are_read() {
        for (text, verb, object) in [
            (
                "SELECT a, 'x FROM y' FROM plant.\"Recipe 7\" WHERE k = 'z'",
                "select",
                "plant.Recipe 7",
            ),
            ("select 1", "select", ""),
            ("SELECT count(*) FROM (SELECT * FROM inner_t) q", "select", "inner_t"),
            ("insert into `a`.`b` values ('x;y')", "insert", "a.b"),
            ("INSERT log VALUES (1)", "insert", "log"),
            ("UPDATE ONLY tags SET v = 3", "update", "tags"),
            ("DELETE FROM [dbo].[History]", "delete", "dbo.History"),
            ("TRUNCATE TABLE batch", "truncate", "batch"),
            ("COPY tags FROM STDIN", "copy", "tags"),
            ("COPY (SELECT * FROM tags) TO STDOUT", "copy", "tags"),
            ("CREATE TABLE IF NOT EXISTS t (k int)", "create", "table t"),
            ("CREATE OR REPLACE VIEW v AS SELECT 1", "create", "view v"),
            ("ALTER USER operator WITH PASSWORD 'hidden'", "alter", "user operator"),
            ("EXEC @r = master..xp_cmdshell 'dir'", "exec", "master.xp_cmdshell"),
            ("WITH q AS (SELECT 1 FROM a) DELETE FROM b", "delete", "b"),
            ("/* c */ -- d\n SET SESSION sql_mode = 'x'", "set", "sql_mode"),
            ("GRANT ALL ON t TO u", "grant", ""),
            ("FROBNICATE t", "unknown", ""),
        ] {
            assert_eq!((verb, object.to_owned()), one(text), "{text}");
        }
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_literals() {
        let read = read("BEGIN; UPDATE t SET a = 'it''s; here'; COMMIT;");
        assert_eq!(vec!["begin", "update", "commit"], read.iter().map(|s| s.0).collect::<Vec<_>>());
        assert!(statements(b"  ;; ").is_empty());
    }

    #[test]
    fn open_quotes_and_comments_end_with_the_text() {
        for text in ["SELECT 'open", "SELECT * FROM \"open", "/* open", "SELECT $$open", "'"] {
            assert!(statements(text.as_bytes()).len() <= 1);
        }
        assert!(starts_statement(b" (select 1)"));
        assert!(!starts_statement(b"GET / HTTP/1.1"));
    }
}
