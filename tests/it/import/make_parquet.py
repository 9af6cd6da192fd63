"""Writes the .parquet files of tests/it/import/files, with the rows of expected.json, by the library of Apache Arrow.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install numpy==2.4.6 pyarrow==26.0.1
    /tmp/v/bin/python tests/it/import/make_parquet.py
"""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent / "files"
ROWS = json.loads((HERE / "expected.json").read_text())["rows"]
VECTORS = np.array([row["vector"] for row in ROWS], "<u4").view("<f4")
DIM = VECTORS.shape[1]
NAMES = [row["id"] for row in ROWS]
KEYS = [row["key"] for row in ROWS]
TEXTS = [row["text"] for row in ROWS]
METADATA = [row["metadata"] for row in ROWS]
JSONS = [json.dumps(m) for m in METADATA]
DOCUMENTS = [f"doc-{i // 5}" for i in range(len(ROWS))]
PLACES = pa.array([i % 5 for i in range(len(ROWS))], pa.int32())
LISTS = [list(map(float, v)) for v in VECTORS]


def write(name, columns, **options):
    pq.write_table(pa.table(columns), HERE / f"{name}.parquet", **({"store_schema": False} | options))


def main():
    payload = {"text": TEXTS, "document_id": DOCUMENTS, "chunk_index": PLACES}
    # As everybody writes them: snappy, dictionaries, pages of the first version.
    write("lists", {"id": NAMES, **payload, "metadata": JSONS, "vector": pa.array(LISTS, pa.list_(pa.float32()))},
          row_group_size=7)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), DIM)
    struct = pa.array(METADATA, pa.struct([("lang", pa.string()), ("n", pa.int64()), ("share", pa.float64()),
                                           ("tags", pa.list_(pa.string()))]))
    write("fixed", {"key": pa.array(KEYS, pa.int64()), **payload, "metadata": struct, "vector": fixed},
          data_page_version="2.0", compression="zstd")
    # Every encoding that has a name of its own.
    write("encodings", {"id": NAMES, **payload, "metadata": JSONS, "tenant": ["t"] * len(ROWS),
                        "vector": pa.array(LISTS, pa.list_(pa.float64()))},
          compression="gzip", use_dictionary=False, data_page_size=100, write_batch_size=4,
          column_encoding={"id": "DELTA_BYTE_ARRAY", "text": "DELTA_LENGTH_BYTE_ARRAY", "metadata": "DELTA_BYTE_ARRAY",
                           "document_id": "PLAIN", "tenant": "PLAIN", "chunk_index": "DELTA_BINARY_PACKED",
                           "vector.list.element": "BYTE_STREAM_SPLIT"})
    half = pa.array([list(v) for v in VECTORS.astype("<f2")], pa.list_(pa.float16()))
    write("halves", {"id": pa.array(KEYS, pa.uint32()), "vector": half}, compression="none", use_dictionary=False)
    write("bytes", {"name": NAMES, "embedding": pa.array([v.tobytes() for v in VECTORS], pa.binary(4 * DIM)),
                    "body": TEXTS, "lang": [m["lang"] for m in METADATA],
                    "n": pa.array([m["n"] for m in METADATA], pa.int16()), "share": [m["share"] for m in METADATA],
                    "tags": [m["tags"] for m in METADATA]}, compression="snappy", data_page_version="2.0")
    write("brotli", {"id": NAMES, "vector": fixed}, compression="brotli")
    # What may be missing, is, once; rows without vector and text, and the last three, are wrong.
    kinds = pa.struct([("a", pa.list_(pa.list_(pa.int32()))), ("b", pa.map_(pa.string(), pa.bool_())), ("c", pa.float32())])
    write("nulls", {
        "id": ["all", "none", "empty", "holes", "key", None, "hole"],
        "text": ["x", None, "", "y", "", "", ""],
        "metadata": pa.array([{"a": [[1, 2], [], [3]], "b": [("p", True), ("q", None)], "c": 0.5}, None,
                              {"a": [], "b": [], "c": None}, {"a": [None, [None, 4]], "b": None, "c": -1.0},
                              {"a": None, "b": None, "c": float("nan")}, None, None], kinds),
        "vector": pa.array([[1, 2], None, [], [3, 4], [5, 6], [7, 8], [9, None]], pa.list_(pa.float32())),
    }, compression="none", row_group_size=5)
    # One group of very many rows, which are little on disk because they are alike.
    many = 300_000
    alike = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(VECTORS[0], many)), DIM)
    write("many", {"id": ["same"] * many, "vector": alike}, compression="zstd", row_group_size=many)
    write("dates", {"id": NAMES, "vector": fixed, "day": pa.array([i for i in range(len(ROWS))], pa.date32())})


main()
