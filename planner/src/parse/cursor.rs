//! The place in a script up to which it has been read, and the errors that are found there. Not here:
//! any statement.

use super::lexer::Script;
use super::reserved;
use crate::ast::{ObjectName, Span};
use crate::error::SqlError;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

#[derive(Clone, Debug)]
pub(super) struct Cursor<'s, 'a> {
    pub(super) script: &'s Script<'a>,
    position: usize,
}

impl<'s, 'a> Cursor<'s, 'a> {
    pub(super) fn new(script: &'s Script<'a>) -> Self {
        Self { script, position: 0 }
    }

    /// Index of the next token in [`Script::tokens`].
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn seek(&mut self, position: usize) {
        self.position = position.min(self.script.tokens().len() - 1);
    }

    /// The token `ahead` of the next one; the end of the script repeats.
    pub(super) fn peek_nth(&self, ahead: usize) -> &'s TokenWithSpan {
        let tokens = self.script.tokens();
        &tokens[(self.position + ahead).min(tokens.len() - 1)]
    }

    pub(super) fn peek(&self) -> &'s Token {
        &self.peek_nth(0).token
    }

    pub(super) fn advance(&mut self) -> &'s TokenWithSpan {
        let token = self.peek_nth(0);
        self.seek(self.position + 1);
        token
    }

    /// Where the next token stands.
    pub(super) fn span(&self) -> Span {
        self.peek_nth(0).span.into()
    }

    pub(super) fn start(&self) -> Location {
        self.peek_nth(0).span.start
    }

    /// From `start` to the end of the last token read.
    pub(super) fn span_since(&self, start: Location) -> Span {
        let end = match self.position {
            0 => start,
            position => self.script.tokens()[position - 1].span.end,
        };
        sqlparser::tokenizer::Span::new(start, end).into()
    }

    pub(super) fn at_end(&self) -> bool {
        *self.peek() == Token::EOF
    }

    /// Whether the statement ends here.
    pub(super) fn at_statement_end(&self) -> bool {
        matches!(self.peek(), Token::SemiColon | Token::EOF)
    }

    /// Whether the token `ahead` is this keyword, which must be given in upper case.
    pub(super) fn is_keyword_at(&self, ahead: usize, keyword: &str) -> bool {
        unquoted(&self.peek_nth(ahead).token).is_some_and(|word| word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.is_keyword_at(0, keyword)
    }

    /// Whether the next tokens are these keywords.
    pub(super) fn are_keywords(&self, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(ahead, keyword)| self.is_keyword_at(ahead, keyword))
    }

    /// Reads the keywords if all of them follow.
    pub(super) fn take_keywords(&mut self, keywords: &[&str]) -> bool {
        let found = self.are_keywords(keywords);
        if found {
            self.seek(self.position + keywords.len());
        }
        found
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        self.take_keywords(&[keyword])
    }

    pub(super) fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.take(token) { Ok(()) } else { Err(self.expected(&format!("'{token}'"))) }
    }

    pub(super) fn expect_keywords(&mut self, keywords: &[&str]) -> Result<(), SqlError> {
        for keyword in keywords {
            if !self.take_keyword(keyword) {
                return Err(self.expected(keyword));
            }
        }
        Ok(())
    }

    /// A name, quoted or not; `what` says of what, for instance "a column name".
    pub(super) fn name(&mut self, what: &str) -> Result<String, SqlError> {
        match self.peek() {
            Token::Word(word) if word.quote_style.is_some() => {
                let name = word.value.clone();
                if name.is_empty() {
                    return Err(SqlError::syntax(format!("expected {what} but found an empty one")).at(self.span()));
                }
                self.advance();
                Ok(name)
            }
            Token::Word(word) if reserved::is_reserved(&word.value) => {
                Err(reserved_name(what, &word.value, self.span()))
            }
            Token::Word(word) => {
                self.advance();
                Ok(word.value.clone())
            }
            Token::SingleQuotedString(text) => Err(self
                .expected(what)
                .hint(format!("single quotes make a string; quote a name with backticks: `{text}`"))),
            _ => Err(self.expected(what)),
        }
    }

    /// `a`, `a.b` or `a.b.c`.
    pub(super) fn object_name(&mut self, what: &str) -> Result<ObjectName, SqlError> {
        let start = self.start();
        let mut parts = vec![self.name(what)?];
        while self.take(&Token::Period) {
            parts.push(self.name(what)?);
        }
        let span = self.span_since(start);
        if parts.len() > 3 {
            return Err(SqlError::syntax(format!("{what} has at most three parts: catalog.database.table")).at(span));
        }
        Ok(ObjectName { parts, span })
    }

    /// `'…'`.
    pub(super) fn string(&mut self, what: &str) -> Result<String, SqlError> {
        match self.peek() {
            Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text) => {
                self.advance();
                Ok(text.clone())
            }
            Token::Word(word) => Err(self
                .expected(&format!("{what} in single quotes"))
                .hint(format!("write it as a string: '{}'", word.value))),
            _ => Err(self.expected(&format!("{what} in single quotes"))),
        }
    }

    /// `(a, b, …)` with at least one element.
    pub(super) fn parenthesized<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        self.expect(&Token::LParen)?;
        let mut elements = vec![element(self)?];
        loop {
            if self.take(&Token::Comma) {
                elements.push(element(self)?);
            } else if self.take(&Token::RParen) {
                return Ok(elements);
            } else {
                return Err(self.expected("',' or ')'"));
            }
        }
    }

    /// `expected … but found …`, at the next token.
    pub(super) fn expected(&self, expected: &str) -> SqlError {
        let found = match self.peek() {
            Token::EOF => "the end of the script".to_owned(),
            token => found(token),
        };
        SqlError::syntax(format!("expected {expected} but found {found}")).at(self.span())
    }
}

/// A token as an error shows it.
pub(super) fn found(token: &Token) -> String {
    const LONGEST: usize = 40;
    let text = match token {
        Token::SingleQuotedString(_) | Token::Word(sqlparser::tokenizer::Word { quote_style: Some(_), .. }) => {
            token.to_string()
        }
        token => format!("'{token}'"),
    };
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// The word, unless it is quoted or no word at all.
pub(super) fn unquoted(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

/// The error for a bare reserved word where `what` is expected.
pub(super) fn reserved_name(what: &str, word: &str, span: Span) -> SqlError {
    if reserved::continues_a_statement(word) {
        return SqlError::syntax(format!("expected {what} but found '{word}'")).at(span);
    }
    SqlError::syntax(format!("expected {what} but found the reserved word '{word}'"))
        .at(span)
        .hint(format!("write it in backticks to use it as a name: `{word}`"))
}
