//! What can be asked, and how the answers look on a terminal.

use super::way::Way;
use super::{asked, job};
use crate::cli::wrap::wrapped;
use crate::cli::{Global, output};
use crate::{Embedder, Error, ErrorKind, Hashed, Result};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Letters of a text that are shown.
const SHOWN: usize = 240;

/// What to search for.
#[derive(clap::Args)]
pub(in crate::cli) struct SearchArgs {
    /// The collection
    collection: String,
    /// A text: what is near to it is found by the model that the collection names, or that made its vectors if it is the built-in one
    #[arg(value_name = "TEXT", required_unless_present_any = ["near", "vector", "words"], conflicts_with_all = ["near", "vector"])]
    text: Option<String>,
    /// Words that the texts hold; what stands in quotes must be there as it stands
    #[arg(long = "text", value_name = "WORDS")]
    words: Option<String>,
    /// What is compared: vector, text or hybrid; what is given decides where this is not
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// How hybrid rankings become one: lift, rrf or weighted
    #[arg(long, value_name = "FUSION")]
    fusion: Option<String>,
    /// The vector's share under the fusions lift and weighted, 0 to 1
    #[arg(long, value_name = "SHARE")]
    vector_weight: Option<f64>,
    /// Rows like the one with this id
    #[arg(long, value_name = "ID", conflicts_with = "vector")]
    near: Option<String>,
    /// A vector, as JSON: [0.1, 0.2, ..]
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    vector: Option<String>,
    /// How many hits
    #[arg(long, short, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Width of the beam: more finds more and takes longer
    #[arg(long, value_name = "N")]
    ef: Option<usize>,
    /// Only rows that match, as JSON: {"lang": "en"}
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Only rows of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Compare every row
    #[arg(long)]
    exact: bool,
    /// Tell which plan was chosen, and what it cost
    #[arg(long)]
    explain: bool,
}

/// What to look up.
#[derive(clap::Args)]
pub(in crate::cli) struct GetArgs {
    /// The collection
    collection: String,
    /// Ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Tell the vectors, too
    #[arg(long)]
    vector: bool,
    /// Only rows of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

/// What to count.
#[derive(clap::Args)]
pub(in crate::cli) struct StatsArgs {
    /// Only this collection
    collection: Option<String>,
}

/// Nothing to say.
#[derive(clap::Args)]
pub(in crate::cli) struct ReclaimArgs {}

/// Searches, and tells the hits to `out`.
pub(in crate::cli) fn search(args: &SearchArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let filter = args.filter.as_deref().map(|text| read("filter", text)).transpose()?;
    let found = asked(global, |way| found(args, filter, way))?;
    tell(global, &found, out, hits)
}

fn found(args: &SearchArgs, filter: Option<Value>, way: &Way) -> Result<Value> {
    let base = format!("/v1/collections/{}", encoded(&args.collection));
    let mut asked_for = None;
    let vector = match (&args.text, &args.near, &args.vector) {
        (Some(text), ..) => {
            let collection = way.get(&base)?;
            if collection["embedding"].is_object() && args.words.is_none() {
                asked_for = Some(text.clone());
                Value::Null
            } else {
                embedded(&collection, &way.get(&format!("{base}/chunks?limit=1"))?, text)?
            }
        }
        (_, Some(id), _) => {
            let chunks = fetched(way, &base, std::slice::from_ref(id), true, args.tenant.as_deref())?;
            let none = || {
                Error::new(
                    ErrorKind::NotFound,
                    format!("{id:?} is not in {}, or has no vector yet", args.collection),
                )
            };
            let vector = chunks["chunks"][0]["vector"].clone();
            if vector.is_array() { vector } else { return Err(none()) }
        }
        (.., Some(text)) => read("vector", text)?,
        _ => Value::Null,
    };
    let mut body = json!({"vector": vector, "k": args.k, "exact": args.exact, "explain": args.explain, "include": ["text", "metadata"]});
    if args.words.is_some() {
        body["include"] = json!(["metadata", "snippet"]);
    }
    let mode = args.mode.clone().or_else(|| asked_for.is_some().then(|| "vector".to_owned()));
    let given = [
        ("text", args.words.clone().or(asked_for).map(Value::from)),
        ("mode", mode.map(Value::from)),
        ("fusion", args.fusion.clone().map(Value::from)),
        ("vector_weight", args.vector_weight.map(Value::from)),
        ("filter", filter),
        ("ef", args.ef.map(Value::from)),
        ("tenant", args.tenant.clone().map(Value::from)),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    if args.words.is_some() {
        way.await_words(&args.collection);
    }
    way.post(&format!("{base}/search"), &body)
}

/// Looks rows up. False if one is missing.
pub(in crate::cli) fn get(args: &GetArgs, global: &Global, out: &mut dyn Write) -> Result<bool> {
    let base = format!("/v1/collections/{}", encoded(&args.collection));
    let found = asked(global, |way| fetched(way, &base, &args.ids, args.vector, args.tenant.as_deref()))?;
    tell(global, &found, out, chunks)?;
    Ok(found["missing"].as_array().is_none_or(Vec::is_empty))
}

/// Tells what there is.
pub(in crate::cli) fn stats(args: &StatsArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let told = asked(global, |way| match &args.collection {
        Some(name) => Ok(json!({"collections": [way.get(&format!("/v1/collections/{}", encoded(name)))?]})),
        None => way.get("/v1/collections"),
    })?;
    tell(global, &told, out, counts)
}

/// Has deleted rows' space given back, and waits for it.
pub(in crate::cli) fn reclaim(_: &ReclaimArgs, global: &Global, out: &mut dyn Write) -> Result<bool> {
    let job = asked(global, |way| job::ended(way, "/v1/admin/reclaim", &json!({}), None))?;
    tell(global, &job, out, |job, out| {
        let why = job["error"]["detail"].as_str().map_or(String::new(), |why| format!(": {why}"));
        writeln!(out, "reclaim {}{why}", job["state"].as_str().unwrap_or_default())
    })?;
    Ok(job["state"] == "done")
}

fn fetched(way: &Way, base: &str, ids: &[String], with_vector: bool, tenant: Option<&str>) -> Result<Value> {
    let mut body = json!({"ids": ids, "include": if with_vector { json!(["vector"]) } else { json!([]) }});
    if let Some(tenant) = tenant {
        body["tenant"] = tenant.into();
    }
    way.post(&format!("{base}/chunks/get"), &body)
}

/// A text's vector, if the rows that are there are the built-in embedder's.
fn embedded(collection: &Value, page: &Value, text: &str) -> Result<Value> {
    let dim = collection["dim"].as_u64().unwrap_or_default() as usize;
    let model = page["chunks"][0]["embedding_model"].as_str().unwrap_or_default();
    let embedder = Hashed::new(dim).ok().filter(|embedder| embedder.model() == model).ok_or_else(|| {
        let made = if model.is_empty() {
            "nobody says which model made".to_owned()
        } else {
            format!("{model:?} made")
        };
        Error::invalid(format!(
            "{made} the vectors of this collection, which this program cannot do; give --vector or --near"
        ))
    })?;
    Ok(embedder.embed(&[text])?.pop().into())
}

fn read(what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::invalid(format!("--{what} is no JSON: {e}")))
}

/// A name as a part of a path.
pub(super) fn encoded(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

pub(in crate::cli) fn tell(
    global: &Global,
    told: &Value,
    out: &mut dyn Write,
    text: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if !global.json {
        return text(told, out).map_err(output);
    }
    let written = serde_json::to_writer_pretty(&mut *out, told).map_err(io::Error::from);
    written.and_then(|()| writeln!(out)).map_err(output)
}

fn list<'v>(told: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    told[name].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn hits(found: &Value, out: &mut dyn Write) -> io::Result<()> {
    for hit in list(found, "hits") {
        writeln!(out, "{:.4}  {}", hit["score"].as_f64().unwrap_or_default(), text(hit, "id"))?;
        described(hit, out)?;
        if let Some(snippet) = hit["snippet"]["text"].as_str() {
            wrapped("        ", &snippet.split_whitespace().collect::<Vec<_>>().join(" "), out)?;
        }
    }
    for leg in list(found, "degraded_legs") {
        writeln!(out, "the {} leg did not run, or not over all rows", leg.as_str().unwrap_or_default())?;
    }
    let count = list(found, "hits").count();
    let exact = if found["exact"] == true { ", exact" } else { "" };
    let degraded = if found["degraded"] == true { "; damaged rows may be missing" } else { "" };
    writeln!(out, "{count} hits in {} us{exact}{degraded}", found["took_us"])?;
    if found["explain"].is_object() {
        let parts = found["explain"].as_object().into_iter().flatten();
        let parts: Vec<String> =
            parts.map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"'))).collect();
        wrapped("explain ", &parts.join(", "), out)?;
    }
    Ok(())
}

fn chunks(found: &Value, out: &mut dyn Write) -> io::Result<()> {
    for chunk in list(found, "chunks") {
        writeln!(out, "{}", text(chunk, "id"))?;
        described(chunk, out)?;
        if chunk["vector"].is_array() {
            wrapped("        ", &chunk["vector"].to_string().replace(',', ", "), out)?;
        }
    }
    for id in list(found, "missing") {
        writeln!(out, "{} is not there", id.as_str().unwrap_or_default())?;
    }
    Ok(())
}

/// Document, metadata and the beginning of the text, indented.
fn described(chunk: &Value, out: &mut dyn Write) -> io::Result<()> {
    if let Some(document) = chunk["document_id"].as_str() {
        wrapped("        ", &format!("{document}, {}", chunk["chunk_index"]), out)?;
    }
    if chunk["metadata"].as_object().is_some_and(|metadata| !metadata.is_empty()) {
        wrapped("        ", &chunk["metadata"].to_string(), out)?;
    }
    let words: String = text(chunk, "text").chars().take(SHOWN).collect();
    if words.is_empty() { Ok(()) } else { wrapped("        ", &words, out) }
}

fn counts(told: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<24}{:>7} {:<7}{:>12}{:>9}{:>9}{:>10}",
        "collection", "dim", "metric", "rows", "dead", "unsent", "MiB"
    )?;
    for one in list(told, "collections") {
        let count = |name: &str| one["counts"][name].as_u64().unwrap_or_default();
        let bytes: u64 =
            one["bytes"].as_object().into_iter().flatten().filter_map(|(_, bytes)| bytes.as_u64()).sum();
        writeln!(
            out,
            "{:<24}{:>7} {:<7}{:>12}{:>9}{:>9}{:>10.1}",
            text(one, "name"),
            one["dim"],
            text(one, "metric"),
            count("rows"),
            count("dead"),
            count("dirty") + count("graves"),
            bytes as f64 / f64::from(1 << 20)
        )?;
        for (what, n) in [("wait for a vector", count("pending")), ("are damaged", count("missing"))] {
            if n > 0 {
                writeln!(out, "    {n} rows {what}")?;
            }
        }
    }
    if list(told, "collections").next().is_none() {
        writeln!(out, "there is no collection yet")?;
    }
    Ok(())
}
