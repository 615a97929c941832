//! LIKE and regular expressions. Expressions are those of the `regex` crate, which runs in linear time
//! and has no look-around and no back-references: a literal one that needs them is refused by name when
//! the job is planned, not at its first row.

use super::call::{Arguments, Kernel};
use super::catalogue::Signature;
use crate::error::{Error, Result};
use ::regex::{Regex, Replacer};
use datafusion_common::Result as EvalResult;
use datafusion_common::arrow::array::ArrayRef;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Option<Kernel>> {
    Ok(Some(match signature.name {
        "LIKE" => like(signature),
        "REGEXP" => {
            let expressions = Expressions::of(signature)?;
            // Flink's: an invalid expression matches nothing.
            Arc::new(move |a| {
                let s = a.text(0);
                a.collect_booleans(|row| {
                    let (s, regex) = (s.get(row)?, expressions.get(a, row)?);
                    Some(regex.is_some_and(|regex| regex.is_match(s)))
                })
            })
        }
        "REGEXP_REPLACE" => {
            let expressions = Expressions::of(signature)?;
            Arc::new(move |a| {
                let (s, replacement) = (a.text(0), a.text(2));
                a.collect_texts(|row| {
                    let (s, replacement) = (s.get(row)?, replacement.get(row)?);
                    Some(expressions.get(a, row)??.replace_all(s, JavaReplacement(replacement)).into_owned())
                })
            })
        }
        "REGEXP_EXTRACT" => {
            let expressions = Expressions::of(signature)?;
            Arc::new(move |a| extract(a, &expressions))
        }
        _ => return Ok(None),
    }))
}

fn extract(a: &Arguments, expressions: &Expressions) -> EvalResult<ArrayRef> {
    let (s, group) = (a.text(0), a.int(2));
    a.collect_texts(|row| {
        let (s, group) = (s.get(row)?, usize::try_from(group.get(row)?).ok()?);
        let regex = expressions.get(a, row)??;
        let found = regex.captures(s)?.get(group)?;
        Some(found.as_str().to_owned())
    })
}

/// The regular expression of a call, its second argument: compiled once where it is a literal.
struct Expressions {
    /// None inside: it is not valid.
    literal: Option<Option<Regex>>,
}

impl Expressions {
    fn of(signature: &Signature<'_>) -> Result<Self> {
        let Some(text) = signature.literal(1) else { return Ok(Self { literal: None }) };
        let needs = ["(?=", "(?!", "(?<=", "(?<!", "(?>"].iter().find(|construct| text.contains(**construct));
        match (Regex::new(text), needs) {
            (Err(_), Some(construct)) => {
                let name = signature.name;
                Err(Error::user_fault(format!("{name} with '{construct}' in the expression is not supported yet")))
            }
            (compiled, _) => Ok(Self { literal: Some(compiled.ok()) }),
        }
    }

    /// None where the argument is NULL, None inside where it is not valid.
    fn get(&self, a: &Arguments, row: usize) -> Option<Option<Cow<'_, Regex>>> {
        match &self.literal {
            Some(regex) => Some(regex.as_ref().map(Cow::Borrowed)),
            None => Some(Regex::new(a.text(1).get(row)?).ok().map(Cow::Owned)),
        }
    }
}

/// `$1` and `${name}` are groups, a backslash takes the next character as it is.
struct JavaReplacement<'a>(&'a str);

impl Replacer for JavaReplacement<'_> {
    fn replace_append(&mut self, captures: &::regex::Captures<'_>, out: &mut String) {
        let mut chars = self.0.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => out.extend(chars.next()),
                '$' if chars.next_if_eq(&'{').is_some() => {
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    out.push_str(captures.name(&name).map_or("", |group| group.as_str()));
                }
                '$' => {
                    let mut group = 0;
                    // As many digits as still name a group.
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let next = group * 10 + digit as usize;
                        if group != 0 && next >= captures.len() {
                            break;
                        }
                        group = next;
                        chars.next();
                    }
                    out.push_str(captures.get(group).map_or("", |group| group.as_str()));
                }
                c => out.push(c),
            }
        }
    }
}

fn like(signature: &Signature<'_>) -> Kernel {
    let literal = match (signature.literal(1), signature.arguments.len(), signature.literal(2)) {
        (Some(pattern), 2, _) => Some(Like::parse(pattern, None)),
        (Some(pattern), _, Some(escape)) => Some(Like::parse(pattern, escape.chars().next())),
        _ => None,
    };
    Arc::new(move |a| {
        let (s, pattern) = (a.text(0), a.text(1));
        if let Some(like) = &literal {
            return a.collect_booleans(|row| Some(like.matches(s.get(row)?)));
        }
        let escape = (a.values.len() > 2).then(|| a.text(2));
        a.collect_booleans(|row| {
            let escape = match &escape {
                Some(escape) => escape.get(row)?.chars().next(),
                None => None,
            };
            Some(Like::parse(pattern.get(row)?, escape).matches(s.get(row)?))
        })
    })
}

/// A pattern of LIKE, with the common forms apart.
#[derive(Debug, PartialEq)]
enum Like {
    Equal(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Any(Vec<Token>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Character(char),
    One,
    Many,
}

impl Like {
    fn parse(pattern: &str, escape: Option<char>) -> Self {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                c if Some(c) == escape => Token::Character(chars.next().unwrap_or(c)),
                '%' => Token::Many,
                '_' => Token::One,
                c => Token::Character(c),
            });
        }
        let text = |tokens: &[Token]| {
            let character = |token: &Token| if let Token::Character(c) = token { Some(*c) } else { None };
            tokens.iter().map(character).collect::<Option<String>>()
        };
        let form = match tokens.as_slice() {
            [Token::Many, inner @ .., Token::Many] => text(inner).map(Self::Contains),
            [Token::Many, inner @ ..] => text(inner).map(Self::Suffix),
            [inner @ .., Token::Many] => text(inner).map(Self::Prefix),
            all => text(all).map(Self::Equal),
        };
        form.unwrap_or(Self::Any(tokens))
    }

    fn matches(&self, s: &str) -> bool {
        match self {
            Self::Equal(text) => s == text,
            Self::Prefix(text) => s.starts_with(text.as_str()),
            Self::Suffix(text) => s.ends_with(text.as_str()),
            Self::Contains(text) => memchr::memmem::find(s.as_bytes(), text.as_bytes()).is_some(),
            Self::Any(tokens) => matches(tokens, s),
        }
    }
}

/// Goes back to the last `%` only: linear in the text for each run between two of them.
fn matches(tokens: &[Token], s: &str) -> bool {
    let (mut token, mut rest) = (0, s.chars());
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        let matched = match (tokens.get(token), ahead.next()) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                retry = Some((token + 1, rest.clone()));
                token += 1;
                continue;
            }
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Character(expected)), Some(c)) => *expected == c,
            _ => false,
        };
        if matched {
            (token, rest) = (token + 1, ahead);
            continue;
        }
        let Some((after, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (token, rest) = (*after, from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oracle(tokens: &[Token], s: &[char]) -> bool {
        match (tokens.split_first(), s.split_first()) {
            (None, None) => true,
            (Some((Token::Many, rest)), _) => oracle(rest, s) || (!s.is_empty() && oracle(tokens, &s[1..])),
            (Some((Token::One, tokens)), Some((_, s))) => oracle(tokens, s),
            (Some((Token::Character(c), tokens)), Some((d, s))) => c == d && oracle(tokens, s),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn like_agrees_with_a_recursive_matcher(pattern in "[ab%_]{0,7}", s in "[ab]{0,9}") {
            let like = Like::parse(&pattern, None);
            let tokens: Vec<_> = pattern.chars().map(|c| match c {
                '%' => Token::Many,
                '_' => Token::One,
                c => Token::Character(c),
            }).collect();
            prop_assert_eq!(like.matches(&s), oracle(&tokens, &s.chars().collect::<Vec<_>>()));
        }
    }

    #[test]
    fn an_escaped_wildcard_is_a_character() {
        assert_eq!(Like::parse("a!%%", Some('!')), Like::Prefix("a%".into()));
        assert!(Like::parse("a\\%", None).matches("a\\bc"));
    }
}
