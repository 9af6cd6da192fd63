//! A server's collections, as imports and exports ask for them.

use super::ask::encoded;
use super::way::Way;
use crate::import::{Elsewhere, Page};
use crate::{Chunk, EmbeddingProfile, Error, ErrorKind, Filter, Result, Schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Chunks of a page, and ids of a question.
const PAGE_ROWS: usize = 500;
/// Between two tries of a server that has too much to do.
const REST: Duration = Duration::from_millis(500);
const TRIES: u32 = 6;
/// A server that has let this go by was silent, and will be.
const SILENCE: Duration = Duration::from_secs(30);

/// A chunk as an answer tells it.
#[derive(Deserialize)]
struct Told {
    id: String,
    vector: Option<Vec<f32>>,
    text: Option<String>,
    document_id: Option<String>,
    chunk_index: u32,
    metadata: Map<String, Value>,
    tenant: Option<String>,
    embedding_model: Option<String>,
}

#[derive(Deserialize)]
struct Chunks {
    chunks: Vec<Told>,
    next_cursor: Option<String>,
}

impl From<Told> for Chunk {
    fn from(told: Told) -> Self {
        let Told { id, vector, text, document_id, chunk_index, metadata, tenant, embedding_model } = told;
        Self { id, vector, text, document_id, chunk_index, metadata, tenant, embedding_model }
    }
}

fn path(collection: &str) -> String {
    format!("/v1/collections/{}", encoded(collection))
}

/// Does it again while the server has too much to do: what is asked here may come twice.
fn patiently<T>(ask: impl Fn() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        match (ask(), rest(tries, start.elapsed())) {
            (Err(error), Some(rest)) if error.kind() == ErrorKind::Unavailable => std::thread::sleep(rest),
            (done, _) => return done,
        }
    }
}

/// How long to leave the server alone before the next try, if there is to be one.
fn rest(tries: u32, spent: Duration) -> Option<Duration> {
    (tries < TRIES && spent < SILENCE).then(|| REST * tries)
}

impl Elsewhere for Way {
    fn find(&self, collection: &str) -> Result<Option<(Schema, usize)>> {
        let told = match self.get(&path(collection)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            told => told?,
        };
        let number = |value: &Value| value.as_u64().unwrap_or_default() as usize;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut schema = Schema::new(number(&told["dim"]), word(&told["metric"]).parse()?);
        schema.graph = word(&told["index"]["graph"]).parse()?;
        schema.m = number(&told["index"]["m"]);
        schema.ef_construction = number(&told["index"]["ef_construction"]);
        schema.language = word(&told["language"]).parse()?;
        schema.tenant_required = told["tenant_required"] == true;
        let profile = &told["embedding"];
        if profile.is_object() {
            schema =
                schema.embedding(EmbeddingProfile::new(word(&profile["provider"]), word(&profile["model"])));
        }
        Ok(Some((schema, number(&told["counts"]["rows"]))))
    }

    fn create(&self, collection: &str, schema: &Schema) -> Result<()> {
        let index = json!({"graph": schema.graph.to_string(), "m": schema.m, "ef_construction": schema.ef_construction});
        let mut body = json!({
            "name": collection, "dim": schema.dim, "metric": schema.metric.to_string(), "index": index,
            "tenant_required": schema.tenant_required, "language": schema.language.to_string(),
        });
        if let Some(EmbeddingProfile { provider, model }) = &schema.embedding {
            body["embedding"] = json!({"provider": provider, "model": model});
        }
        self.post("/v1/collections", &body).map(drop)
    }

    fn drop(&self, collection: &str) -> Result<()> {
        self.delete(&path(collection))
    }

    fn store(&self, collection: &str, chunks: &[u8]) -> Result<()> {
        let body = [b"{\"chunks\":[", chunks, b"]}"].concat();
        let told: Value =
            patiently(|| self.post_bytes(&format!("{}/chunks", path(collection)), body.clone()))?;
        let refused = told["results"].as_array().into_iter().flatten().find(|row| row["status"] != "ok");
        refused.map_or(Ok(()), |row| {
            let (id, why) =
                (row["id"].as_str().unwrap_or_default(), row["reason"].as_str().unwrap_or_default());
            Err(Error::invalid(format!("the server refuses chunk {id:?}: {why}")))
        })
    }

    fn fetch(&self, collection: &str, ids: &[&str]) -> Result<Vec<Chunk>> {
        let body = json!({"ids": ids, "include": ["vector"]}).to_string();
        let told: Chunks = patiently(|| {
            self.post_bytes(&format!("{}/chunks/get", path(collection)), body.clone().into_bytes())
        })?;
        Ok(told.chunks.into_iter().map(Chunk::from).collect())
    }

    fn page(&self, collection: &str, filter: Option<&Filter>, after: Option<&str>) -> Result<Page> {
        let mut at = format!("{}/chunks?include=vector&limit={PAGE_ROWS}", path(collection));
        if let Some(filter) = filter {
            at += &format!("&filter={}", encoded(&filter.to_string()));
        }
        if let Some(after) = after {
            at += &format!("&cursor={}", encoded(after));
        }
        let Chunks { chunks, next_cursor } = patiently(|| self.get_as(&at))?;
        Ok(Page { chunks: chunks.into_iter().map(Chunk::from).collect(), next: next_cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_is_asked_again_and_a_silent_one_is_not() {
        let busy: Vec<_> = (1..=TRIES).map(|tries| rest(tries, REST * tries)).collect();
        assert_eq!(busy.iter().filter(|rest| rest.is_some()).count(), TRIES as usize - 1);
        assert!(busy.windows(2).all(|pair| pair[1].is_none() || pair[0] < pair[1]), "{busy:?}");
        assert_eq!(rest(1, SILENCE), None);
    }
}
