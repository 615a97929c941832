//! Queries and expressions: their tokens are rewritten a little, then sqlparser reads them. Every place
//! in the syntax tree is still the place in the script. What binding finds in the tree:
//!
//! | in the script | in sqlparser's tree |
//! | --- | --- |
//! | `CAST(x AS type)`, `TRY_CAST` | `Expr::Cast` (kind `Cast` or `TryCast`), the type as [`cast_type`] reads it |
//! | `FROM TABLE(TUMBLE(TABLE t, …))`, `FROM TUMBLE(TABLE t, …)` | `TableFactor::TableFunction` whose expression is an `Expr::Function` |
//! | `TABLE t` as an argument | `Expr::Identifier`, or `Expr::CompoundIdentifier` for `TABLE db.t` |
//! | `(SELECT …)` as an argument | `Expr::Subquery` |
//! | `DATA => TABLE t` | `FunctionArg::Named` |
//! | `DESCRIPTOR(ts)` | `Expr::Function` named `DESCRIPTOR` |
//! | `INTERVAL '10' MINUTES` | `Expr::Interval` with the unit in the singular |
//! | `MAP['k', v]` | `Expr::Function` named `MAP` |
//! | `t /*+ OPTIONS('k' = 'v') */` | `TableFactor::Table` whose `with_hints` [`table_hints`] reads |
//! | `t FOR SYSTEM_TIME AS OF e` | `TableFactor::Table` with a `version` |
//!
//! A reserved word without backticks is never a name in the tree. Not here: what any of it means.

use super::cursor::{Cursor, found, reserved_name, unquoted};
use super::dialect::FlinkDialect;
use super::finish;
use super::hint::TableOption;
use super::lexer::Script;
use super::limits::MAX_RECURSION;
use super::types;
use crate::ast::Span;
use crate::error::SqlError;
use crate::types::DataType;
use sqlparser::ast::{self as sql, Expr, Query, TableFactor, Value};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};
use std::ops::Range;

/// The type of an `Expr::Cast`.
pub fn cast_type(data_type: &sql::DataType) -> Result<DataType, SqlError> {
    match data_type {
        sql::DataType::Custom(name, _) => match name.0.as_slice() {
            [sql::ObjectNamePart::Identifier(ident)] => {
                types::parse_type(&ident.value).map_err(|error| SqlError { span: Some(ident.span.into()), ..error })
            }
            _ => types::parse_type(&name.to_string()),
        },
        other => types::parse_type(&other.to_string()),
    }
}

/// The options that a hint gives the table where it is used; they go before those of its WITH clause.
pub fn table_hints(factor: &TableFactor) -> Vec<TableOption> {
    let TableFactor::Table { with_hints, .. } = factor else { return Vec::new() };
    with_hints
        .iter()
        .filter_map(|hint| match hint {
            Expr::BinaryOp { left, right, .. } => Some((text(left)?.0, text(right)?.0, text(left)?.1)),
            _ => None,
        })
        .collect()
}

fn text(expression: &Expr) -> Option<(String, Span)> {
    match expression {
        Expr::Value(sql::ValueWithSpan { value: Value::SingleQuotedString(text), span }) => {
            Some((text.clone(), (*span).into()))
        }
        _ => None,
    }
}

/// Reads everything up to the end of the statement as a query.
pub(super) fn query(cursor: &mut Cursor) -> Result<Box<Query>, SqlError> {
    let end = range_end(cursor, |token| matches!(token, Token::SemiColon), &[]);
    let mut query = delegate(cursor, end, "a query", Parser::parse_query)?;
    finish::query(cursor.script, cursor.position()..end, &mut query)?;
    cursor.seek(end);
    Ok(query)
}

/// Reads an expression up to a comma, a closing bracket or one of the `stops`, all outside of brackets.
pub(super) fn expression(cursor: &mut Cursor, stops: &[&str]) -> Result<Expr, SqlError> {
    let ends = |token: &Token| matches!(token, Token::Comma | Token::SemiColon);
    let end = range_end(cursor, ends, stops);
    let mut expression = delegate(cursor, end, "an expression", Parser::parse_expr)?;
    finish::expression(cursor.script, cursor.position()..end, &mut expression)?;
    cursor.seek(end);
    Ok(expression)
}

/// Index of the first token that doesn't belong to what starts at the cursor.
fn range_end(cursor: &Cursor, ends: impl Fn(&Token) -> bool, stops: &[&str]) -> usize {
    let mut depth = 0_usize;
    let tokens = &cursor.script.tokens()[cursor.position()..];
    let length = tokens.iter().take_while(|token| match &token.token {
        Token::EOF | Token::SemiColon => false,
        Token::LParen | Token::LBracket => {
            depth += 1;
            true
        }
        // A query keeps a bracket that nothing opened, so that the error is about the bracket.
        Token::RParen | Token::RBracket => match depth.checked_sub(1) {
            Some(less) => {
                depth = less;
                true
            }
            None => !ends(&Token::Comma),
        },
        token if depth > 0 => !matches!(token, Token::SemiColon),
        token => {
            !ends(token)
                && !unquoted(token).is_some_and(|word| stops.iter().any(|stop| word.eq_ignore_ascii_case(stop)))
        }
    });
    cursor.position() + length.count()
}

/// Has sqlparser read the tokens from the cursor to `end`, all of them.
fn delegate<T>(
    cursor: &Cursor,
    end: usize,
    what: &str,
    parse: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>,
) -> Result<T, SqlError> {
    let after = &cursor.script.tokens()[end];
    if cursor.position() == end {
        return Err(cursor.expected(what));
    }
    let tokens = rewrite(cursor.script, cursor.position()..end)?;
    let mut parser = Parser::new(&FlinkDialect).with_recursion_limit(MAX_RECURSION).with_tokens_with_locations(tokens);
    let parsed = parse(&mut parser).map_err(|error| translate(error, cursor.script, after))?;
    let rest = parser.peek_token();
    match rest.token {
        Token::EOF => Ok(parsed),
        token => Err(leftover(what, &token, rest.span.into())),
    }
}

fn leftover(what: &str, token: &Token, span: Span) -> SqlError {
    let end = if what == "a query" { "a clause or ';'" } else { "',' or ')'" };
    SqlError::syntax(format!("expected an operator, {end} but found {}", found(token))).at(span)
}

/// What surrounds a token.
#[derive(Clone, Copy, PartialEq)]
enum Bracket {
    Group,
    /// The arguments of a function.
    Call,
    /// Between `CAST(` and its AS.
    Cast,
    /// `[…]`, an index or an ARRAY.
    Index,
    /// `MAP[…]`.
    Map,
}

/// Replaces what sqlparser can't read, see the table at the top.
fn rewrite(script: &Script, range: Range<usize>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let all = script.tokens();
    let mut rewritten: Vec<TokenWithSpan> = Vec::with_capacity(range.len());
    let mut open: Vec<Bracket> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let token = &all[at];
        let before = at.checked_sub(1).filter(|before| *before >= range.start).map(|before| &all[before].token);
        match &token.token {
            Token::LParen => open.push(bracket(before)),
            Token::LBracket if before.and_then(unquoted).is_some_and(|word| word.eq_ignore_ascii_case("MAP")) => {
                open.push(Bracket::Map);
                rewritten.push(TokenWithSpan::new(Token::LParen, token.span));
                at += 1;
                continue;
            }
            Token::LBracket => open.push(Bracket::Index),
            Token::RParen | Token::RBracket => {
                let closes_map = open.pop() == Some(Bracket::Map);
                let close = if closes_map { Token::RParen } else { token.token.clone() };
                rewritten.push(TokenWithSpan::new(close, token.span));
                at += 1;
                continue;
            }
            Token::Word(Word { quote_style: None, keyword: Keyword::AS, .. })
                if open.last() == Some(&Bracket::Cast) =>
            {
                rewritten.push(token.clone());
                let (data_type, end) = type_of_cast(script, at + 1)?;
                rewritten.push(data_type);
                at = end;
                continue;
            }
            Token::Word(word) if is_table_argument(word, before, &all[at + 1].token, open.last()) => {
                at += 1;
                refuse_partitioning(&all[at..range.end])?;
                continue;
            }
            Token::Word(Word { quote_style: None, keyword: Keyword::MATCH_RECOGNIZE, .. }) => {
                return Err(SqlError::unsupported("MATCH_RECOGNIZE").at(token.span.into()));
            }
            Token::Word(word) => {
                rewritten.push(TokenWithSpan::new(Token::Word(singular(word, &all[range.start..at])), token.span));
                at += 1;
                continue;
            }
            _ => {}
        }
        rewritten.push(token.clone());
        at += 1;
    }
    Ok(rewritten)
}

/// What kind of bracket opens after this token.
fn bracket(before: Option<&Token>) -> Bracket {
    let Some(word) = before.and_then(unquoted) else {
        return match before {
            Some(Token::Word(_)) => Bracket::Call,
            _ => Bracket::Group,
        };
    };
    match word.to_ascii_uppercase().as_str() {
        "CAST" | "TRY_CAST" => Bracket::Cast,
        "FROM" | "JOIN" | "IN" | "EXISTS" | "UNION" | "ALL" | "ANY" | "SOME" | "EXCEPT" | "MINUS" | "INTERSECT"
        | "DISTINCT" | "LATERAL" | "AS" | "ON" | "WHERE" | "AND" | "OR" | "NOT" | "SELECT" => Bracket::Group,
        _ => Bracket::Call,
    }
}

/// The type after CAST's AS as one quoted name, and the index of the bracket that closes the CAST.
fn type_of_cast(script: &Script, start: usize) -> Result<(TokenWithSpan, usize), SqlError> {
    let mut cursor = Cursor::new(script);
    cursor.seek(start);
    let place = cursor.start();
    let data_type = types::data_type(&mut cursor)?;
    if *cursor.peek() != Token::RParen {
        return Err(cursor.expected("')' after the type of CAST"));
    }
    let end = cursor.position();
    let span = sqlparser::tokenizer::Span::new(place, script.tokens()[end - 1].span.end);
    let word = Word { value: data_type.to_string(), quote_style: Some('`'), keyword: Keyword::NoKeyword };
    Ok((TokenWithSpan::new(Token::Word(word), span), end))
}

/// Whether this is the word TABLE in front of a table's name among the arguments of a function.
fn is_table_argument(word: &Word, before: Option<&Token>, next: &Token, bracket: Option<&Bracket>) -> bool {
    word.keyword == Keyword::TABLE
        && bracket == Some(&Bracket::Call)
        && matches!(before, Some(Token::LParen | Token::Comma | Token::RArrow))
        && matches!(next, Token::Word(_))
}

/// `TABLE t PARTITION BY a` says how the rows of an argument are grouped, which has no other form.
fn refuse_partitioning(argument: &[TokenWithSpan]) -> Result<(), SqlError> {
    let after = argument.iter().skip_while(|token| {
        matches!(token.token, Token::Period | Token::Word(Word { keyword: Keyword::NoKeyword, .. }))
    });
    match after.into_iter().next() {
        Some(token) if unquoted(&token.token).is_some_and(|word| word.eq_ignore_ascii_case("PARTITION")) => {
            Err(SqlError::unsupported("PARTITION BY of a table argument (SESSION windows)").at(token.span.into()))
        }
        _ => Ok(()),
    }
}

/// `INTERVAL '10' MINUTES` means `MINUTE`.
fn singular(word: &Word, before: &[TokenWithSpan]) -> Word {
    let [.., interval, value] = before else { return word.clone() };
    let is_unit = matches!(value.token, Token::SingleQuotedString(_) | Token::Number(..))
        && matches!(&interval.token, Token::Word(Word { keyword: Keyword::INTERVAL, .. }));
    let upper = word.value.to_ascii_uppercase();
    match upper.strip_suffix('S') {
        Some(unit @ ("YEAR" | "MONTH" | "WEEK" | "DAY" | "HOUR" | "MINUTE" | "SECOND")) if is_unit => {
            match Token::make_keyword(unit) {
                Token::Word(word) => word,
                _ => word.clone(),
            }
        }
        _ => word.clone(),
    }
}

/// An error of sqlparser in the words and with the places of ours. `after` is the token at which the
/// query ends, which sqlparser knows only as the end.
fn translate(error: ParserError, script: &Script, after: &TokenWithSpan) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::syntax("the query is nested too deep").at(after.span.into());
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (message, place) = split_place(&message);
    let token = place.and_then(|place| script.tokens().iter().find(|token| token.span.start == place));
    let span = token.unwrap_or(after).span.into();
    let Some((expected, _)) = message.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: ")) else {
        return SqlError::syntax(message.trim_end_matches('.')).at(span);
    };
    let found = match &token.unwrap_or(after).token {
        Token::EOF => "the end of the script".to_owned(),
        token => found(token),
    };
    let expected = match expected.chars().any(char::is_alphanumeric) {
        true => expected.replace("identifier", "a name").replace("an a name", "a name"),
        false => format!("'{expected}'"),
    };
    let error = SqlError::syntax(format!("expected {expected} but found {found}")).at(span);
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if expected == "a name" && word.quote_style.is_none() => {
            reserved_name("a name", &word.value, span)
        }
        _ => error,
    }
}

/// Cuts ` at Line: 1, Column: 2` off.
fn split_place(message: &str) -> (&str, Option<Location>) {
    let Some((text, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let numbers = place.split_once(", Column: ").map(|(line, column)| (line.parse(), column.parse()));
    match numbers {
        Some((Ok(line), Ok(column))) => (text, Some(Location::of(line, column))),
        _ => (message, None),
    }
}
