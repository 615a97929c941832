//! `/*+ OPTIONS('key' = 'value') */`, the hint that overrides a table's options where it is used. Other
//! hints are refused by name, and so is one that stands where it would have no effect.

use super::dialect::FlinkDialect;
use super::lexer::Script;
use crate::ast::Span;
use crate::error::SqlError;
use sqlparser::tokenizer::{Token, Tokenizer};
use std::cell::Cell;

/// A key, its value, and the place of the hint.
pub type TableOption = (String, String, Span);

#[derive(Clone, Debug)]
pub(super) struct Hint {
    /// What stands between `/*+` and `*/`.
    text: String,
    pub(super) span: Span,
    /// Index of the token before it, which names the table; None at the start of the script.
    pub(super) after: Option<usize>,
    used: Cell<bool>,
}

impl Hint {
    pub(super) fn new(comment: &str, span: Span, next_token: usize) -> Self {
        let text = comment.trim_start_matches('+').trim().to_owned();
        Self { text, span, after: next_token.checked_sub(1), used: Cell::new(false) }
    }

    /// The options of an OPTIONS hint, for the table that it follows.
    pub(super) fn options(&self) -> Result<Vec<TableOption>, SqlError> {
        self.used.set(true);
        let tokens: Vec<Token> = Tokenizer::new(&FlinkDialect, &self.text)
            .tokenize()
            .map_err(|error| self.malformed().hint(error.message))?
            .into_iter()
            .filter(|token| !matches!(token, Token::Whitespace(_)))
            .collect();
        let body = match tokens.as_slice() {
            [Token::Word(name), Token::LParen, body @ .., Token::RParen]
                if name.value.eq_ignore_ascii_case("OPTIONS") && !body.contains(&Token::RParen) =>
            {
                body
            }
            [Token::Word(name), ..] if !name.value.eq_ignore_ascii_case("OPTIONS") => {
                return Err(SqlError::unsupported(format!("the hint {}", name.value.to_uppercase())).at(self.span));
            }
            _ => return Err(self.malformed()),
        };
        body.split(|token| *token == Token::Comma)
            .map(|option| match option {
                [Token::SingleQuotedString(key), Token::Eq, Token::SingleQuotedString(value)] => {
                    Ok((key.clone(), value.clone(), self.span))
                }
                _ => Err(self.malformed()),
            })
            .collect()
    }

    /// The error for a hint that doesn't follow a table's name.
    pub(super) fn misplaced(&self) -> SqlError {
        match self.options() {
            Ok(_) => SqlError::unsupported("an OPTIONS hint that does not follow the name of a table")
                .at(self.span)
                .hint("write FROM t /*+ OPTIONS('key' = 'value') */ AS alias"),
            Err(error) => error,
        }
    }

    fn malformed(&self) -> SqlError {
        SqlError::syntax(format!("expected OPTIONS('key' = 'value', …) but found '{}'", self.text)).at(self.span)
    }
}

/// The error for a hint that no statement made use of.
pub(super) fn refuse_unused(script: &Script) -> Result<(), SqlError> {
    match script.hints.iter().find(|hint| !hint.used.get()) {
        Some(hint) => Err(hint.misplaced()),
        None => Ok(()),
    }
}
