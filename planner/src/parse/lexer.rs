//! A script as tokens with their places: comments are gone, `/*+ … */` hints are kept aside, and what
//! no statement of Flink can contain is refused here. Not here: what tokens mean.

use super::dialect::FlinkDialect;
use super::hint::Hint;
use super::limits;
use crate::ast::Span;
use crate::error::SqlError;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

/// A script's text and its tokens; the last one is always [`Token::EOF`], with the place where the
/// script ends.
#[derive(Debug)]
pub(super) struct Script<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    pub(super) hints: Vec<Hint>,
}

impl<'a> Script<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, SqlError> {
        let mut all = Vec::new();
        Tokenizer::new(&FlinkDialect, text)
            .tokenize_with_location_into_buf(&mut all)
            .map_err(|error| unreadable(&error.message, error.location))?;
        let end = all.last().map_or(Location::of(1, 1), |token| token.span.end);

        let mut script = Self { text, tokens: Vec::with_capacity(all.len() + 1), hints: Vec::new() };
        for token in all {
            script.push(token)?;
        }
        script.tokens.push(TokenWithSpan::at(Token::EOF, end, end));
        limits::check(&script.tokens)?;
        Ok(script)
    }

    fn push(&mut self, token: TokenWithSpan) -> Result<(), SqlError> {
        let TokenWithSpan { token, span } = token;
        match token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) if comment.starts_with('+') => {
                self.hints.push(Hint::new(&comment, span.into(), self.tokens.len()));
            }
            Token::Whitespace(_) => {}
            Token::DoubleQuotedString(text) => {
                return Err(SqlError::syntax(format!("unexpected double quotes around \"{text}\""))
                    .at(span.into())
                    .hint(format!(
                        "quote a name with backticks (`{text}`) and a string with single quotes ('{text}')"
                    )));
            }
            // `MAP<STRING, ARRAY<INT>>` closes two brackets; Flink has no shift operator.
            Token::ShiftRight => {
                let middle = Location::of(span.start.line, span.start.column + 1);
                self.tokens.push(TokenWithSpan::at(Token::Gt, span.start, middle));
                self.tokens.push(TokenWithSpan::at(Token::Gt, middle, span.end));
            }
            token => self.tokens.push(TokenWithSpan::new(token, span)),
        }
        Ok(())
    }

    pub(super) fn tokens(&self) -> &[TokenWithSpan] {
        &self.tokens
    }

    /// The script's text between two places, for the few values that are taken as written.
    pub(super) fn text_between(&self, start: Location, end: Location) -> &'a str {
        let (start, end) = (self.offset(start), self.offset(end));
        self.text.get(start..end).unwrap_or_default()
    }

    fn offset(&self, place: Location) -> usize {
        let line = place.line.saturating_sub(1) as usize;
        let line_start = match line {
            0 => 0,
            _ => self.text.match_indices('\n').nth(line - 1).map_or(self.text.len(), |(at, _)| at + 1),
        };
        let column = place.column.saturating_sub(1) as usize;
        let rest = &self.text[line_start..];
        line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }
}

fn unreadable(message: &str, place: Location) -> SqlError {
    let message = message.trim_end_matches([':', ' ']);
    let span = Span::from(sqlparser::tokenizer::Span::new(place, place));
    let error = SqlError::syntax(lower_first(message)).at(span);
    if message.contains("Unterminated string literal") {
        error.hint("a single quote inside a string is written twice: 'it''s'")
    } else if message.contains("comment") {
        error.hint("a comment that starts with /* ends with */")
    } else {
        error
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
