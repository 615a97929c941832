//! How deep a script may nest. Everything after the lexer recurses over what it reads, so a script made
//! to be deep is refused before anything does. Not here: how a type nests (`types.rs` counts itself).

use crate::error::SqlError;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Brackets inside brackets.
const MAX_BRACKETS: usize = 100;

/// Operators between two commas or brackets: `a OR b OR c` nests as deep as it is long.
const MAX_OPERATORS: usize = 1000;

/// What sqlparser may recurse: a bracket costs it up to three levels, `NOT NOT …` one each.
pub(super) const MAX_RECURSION: usize = 4 * MAX_BRACKETS;

pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    // One counter of operators for each bracket that is open.
    let mut open = vec![0_usize];
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => open.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if open.len() > 1 => {
                open.pop();
            }
            Token::SemiColon => open = vec![0],
            Token::Comma => *open.last_mut().expect("one counter always remains") = 0,
            token if is_operator(token) => *open.last_mut().expect("one counter always remains") += 1,
            _ => {}
        }
        if open.len() > MAX_BRACKETS {
            return Err(
                SqlError::syntax(format!("brackets are nested more than {MAX_BRACKETS} deep")).at((*span).into())
            );
        }
        if open.last().is_some_and(|operators| *operators > MAX_OPERATORS) {
            return Err(SqlError::syntax(format!("more than {MAX_OPERATORS} operators in one expression"))
                .at((*span).into())
                .hint("use IN (…) for a long list of alternatives, or split the query by a view"));
        }
    }
    Ok(())
}

/// Whether the token can make an expression or a query one level deeper without a bracket.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::DIV
                | Keyword::OVERLAPS
                | Keyword::NOTNULL
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::MINUS
                | Keyword::INTERSECT
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::LBracket
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace
        | Token::EOF => false,
        _ => true,
    }
}
