use std::collections::BTreeSet;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// Where the schemas of requests wait until their final names are known.
const REQUESTS: &str = "#/components/requests/";
const SCHEMAS: &str = "#/components/schemas/";

/// The limits of the contract. They bind what clients send; a document that an older
/// system stored is answered as it is.
const LIMITS: [&str; 9] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "format",
];

/// The schemas of everything that is sent and answered. The same type may be both, and
/// differs then: what may be left out of a request is always there in an answer.
pub struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    pub fn new() -> Self {
        let at = |path: &str| {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = path.trim_start_matches('#').to_owned().into();
            })
        };
        let unlimited = RecursiveTransform(|schema: &mut Schema| remove_limits(schema));
        Self {
            requests: at(REQUESTS).for_deserialize().into_generator(),
            answers: at(SCHEMAS).for_serialize().with_transform(unlimited).into_generator(),
        }
    }

    pub fn request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().to_value()
    }

    pub fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// The parameters of a query string: the fields of `T`.
    pub fn query<T: JsonSchema>(&mut self) -> Vec<Value> {
        let object = self.requests.root_schema_for::<T>().to_value();
        let fields = object["properties"].as_object().cloned().unwrap_or_default();
        fields.into_iter().map(|(name, schema)| query_parameter(&name, schema)).collect()
    }

    /// `components.schemas`, and `document` with its references to them.
    pub fn finish(mut self, mut document: Value) -> Value {
        let mut schemas = self.answers.take_definitions(true);
        let mut requests = self.requests.take_definitions(true);
        let differs = |(name, schema): &(&String, &Value)| {
            schemas.get(*name).is_some_and(|answered| answered != *schema)
        };
        let differing: BTreeSet<_> =
            requests.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        rename(&mut document, &differing);
        for (name, schema) in &mut requests {
            rename(schema, &differing);
            schemas.insert(request_name(name, &differing), schema.take());
        }
        document["components"]["schemas"] = schemas.into();
        document
    }
}

/// What is not given is left out of a query string, never null there. The words of a list
/// come in one value, with commas between them; nothing between two commas says nothing.
fn query_parameter(name: &str, mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    if let Some(kind) = schema.get_mut("type").filter(|kind| kind[1] == "null") {
        *kind = kind[0].take();
    } else if schema["anyOf"][1]["type"] == "null" {
        schema = schema["anyOf"][0].take();
    }
    let is_list = schema["type"] == "array";
    if is_list {
        schema["items"] = json!({ "anyOf": [schema["items"].take(), { "const": "" }] });
    }
    let mut parameter = json!({ "name": name, "in": "query", "schema": schema });
    if is_list {
        parameter["style"] = json!("form");
        parameter["explode"] = json!(false);
    }
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}

fn remove_limits(schema: &mut Schema) {
    let timestamp = schema.get("format").is_some_and(|format| format == "date-time");
    for limit in LIMITS {
        if !(timestamp && limit == "format") {
            schema.remove(limit);
        }
    }
}

/// A request's part has its type's name, unless the answers' form of that type has it and
/// `differs`.
fn request_name(name: &str, differing: &BTreeSet<String>) -> String {
    if differing.contains(name) { format!("{name}Input") } else { name.to_owned() }
}

fn rename(value: &mut Value, differing: &BTreeSet<String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(REQUESTS) {
                *text = format!("{SCHEMAS}{}", request_name(name, differing));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, differing)),
        Value::Object(fields) => fields.values_mut().for_each(|value| rename(value, differing)),
        _ => {}
    }
}
