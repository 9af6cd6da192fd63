//! A tokenizer from `tokenizer.json`, or from `vocab.txt` and `tokenizer_config.json`, the older way.
//!
//! Only what a BERT tokenizer does is known; a file that asks for anything else is refused by name, because tokens that are nearly right
//! make vectors that are wrong.

use super::files::{bad, json, json_if_there, whole};
use super::normal::Normal;
use super::wordpiece::WordPiece;
use crate::error::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

const BYTES_MAX: u64 = 64 << 20;
/// A BERT vocabulary has five. Each is looked for at every letter of a text.
const SPECIAL_MAX: usize = 256;
const WORD_CHARS_MAX: usize = 100;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<Kind>,
    post_processor: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    clean_text: bool,
    #[serde(default)]
    handle_chinese_chars: bool,
    #[serde(default)]
    strip_accents: Option<bool>,
    #[serde(default)]
    lowercase: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

#[derive(Default, Deserialize)]
struct Older {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

/// The tokenizer of the model in `folder`, whose network knows `rows` tokens.
pub(super) fn read(folder: &Path, rows: usize) -> Result<WordPiece> {
    let path = folder.join("tokenizer.json");
    match json_if_there::<File>(&path, BYTES_MAX)? {
        Some(file) => file.build(rows).map_err(|what| bad(&path, what)),
        None => older(folder, rows),
    }
}

impl File {
    fn build(self, rows: usize) -> Result<WordPiece, String> {
        let kinds = [
            ("model", self.model.kind.as_deref().or(Some("WordPiece")), "WordPiece"),
            ("normalizer", self.normalizer.as_ref().map(|n| n.kind.as_str()), "BertNormalizer"),
            ("pre_tokenizer", self.pre_tokenizer.as_ref().map(|p| p.kind.as_str()), "BertPreTokenizer"),
        ];
        for (name, kind, known) in kinds {
            if kind != Some(known) {
                let has = kind.unwrap_or("nothing");
                return Err(format!(
                    "its {name} is {has}; only {known} is known: serve the model over HTTP instead"
                ));
            }
        }
        let normal = self.normalizer.as_ref().map(|n| Normal {
            clean: n.clean_text,
            chinese: n.handle_chinese_chars,
            // So does BERT: who has no case has no accents.
            strip_accents: n.strip_accents.unwrap_or(n.lowercase),
            lowercase: n.lowercase,
        });
        let special = special(&self.added_tokens)?;
        let around = around(self.post_processor.as_ref())?;
        let parts = Parts {
            normal: normal.ok_or("it has no normalizer")?,
            special,
            unknown: self.model.unk_token,
            around,
            prefix: self.model.continuing_subword_prefix,
            word_chars_max: self.model.max_input_chars_per_word,
        };
        parts.build(self.model.vocab, rows)
    }
}

/// Names that are found in the text as it stands.
fn special(added: &[Added]) -> Result<Vec<(Box<str>, u32)>, String> {
    if added.len() > SPECIAL_MAX {
        return Err(format!("it adds {} tokens; {SPECIAL_MAX} can be", added.len()));
    }
    if let Some(odd) = added.iter().find(|a| a.single_word || a.lstrip || a.rstrip || a.normalized) {
        return Err(format!("its added token {:?} is looked for in a way that is not known", odd.content));
    }
    let mut special: Vec<_> = added.iter().map(|a| (a.content.as_str().into(), a.id)).collect();
    special.retain(|(name, _): &(Box<str>, u32)| !name.is_empty());
    special.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    Ok(special)
}

/// The names of the tokens before and after a text.
fn around(post: Option<&Value>) -> Result<(String, String), String> {
    let strange = || "what stands around a text is not [CLS] and [SEP], or their like".to_owned();
    let post = post.ok_or_else(strange)?;
    let name = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(strange);
    match post["type"].as_str() {
        // Pairs of a name and a number.
        Some("BertProcessing") => Ok((name(&post["cls"][0])?, name(&post["sep"][0])?)),
        Some("TemplateProcessing") => {
            let single = post["single"].as_array().map(Vec::as_slice).unwrap_or_default();
            let [first, text, last] = single else { return Err(strange()) };
            if text["Sequence"]["id"].as_str() != Some("A") {
                return Err(strange());
            }
            Ok((name(&first["SpecialToken"]["id"])?, name(&last["SpecialToken"]["id"])?))
        }
        _ => Err(strange()),
    }
}

fn older(folder: &Path, rows: usize) -> Result<WordPiece> {
    let path = folder.join("vocab.txt");
    let bytes = whole(&path, BYTES_MAX).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            let message = format!("{} holds neither tokenizer.json nor vocab.txt", folder.display());
            Error::new(ErrorKind::NotFound, message)
        }
        _ => e,
    })?;
    let text = String::from_utf8(bytes).map_err(|e| bad(&path, e))?;
    let tokens = text.lines().enumerate().map(|(at, token)| (token.to_owned(), at as u32)).collect();
    let config = folder.join("tokenizer_config.json");
    let config: Older = if config.exists() { json(&config, BYTES_MAX)? } else { Older::default() };
    let lowercase = config.do_lower_case.unwrap_or(true);
    let parts = Parts {
        normal: Normal {
            clean: true,
            chinese: config.tokenize_chinese_chars.unwrap_or(true),
            strip_accents: config.strip_accents.unwrap_or(lowercase),
            lowercase,
        },
        special: Vec::new(),
        unknown: "[UNK]".into(),
        around: ("[CLS]".into(), "[SEP]".into()),
        prefix: "##".into(),
        word_chars_max: WORD_CHARS_MAX,
    };
    parts.of_bert(tokens, rows).map_err(|what| bad(&path, what))
}

/// A tokenizer before its tokens are looked up.
struct Parts {
    normal: Normal,
    special: Vec<(Box<str>, u32)>,
    unknown: String,
    around: (String, String),
    prefix: String,
    word_chars_max: usize,
}

impl Parts {
    /// With the names that every BERT vocabulary has.
    fn of_bert(mut self, tokens: HashMap<String, u32>, rows: usize) -> Result<WordPiece, String> {
        let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let found = names.iter().filter_map(|name| tokens.get(*name).map(|id| ((*name).into(), *id)));
        self.special = found.collect();
        self.build(tokens, rows)
    }

    fn build(self, tokens: HashMap<String, u32>, rows: usize) -> Result<WordPiece, String> {
        let beyond =
            tokens.values().chain(self.special.iter().map(|(_, id)| id)).find(|id| **id as usize >= rows);
        if let Some(id) = beyond {
            return Err(format!(
                "it has a token {id}, and the network knows {rows}: they are of different models"
            ));
        }
        let named = |name: &str| {
            let special = self.special.iter().find(|(special, _)| **special == *name).map(|(_, id)| *id);
            special.or_else(|| tokens.get(name).copied()).ok_or(format!("its vocabulary lacks {name:?}"))
        };
        let (unknown, first, last) = (named(&self.unknown)?, named(&self.around.0)?, named(&self.around.1)?);
        let (mut heads, mut tails) = (HashMap::with_capacity(tokens.len()), HashMap::new());
        for (token, id) in &tokens {
            if let Some(tail) = token.strip_prefix(&self.prefix) {
                tails.insert(tail.into(), *id);
            }
            heads.insert(token.as_str().into(), *id);
        }
        let Self { normal, special, word_chars_max, .. } = self;
        Ok(WordPiece { normal, heads, tails, special, unknown, first, last, word_chars_max })
    }
}
