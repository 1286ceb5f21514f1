//! Tokens of signatures and expressions.

use crate::diag::{Diag, Result, Span};

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Ident(String),
    /// The text is kept, so that `1` and `1.` differ.
    Number(String),
    Str(String),
    Punct(&'static str),
}

const PUNCT: &[&str] = &[
    "->", "<=", ">=", "==", "!=", "&&", "||", "(", ")", "[", "]", ",", "=", "?", ":", ";", "+", "-", "*",
    "/", "<", ">", "!", ".",
];

/// The tokens of a text, each with its line offset; a cursor over them.
pub struct Tokens<'a> {
    span: &'a Span,
    tokens: Vec<(Token, usize)>,
    next: usize,
}

impl<'a> Tokens<'a> {
    pub fn new(span: &'a Span) -> Result<Self> {
        let mut tokens = Vec::new();
        let (mut rest, mut line) = (span.text.as_str(), 0);
        while let Some(c) = rest.chars().next() {
            if c.is_whitespace() {
                line += usize::from(c == '\n');
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let (token, length) = if c.is_ascii_alphabetic() || c == '_' {
                let n = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Token::Ident(rest[..n].to_string()), n)
            } else if c.is_ascii_digit() {
                let n = number_length(rest);
                (Token::Number(rest[..n].to_string()), n)
            } else if c == '"' || c == '\'' {
                match rest[1..].find(c) {
                    Some(n) => (Token::Str(rest[1..=n].to_string()), n + 2),
                    None => return Err(span.diag(line, "text without a closing quote")),
                }
            } else if let Some(p) = PUNCT.iter().find(|p| rest.starts_with(**p)) {
                (Token::Punct(p), p.len())
            } else {
                return Err(span.diag(line, format!("unexpected character {c:?}")));
            };
            tokens.push((token, line));
            rest = &rest[length..];
        }
        Ok(Tokens { span, tokens, next: 0 })
    }
    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.0)
    }
    pub fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead).map(|t| &t.0)
    }
    pub fn advance(&mut self) -> Option<Token> {
        self.next += 1;
        self.tokens.get(self.next - 1).map(|t| t.0.clone())
    }
    /// Takes the punctuation if it comes next.
    pub fn eat(&mut self, p: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Punct(q)) if *q == p);
        self.next += usize::from(found);
        found
    }
    pub fn expect(&mut self, p: &str) -> Result<()> {
        if self.eat(p) { Ok(()) } else { Err(self.error(format!("expected `{p}`, found {}", self.found()))) }
    }
    pub fn ident(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Some(Token::Ident(name)) => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.error(format!("expected {what}, found {}", self.found()))),
        }
    }
    pub fn end(&self) -> Result<()> {
        if self.next >= self.tokens.len() {
            Ok(())
        } else {
            Err(self.error(format!("expected the end, found {}", self.found())))
        }
    }
    /// The next token, for messages.
    pub fn found(&self) -> String {
        match self.peek() {
            Some(Token::Ident(s) | Token::Number(s)) => format!("`{s}`"),
            Some(Token::Str(s)) => format!("{s:?}"),
            Some(Token::Punct(p)) => format!("`{p}`"),
            None => "the end".to_string(),
        }
    }
    /// A complaint about the line of the next token.
    pub fn error(&self, message: impl Into<String>) -> Diag {
        let line = self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |t| t.1);
        self.span.diag(line, message)
    }
}

fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut i: usize| {
        while i < bytes.len() && bytes[i].is_ascii_digit() {
            i += 1;
        }
        i
    };
    let mut i = digits(0);
    if bytes.get(i) == Some(&b'.') {
        i = digits(i + 1);
    }
    if matches!(bytes.get(i), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(i + 1), Some(b'+' | b'-')));
        if bytes.get(i + 1 + sign).is_some_and(u8::is_ascii_digit) {
            i = digits(i + 1 + sign);
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Span {
        Span { file: "f.ops".into(), line: 10, text: text.into() }
    }

    #[test]
    fn splits_text() {
        let s = span("a1 <= 2.5e-3*\"x y\"");
        let mut t = Tokens::new(&s).unwrap();
        assert_eq!(t.advance(), Some(Token::Ident("a1".into())));
        assert_eq!(t.advance(), Some(Token::Punct("<=")));
        assert_eq!(t.advance(), Some(Token::Number("2.5e-3".into())));
        assert_eq!(t.advance(), Some(Token::Punct("*")));
        assert_eq!(t.advance(), Some(Token::Str("x y".into())));
        assert!(t.end().is_ok());
    }

    #[test]
    fn names_the_line() {
        let error = Tokens::new(&span("a +\n  b @ c")).err().unwrap();
        assert_eq!(error.to_string(), "f.ops:11: unexpected character '@'");
        let error = Tokens::new(&span("'abc")).err().unwrap();
        assert_eq!(error.to_string(), "f.ops:10: text without a closing quote");
    }
}
