//! The rows nearest to a vector, for searches of a store that is still being filled: all rows compared, no index asked.
//!
//! Invariant: the server gives up when whoever asked does, so that a slow server does not collect questions that nobody waits for.

use super::fault::{fault, on};
use super::line::{Transaction, within};
use super::read::{fetch, get, head};
use super::sql;
use crate::config::Metric;
use crate::engine::tap::Neighbour;
use crate::filter::Needle;
use crate::mirror::remote::{Done, FaultClass, Near};
use pgvector::Vector;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;

pub(super) async fn nearest(
    transaction: &mut Transaction,
    collection: &str,
    metric: Metric,
    near: &Near<'_>,
    limit: usize,
) -> Done<Vec<Neighbour>> {
    let max = transaction.call_max();
    within(max, "searching", async {
        let patience = sqlx::query(sql::PATIENCE).bind(near.ms_max.to_string());
        patience.execute(transaction.connection()).await.map_err(on("searching"))?;
        Ok(())
    })
    .await?;
    let (path, variables) = path(near.needles).unzip();
    let query = sqlx::query(statement(metric))
        .bind(collection)
        .bind(Vector::from(near.query.to_vec()))
        .bind(near.tenant)
        .bind(path)
        .bind(near.wants_metadata)
        .bind(limit as i64)
        .bind(variables);
    fetch("searching", query, transaction).await?.iter().map(neighbour).collect()
}

fn statement(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => sql::NEAREST_COSINE,
        Metric::L2 => sql::NEAREST_L2,
        Metric::Dot => sql::NEAREST_DOT,
        Metric::L1 => sql::NEAREST_L1,
    }
}

/// A path that metadata have if they hold one of each list, and its variables: numbers of places are all that is put together.
fn path(lists: &[Vec<Needle>]) -> Option<(String, String)> {
    let mut variables = Map::new();
    let mut parts = Vec::new();
    for (at, list) in lists.iter().enumerate() {
        let mut tests = vec![format!("@ == $v{at}[*]")];
        let mut values = Vec::new();
        for (n, needle) in list.iter().enumerate() {
            match needle {
                // No text of a database holds it, and no JSON of one.
                Needle::Value(Value::String(text)) if text.contains('\0') => {}
                Needle::Value(value) => values.push(value.clone()),
                Needle::Number { from, to } => {
                    tests.push(format!("(@ >= $f{at}_{n} && @ <= $t{at}_{n})"));
                    variables.insert(format!("f{at}_{n}"), Value::from(*from));
                    variables.insert(format!("t{at}_{n}"), Value::from(*to));
                }
            }
        }
        variables.insert(format!("v{at}"), Value::Array(values));
        parts.push(format!("exists(@.** ? ({}))", tests.join(" || ")));
    }
    let path = format!("strict $ ? ({})", parts.join(" && "));
    (!parts.is_empty()).then(|| (path, Value::Object(variables).to_string()))
}

fn neighbour(row: &PgRow) -> Done<Neighbour> {
    let metadata: Option<String> = get(row, 7)?;
    // jsonb holds numbers that no 64-bit float does: such a row cannot come in, and is none that could be found here.
    let unreadable = |e| fault(FaultClass::Data, format!("searching: metadata cannot be read: {e}"));
    let metadata = metadata.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)?;
    Ok(Neighbour {
        head: head(row, 0)?,
        distance: get(row, 5)?,
        document: get(row, 6)?,
        metadata: metadata.unwrap_or_default(),
    })
}
