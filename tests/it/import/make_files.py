"""Writes tests/it/import/files: small files of other stores, by the libraries that are their makers.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install numpy==2.4.6 faiss-cpu==1.15.1 hnswlib==0.8.0 zstandard==0.25.0
    /tmp/v/bin/python tests/it/import/make_files.py

They are committed, so that the tests need no Python. Everything is made from one seed; hnswlib and FAISS draw the levels of
their graphs from seeds of their own, so a new run may differ in the graphs and never in the vectors.
"""

import collections
import json
import pathlib
import pickle
import struct

import faiss
import hnswlib
import numpy as np
import zstandard

HERE = pathlib.Path(__file__).parent / "files"
ROWS, DIM = 20, 6
ROW = np.random.default_rng(7)
VECTORS = ROW.standard_normal((ROWS, DIM)).astype("<f4")
IDS = np.arange(ROWS, dtype="<i8") * 7 + 3
TEXTS = [f"text {i} \u00e9" if i % 3 else f'a "quoted",\ntext {i}' for i in range(ROWS)]
METADATA = [{"lang": "en" if i % 2 else "de", "n": i, "share": (i + 0.5) / 8, "tags": ["a", str(i)]} for i in range(ROWS)]


def chunk(i, **more):
    return {"id": f"id-{i}", "document_id": f"doc-{i // 5}", "chunk_index": i % 5, "text": TEXTS[i],
            "metadata": METADATA[i], **more}


def write(name, data):
    (HERE / name).write_bytes(data)


def numpy_files():
    for kind in ("f2", "f4", "f8"):
        np.save(HERE / f"vectors.{kind}.npy", VECTORS.astype(f"<{kind}"))
    np.save(HERE / "ids.i8.npy", IDS)
    np.save(HERE / "fortran.npy", np.asfortranarray(VECTORS))
    write("ids.txt", "".join(f"id-{i}\n" for i in range(ROWS)).encode())
    lines = "".join(json.dumps(chunk(i)) + "\n" for i in range(ROWS)).encode()
    write("docs.jsonl.zst", zstandard.compress(lines))
    rows = [struct.pack("<i", DIM) + row.tobytes() for row in VECTORS]
    write("vectors.fvecs", b"".join(rows))
    small = (np.abs(VECTORS) * 20).astype("u1")
    write("vectors.bvecs", b"".join(struct.pack("<i", DIM) + row.tobytes() for row in small))
    write("ids.ivecs", b"".join(struct.pack("<ii", 1, int(i)) for i in IDS))


def text_files():
    lines = [json.dumps(chunk(i, vector=[float(x) for x in VECTORS[i]], tenant="t")) for i in range(ROWS)]
    write("chunks.jsonl", ("\n".join(lines) + "\n").encode())
    header = "id,text,metadata," + ",".join(f"v{k}" for k in range(DIM)) + "\r\n"
    quoted = lambda s: '"' + s.replace('"', '""') + '"'
    rows = [f'id-{i},{quoted(TEXTS[i])},{quoted(json.dumps(METADATA[i]))},{",".join(repr(float(x)) for x in VECTORS[i])}\r\n'
            for i in range(ROWS)]
    write("columns.csv", (header + "".join(rows)).encode())
    rows = [f'id-{i},{quoted(json.dumps([float(x) for x in VECTORS[i]]))},{METADATA[i]["lang"]}\n' for i in range(ROWS)]
    write("array.csv", ("key,embedding,lang\n" + "".join(rows)).encode())


def faiss_files():
    made = {
        "flat-l2": faiss.IndexFlatL2(DIM),
        "flat-ip": faiss.IndexFlatIP(DIM),
        "flat-l1": faiss.IndexFlat(DIM, faiss.METRIC_L1),
        "hnsw": faiss.IndexHNSWFlat(DIM, 4),
        "idmap": faiss.IndexIDMap(faiss.IndexFlatL2(DIM)),
        "idmap2-hnsw": faiss.IndexIDMap2(faiss.IndexHNSWFlat(DIM, 4, faiss.METRIC_INNER_PRODUCT)),
        "sq8": faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_8bit),
        "ivf": faiss.IndexIVFFlat(faiss.IndexFlatL2(DIM), DIM, 2),
    }
    for name, index in made.items():
        if not index.is_trained:
            index.train(VECTORS)
        if name.startswith("idmap"):
            index.add_with_ids(VECTORS, IDS)
        else:
            index.add(VECTORS)
        faiss.write_index(index, str(HERE / f"{name}.faiss"))


def hnswlib_files():
    for space in ("l2", "ip", "cosine"):
        index = hnswlib.Index(space, DIM)
        index.init_index(ROWS + 5, M=4, ef_construction=20)
        index.add_items(VECTORS, IDS)
        if space == "l2":
            index.mark_deleted(int(IDS[4]))
        index.save_index(str(HERE / f"{space}.hnswlib"))


def pickle_files():
    def store(name, vectors, metadata, protocol=4):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        (folder / "vectors.pkl").write_bytes(pickle.dumps(vectors, protocol))
        if metadata is not None:
            (folder / "metadata.json").write_text(json.dumps(metadata))

    lists = [[float(x) for x in row] for row in VECTORS]
    entries = [{"id": f"id-{i}", "text": TEXTS[i], "metadata": METADATA[i]} for i in range(ROWS)]
    store("store-lists", lists, entries)
    store("store-arrays", [row for row in VECTORS], entries)
    store("store-matrix", VECTORS, {"ids": [f"id-{i}" for i in range(ROWS)], "texts": TEXTS, "metadatas": METADATA})
    store("store-matrix5", VECTORS.astype("<f8"), entries, 5)
    by_id = collections.OrderedDict((f"id-{i}", lists[i]) for i in reversed(range(ROWS)))
    store("store-dict", by_id, {f"id-{i}": {"content": TEXTS[i], **METADATA[i]} for i in range(ROWS)})
    store("store-old", lists, entries, 0)
    store("store-named", {"embeddings": VECTORS, "ids": [f"id-{i}" for i in range(ROWS)]}, None)

    class Runs:
        def __reduce__(self):
            return (exec, ("open('/tmp/nearfield-pickle-ran', 'w')",))

    store("store-code", [lists[0], Runs()], entries[:2])
    store("store-fortran", np.asfortranarray(VECTORS), entries)


def expected():
    rows = [{"id": f"id-{i}", "key": int(IDS[i]), "vector": [int(b) for b in VECTORS[i].view("<u4")], "text": TEXTS[i],
             "metadata": METADATA[i]} for i in range(ROWS)]
    versions = {"numpy": np.__version__, "faiss": faiss.__version__, "hnswlib": "0.8.0", "zstandard": zstandard.__version__}
    write("expected.json", json.dumps({"made_by": versions, "rows": rows}, indent=0).encode())


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for make in (numpy_files, text_files, faiss_files, hnswlib_files, pickle_files, expected):
        make()
