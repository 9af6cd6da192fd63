//! What an answer must be, computed the slow way in `f64`, and the random numbers that ask the questions.
//!
//! Shares no code with the crate: not the kernels, not the filters' evaluator, not the canonical form of metadata.

use nearfield::{Chunk, Filter, Metric};
use serde_json::{Map, Number, Value, json};

/// Splitmix64: small, and the same on every machine.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// From -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Fixed seeds, and one that nobody has tried: `NEARFIELD_SEED`, or the clock's. Tests print each before they use it.
pub(crate) fn seeds(fixed: &[u64]) -> Vec<u64> {
    let given = std::env::var("NEARFIELD_SEED").ok().and_then(|s| s.parse().ok());
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_nanos() as u64);
    fixed.iter().copied().chain([given.unwrap_or_else(clock)]).collect()
}

/// What pgvector returns for the metric's operator.
pub(crate) fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| a.iter().zip(b).map(|(&x, &y)| f(x.into(), y.into())).sum::<f64>();
    let dot = sum(|x, y| x * y);
    match metric {
        Metric::Cosine => 1.0 - (dot / (sum(|x, _| x * x) * sum(|_, y| y * y)).sqrt()).clamp(-1.0, 1.0),
        Metric::L2 => sum(|x, y| (x - y) * (x - y)).sqrt(),
        Metric::Dot => 0.0 - dot,
        Metric::L1 => sum(|x, y| (x - y).abs()),
    }
}

/// How far an `f32` distance may be from the one above: digits lost in sums grow with the terms, not with the sum.
pub(crate) fn slack(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let length = |v: &[f32]| v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    match metric {
        Metric::Cosine => 1e-6,
        Metric::Dot => 1e-6 + 1e-5 * length(a) * length(b),
        Metric::L2 | Metric::L1 => 1e-6 + 1e-5 * distance(metric, a, b),
    }
}

/// All of `rows` that have a vector, with their distances: nearest first, at equal distance by id.
pub(crate) fn nearest<'a>(
    metric: Metric,
    query: &[f32],
    rows: impl IntoIterator<Item = &'a Chunk>,
) -> Vec<(f32, &'a Chunk)> {
    let with_vector = rows.into_iter().filter_map(|row| Some((row.vector.as_deref()?, row)));
    // The sum makes one zero of two, so that the order is that of `<`.
    let mut all: Vec<_> =
        with_vector.map(|(v, row)| (distance(metric, query, v) as f32 + 0.0, row)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    all
}

/// The metadata that comes back for `value`: numbers without a fraction are integers.
pub(crate) fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => Value::Number(Number::from(f as i64)),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), canonical(value))).collect())
        }
        other => other.clone(),
    }
}

/// Metadata that [`condition`] asks about: every field may be missing.
pub(crate) fn metadata(noise: &mut Noise) -> Map<String, Value> {
    let mut map = Map::new();
    if !noise.one_in(5) {
        let lang = noise.pick(&[json!("en"), json!("en"), json!("de"), json!("den"), Value::Null]).clone();
        map.insert("lang".into(), lang);
    }
    if !noise.one_in(6) {
        let n = noise.below(100);
        map.insert("n".into(), if noise.one_in(3) { json!(n as f64) } else { json!(n) });
    }
    if noise.one_in(2) {
        let tags: Value = (0..noise.below(3)).map(|_| json!(["a", "b", "c"][noise.below(3)])).collect();
        map.insert("tags".into(), tags);
    }
    if noise.one_in(3) {
        map.insert("deep".into(), json!({"x": noise.one_in(2), "y": [{"z": -0.0}, {"z": 0.5}]}));
    }
    map
}

pub(crate) type Predicate = Box<dyn Fn(&Map<String, Value>) -> bool>;

/// A filter over [`metadata`], and what it means.
pub(crate) fn condition(noise: &mut Noise, depth: usize) -> (Filter, Predicate) {
    let number = |m: &Map<String, Value>| m.get("n").and_then(Value::as_f64);
    let lo = noise.below(100);
    let hi = lo + noise.below(60);
    let (low, high) = (lo as f64, hi as f64);
    if depth > 0 && noise.one_in(3) {
        let (a, is_a) = condition(noise, depth - 1);
        let (b, is_b) = condition(noise, depth - 1);
        return match noise.below(3) {
            0 => (a & b, Box::new(move |m| is_a(m) && is_b(m))),
            1 => (a | b, Box::new(move |m| is_a(m) || is_b(m))),
            _ => (Filter::not(a), Box::new(move |m| !is_a(m))),
        };
    }
    match noise.below(10) {
        0 => (Filter::eq("lang", "en"), Box::new(|m| m.get("lang") == Some(&json!("en")))),
        1 => (Filter::ne("lang", "de"), Box::new(|m| m.get("lang") != Some(&json!("de")))),
        2 => (Filter::eq("lang", Value::Null), Box::new(|m| m.get("lang") == Some(&Value::Null))),
        3 => (Filter::lt("n", hi), Box::new(move |m| number(m).is_some_and(|n| n < high))),
        4 => (
            Filter::between("n", lo, hi),
            Box::new(move |m| number(m).is_some_and(|n| n >= low && n <= high)),
        ),
        5 => (Filter::exists("n", false), Box::new(|m| !m.contains_key("n"))),
        6 => (
            Filter::contains("tags", "b"),
            Box::new(|m| m.get("tags").and_then(Value::as_array).is_some_and(|t| t.contains(&json!("b")))),
        ),
        7 => (Filter::eq("deep.x", true), Box::new(|m| m.get("deep").is_some_and(|d| d["x"] == json!(true)))),
        8 => (
            Filter::prefix("lang", "de"),
            Box::new(|m| m.get("lang").and_then(Value::as_str).is_some_and(|s| s.starts_with("de"))),
        ),
        _ => (
            Filter::not_in("n", [lo, hi]),
            Box::new(move |m| number(m).is_none_or(|n| n != low && n != high)),
        ),
    }
}
