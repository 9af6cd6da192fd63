//! Folders that lack something, ask for what is not known, lie about sizes, or are damaged: an error that says so, and no panic.

use super::*;
use crate::embed::Embedder;
use crate::error::ErrorKind;
use serde_json::{Value, json};

/// A copy of the model `mean`.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(copy.at("1_Pooling")).unwrap();
        for file in FILES {
            std::fs::copy(files().join("mean").join(file), copy.at(file)).unwrap();
        }
        copy
    }

    fn at(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn open(&self) -> crate::error::Result<LocalEmbedder> {
        LocalEmbedder::open(self.0.path(), LocalOptions::default())
    }

    /// Sets a value in a file of JSON, opens, and says what is wrong.
    fn refusal(&self, file: &str, pointer: &str, value: Value) -> String {
        let whole = std::fs::read(self.at(file)).unwrap();
        let mut json: Value = serde_json::from_slice(&whole).unwrap();
        match json.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => json[&pointer[1..]] = value.clone(),
        }
        std::fs::write(self.at(file), json.to_string()).unwrap();
        let error = match self.open() {
            Err(error) => error,
            Ok(_) => panic!("{file} {pointer} {value} was taken"),
        };
        std::fs::write(self.at(file), whole).unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        error.to_string()
    }
}

const FILES: [&str; 6] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "model.safetensors",
    "1_Pooling/config.json",
];

#[test]
fn what_is_missing_is_named() {
    let missing = LocalEmbedder::open("/no/such/folder", LocalOptions::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for (file, says) in [
        ("config.json", "config.json cannot be read"),
        ("tokenizer.json", "neither tokenizer.json nor vocab.txt"),
        ("model.safetensors", "model.safetensors: there is none"),
        ("1_Pooling/config.json", "config.json cannot be read"),
    ] {
        let copy = Copy::new();
        std::fs::remove_file(copy.at(file)).unwrap();
        let error = copy.open().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        std::fs::create_dir(copy.at(file)).unwrap();
        assert!(copy.open().unwrap_err().to_string().contains("not a regular file"));
    }
    for options in [
        LocalOptions::default().threads(0),
        LocalOptions::default().threads(10_000),
        LocalOptions::default().max_tokens(2),
        LocalOptions::default().name(""),
        LocalOptions::default().name("x".repeat(400)),
    ] {
        let error = LocalEmbedder::open(files().join("mean"), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let copy = Copy::new();
    for (file, pointer, value, says) in [
        ("config.json", "/model_type", json!("roberta"), "\"roberta\""),
        ("config.json", "/hidden_act", json!("relu"), "\"relu\""),
        ("config.json", "/position_embedding_type", json!("relative_key"), "relative_key"),
        ("config.json", "/is_decoder", json!(true), "is_decoder"),
        ("modules.json", "/2/type", json!("sentence_transformers.models.Dense"), "Dense"),
        ("modules.json", "/1/path", json!("../../etc"), "../../etc"),
        ("modules.json", "/1/path", json!("/etc"), "/etc"),
        ("modules.json", "/0/path", json!("0_Transformer"), "0_Transformer"),
        ("1_Pooling/config.json", "/pooling_mode", json!("max"), "max"),
        ("1_Pooling/config.json", "/pooling_mode", json!(null), "no mode"),
        ("sentence_bert_config.json", "/do_lower_case", json!(true), "lower case"),
        ("tokenizer.json", "/model/type", json!("BPE"), "BPE"),
        ("tokenizer.json", "/normalizer/type", json!("NFC"), "NFC"),
        ("tokenizer.json", "/normalizer", json!(null), "nothing"),
        ("tokenizer.json", "/pre_tokenizer/type", json!("ByteLevel"), "ByteLevel"),
        ("tokenizer.json", "/post_processor", json!(null), "[CLS]"),
        ("tokenizer.json", "/post_processor/single/1/Sequence/id", json!("B"), "[CLS]"),
        ("tokenizer.json", "/added_tokens/0/lstrip", json!(true), "[PAD]"),
        ("tokenizer.json", "/model/unk_token", json!("<unk>"), "<unk>"),
    ] {
        let error = copy.refusal(file, pointer, value);
        assert!(error.contains(says), "{pointer}: {error}");
    }
    std::fs::write(copy.at("config_sentence_transformers.json"), r#"{"default_prompt_name": "query"}"#)
        .unwrap();
    assert!(copy.open().unwrap_err().to_string().contains("the prompt \"query\""));
}

#[test]
fn sizes_that_lie_take_no_memory() {
    let copy = Copy::new();
    for (name, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(33)),
        ("hidden_size", json!(64)),
        ("hidden_size", json!(u64::MAX)),
        ("num_hidden_layers", json!(3)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(1u64 << 40)),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(3)),
        ("intermediate_size", json!(73)),
        ("intermediate_size", json!(65_536)),
        ("vocab_size", json!(241)),
        ("vocab_size", json!(100)),
        ("vocab_size", json!(4_000_000)),
        ("max_position_embeddings", json!(65)),
        ("max_position_embeddings", json!(2)),
        ("type_vocab_size", json!(1)),
        ("layer_norm_eps", json!(-1.0)),
        ("layer_norm_eps", json!("a")),
        ("hidden_size", json!(-32)),
        ("hidden_size", json!(32.5)),
    ] {
        copy.refusal("config.json", &format!("/{name}"), value);
    }
    copy.refusal("tokenizer.json", "/model/vocab/log", json!(242));
    copy.refusal("tokenizer.json", "/added_tokens/0/id", json!(4_000_000_000u32));
    copy.refusal("sentence_bert_config.json", "/max_seq_length", json!(1));
}

/// The table of the weights, and the numbers behind it.
fn weights() -> (Value, Vec<u8>) {
    let bytes = std::fs::read(files().join("mean/model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

fn joined(table: &[u8], numbers: &[u8]) -> Vec<u8> {
    [&(table.len() as u64).to_le_bytes(), table, numbers].concat()
}

#[test]
fn a_table_that_lies_is_refused() {
    let copy = Copy::new();
    let (table, numbers) = weights();
    let name = "encoder.layer.1.output.dense.weight";
    let entry = |entry: Value| {
        let mut table = table.clone();
        table[name] = entry;
        joined(table.to_string().as_bytes(), &numbers)
    };
    let file = |dtype: &str, shape: Value, from: u64, to: u64| {
        entry(json!({"dtype": dtype, "shape": shape, "data_offsets": [from, to]}))
    };
    let bytes = 32 * 72 * 4;
    let cases = [
        (vec![], "cut off"),
        (vec![0; 8], "EOF"),
        (u64::MAX.to_le_bytes().to_vec(), "claims a table"),
        ((100u64 << 20).to_le_bytes().repeat(100), "claims a table"),
        (joined(b"[1, 2]", &numbers), "its table"),
        (joined(&b"{\"a\":".repeat(100_000), &numbers), "its table"),
        (joined(b"{}", &[]), "holds no embeddings.word_embeddings.weight"),
        (file("I8", json!([32, 72]), 0, 32 * 72), "\"I8\""),
        (file("F32", json!([72, 32]), 0, bytes), "[72, 32]"),
        (file("F32", json!([32, 72, 1]), 0, bytes), "[32, 72, 1]"),
        (file("F32", json!([u64::MAX, u64::MAX]), 0, bytes), "shape"),
        (file("F32", json!([32, 72]), 0, bytes - 4), "is damaged"),
        (file("F32", json!([32, 72]), bytes, 0), "is damaged"),
        (file("F32", json!([32, 72]), u64::MAX - bytes, u64::MAX), "or damaged"),
        (
            file("F32", json!([32, 72]), numbers.len() as u64 - bytes + 4, numbers.len() as u64 + 4),
            "or damaged",
        ),
        (entry(json!({"dtype": "F32", "shape": [32, 72], "data_offsets": [-1, 3]})), "its table, at"),
        (entry(json!(7)), "its table, at"),
        (joined(table.to_string().as_bytes(), &numbers[..numbers.len() - 1]), "is cut off"),
        (joined(table.to_string().as_bytes(), &[&numbers[..], &[0]].concat()), "or damaged"),
    ];
    for (at, (bytes, says)) in cases.into_iter().enumerate() {
        std::fs::write(copy.at("model.safetensors"), bytes).unwrap();
        let error = copy.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(says), "case {at}: {error}");
    }
    let mut infinite = numbers.clone();
    infinite[400..404].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(copy.at("model.safetensors"), joined(table.to_string().as_bytes(), &infinite)).unwrap();
    assert!(copy.open().unwrap_err().to_string().contains("not finite"));
}

#[test]
fn weights_that_are_too_great_are_an_error_for_the_text_and_no_vector() {
    let copy = Copy::new();
    let (table, mut numbers) = weights();
    let from = table["encoder.layer.1.output.LayerNorm.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    numbers[from..from + 32 * 4].copy_from_slice(&f32::MAX.to_le_bytes().repeat(32));
    std::fs::write(copy.at("model.safetensors"), joined(table.to_string().as_bytes(), &numbers)).unwrap();
    let error = copy.open().unwrap().embed(&["the log"]).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("not finite"), "{error}");
}

/// Every byte of every small file is changed once or twice, and the table of the weights; what opens can be used.
#[test]
fn damaged_files_are_errors_or_models_and_never_a_panic() {
    let copy = Copy::new();
    let mut noise = 9u64;
    let mut random = |below: usize| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) as usize % below
    };
    let (mut opened, mut refused) = (0, 0);
    for file in FILES {
        let whole = std::fs::read(copy.at(file)).unwrap();
        let looked_at = whole.len().min(5_000);
        for _ in 0..250 {
            let mut bytes = whole.clone();
            match random(4) {
                0 => bytes.truncate(random(looked_at)),
                1 => bytes[random(looked_at)] = random(256) as u8,
                2 => bytes[random(looked_at)] = b"0123456789-{}[]\","[random(17)],
                _ => {
                    let from = random(looked_at);
                    let part = bytes[from..(from + random(40)).min(whole.len())].to_vec();
                    let at = random(looked_at);
                    bytes.splice(at..at, part);
                }
            }
            std::fs::write(copy.at(file), bytes).unwrap();
            match copy.open() {
                Ok(model) => {
                    opened += 1;
                    let _ = model.embed(&["the log of [CLS] caf\u{e9}"]);
                }
                Err(_) => refused += 1,
            }
        }
        std::fs::write(copy.at(file), whole).unwrap();
    }
    assert!(opened > 50 && refused > 500, "{opened} {refused}");
}
