//! The description of the API, OpenAPI 3.1, made from the table of routes and the types of `wire/`.
//!
//! Invariant: every route of the table is described, and nothing else; the tests hold both to each other.

mod exact;

use super::problem::ProblemBody;
use super::router::{ROUTES, Route, Run, Verb};
use super::wire::*;
use axum::body::Bytes;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use utoipa::ToSchema;

/// The document, made once.
pub(crate) fn document() -> Bytes {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::to_vec(&describe()).unwrap_or_default().into()).clone()
}

pub(crate) fn describe() -> Value {
    let mut schemas = Schemas::default();
    let problem = schemas.of::<ProblemBody<'static>>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES.iter() {
        let Some(told) = operation(route.name, &mut schemas) else { continue };
        let verb = route.verb.name().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(verb, told.into_json(route, &problem));
    }
    exact::complete(&mut schemas.all);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Nearfield",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An in-process vector index that can prove it equals your Postgres. Every answer has the header x-request-id. Errors are application/problem+json.",
            "license": {"name": "MIT OR Apache-2.0"}
        },
        "paths": paths,
        "components": {
            "schemas": schemas.all,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}
        },
        "security": [{"bearer": []}]
    })
}

/// Types by name.
#[derive(Default)]
struct Schemas {
    all: BTreeMap<String, Value>,
}

impl Schemas {
    /// A reference to the type.
    fn of<T: ToSchema>(&mut self) -> Value {
        let mut found = Vec::new();
        T::schemas(&mut found);
        found.push((T::name().into_owned(), T::schema()));
        for (name, schema) in found {
            self.all.entry(name).or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
        }
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }
}

/// What is said of a route.
#[derive(Default)]
struct Told {
    summary: &'static str,
    query: Vec<(&'static str, &'static str, Value)>,
    /// Media types and schemas, and whether there must be one.
    body: Option<(Vec<(&'static str, Value)>, bool)>,
    answers: Vec<(u16, &'static str, &'static str, Value)>,
    problems: Vec<u16>,
}

fn says(summary: &'static str) -> Told {
    Told { summary, ..Told::default() }
}

impl Told {
    fn query(mut self, name: &'static str, what: &'static str, schema: Value) -> Self {
        self.query.push((name, what, schema));
        self
    }

    fn takes(mut self, schema: Value) -> Self {
        self.body = Some((vec![("application/json", schema)], true));
        self
    }

    fn may_take(mut self, schema: Value) -> Self {
        self.body = Some((vec![("application/json", schema)], false));
        self
    }

    fn also_takes(mut self, media_type: &'static str, schema: Value) -> Self {
        if let Some((kinds, _)) = &mut self.body {
            kinds.push((media_type, schema));
        }
        self
    }

    fn gives(self, status: u16, what: &'static str, schema: Value) -> Self {
        self.gives_as(status, what, "application/json", schema)
    }

    fn gives_as(mut self, status: u16, what: &'static str, media_type: &'static str, schema: Value) -> Self {
        self.answers.push((status, what, media_type, schema));
        self
    }

    fn fails(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    fn into_json(self, route: &Route, problem: &Value) -> Value {
        let mut parameters = Vec::new();
        for name in route.path.split(['{', '}']).skip(1).step_by(2) {
            let string = json!({"type": "string", "minLength": 1});
            parameters.push(json!({"name": name, "in": "path", "required": true, "schema": string}));
        }
        for (name, what, schema) in &self.query {
            // What is JSON itself stands there as text.
            let is_text = schema.get("$ref").is_none();
            let kind = if is_text { "schema" } else { "content" };
            let schema =
                if is_text { schema.clone() } else { json!({"application/json": {"schema": schema}}) };
            parameters.push(json!({"name": name, "in": "query", "description": what, kind: schema}));
        }
        let mut told = json!({
            "operationId": route.name,
            "summary": self.summary,
            "tags": [tag(route.path)],
            "parameters": parameters,
            "responses": self.responses(route, problem),
        });
        if let Some((kinds, required)) = &self.body {
            let content: Map<String, Value> =
                kinds.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema}))).collect();
            told["requestBody"] = json!({"required": required, "content": content});
        }
        match route.role {
            None => told["security"] = json!([]),
            Some(role) => told["description"] = format!("Needs a token for {}.", role.name()).into(),
        }
        told
    }

    fn responses(&self, route: &Route, problem: &Value) -> Value {
        let id = json!({"x-request-id": {"required": true, "schema": {"type": "string"}}});
        let mut responses = Map::new();
        for (status, what, media_type, schema) in &self.answers {
            let known = responses
                .entry(status.to_string())
                .or_insert_with(|| json!({"description": what, "headers": id, "content": {}}));
            if !media_type.is_empty() {
                known["content"][*media_type] = json!({"schema": schema});
            }
        }
        let mut statuses = self.problems.clone();
        if let Some(_role) = route.role {
            // Too many at once, and faults here, can come to every call.
            statuses.extend([400, 401, 403, 429, 500, 503]);
            if route.verb == Verb::Post {
                statuses.extend([408, 413, 415]);
            }
            if matches!(route.run, Run::Write(_) | Run::Chunks(_) | Run::Wait(_)) {
                statuses.push(507);
            }
        }
        for status in statuses {
            responses.entry(status.to_string()).or_insert_with(|| {
                json!({
                    "description": reason(status),
                    "headers": id,
                    "content": {"application/problem+json": {"schema": problem}},
                })
            });
        }
        Value::Object(responses)
    }
}

fn tag(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("v1") if path.starts_with("/v1/admin") => "operation",
        Some("v1") if path.contains("/chunks") || path.ends_with("/count") => "chunks",
        Some("v1") if path.contains("/search") || path.ends_with("/range") => "search",
        Some("v1") => "collections",
        Some("vectors") => "documents",
        _ => "server",
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "The request is not valid",
        401 => "A valid token is needed",
        403 => "The token does not allow this",
        404 => "There is no such thing",
        408 => "The request did not come in time",
        409 => "The state is not the expected one",
        413 => "The request is too large",
        415 => "The body is of another kind",
        429 => "Too many failed attempts",
        503 => "Not available now",
        507 => "There is no room left",
        _ => "A fault in the server",
    }
}

fn limit(max: usize, default: usize) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": max, "default": default})
}

fn string() -> Value {
    json!({"type": "string"})
}

/// A list of `vector`, joined by commas.
fn include() -> Value {
    json!({"type": "string", "enum": ["vector"]})
}

fn operation(name: &str, s: &mut Schemas) -> Option<Told> {
    collections(name, s)
        .or_else(|| chunks(name, s))
        .or_else(|| searches(name, s))
        .or_else(|| operations(name, s))
        .or_else(|| documents(name, s))
        .or_else(|| server(name, s))
}

fn collections(name: &str, s: &mut Schemas) -> Option<Told> {
    Some(match name {
        "create_collection" => says("Make a collection")
            .takes(s.of::<NewCollection>())
            .gives(201, "It was made", s.of::<CollectionBody>())
            .gives(200, "It exists, and is the same", s.of::<CollectionBody>())
            .fails(&[409]),
        "list_collections" => {
            says("All collections, with counts").gives(200, "Collections", s.of::<CollectionList>())
        }
        "get_collection" => says("One collection, with counts")
            .gives(200, "The collection", s.of::<CollectionBody>())
            .fails(&[404]),
        "drop_collection" => says("Drop a collection with all its chunks")
            .gives_as(204, "It is gone", "", Value::Null)
            .fails(&[404]),
        _ => return None,
    })
}

fn chunks(name: &str, s: &mut Schemas) -> Option<Told> {
    let filter = s.of::<FilterSchema>();
    Some(match name {
        "upsert_chunks" => {
            let line = s.of::<LineBody>();
            let last = s.of::<LastLine>();
            let lines = json!({
                "type": "string",
                "description": "One JSON document a line: one for each line that came, then one with the counts",
                "x-line-schema": {"oneOf": [line, last]},
            });
            let stream = json!({
                "type": "string",
                "description": "One JSON document a line, each a chunk",
                "x-line-schema": s.of::<NewChunk>(),
            });
            says("Store chunks; each of them alone is stored or refused. A stream takes ?durability= and ?results=all|rejected")
                .takes(s.of::<UpsertBody>())
                .also_takes("application/x-ndjson", stream)
                .gives(200, "What became of each", s.of::<UpsertAnswer>())
                .gives_as(200, "", "application/x-ndjson", lines)
                .fails(&[404])
        }
        "list_chunks" => says("Chunks, page by page, oldest write first")
            .query("limit", "How many", limit(1_000, 100))
            .query(
                "cursor",
                "next_cursor of the page before",
                json!({"type": "string", "pattern": "^[0-9]{1,9}$"}),
            )
            .query("filter", "A filter as JSON text", filter)
            .query("include", "What chunks carry beside text and metadata", include())
            .query("tenant", "Only this tenant's", string())
            .gives(200, "A page", s.of::<PageAnswer>())
            .fails(&[404]),
        "get_chunk" => says("One chunk")
            .query("include", "What it carries beside text and metadata", include())
            .query("tenant", "Only if it is this tenant's", string())
            .gives(200, "The chunk", s.of::<ChunkBody>())
            .fails(&[404]),
        "get_chunks" => says("Chunks by their ids")
            .takes(s.of::<GetBody>())
            .gives(200, "Those that are there, and the ids of others", s.of::<GetAnswer>())
            .fails(&[404]),
        "delete_chunks" => says("Delete chunks by ids, document or filter: exactly one of them")
            .takes(s.of::<DeleteBody>())
            .gives(200, "How many there were", s.of::<DeleteAnswer>())
            .fails(&[404]),
        "count_chunks" => says("How many chunks match, exactly")
            .may_take(s.of::<CountBody>())
            .gives(200, "How many", s.of::<CountAnswer>())
            .fails(&[404]),
        _ => return None,
    })
}

fn searches(name: &str, s: &mut Schemas) -> Option<Told> {
    Some(match name {
        "search" => says("The nearest chunks")
            .takes(s.of::<SearchBody>())
            .gives(200, "Hits, nearest first", s.of::<SearchAnswer>())
            .fails(&[404, 409]),
        "search_batch" => says("Many searches on one state of the collection")
            .takes(s.of::<BatchBody>())
            .gives(200, "What each found", s.of::<BatchAnswer>())
            .fails(&[404, 409]),
        "range" => says("Every chunk within a distance")
            .takes(s.of::<RangeBody>())
            .gives(200, "Hits, nearest first", s.of::<SearchAnswer>())
            .fails(&[404]),
        _ => return None,
    })
}

fn operations(name: &str, s: &mut Schemas) -> Option<Told> {
    let mut job = |summary| says(summary).gives(202, "A job that goes on by itself", s.of::<JobAnswer>());
    Some(match name {
        "sync" => job("Have the mirror push, pull, audit, repair or rebuild")
            .takes(s.of::<SyncBody>())
            .fails(&[404]),
        "checkpoint" => job("Write what a start would have to make again").may_take(s.of::<NoBody>()),
        "reclaim" => job("Give back the room of deleted chunks").may_take(s.of::<NoBody>()),
        "verify" => job("Check every byte of every file").may_take(s.of::<VerifyBody>()),
        "snapshot" => job("Copy the store into the server's folder for snapshots").may_take(s.of::<NoBody>()),
        "status" => {
            says("The store, its collections and its mirror").gives(200, "All of it", s.of::<StatusAnswer>())
        }
        "list_jobs" => says("Jobs, the newest first").gives(200, "Jobs", s.of::<JobList>()),
        "get_job" => says("One job").gives(200, "The job", s.of::<JobBody>()).fails(&[404]),
        "cancel_job" => says("Cancel a job: one that waits at once, one that runs at its next step")
            .gives(200, "The job", s.of::<JobBody>())
            .fails(&[404]),
        "dead_letters" => says("Rows that one side refuses, with the reasons")
            .gives(200, "Rows", s.of::<LetterList>())
            .fails(&[503]),
        "get_embedding" => says("How the embedding of texts goes, and which chunks providers refuse")
            .query("collection", "Of this collection alone", string())
            .gives(200, "Collections with a profile of embeddings", s.of::<EmbeddingList>())
            .fails(&[404, 409]),
        "retry_embedding" => {
            says("Try chunks again that a provider refused, and providers that could not be used")
                .takes(s.of::<RetryBody>())
                .gives(200, "What is tried again", s.of::<RetryAnswer>())
                .fails(&[404, 409])
        }
        "migrate" => job("Take a collection to another embedding model, step by step; the job's result says what came of it")
            .takes(s.of::<MigrateBody>())
            .fails(&[404, 409]),
        "resolve" => says("Decide whom to trust, where the mirror is blocked")
            .takes(s.of::<ResolveBody>())
            .gives(200, "Where the mirror stands now", s.of::<ResolveAnswer>()),
        _ => return None,
    })
}

fn documents(name: &str, s: &mut Schemas) -> Option<Told> {
    let of = "The collection; the only one, or the one named default";
    Some(match name {
        "vectors_sync" => {
            let rows = json!({"type": "array", "items": s.of::<SyncRow>()});
            says("Store rows, if any come, and send everything to the database now")
                .query("collection", of, string())
                .may_take(rows)
                .gives(200, "What was sent", s.of::<SyncAnswer>())
                .fails(&[409])
                .gives(202, "It takes longer: a job goes on with it", s.of::<JobAnswer>())
                .fails(&[404])
        }
        "vectors_stats" => says("Documents in numbers, by id")
            .query("collection", of, string())
            .query("limit", "How many documents", limit(1_000, 100))
            .query("cursor", "next_cursor of the page before", string())
            .gives(200, "A page of documents", s.of::<VectorStats>())
            .fails(&[404, 409]),
        "vectors_document" => says("The chunks of a document")
            .query("collection", of, string())
            .gives(200, "The document", s.of::<DocumentAnswer>())
            .fails(&[404, 409]),
        "vectors_delete" => says("Delete a document, here and in the database")
            .query("collection", of, string())
            .gives(200, "How many chunks there were", s.of::<DocumentDeleted>())
            .fails(&[404, 409]),
        _ => return None,
    })
}

fn server(name: &str, s: &mut Schemas) -> Option<Told> {
    let mut state = |summary| says(summary).gives(200, "Yes", s.of::<StateAnswer>());
    Some(match name {
        "livez" => state("Whether the process answers"),
        "readyz" => {
            let told = state("Whether new callers should come");
            told.gives(503, "No, and why", s.of::<StateAnswer>())
        }
        "healthz" => says("How the server is").gives(200, "Details", s.of::<HealthAnswer>()),
        "metrics" => says("Metrics for Prometheus").gives_as(200, "Metrics", "text/plain", string()),
        "openapi" => says("This description").gives(200, "OpenAPI 3.1", json!({"type": "object"})),
        "dashboard" | "dashboard_at_root" => says("The store and its mirror, to be looked at and operated")
            .gives_as(200, "A page", "text/html", string()),
        "docs" => says("This description, to be read").gives_as(200, "A page", "text/html", string()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let document = describe();
        for route in ROUTES.iter() {
            let told = &document["paths"][route.path][route.verb.name().to_ascii_lowercase()];
            assert_eq!(told["operationId"], route.name, "{} {}", route.verb.name(), route.path);
        }
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(!schema.is_null(), "{name}");
        }
    }

    #[test]
    fn what_is_read_is_closed_in_its_schema_too() {
        let document = describe();
        for name in
            ["NewCollection", "NewChunk", "UpsertBody", "SearchBody", "RangeBody", "SyncBody", "DeleteBody"]
        {
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{name}: {schema}");
        }
    }
}
