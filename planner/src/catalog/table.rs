//! A declared table, checked as far as that needs no expression: computed columns and the watermark's
//! expression are bound later. Not here: how LIKE fills a declaration (`like.rs`).

use super::name::QualifiedName;
use super::session::Session;
use crate::ast::{ColumnDefinition, ColumnKind, CreateTable, PrimaryKey, Span, WatermarkDefinition};
use crate::connector::{self, About, MetadataColumn, OptionError, Usage, duration, nearest};
use crate::error::{SqlError, SqlWarning};
use crate::parse::TableOption;
use crate::plan::{self, Column, Connector};
use crate::secret::Options;
use crate::types::{DataType, RowField, TypeKind};

/// The largest precision of a column that carries event time.
const MAX_ROWTIME_PRECISION: u8 = 3;

/// A table of the catalogue. Its columns are as declared, but those of the PRIMARY KEY are NOT NULL.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogTable {
    pub name: QualifiedName,
    pub columns: Vec<ColumnDefinition>,
    pub watermark: Option<WatermarkDefinition>,
    pub primary_key: Option<PrimaryKey>,
    /// None for a table that is only there to be LIKEd: it has no option `connector`.
    pub connector: Option<Connector>,
    /// Of the WITH clause, in order; `connector` is one of them.
    pub options: Vec<TableOption>,
    /// Where the table's name stands.
    pub span: Span,
}

impl CatalogTable {
    /// Checks a declaration into which LIKE has been merged.
    pub(super) fn new(
        name: QualifiedName,
        declared: CreateTable,
        warnings: &mut Vec<SqlWarning>,
    ) -> Result<Self, SqlError> {
        let connector = match declared.options.iter().find(|(key, ..)| key == "connector") {
            Some((_, value, span)) => Some(connector::connector(value).map_err(|error| error.at(*span))?),
            None => None,
        };
        if let Some(connector) = connector {
            warnings.extend(connector::check_options(connector, &declared.options)?);
        }
        let mut table = Self {
            name,
            columns: declared.columns,
            watermark: declared.watermark,
            primary_key: declared.primary_key,
            connector,
            options: declared.options,
            span: declared.name.span,
        };
        table.check_columns()?;
        table.check_primary_key()?;
        table.check_watermark()?;
        Ok(table)
    }

    pub fn column(&self, name: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The physical columns in order, which is what formats read and write.
    pub fn physical(&self) -> Vec<Column> {
        let physical = self.columns.iter().filter_map(|column| match &column.kind {
            ColumnKind::Physical { data_type } => {
                Some(Column { name: column.name.clone(), data_type: data_type.clone() })
            }
            ColumnKind::Computed { .. } | ColumnKind::Metadata { .. } => None,
        });
        physical.collect()
    }

    /// The physical columns as a ROW.
    pub fn physical_row(&self) -> DataType {
        let fields = self.physical().into_iter();
        let fields = fields.map(|column| RowField { name: column.name, data_type: column.data_type });
        DataType::not_null(TypeKind::Row(fields.collect()))
    }

    /// The columns that INSERT INTO fills, in order: physical ones, and METADATA that is not VIRTUAL.
    pub fn sink_columns(&self) -> Result<Vec<&ColumnDefinition>, SqlError> {
        let mut columns = Vec::new();
        for column in &self.columns {
            match &column.kind {
                ColumnKind::Physical { .. } => columns.push(column),
                ColumnKind::Metadata { key, is_virtual: false, .. } => {
                    let key = key.as_deref().unwrap_or(&column.name);
                    let known = self.connector.and_then(|connector| connector::metadata(connector, key));
                    if !known.is_some_and(|known| known.writable) {
                        return Err(SqlError::invalid(format!("the metadata '{key}' can't be written"))
                            .at(column.span)
                            .hint(format!("declare the column VIRTUAL: `{}` … METADATA … VIRTUAL", column.name)));
                    }
                    columns.push(column);
                }
                ColumnKind::Computed { .. } | ColumnKind::Metadata { .. } => {}
            }
        }
        Ok(columns)
    }

    /// What the connector makes of a METADATA column of this table.
    pub fn metadata(&self, column: &ColumnDefinition) -> Option<MetadataColumn> {
        match (&column.kind, self.connector) {
            (ColumnKind::Metadata { key, .. }, Some(connector)) => {
                connector::metadata(connector, key.as_deref().unwrap_or(&column.name))
            }
            _ => None,
        }
    }

    /// The same table with the options of a hint before its own.
    pub fn with_options(&self, hints: &[TableOption]) -> Result<(Self, Vec<SqlWarning>), SqlError> {
        let mut table = self.clone();
        for (key, value, span) in hints {
            if key == "connector" {
                return Err(SqlError::invalid("a hint can't change the connector of a table").at(*span));
            }
            match table.options.iter_mut().find(|(own, ..)| own == key) {
                Some(own) => *own = (key.clone(), value.clone(), *span),
                None => table.options.push((key.clone(), value.clone(), *span)),
            }
        }
        let warnings = match self.connector {
            // Formats are among the table's options, so all are checked; only the hint's may be wrong.
            Some(connector) if !hints.is_empty() => {
                let mut warnings = connector::check_options(connector, &table.options)?;
                warnings.retain(|warning| hints.iter().any(|(_, _, span)| warning.span == Some(*span)));
                warnings
            }
            _ => Vec::new(),
        };
        Ok((table, warnings))
    }

    /// The table as a plan has it, with its options checked as a whole for this use of it. An error has no
    /// place where it is the use that is wrong.
    pub fn to_plan(&self, session: &Session, usage: Usage) -> Result<plan::Table, SqlError> {
        let Some(connector) = self.connector else {
            return Err(SqlError::invalid(format!("the table `{}` has no connector", self.name.name))
                .at(self.span)
                .hint("WITH ('connector' = 'kafka', …)"));
        };
        let options: Options = self.options.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
        let own_timeout = options.get("scan.watermark.idle-timeout").and_then(|text| duration(text).ok());
        let table = plan::Table {
            name: self.name.to_string(),
            connector,
            physical: self.physical(),
            primary_key: self.primary_key.as_ref().map(|key| key.columns.clone()).unwrap_or_default(),
            options,
            idle_timeout: own_timeout.unwrap_or_else(|| session.idle_timeout()),
        };
        connector::check_complete(&table, usage).map_err(|OptionError { about, error }| match about {
            About::Option(key) => error.at(self.option_span(&key)),
            About::Declaration => error.at(self.span),
            About::Use => error,
        })?;
        Ok(table)
    }

    fn option_span(&self, key: &str) -> Span {
        self.options.iter().find(|(other, ..)| other == key).map_or(self.span, |(_, _, span)| *span)
    }

    fn check_columns(&self) -> Result<(), SqlError> {
        for (at, column) in self.columns.iter().enumerate() {
            if self.columns[..at].iter().any(|other| other.name == column.name) {
                return Err(
                    SqlError::invalid(format!("the column `{}` is declared twice", column.name)).at(column.span)
                );
            }
            if let (ColumnKind::Metadata { data_type, key, .. }, Some(connector)) = (&column.kind, self.connector) {
                let key = key.as_deref().unwrap_or(&column.name);
                check_metadata(connector, key, data_type).map_err(|error| error.at(column.span))?;
            }
        }
        Ok(())
    }

    fn check_primary_key(&mut self) -> Result<(), SqlError> {
        let Some(key) = &self.primary_key else { return Ok(()) };
        for (at, name) in key.columns.iter().enumerate() {
            if key.columns[..at].contains(name) {
                return Err(SqlError::invalid(format!("the PRIMARY KEY names `{name}` twice")).at(key.span));
            }
            let near = nearest(name, self.columns.iter().map(|column| column.name.as_str())).map(str::to_owned);
            let Some(column) = self.columns.iter_mut().find(|column| column.name == *name) else {
                return Err(no_column("the PRIMARY KEY", name, near.as_deref()).at(key.span));
            };
            match &mut column.kind {
                ColumnKind::Physical { data_type } => data_type.nullable = false,
                ColumnKind::Computed { .. } | ColumnKind::Metadata { .. } => {
                    let message = format!("the PRIMARY KEY names `{name}`, which is no physical column");
                    return Err(SqlError::invalid(message).at(key.span));
                }
            }
        }
        Ok(())
    }

    fn check_watermark(&self) -> Result<(), SqlError> {
        let Some(watermark) = &self.watermark else { return Ok(()) };
        let Some((first, fields)) = watermark.column.split_first() else { return Ok(()) };
        let Some(column) = self.column(first) else {
            let near = nearest(first, self.columns.iter().map(|column| column.name.as_str()));
            return Err(no_column("WATERMARK", first, near).at(watermark.span));
        };
        // A computed column has no type yet.
        let (ColumnKind::Physical { data_type } | ColumnKind::Metadata { data_type, .. }) = &column.kind else {
            return Ok(());
        };
        let mut data_type = data_type;
        for field in fields {
            let TypeKind::Row(row) = &data_type.kind else {
                return Err(no_column("WATERMARK", &watermark.column.join("."), None).at(watermark.span));
            };
            let Some(found) = row.iter().find(|other| other.name == *field) else {
                let near = nearest(field, row.iter().map(|field| field.name.as_str()));
                return Err(no_column("WATERMARK", &watermark.column.join("."), near).at(watermark.span));
            };
            data_type = &found.data_type;
        }
        check_rowtime(&watermark.column.join("."), data_type).map_err(|error| error.at(watermark.span))
    }
}

/// Whether a column of this type can carry event time; also for the type of a computed column.
pub fn check_rowtime(column: &str, data_type: &DataType) -> Result<(), SqlError> {
    match data_type.kind {
        TypeKind::Timestamp { precision } | TypeKind::TimestampLtz { precision }
            if precision <= MAX_ROWTIME_PRECISION =>
        {
            Ok(())
        }
        _ => Err(SqlError::invalid(format!(
            "the column of a WATERMARK must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p from 0 to 3, but `{column}` is {data_type}"
        ))
        .hint("convert it in a computed column, for instance ts AS TO_TIMESTAMP_LTZ(millis, 3)")),
    }
}

fn no_column(what: &str, name: &str, near: Option<&str>) -> SqlError {
    let error = SqlError::not_found(format!("{what} names `{name}`, which is no column of the table"));
    match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn check_metadata(connector: Connector, key: &str, declared: &DataType) -> Result<(), SqlError> {
    let Some(offered) = connector::metadata(connector, key) else {
        let keys = connector::metadata_keys(connector);
        let error = SqlError::not_found(format!("the connector has no metadata '{key}'"));
        return Err(if keys.is_empty() {
            error
        } else if let Some(near) = nearest(key, keys.iter().copied()) {
            error.hint(format!("did you mean '{near}'?"))
        } else {
            error.hint(format!("it has {}", keys.join(", ")))
        });
    };
    let fits = match offered.data_type.kind {
        TypeKind::Int | TypeKind::BigInt => declared.kind.is_numeric() || declared.kind.is_character(),
        TypeKind::VarChar { .. } => declared.kind.is_character(),
        TypeKind::TimestampLtz { .. } => declared.kind.is_timestamp() || declared.kind.is_character(),
        TypeKind::Map(..) => matches!(&declared.kind, TypeKind::Map(key, value)
            if key.kind.is_character() && value.kind.is_binary()),
        _ => declared.kind == offered.data_type.kind,
    };
    if fits {
        return Ok(());
    }
    Err(SqlError::invalid(format!("the metadata '{key}' is {}, which is not cast to {declared}", offered.data_type)))
}
