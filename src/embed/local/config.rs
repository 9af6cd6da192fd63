//! What a model's folder says of itself: the sizes of the network, how many tokens it takes, and how their vectors become one.
//!
//! What is not known here is refused by name: a network that computes something else would make vectors that look right.

use super::files::{bad, is_inside, json, json_if_there};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of a file of settings.
const BYTES_MAX: u64 = 1 << 20;
/// Numbers of all weights together: as f32 they are 4 GiB.
const NUMBERS_MAX: u64 = 1 << 30;

/// How the vectors of tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first.
    First,
}

/// The sizes of a network, and what is done around it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
    pub(super) positions: usize,
    pub(super) kinds: usize,
    pub(super) epsilon: f32,
    pub(super) tokens_max: usize,
    pub(super) pooling: Pooling,
    pub(super) normalized: bool,
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "tiny")]
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

fn two() -> usize {
    2
}

fn tiny() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".into()
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

#[derive(Deserialize)]
struct Sentence {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize)]
struct Tokenizer {
    // Some models write 1e30 for "no maximum".
    #[serde(default)]
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
struct Prompts {
    #[serde(default)]
    default_prompt_name: Option<String>,
}

impl Shape {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config: Config = json(&path, BYTES_MAX)?;
        let (pooling, normalized) = pooling(folder)?;
        let shape = Self {
            hidden: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            inner: config.intermediate_size,
            vocabulary: config.vocab_size,
            positions: config.max_position_embeddings,
            kinds: config.type_vocab_size,
            epsilon: config.layer_norm_eps as f32,
            tokens_max: tokens_max(folder, config.max_position_embeddings)?,
            pooling,
            normalized,
        };
        shape.check(&config).map_err(|what| bad(&path, what))?;
        Ok(shape)
    }

    fn check(&self, config: &Config) -> Result<(), String> {
        let only = |name: &str, value: &str, known: &str| match value == known {
            true => Ok(()),
            false => Err(format!(
                "{name} is {value:?}; only {known:?} can be run: serve the model over HTTP instead"
            )),
        };
        only("model_type", &config.model_type, "bert")?;
        only("hidden_act", &config.hidden_act, "gelu")?;
        only(
            "position_embedding_type",
            config.position_embedding_type.as_deref().unwrap_or("absolute"),
            "absolute",
        )?;
        if config.is_decoder {
            return Err(
                "is_decoder is true; only encoders can be run: serve the model over HTTP instead".into()
            );
        }
        let sizes = [
            ("hidden_size", self.hidden, 1, 8_192),
            ("num_hidden_layers", self.layers, 1, 96),
            ("num_attention_heads", self.heads, 1, 256),
            ("intermediate_size", self.inner, 1, 65_536),
            ("vocab_size", self.vocabulary, 3, 1 << 22),
            ("max_position_embeddings", self.positions, 3, 1 << 16),
            ("type_vocab_size", self.kinds, 1, 64),
            ("the maximum of tokens", self.tokens_max, 3, 1 << 16),
        ];
        for (name, value, min, max) in sizes {
            if !(min..=max).contains(&value) {
                return Err(format!("{name} is {value}; it must be {min} to {max}"));
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return Err(format!("{} heads do not share {} numbers evenly", self.heads, self.hidden));
        }
        if !(0.0..1.0).contains(&self.epsilon) {
            return Err(format!("layer_norm_eps is {}; it must be 0 to 1", self.epsilon));
        }
        match self.numbers() {
            n if n <= NUMBERS_MAX => Ok(()),
            n => Err(format!("its weights are {n} numbers; {NUMBERS_MAX} are read at most")),
        }
    }

    /// How many numbers the weights are. No product of sizes that were checked leaves a u64.
    fn numbers(&self) -> u64 {
        let [hidden, layers, inner] = [self.hidden, self.layers, self.inner].map(|n| n as u64);
        let rows = [self.vocabulary, self.positions, self.kinds].map(|n| n as u64).iter().sum::<u64>();
        rows * hidden + layers * (4 * hidden * hidden + 2 * hidden * inner)
    }

    /// Numbers of a head.
    pub(super) fn head(&self) -> usize {
        self.hidden / self.heads
    }

    pub(super) fn hash(&self, hash: &mut Xxh3) {
        hash.update(format!("{self:?}").as_bytes());
    }
}

/// What the model was made for, what its positions can tell apart: the least of what is said.
fn tokens_max(folder: &Path, positions: usize) -> Result<usize> {
    let path = folder.join("sentence_bert_config.json");
    let said: Option<Sentence> = json_if_there(&path, BYTES_MAX)?;
    if said.as_ref().is_some_and(|said| said.do_lower_case) {
        return Err(bad(
            &path,
            "texts are to be in lower case before they are cut into tokens, which is not done here",
        ));
    }
    let by_tokenizer = || -> Result<Option<usize>> {
        let said: Option<Tokenizer> = json_if_there(&folder.join("tokenizer_config.json"), BYTES_MAX)?;
        Ok(said
            .and_then(|said| said.model_max_length)
            .filter(|max| *max >= 0.0 && *max < 1e9)
            .map(|max| max as usize))
    };
    let said = match said.and_then(|said| said.max_seq_length) {
        Some(max) => Some(max),
        None => by_tokenizer()?,
    };
    Ok(said.unwrap_or(positions).min(positions))
}

/// The steps after the network. Without a list of them it is the mean, as sentence-transformers has it.
fn pooling(folder: &Path) -> Result<(Pooling, bool)> {
    let prompts = folder.join("config_sentence_transformers.json");
    let said: Option<Prompts> = json_if_there(&prompts, BYTES_MAX)?;
    if let Some(name) = said.and_then(|said| said.default_prompt_name) {
        return Err(bad(
            &prompts,
            format!("puts the prompt {name:?} before every text, which is not done here"),
        ));
    }
    let path = folder.join("modules.json");
    let Some(modules) = json_if_there::<Vec<Module>>(&path, BYTES_MAX)? else {
        return Ok((Pooling::Mean, false));
    };
    let kinds: Vec<&str> = modules.iter().map(|m| m.kind.rsplit('.').next().unwrap_or_default()).collect();
    let normalized = match kinds[..] {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => {
            let what =
                format!("its steps are {}; Transformer, Pooling and Normalize can be run", kinds.join(", "));
            return Err(bad(&path, what));
        }
    };
    if let Some(outside) = modules.iter().find(|m| !is_inside(&m.path)) {
        return Err(bad(&path, format!("{:?} is no folder beside it", outside.path)));
    }
    if !modules[0].path.is_empty() {
        return Err(bad(&path, format!("the network is in {:?}: name that folder", modules[0].path)));
    }
    Ok((mode(&folder.join(&modules[1].path).join("config.json"))?, normalized))
}

/// Which of the modes is on. Newer files name it, older ones have a switch for each.
fn mode(path: &Path) -> Result<Pooling> {
    let said: serde_json::Map<String, serde_json::Value> = json(path, BYTES_MAX)?;
    let mut on: Vec<&str> = match said.get("pooling_mode").and_then(serde_json::Value::as_str) {
        Some(mode) => vec![mode],
        None => {
            let switched = said.iter().filter(|(_, value)| value.as_bool() == Some(true));
            switched.filter_map(|(name, _)| name.strip_prefix("pooling_mode_")).collect()
        }
    };
    on.sort_unstable();
    match on[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::First),
        _ => Err(unknown(path, &on)),
    }
}

fn unknown(path: &Path, on: &[&str]) -> Error {
    let said = if on.is_empty() { "no mode".to_owned() } else { on.join(", ") };
    bad(path, format!("vectors of tokens are joined by {said}; the mean and the first token can be run"))
}
