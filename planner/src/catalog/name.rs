//! Names of tables and views in full. There is one catalog with one database, Flink's defaults.

use crate::ast::ObjectName;
use crate::error::SqlError;
use std::fmt;

const CATALOG: &str = "default_catalog";
const DATABASE: &str = "default_database";

/// `default_catalog.default_database.name`; names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    pub catalog: String,
    pub database: String,
    pub name: String,
}

impl QualifiedName {
    /// Fills in what `name` leaves out.
    pub fn resolve(name: &ObjectName) -> Result<Self, SqlError> {
        let (catalog, database, last) = match name.parts.as_slice() {
            [last] => (CATALOG, DATABASE, last),
            [database, last] => (CATALOG, database.as_str(), last),
            [catalog, database, last] => (catalog.as_str(), database.as_str(), last),
            _ => return Err(SqlError::invalid("a name has one to three parts").at(name.span)),
        };
        let missing = if catalog != CATALOG {
            format!("there is no catalog `{catalog}`")
        } else if database != DATABASE {
            format!("there is no database `{database}`")
        } else {
            return Ok(Self { catalog: catalog.to_owned(), database: database.to_owned(), name: last.clone() });
        };
        Err(SqlError::not_found(missing)
            .at(name.span)
            .hint(format!("tables are in `{CATALOG}`.`{DATABASE}`, which can be left out")))
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.database, self.name)
    }
}
