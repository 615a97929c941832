//! Compares a manifest with the schema of `StreamJob` and says everything that doesn't fit: unknown fields
//! first of all, which the API server would silently prune. It knows the part of JSON Schema that our
//! definition uses; what it doesn't know it lets pass, and the typed read has the last word.

use super::{Place, Step, described};
use crate::quantity::{ByteSize, DURATION_PATTERN, Duration, SHORT_DURATION_PATTERN, SIZE_PATTERN};
use crate::spelling::nearest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Something that doesn't fit, at a place of the object.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn whole(message: String) -> Self {
        Self { place: Place::default(), message, hint: None }
    }
}

/// The schema of a whole `StreamJob`, metadata included (a definition leaves that to the API server).
pub(super) fn stream_job() -> Value {
    let definition = serde_json::to_value(crate::stream_job_definition()).unwrap_or_default();
    let mut schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let metadata = settings.into_generator().into_root_schema_for::<ObjectMeta>();
    schema["properties"]["metadata"] = serde_json::to_value(metadata).unwrap_or_default();
    schema["properties"]["metadata"]["required"] = serde_json::json!(["name"]);
    schema["properties"]["apiVersion"] = serde_json::json!({"type": "string"});
    schema["properties"]["kind"] = serde_json::json!({"type": "string"});
    schema
}

pub(super) fn check(value: &Value, schema: &Value) -> Vec<Finding> {
    let mut checker = Checker { steps: Vec::new(), findings: Vec::new() };
    checker.value(value, schema);
    checker.findings
}

struct Checker {
    steps: Vec<Step>,
    findings: Vec<Finding>,
}

impl Checker {
    fn value(&mut self, value: &Value, schema: &Value) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if schema["x-kubernetes-int-or-string"] == true {
            if !value.is_string() && !value.is_number() {
                self.expected("a number or a text", value);
            }
            return;
        }
        if let Some(known) = schema["enum"].as_array() {
            self.choice(value, known);
            return;
        }
        match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(fields)) => self.object(fields, schema),
            (Some("object"), _) => self.expected("a mapping of fields", value),
            (Some("array"), Value::Array(items)) => self.array(items, schema),
            (Some("array"), _) => self.expected("a list", value),
            (Some("string"), Value::String(text)) => self.text(text, schema),
            (Some("string"), _) => match schema["pattern"].as_str() {
                Some(DURATION_PATTERN | SHORT_DURATION_PATTERN) => {
                    self.expected("a duration such as 500ms, 10s or 7d", value)
                }
                Some(SIZE_PATTERN) => self.expected("a size such as 64Mi or 10Gi", value),
                _ => self.expected("a text", value),
            },
            (Some("integer"), Value::Number(n)) if n.is_i64() || n.is_u64() => self.range(value, schema),
            (Some("integer"), _) => self.expected("a whole number", value),
            (Some("number"), Value::Number(_)) => self.range(value, schema),
            (Some("number"), _) => self.expected("a number", value),
            (Some("boolean"), Value::Bool(_)) => {}
            (Some("boolean"), _) => self.expected("true or false", value),
            _ => {}
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, schema: &Value) {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        for (name, value) in fields {
            self.steps.push(Step::Field(name.clone()));
            match known.get(name) {
                Some(schema) => self.value(value, schema),
                None => match &schema["additionalProperties"] {
                    additional @ Value::Object(_) => self.value(value, additional),
                    _ if schema["x-kubernetes-preserve-unknown-fields"] == true || known.is_empty() => {}
                    _ => self.unknown(name, known),
                },
            }
            self.steps.pop();
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !fields.contains_key(*name)) {
            self.find(format!("the field {name} is missing"), None);
        }
    }

    fn array(&mut self, items: &[Value], schema: &Value) {
        for (index, item) in items.iter().enumerate() {
            self.steps.push(Step::Index(index));
            self.value(item, &schema["items"]);
            self.steps.pop();
        }
    }

    fn text(&mut self, text: &str, schema: &Value) {
        let wrong = match schema["pattern"].as_str() {
            Some(DURATION_PATTERN | SHORT_DURATION_PATTERN) => text.parse::<Duration>().err(),
            Some(SIZE_PATTERN) => text.parse::<ByteSize>().err(),
            _ => None,
        };
        let length = text.chars().count() as u64;
        if let Some(error) = wrong {
            self.find(error.to_string(), None);
        } else if schema["minLength"].as_u64().is_some_and(|min| length < min) {
            self.find("the text is empty".into(), None);
        } else if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
            self.find(format!("the text has {length} characters; at most {max} are allowed"), None);
        }
    }

    fn range(&mut self, value: &Value, schema: &Value) {
        let (Some(n), min, max) = (value.as_f64(), schema["minimum"].as_f64(), schema["maximum"].as_f64()) else {
            return;
        };
        let below = min.is_some_and(|min| n < min);
        let above = max.is_some_and(|max| n > max);
        match (min, max) {
            (Some(min), Some(max)) if below || above => self.find(format!("{value} is not from {min} to {max}"), None),
            (Some(min), None) if below => self.find(format!("{value} is less than {min}"), None),
            (None, Some(max)) if above => self.find(format!("{value} is more than {max}"), None),
            _ => {}
        }
    }

    fn choice(&mut self, value: &Value, known: &[Value]) {
        if known.contains(value) {
            return;
        }
        let names: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        let hint = value.as_str().and_then(|text| nearest(text, names.iter().copied()));
        let expected = format!("expected one of {}; found {}", names.join(", "), described(value));
        self.find(expected, hint.map(|name| format!("did you mean {name}?")));
    }

    fn unknown(&mut self, name: &str, known: &Map<String, Value>) {
        let names = || known.keys().map(String::as_str);
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the fields here are {}", names().collect::<Vec<_>>().join(", ")),
        };
        let place = Place { steps: self.steps.clone(), key: true };
        self.findings.push(Finding { place, message: "unknown field".into(), hint: Some(hint) });
    }

    fn expected(&mut self, what: &str, found: &Value) {
        self.find(format!("expected {what}; found {}", described(found)), None);
    }

    fn find(&mut self, message: String, hint: Option<String>) {
        self.findings.push(Finding { place: Place { steps: self.steps.clone(), key: false }, message, hint });
    }
}
