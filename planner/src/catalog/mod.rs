//! The tables, views and options that a script declares. Statements are applied in their order, so that
//! an INSERT sees what stands before it. Not here: any binding of expressions, and no metadata of Kafka.

mod name;
mod session;
mod table;
mod like;

pub use name::QualifiedName;
pub use session::Session;
pub use table::{CatalogTable, check_rowtime};

use crate::ast::{CreateTable, CreateView, Insert, ObjectName, Span, Statement, StatementKind};
use crate::connector::nearest;
use crate::error::{SqlError, SqlWarning};
use sqlparser::ast::Query;
use std::collections::BTreeMap;

/// What is declared at one place of a script.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    relations: BTreeMap<QualifiedName, Relation>,
    pub session: Session,
    /// What was accepted so far but will not do what it says.
    pub warnings: Vec<SqlWarning>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    Table(Box<CatalogTable>),
    View(CatalogView),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CatalogView {
    pub name: QualifiedName,
    /// Renames the query's columns; empty where it keeps them.
    pub columns: Vec<String>,
    pub query: Box<Query>,
    /// Where the view's name stands.
    pub span: Span,
}

impl Catalog {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a whole script whose INSERTs are bound at its end. Use [`Catalog::apply`] to bind each
    /// where it stands.
    pub fn from_statements(statements: Vec<Statement>) -> Result<(Self, Vec<Insert>), SqlError> {
        let mut catalog = Self::new();
        let mut inserts = Vec::new();
        for statement in statements {
            inserts.extend(catalog.apply(statement)?);
        }
        Ok((catalog, inserts))
    }

    /// Takes in the next statement; gives back the INSERTs that are in it.
    pub fn apply(&mut self, statement: Statement) -> Result<Vec<Insert>, SqlError> {
        match statement.kind {
            StatementKind::CreateTable(table) => self.create_table(*table)?,
            StatementKind::CreateView(view) => self.create_view(view)?,
            StatementKind::DropTable { name, if_exists } => self.drop(&name, if_exists, true)?,
            StatementKind::DropView { name, if_exists } => self.drop(&name, if_exists, false)?,
            StatementKind::Set { key, value } => {
                let warning = self.session.set(&key, &value, statement.span)?;
                self.warnings.extend(warning);
            }
            StatementKind::Reset { key } => self.session.reset(key.as_deref()),
            StatementKind::Insert(insert) => return Ok(vec![insert]),
            StatementKind::StatementSet(inserts) => return Ok(inserts),
        }
        Ok(Vec::new())
    }

    /// The table or view of that name.
    pub fn resolve(&self, name: &ObjectName) -> Result<&Relation, SqlError> {
        let qualified = QualifiedName::resolve(name)?;
        self.relations.get(&qualified).ok_or_else(|| {
            let error = SqlError::not_found(format!("there is no table or view `{}`", name.parts.join("`.`")));
            let known = self.relations.keys().map(|known| known.name.as_str());
            match nearest(&qualified.name, known) {
                Some(near) => error.at(name.span).hint(format!("did you mean `{near}`?")),
                None => error.at(name.span),
            }
        })
    }

    /// The table of that name; a view is an error.
    pub fn table(&self, name: &ObjectName) -> Result<&CatalogTable, SqlError> {
        match self.resolve(name)? {
            Relation::Table(table) => Ok(table),
            Relation::View(_) => {
                Err(SqlError::invalid(format!("`{}` is a view, not a table", name.parts.join("`.`"))).at(name.span))
            }
        }
    }

    /// Every table and view, by name.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    fn create_table(&mut self, declared: CreateTable) -> Result<(), SqlError> {
        let Some(name) = self.new_name(&declared.name, declared.if_not_exists)? else { return Ok(()) };
        let declared = match declared.like.clone() {
            Some(source) => like::merge(declared, &source, self.table(&source.source)?)?,
            None => declared,
        };
        let table = CatalogTable::new(name.clone(), declared, &mut self.warnings)?;
        self.relations.insert(name, Relation::Table(Box::new(table)));
        Ok(())
    }

    fn create_view(&mut self, view: CreateView) -> Result<(), SqlError> {
        let Some(name) = self.new_name(&view.name, view.if_not_exists)? else { return Ok(()) };
        for (at, column) in view.columns.iter().enumerate() {
            if view.columns[..at].contains(column) {
                return Err(SqlError::invalid(format!("the view names the column `{column}` twice")).at(view.name.span));
            }
        }
        let span = view.name.span;
        let view = CatalogView { name: name.clone(), columns: view.columns, query: view.query, span };
        self.relations.insert(name, Relation::View(view));
        Ok(())
    }

    /// None where the name is taken and that is no error.
    fn new_name(&self, name: &ObjectName, if_not_exists: bool) -> Result<Option<QualifiedName>, SqlError> {
        let qualified = QualifiedName::resolve(name)?;
        if !self.relations.contains_key(&qualified) {
            return Ok(Some(qualified));
        }
        if if_not_exists {
            return Ok(None);
        }
        Err(SqlError::invalid(format!("`{}` is declared twice", name.parts.join("`.`"))).at(name.span))
    }

    fn drop(&mut self, name: &ObjectName, if_exists: bool, is_table: bool) -> Result<(), SqlError> {
        let qualified = QualifiedName::resolve(name)?;
        match self.relations.get(&qualified) {
            None if if_exists => Ok(()),
            None => self.resolve(name).map(drop),
            Some(relation) if matches!(relation, Relation::Table(_)) != is_table => {
                let (is, drop) = if is_table { ("view", "DROP VIEW") } else { ("table", "DROP TABLE") };
                Err(SqlError::invalid(format!("`{}` is a {is}", name.parts.join("`.`"))).at(name.span).hint(drop))
            }
            Some(_) => {
                self.relations.remove(&qualified);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
