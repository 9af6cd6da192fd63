//! Searches: one, many on one state, everything within a distance.

use super::super::app::App;
use super::super::call::{Answer, Call};
use super::super::embedding::{Made, Unable};
use super::super::metrics::recall::Sample;
use super::super::problem::{Code, Problem};
use super::super::wire::{
    BatchAnswer, BatchBody, GroupBy, HitBody, Mode, Object, Part, RangeBody, SearchAnswer, SearchBody, floats,
};
use super::chunks::at_most;
use crate::{Collection, Include, Response, Search, limits};
use std::time::{Duration, Instant};

/// Hits of a search that does not say how many.
const K: usize = 10;
/// Hits, and width of the beam, of a search that is short.
pub(crate) const SHORT: (usize, usize) = (100, 256);
/// Part of a search's time that its text may take to be embedded: the rest is for an answer without it.
const EMBEDDING_SHARE: f64 = 0.8;

/// What a search asks with.
enum Asked {
    Vector(Vec<f32>),
    Text(String),
}

/// Which time a call is made.
#[derive(Clone, Copy)]
pub(crate) enum Pass<'a> {
    /// In the place of a socket's thread: what may take long is left to the first pass elsewhere.
    Here,
    First,
    Again(&'a Given),
}

/// What came of a call so far.
pub(crate) enum Step {
    Done(Answer),
    /// It may take long, and nothing was done.
    Elsewhere,
    /// It goes on when these have vectors, or will have none.
    Embed(Questions),
}

/// Texts that are to be embedded.
pub(crate) struct Questions {
    pub(crate) collection: Collection,
    texts: Vec<String>,
    pub(crate) patience: Duration,
}

/// What came of that. The name may have gone to another collection meanwhile, of another model: it is asked of the one that was opened.
pub(crate) struct Given {
    collection: Collection,
    made: Made,
    took: Duration,
}

impl<'a> Pass<'a> {
    fn given(self) -> Option<&'a Given> {
        match self {
            Pass::Again(given) => Some(given),
            Pass::Here | Pass::First => None,
        }
    }
}

impl Step {
    fn ask(call: &Call, collection: &Collection, texts: Vec<String>, timeout_ms: Option<u64>) -> Self {
        let wanted = timeout_ms.map_or(Duration::MAX, Duration::from_millis);
        let patience = call.patience.min(wanted).mul_f64(EMBEDDING_SHARE);
        Self::Embed(Questions { collection: collection.clone(), texts, patience })
    }
}

impl Questions {
    pub(crate) fn ask(&self, app: &App) -> Made {
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        app.embedding.embed(&self.collection, &texts, self.patience)
    }
}

impl Given {
    pub(crate) fn of(collection: Collection, made: Result<Made, Problem>, took: Duration) -> Self {
        // No thread was free, or the time is over.
        let away =
            |problem: Problem| Err(Unable::Away(format!("it does not answer in time ({})", problem.detail)));
        Self { collection, made: made.unwrap_or_else(away), took }
    }

    /// The vector of a text; empty where the other leg answers without it.
    fn query(&self, place: usize, collection: &Collection, body: &SearchBody) -> Result<Vec<f32>, Problem> {
        let provider = collection.schema().embedding.as_ref().map_or("", |profile| &profile.provider);
        match &self.made {
            Ok(vectors) => Ok(vectors.get(place).cloned().unwrap_or_default()),
            Err(_) if mode_of(body) == Mode::Hybrid => Ok(Vec::new()),
            Err(Unable::Refused(why)) => {
                Err(Problem::invalid(format!("the provider {provider} makes no vector of the text: {why}")))
            }
            Err(Unable::Away(why)) => Err(Problem::later(
                format!(
                    "the provider {provider} of embeddings makes no vector of the text now: {why}; send the vector, or search with the mode text"
                ),
                1,
            )),
        }
    }
}

pub(crate) fn search(app: &App, call: &Call, pass: Pass<'_>) -> Result<Step, Problem> {
    call.query.only(&[])?;
    let body: SearchBody = call.json_of_vector(|body: &mut SearchBody| &mut body.vector)?;
    let given = pass.given();
    let collection = match given {
        Some(given) => given.collection.clone(),
        None => app.collection(call.param("collection"), body.tenant.as_deref())?,
    };
    if matches!(pass, Pass::Here) && !is_short(&collection, &body) {
        return Ok(Step::Elsewhere);
    }
    check(app, &body)?;
    app.check_at_least(body.at_least.as_deref())?;
    let query = match asked_of(app, &collection, &body)? {
        Asked::Vector(query) => query,
        Asked::Text(text) => match given {
            None => return Ok(Step::ask(call, &collection, vec![text], body.timeout_ms)),
            Some(given) => given.query(0, &collection, &body)?,
        },
    };
    let search = search_of(&collection, &query, &body)?;
    let start = Instant::now();
    let response = search.run()?;
    let took = start.elapsed();
    app.metrics.searched(&response, took);
    app.metrics.asked(mode_of(&body).word(), took);
    check_time(&body, took + given.map_or(Duration::ZERO, |given| given.took))?;
    sample(app, &collection, &query, &body, &response);
    Answer::ok(&answer(app, response, took, body.explain)).map(Step::Done)
}

pub(crate) fn batch(app: &App, call: &Call, pass: Pass<'_>) -> Result<Step, Problem> {
    if matches!(pass, Pass::Here) {
        return Ok(Step::Elsewhere);
    }
    let given = pass.given();
    call.query.only(&[])?;
    let BatchBody { searches } = call.json()?;
    let limits = &app.limits();
    at_most("searches", searches.len(), limits.searches_max)?;
    let hits: usize = searches.iter().map(|Object(body)| body.k.unwrap_or(K)).fold(0, usize::saturating_add);
    at_most("hits of all searches", hits, limits.batch_hits_max)?;
    let whole = match given {
        Some(given) => given.collection.clone(),
        None => app.collection(call.param("collection"), None)?,
    };
    let mut asked: Vec<(Collection, Vec<f32>)> = Vec::with_capacity(searches.len());
    let mut texts: Vec<String> = Vec::new();
    for (n, Object(body)) in searches.iter().enumerate() {
        let at = |problem: Problem| {
            let detail = format!("search {n}: {}", problem.detail);
            problem.saying(detail)
        };
        check(app, body).map_err(at)?;
        app.check_at_least(body.at_least.as_deref()).map_err(at)?;
        let collection = match &body.tenant {
            Some(tenant) => whole.clone().tenant(tenant),
            None => whole.clone(),
        };
        let query = match asked_of(app, &collection, body).map_err(at)? {
            Asked::Vector(query) => query,
            Asked::Text(text) => {
                texts.push(text);
                let place = texts.len() - 1;
                given.map_or(Ok(Vec::new()), |given| given.query(place, &collection, body)).map_err(at)?
            }
        };
        asked.push((collection, query));
    }
    if given.is_none() && !texts.is_empty() {
        let shortest = searches.iter().filter_map(|Object(body)| body.timeout_ms).min();
        return Ok(Step::ask(call, &whole, texts, shortest));
    }
    let built: Vec<Search<'_>> = asked
        .iter()
        .zip(&searches)
        .map(|((collection, query), Object(body))| search_of(collection, query, body))
        .collect::<Result<_, _>>()?;
    let start = Instant::now();
    // Other calls want the other threads.
    let responses = whole.search_batch(&built, 1)?;
    let took = start.elapsed();
    let each = took / (responses.len().max(1) as u32);
    let tell = |(response, Object(body)): (Response, &Object<SearchBody>)| {
        app.metrics.searched(&response, each);
        app.metrics.asked(mode_of(body).word(), each);
        answer(app, response, each, body.explain)
    };
    let took = took + given.map_or(Duration::ZERO, |given| given.took);
    searches.iter().try_for_each(|Object(body)| check_time(body, took))?;
    let results = responses.into_iter().zip(&searches).map(tell).collect();
    Answer::ok(&BatchAnswer { results }).map(Step::Done)
}

pub(crate) fn range(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let body: RangeBody = call.json_of_vector(|body: &mut RangeBody| &mut body.vector)?;
    let collection = app.collection(call.param("collection"), body.tenant.as_deref())?;
    let max = app.limits().range_hits_max;
    let limit = body.limit.unwrap_or(max);
    within("limit", limit, max)?;
    let query = query_of(&collection, body.vector.as_deref(), body.vector_b64.as_deref())?;
    let include = include_of(body.include.as_deref())?;
    let search =
        collection.range(&query, body.max_distance).limit(limit).filter(body.filter).include(include);
    let start = Instant::now();
    let response = search.run()?;
    let took = start.elapsed();
    app.metrics.searched(&response, took);
    Answer::ok(&answer(app, response, took, body.explain))
}

/// Whether a search is over before another thread would have begun it, or not long after: by the graph alone, with nobody to ask.
fn is_short(collection: &Collection, body: &SearchBody) -> bool {
    let (k, ef) = (body.k.unwrap_or(K), body.ef.unwrap_or(0));
    let is_plain = body.filter.is_none()
        && body.tenant.is_none()
        && body.group_by.is_none()
        && body.mmr.is_none()
        && !body.exact.unwrap_or(false);
    let is_by_vector = mode_of(body) == Mode::Vector && body.text.is_none();
    is_plain && is_by_vector && k <= SHORT.0 && ef <= SHORT.1 && !collection.is_filling()
}

/// Refuses what this build has not, and what is beyond the limits.
fn check(app: &App, body: &SearchBody) -> Result<(), Problem> {
    let limits = &app.limits();
    let has_vector = body.vector.is_some() || body.vector_b64.is_some();
    let missing = match mode_of(body) {
        Mode::Vector if body.text.is_some() && has_vector => {
            Some("the vector is there, and text is for the modes text and hybrid; leave it out")
        }
        Mode::Text if has_vector => Some("a vector is for the modes vector and hybrid; leave it out"),
        Mode::Text if body.text.is_none() => Some("the text is missing; the mode text needs it"),
        Mode::Hybrid if body.text.is_none() && !has_vector => {
            Some("the mode hybrid needs a text or a vector")
        }
        _ => None,
    };
    if let Some(missing) = missing {
        return Err(Problem::invalid(missing));
    }
    if body.text.is_some() && mode_of(body) != Mode::Vector && !cfg!(feature = "text") {
        return Err(Problem::invalid("this build has no text search: leave text out, and give the vector"));
    }
    if let Some(k) = body.k {
        within("k", k, limits.k_max)?;
    }
    if let Some(ef) = body.ef {
        within("ef", ef, limits.ef_max)?;
    }
    if let Some(ms) = body.timeout_ms {
        within("timeout_ms", ms as usize, limits.request_ms as usize)?;
    }
    if let Some(weight) = body.vector_weight
        && !(0.0..=1.0).contains(&weight)
    {
        return Err(Problem::invalid(format!("vector_weight is {weight}; it must be 0 to 1")));
    }
    include_of(body.include.as_deref()).map(drop)
}

fn within(name: &str, value: usize, max: usize) -> Result<(), Problem> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Problem::invalid(format!("{name} is {value}; it must be 1 to {max}")))
}

/// What a body asks for: what it says, or what follows from what it holds.
fn mode_of(body: &SearchBody) -> Mode {
    let has_vector = body.vector.is_some() || body.vector_b64.is_some();
    body.mode.unwrap_or(match (has_vector, &body.text) {
        (true, Some(_)) => Mode::Hybrid,
        (false, Some(_)) => Mode::Text,
        _ => Mode::Vector,
    })
}

/// The vector of a search, empty where it goes without; or the text that somebody has to embed first.
fn asked_of(app: &App, collection: &Collection, body: &SearchBody) -> Result<Asked, Problem> {
    let has_vector = body.vector.is_some() || body.vector_b64.is_some();
    let mode = mode_of(body);
    let text = body.text.as_deref().filter(|_| !has_vector && mode != Mode::Text);
    let Some(text) = text.map(beginning) else {
        let vector = match mode {
            Mode::Text | Mode::Hybrid if !has_vector => Vec::new(),
            _ => query_of(collection, body.vector.as_deref(), body.vector_b64.as_deref())?,
        };
        return Ok(Asked::Vector(vector));
    };
    let has_profile = collection.schema().embedding.is_some();
    match mode {
        Mode::Vector if !has_profile => Err(Problem::invalid(
            "the collection has no profile of embeddings, so nobody makes a vector of the text: send the vector, search with the mode \
             text, or make a collection with embedding: {provider, model}",
        )),
        Mode::Vector if text.trim().is_empty() => Err(Problem::invalid("the text is empty")),
        // Words alone, and the answer says so.
        _ if !has_profile || text.trim().is_empty() => Ok(Asked::Vector(Vec::new())),
        _ if app.embedding.is_local(collection) => {
            let made = app.embedding.embed(collection, &[text], Duration::MAX);
            let given = Given { collection: collection.clone(), made, took: Duration::ZERO };
            given.query(0, collection, body).map(Asked::Vector)
        }
        _ => Ok(Asked::Text(text.to_owned())),
    }
}

/// As much of a text as is looked for.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(limits::TEXT_QUERY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn query_of(collection: &Collection, vector: Option<&[f32]>, b64: Option<&str>) -> Result<Vec<f32>, Problem> {
    let query = match (vector, b64) {
        (Some(vector), None) => vector.to_vec(),
        (None, Some(text)) => floats(text).map_err(Problem::invalid)?,
        (Some(_), Some(_)) => return Err(Problem::invalid("both vector and vector_b64; send one")),
        (None, None) => {
            return Err(Problem::invalid(
                "the vector is missing, and no text to make one of is there either",
            ));
        }
    };
    let (got, dim) = (query.len(), collection.schema().dim);
    if got != dim {
        let detail = format!("the vector has {got} dimensions, the collection has {dim}");
        return Err(Problem::new(Code::DimensionMismatch, detail));
    }
    Ok(query)
}

fn search_of<'a>(
    collection: &'a Collection,
    query: &'a [f32],
    body: &'a SearchBody,
) -> Result<Search<'a>, Problem> {
    let text = body.text.as_deref().unwrap_or_default();
    let search = match mode_of(body) {
        Mode::Vector => collection.search(query),
        Mode::Text => collection.search_text(text),
        Mode::Hybrid => collection.search_hybrid(query, text),
    };
    let mut search = search
        .k(body.k.unwrap_or(K))
        .filter(body.filter.clone())
        .exact(body.exact.unwrap_or(false))
        .group_by_document(body.group_by == Some(GroupBy::DocumentId))
        .include(include_of(body.include.as_deref())?);
    if let Some(ef) = body.ef {
        search = search.ef(ef);
    }
    if let Some(distance) = body.max_distance {
        search = search.max_distance(distance);
    }
    if let Some(score) = body.min_score {
        search = search.min_score(score);
    }
    if let Some(fusion) = body.fusion {
        search = search.fusion(fusion.into());
    }
    if let Some(weight) = body.vector_weight {
        search = search.vector_weight(weight);
    }
    if let Some(Object(mmr)) = body.mmr {
        search = search.mmr(mmr.lambda);
    }
    Ok(search)
}

fn include_of(parts: Option<&[Part]>) -> Result<Include, Problem> {
    let parts = parts.unwrap_or_default();
    let has = |part| parts.contains(&part);
    if has(Part::Content) {
        return Err(Problem::invalid("include: this build keeps no content beside text and metadata"));
    }
    Ok(Include {
        text: has(Part::Text),
        metadata: has(Part::Metadata),
        vector: has(Part::Vector),
        snippet: has(Part::Snippet),
    })
}

/// A search cannot be stopped halfway; whoever wanted it sooner is told.
fn check_time(body: &SearchBody, took: Duration) -> Result<(), Problem> {
    match body.timeout_ms {
        Some(ms) if took > Duration::from_millis(ms) => {
            Err(Problem::later(format!("the search took longer than timeout_ms, which is {ms}"), 1))
        }
        _ => Ok(()),
    }
}

/// Has the search repeated exactly, if its turn has come.
fn sample(app: &App, collection: &Collection, query: &[f32], body: &SearchBody, response: &Response) {
    let is_plain = mode_of(body) == Mode::Vector
        && body.mmr.is_none()
        && body.group_by.is_none()
        && body.max_distance.is_none()
        && body.min_score.is_none()
        && !response.exact;
    if is_plain && app.recall.wants() {
        app.recall.offer(Sample {
            collection: collection.clone(),
            query: query.to_vec(),
            filter: body.filter.clone(),
            k: body.k.unwrap_or(K),
            found: response.clone(),
        });
    }
}

fn answer(app: &App, response: Response, took: Duration, explain: Option<bool>) -> SearchAnswer {
    let Response { hits, as_of, exact, degraded, degraded_legs, source, explain: done } = response;
    SearchAnswer {
        hits: hits.into_iter().map(HitBody::from).collect(),
        as_of: app.token(as_of),
        exact,
        degraded,
        degraded_legs: degraded_legs.into_iter().map(Into::into).collect(),
        source: source.into(),
        took_us: took.as_micros() as u64,
        explain: explain.unwrap_or(false).then(|| done.into()),
    }
}
