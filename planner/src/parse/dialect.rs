//! Flink's lexical rules and the few switches of sqlparser that its queries need. Not here: the
//! statements of Flink (`statement.rs`, `table.rs`), nor its reserved words (`reserved.rs`).

use sqlparser::dialect::Dialect;

#[derive(Debug)]
pub(super) struct FlinkDialect;

impl Dialect for FlinkDialect {
    /// Only backticks quote a name; `"x"` is neither a name nor a string in Flink.
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch == '_' || ch.is_alphabetic()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        matches!(ch, '_' | '$') || ch.is_alphanumeric()
    }

    /// `U&'\00e9'`.
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    /// `GROUP BY ROLLUP (…)`, `CUBE (…)` and `GROUPING SETS (…)`.
    fn supports_group_by_expr(&self) -> bool {
        true
    }

    /// `FOR SYSTEM_TIME AS OF`.
    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_in_empty_list(&self) -> bool {
        false
    }
}
