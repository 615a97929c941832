//! The last step after sqlparser has read a query: table functions get one form, hints move to their
//! tables, and reserved words that sqlparser took for names are refused. See the table in `query.rs`.

use super::cursor::reserved_name;
use super::lexer::Script;
use super::reserved::{is_function_without_parentheses, is_reserved};
use crate::error::SqlError;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectNamePart, Query, Select, SelectItem, TableAlias, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

/// `tokens` are the script's tokens that the query was read from.
pub(super) fn query(script: &Script, tokens: Range<usize>, query: &mut Query) -> Result<(), SqlError> {
    apply(script, tokens, query)
}

pub(super) fn expression(script: &Script, tokens: Range<usize>, expression: &mut Expr) -> Result<(), SqlError> {
    apply(script, tokens, expression)
}

fn apply(script: &Script, tokens: Range<usize>, tree: &mut impl VisitMut) -> Result<(), SqlError> {
    let mut finish = Finish { script, hints: BTreeMap::new(), units: Vec::new() };
    for (index, hint) in script.hints.iter().enumerate() {
        match hint.after {
            Some(after) if tokens.contains(&after) => {
                finish.hints.insert(script.tokens()[after].span.start, index);
            }
            _ => {}
        }
    }
    if let ControlFlow::Break(error) = tree.visit(&mut finish) {
        return Err(match error.span {
            // sqlparser keeps no place for an alias that is a string.
            Some(crate::ast::Span { line: 0, .. }) => SqlError { span: string_alias(script, tokens), ..error },
            _ => error,
        });
    }
    match finish.hints.values().next() {
        Some(unused) => Err(script.hints[*unused].misplaced()),
        None => Ok(()),
    }
}

/// Where a string stands as an alias, after AS or right after an expression.
fn string_alias(script: &Script, tokens: Range<usize>) -> Option<crate::ast::Span> {
    let follows = |before: &Token| match before {
        Token::Word(word) => word.keyword == Keyword::AS || !is_reserved(&word.value),
        before => matches!(before, Token::RParen | Token::RBracket | Token::Number(..)),
    };
    script.tokens()[tokens].windows(2).find_map(|pair| match &pair[1].token {
        Token::SingleQuotedString(_) if follows(&pair[0].token) => Some(pair[1].span.into()),
        _ => None,
    })
}

struct Finish<'s, 'a> {
    script: &'s Script<'a>,
    /// Hints not given to a table yet, by the place of the word before them.
    hints: BTreeMap<Location, usize>,
    /// Places of bare words that are units of time.
    units: Vec<Span>,
}

impl VisitorMut for Finish<'_, '_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        query.with.iter().flat_map(|with| &with.cte_tables).try_for_each(|cte| alias_is_free(&cte.alias))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        select.projection.iter().try_for_each(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => is_free("an alias", alias),
            _ => ControlFlow::Continue(()),
        })
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::Table { name, args: None, with_hints, .. } = factor {
            for part in &name.0 {
                if let ObjectNamePart::Identifier(ident) = part {
                    is_free("a table name", ident)?;
                }
            }
            let place = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.span.start);
            if let Some(hint) = place.and_then(|place| self.hints.remove(&place)) {
                match self.script.hints[hint].options() {
                    Ok(options) => *with_hints = options.into_iter().map(hint_expression).collect(),
                    Err(error) => return ControlFlow::Break(error),
                }
            }
        }
        if let Some(alias) = alias(factor) {
            alias_is_free(alias)?;
        }
        make_table_function(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<SqlError> {
        match expression {
            Expr::Function(function) => self.note_unit(function),
            Expr::Identifier(ident) if self.units.contains(&ident.span) => {}
            Expr::Identifier(ident) if is_function_without_parentheses(&ident.value) => {}
            Expr::Identifier(ident) => return is_free("an expression", ident),
            Expr::CompoundIdentifier(parts) => return parts.iter().try_for_each(|part| is_free("a column name", part)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Finish<'_, '_> {
    /// In `TIMESTAMPDIFF(DAY, a, b)` the first argument is no column.
    fn note_unit(&mut self, function: &Function) {
        let name = function.name.to_string().to_ascii_uppercase();
        if !matches!(name.as_str(), "TIMESTAMPDIFF" | "TIMESTAMPADD") {
            return;
        }
        if let FunctionArguments::List(list) = &function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(unit)))) = list.args.first()
        {
            self.units.push(unit.span);
        }
    }
}

fn is_free(what: &str, ident: &Ident) -> ControlFlow<SqlError> {
    if ident.quote_style.is_none() && is_reserved(&ident.value) {
        return ControlFlow::Break(reserved_name(what, &ident.value, ident.span.into()));
    }
    if ident.quote_style == Some('\'') {
        return ControlFlow::Break(
            SqlError::syntax(format!("expected {what} but found the string '{}'", ident.value))
                .at(ident.span.into())
                .hint(format!("quote a name with backticks: `{}`", ident.value)),
        );
    }
    ControlFlow::Continue(())
}

fn alias_is_free(alias: &TableAlias) -> ControlFlow<SqlError> {
    is_free("an alias", &alias.name)?;
    alias.columns.iter().try_for_each(|column| is_free("a column name", &column.name))
}

fn alias(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

fn hint_expression((key, value, span): super::TableOption) -> Expr {
    let start = Location::of(span.line, span.column);
    let end = Location::of(span.end_line, span.end_column);
    let literal = |text: String| {
        let value = Value::SingleQuotedString(text);
        Box::new(Expr::Value(ValueWithSpan { value, span: Span::new(start, end) }))
    };
    Expr::BinaryOp { left: literal(key), op: BinaryOperator::Eq, right: literal(value) }
}

/// `FROM f(…)` is short for `FROM TABLE(f(…))`.
fn make_table_function(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: args @ Some(_), version: None, with_hints, .. } = factor else {
        return;
    };
    if !with_hints.is_empty() {
        return;
    }
    let args = args.take().map(|args| args.args).unwrap_or_default();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    let function = Function {
        name: name.clone(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    };
    *factor = TableFactor::TableFunction { expr: Expr::Function(function), alias: alias.take() };
}
