//! The documents of a YAML text as JSON values. Duplicate keys, tags and keys that aren't text are errors,
//! as they are for the API server.

use super::position::{self, Position};
use super::schema::Finding;
use super::{ManifestError, Place, Problem, Step};
use serde::Deserialize as _;
use serde_json::{Map, Number, Value};

/// One document of the text.
pub(super) struct Document {
    /// Its number among all documents of the text, the empty ones included.
    pub(super) index: usize,
    pub(super) value: Value,
}

/// Every document that isn't empty.
pub(super) fn all(yaml: &str) -> Result<Vec<Document>, ManifestError> {
    let mut documents = Vec::new();
    for (index, document) in serde_norway::Deserializer::from_str(yaml).enumerate() {
        let value = serde_norway::Value::deserialize(document).map_err(not_yaml)?;
        let value =
            to_json(value).map_err(|message| Problem { path: String::new(), message, hint: None, position: None })?;
        if !value.is_null() {
            documents.push(Document { index, value });
        }
    }
    Ok(documents)
}

impl Document {
    pub(super) fn kind(&self) -> Option<&str> {
        self.value.get("kind")?.as_str()
    }

    pub(super) fn problem(&self, yaml: &str, finding: Finding) -> Problem {
        let position = position::of(yaml, self.index, &finding.place);
        Problem { path: finding.place.path(), message: finding.message, hint: finding.hint, position }
    }

    pub(super) fn check_version(&self, yaml: &str) -> Result<(), ManifestError> {
        let expected = format!("{}/{}", crate::GROUP, crate::VERSION);
        let (message, steps) = match self.value.get("apiVersion") {
            Some(found) if *found == expected.as_str() => return Ok(()),
            Some(Value::String(found)) => (
                format!("this version of millrace reads {expected}, not {found}"),
                vec![Step::Field("apiVersion".into())],
            ),
            _ => (format!("a StreamJob needs `apiVersion: {expected}`"), vec![]),
        };
        Err(self.problem(yaml, Finding { place: Place { steps, key: false }, message, hint: None }).into())
    }
}

/// The parser's own complaint, without the position that its text repeats.
fn not_yaml(error: serde_norway::Error) -> ManifestError {
    let position = error.location().map(|at| Position { line: at.line(), column: at.column() });
    let mut message = error.to_string();
    if let Some(cut) = message.find(" at line ") {
        let context = message[cut..].find(", ").map(|comma| message[cut + comma..].to_owned()).unwrap_or_default();
        message.truncate(cut);
        if let Some(end) = context.find(" at line ") {
            message.push_str(&context[..end]);
        }
    }
    Problem { path: String::new(), message: format!("not valid YAML: {message}"), hint: None, position }.into()
}

fn to_json(value: serde_norway::Value) -> Result<Value, String> {
    use serde_norway::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(b),
        Yaml::Number(n) => number(&n)?,
        Yaml::String(s) => Value::String(s),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let Yaml::String(key) = key else {
                    return Err("a key that isn't text can't be a field's name: quote it".into());
                };
                map.insert(key, to_json(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tagged) => return Err(format!("the YAML tag {} has no meaning in a manifest", tagged.tag)),
    })
}

fn number(number: &serde_norway::Number) -> Result<Value, String> {
    let json = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(n), _, _) => Some(Number::from(n)),
        (_, Some(n), _) => Some(Number::from(n)),
        (_, _, Some(n)) => Number::from_f64(n),
        _ => None,
    };
    json.map(Value::Number).ok_or_else(|| format!("{number} is not a number that a manifest can hold"))
}
