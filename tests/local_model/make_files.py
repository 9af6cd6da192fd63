"""Makes the models in `files/` and what sentence-transformers and tokenizers make of texts with them; run once, by hand.

    pip install torch transformers sentence-transformers
    python make_files.py [FOLDER OF all-MiniLM-L6-v2]

`mean/` is as sentence-transformers saves a model: float32, tokenizer.json, the mean, normalized. `first/` has the older names, float16,
vocab.txt, and takes the first token. With a folder, `minilm.*` are made, too: what that model makes of some texts.
"""

import json
import os
import random
import shutil
import sys
import unicodedata

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers import models
from transformers import BertConfig, BertModel, BertTokenizerFast

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")
WORDS = """the of and to in is that it for was as with on be by at this are from or an which not a write log search store vector index
row block file text model word token graph link read slot set commit sync mirror open close near far cafe resume naive strasse istanbul
hello world rust python data base number one two three un able run walk jump quick brown fox over lazy dog""".split()
PIECES = """ing ed s er ly tion ment able ness al ity ive ful less est ize ate en es ward log word row set 00 19 20 10""".split()
OTHERS = "\u4e2d\u6587\u65e5\u672c\u03b1\u03b2\u03b3\u03bf\u03c3\u0430\u0431\u0432\u05d0\u05d1\u0645\u0646\u0915\u0e01\u20ac\u00a3\u00b0\u2014\u201c\u201d\u3002"


def vocabulary():
    ascii = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    tails = ["##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"] + ["##" + c for c in "\u03b1\u03b2\u03b3\u0430\u0431\u05d1"]
    tokens = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + ascii + tails + list(OTHERS)
    for token in WORDS + ["##" + p for p in PIECES]:
        if token not in tokens:
            tokens.append(token)
    return tokens


def texts():
    random.seed(5)
    hard = [
        "", " ", "\t\r\n", "a", "The quick brown fox jumps over the lazy dog.", "unwriteable, walking; RUNNING!", "Caf\u00e9 R\u00c9SUM\u00c9 na\u00efve",
        "cafe\u0301 e\u0323\u0301x \u1e69", "\u0130stanbul I\u0307 \u0131", "Stra\u00dfe STRASSE \u1e9e", "\u039f\u0394\u039f\u03a3 \u03b1\u03b2\u03b3\u03b1 \u0391\u0392\u0393", "\u4e2d\u6587abc\u65e5\u672c", "\u4e2d\u6587\u3002\u65e5\u672c",
        "\uff28\uff45\uff4c\uff4c\uff4f \ufb01le", "[CLS] of [SEP][MASK] [PAD]x[UNK]", "[cls] [MASK [[MASK]]", "##ing ##", "a\u200bb\u00adc\ufeffd", "a\x00b\x07c\x7fd\x85e",
        "a\u00a0b\u2003c\u3000d\u2028e", "\ufffd x\ufffdy", "\U0001f600 emoji\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0915\u093f\u0915\u094d\u0937", "\u0e01\u0e33 \u0e01\u0e49", "\u05d0\u05b8\u05d1\u05d1", "\u0645\u064e\u0646",
        "x" * 100, "x" * 101, "word" * 25, "log" * 40, "a," * 40, "\u0301", "\u0301a", "...", "\u2014\u201cof\u201d\u2014", "10\u20ac \u00a3100 20\u00b0", "$^`|~<>+=", "1920 2000 10.5 1,000",
        "\ud55c\uae00 \uac00", "\u1100\u1161\u11a8", "\u212b \u2126 \u00bd \u2460", "co-op don't it's", "\U00020000\U0002a6dfx\U0002f800", "\U0001d15e\U0001d172 a", "\ue000\U000f0000z", "\u0344\u0f73\u0958",
        "the " * 200, "rowlogset writeing unset", "\ufe0f\u20e3 1\ufe0f\u20e3",
    ]
    pool = [c for c in range(1, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    # What the tables of the tokenizers library, which are of Unicode 8, do not know is not compared.
    old = [c for c in pool if unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"]
    marks = [c for c in old if unicodedata.category(chr(c))[0] in "MPZC"]
    for _ in range(250):
        text = ""
        for _ in range(random.randint(1, 24)):
            kind = random.random()
            if kind < 0.3:
                text += random.choice(WORDS).title() if random.random() < 0.3 else random.choice(WORDS + PIECES)
            elif kind < 0.5:
                text += random.choice(" \t,.-'")
            elif kind < 0.7:
                text += chr(random.choice(marks))
            elif kind < 0.8:
                text += random.choice(OTHERS)
            else:
                text += chr(random.choice(old))
        hard.append(text)
    return hard


def ids(tokenizer, text, limit):
    return tokenizer(text, truncation=True, max_length=limit)["input_ids"]


def save(name, model, tokenizer, texts, limit):
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        rows = [[t, ids(tokenizer, t, limit)] for t in texts]
        f.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")
    # One by one, so that nothing is padded.
    vectors = np.stack([model.encode([t], convert_to_numpy=True)[0] for t in texts])
    vectors.astype("<f4").tofile(os.path.join(HERE, name + ".f32"))
    print(name, vectors.shape)


def main():
    torch.manual_seed(3)
    tokens = vocabulary()
    raw = os.path.join(HERE, "raw")
    os.makedirs(raw, exist_ok=True)
    with open(os.path.join(raw, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(tokens) + "\n")
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=72,
        max_position_embeddings=64, initializer_range=0.6,
    )
    bert = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for name, weight in bert.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                weight += torch.randn_like(weight) * 0.3
    bert.save_pretrained(raw)
    tokenizer = BertTokenizerFast(vocab=os.path.join(raw, "vocab.txt"), vocab_file=os.path.join(raw, "vocab.txt"))
    tokenizer.save_pretrained(raw)

    mean = os.path.join(HERE, "mean")
    shutil.rmtree(mean, ignore_errors=True)
    word = models.Transformer(raw, max_seq_length=48)
    model = SentenceTransformer(modules=[word, models.Pooling(32, "mean"), models.Normalize()], device="cpu")
    model.save(mean, create_model_card=False)
    save("mean", model, model.tokenizer, texts(), 48)

    first = os.path.join(HERE, "first")
    shutil.rmtree(first, ignore_errors=True)
    os.makedirs(first)
    weights = load_file(os.path.join(raw, "model.safetensors"))
    old = lambda n: "bert." + n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    save_file({old(n): w.half() for n, w in weights.items()}, os.path.join(first, "model.safetensors"))
    shutil.copy(os.path.join(raw, "vocab.txt"), first)
    shutil.copy(os.path.join(raw, "config.json"), first)
    json.dump({"do_lower_case": True, "model_max_length": 32}, open(os.path.join(first, "tokenizer_config.json"), "w"))
    steps = ["Transformer", "Pooling"]
    steps = [{"path": "" if i == 0 else "1_Pooling", "type": "sentence_transformers.models." + s} for i, s in enumerate(steps)]
    json.dump(steps, open(os.path.join(first, "modules.json"), "w"))
    os.makedirs(os.path.join(first, "1_Pooling"))
    switches = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}
    json.dump({"word_embedding_dimension": 32} | switches, open(os.path.join(first, "1_Pooling", "config.json"), "w"))
    bert.load_state_dict({n: w.half().float() for n, w in weights.items()}, strict=False)
    bert.save_pretrained(raw)
    word = models.Transformer(raw, max_seq_length=32)
    model = SentenceTransformer(modules=[word, models.Pooling(32, "cls")], device="cpu")
    save("first", model, model.tokenizer, texts()[:60], 32)
    shutil.rmtree(raw)

    if len(sys.argv) > 1:
        model = SentenceTransformer(sys.argv[1], device="cpu")
        long = " ".join(WORDS) * 6
        some = [t for t in texts()[:49] if t.strip()] + [long]
        save("minilm", model, model.tokenizer, some, 256)


main()
