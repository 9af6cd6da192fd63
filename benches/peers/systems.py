"""The peers: how each is built and asked.

A function builds an index over `base` and returns search(ef), which gives the row numbers found for all queries, on one
thread. Each imports its own package, so those that are not installed do no harm; the caller has imported it before, so
neither the time nor the memory of that counts as the index's.
"""

import tempfile

import numpy as np


def faiss_flat(cfg, base, queries):
    return faiss_hnsw(cfg, base, queries, quantized=False)


def faiss_sq8(cfg, base, queries):
    return faiss_hnsw(cfg, base, queries, quantized=True)


def faiss_hnsw(cfg, base, queries, quantized):
    import faiss

    metric = faiss.METRIC_L2 if cfg.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if quantized:
        index = faiss.IndexHNSWSQ(base.shape[1], faiss.ScalarQuantizer.QT_8bit, cfg.m, metric)
    else:
        index = faiss.IndexHNSWFlat(base.shape[1], cfg.m, metric)
    index.hnsw.efConstruction = cfg.ef_construction
    faiss.omp_set_num_threads(cfg.build_threads)
    if quantized:
        index.train(base)
    index.add(base)
    faiss.omp_set_num_threads(1)

    def search(ef):
        index.hnsw.efSearch = ef
        return index.search(queries, cfg.k)[1]

    return search


def hnswlib(cfg, base, queries):
    import hnswlib as lib

    index = lib.Index("l2" if cfg.metric == "l2" else "ip", base.shape[1])
    index.init_index(len(base), M=cfg.m, ef_construction=cfg.ef_construction)
    index.add_items(base, num_threads=cfg.build_threads)

    def search(ef):
        index.set_ef(max(ef, cfg.k))
        return index.knn_query(queries, cfg.k, num_threads=1)[0]

    return search


def usearch_f32(cfg, base, queries):
    return usearch_hnsw(cfg, base, queries, "f32")


def usearch_i8(cfg, base, queries):
    return usearch_hnsw(cfg, base, queries, "i8")


def usearch_hnsw(cfg, base, queries, dtype):
    from usearch.index import Index

    metric = "l2sq" if cfg.metric == "l2" else "ip"
    index = Index(
        ndim=base.shape[1], metric=metric, dtype=dtype, connectivity=cfg.m, expansion_add=cfg.ef_construction
    )
    index.add(np.arange(len(base)), base, threads=cfg.build_threads)

    def search(ef):
        index.expansion_search = ef
        return index.search(queries, cfg.k, threads=1).keys

    return search


def svs_vamana(cfg, base, queries):
    import svs

    inner = cfg.metric != "l2"
    # The window plays the part of efConstruction; the degree is that of our level 0; alpha as SVS advises for each metric.
    built = svs.VamanaBuildParameters(
        graph_max_degree=2 * cfg.m, window_size=cfg.svs_window, alpha=0.95 if inner else 1.2
    )
    distance = svs.DistanceType.MIP if inner else svs.DistanceType.L2
    index = svs.Vamana.build(built, base, distance, num_threads=cfg.build_threads)
    index.num_threads = 1

    def search(ef):
        index.search_window_size = max(ef, cfg.k)
        return index.search(queries, cfg.k)[0]

    return search


def qdrant_edge(cfg, base, queries):
    import qdrant_edge as q

    folder = tempfile.mkdtemp(prefix="qdrant-edge-", dir=cfg.scratch)
    codes = q.ScalarQuantizationConfig(type=q.ScalarType.Int8, quantile=0.99, always_ram=True)
    graph = q.HnswIndexConfig(
        m=cfg.m,
        ef_construct=cfg.ef_construction,
        full_scan_threshold=100,
        max_indexing_threads=cfg.build_threads,
    )
    distance = q.Distance.Euclid if cfg.metric == "l2" else q.Distance.Dot
    vectors = q.EdgeVectorParams(
        size=base.shape[1], distance=distance, hnsw_config=graph, quantization_config=codes
    )
    shard = q.EdgeShard.create(folder, q.EdgeConfig(vectors=vectors, max_search_threads=1))
    for first in range(0, len(base), 1000):
        points = [q.Point(id=first + i, vector=v.tolist()) for i, v in enumerate(base[first : first + 1000])]
        shard.update(q.UpdateOperation.upsert_points(points))
    shard.optimize()
    asked = [v.tolist() for v in queries]

    def search(ef):
        rescored = q.QuantizationSearchParams(rescore=True, oversampling=2.0)
        params = q.SearchParams(hnsw_ef=ef, quantization=rescored)
        requests = (q.SearchRequest(query=q.Query.Nearest(v), limit=cfg.k, params=params) for v in asked)
        return [[hit.id for hit in shard.search(request)] for request in requests]

    return search


# name: (what the table calls it, the package on PyPI, its module, the function)
PEERS = {
    "faiss": ("FAISS HNSWFlat", "faiss-cpu", "faiss", faiss_flat),
    "faiss_sq8": ("FAISS HNSW-SQ8", "faiss-cpu", "faiss", faiss_sq8),
    "hnswlib": ("hnswlib", "hnswlib", "hnswlib", hnswlib),
    "usearch": ("usearch f32", "usearch", "usearch.index", usearch_f32),
    "usearch_i8": ("usearch i8", "usearch", "usearch.index", usearch_i8),
    "svs": ("SVS Vamana f32", "scalable-vs", "svs", svs_vamana),
    "qdrant_edge": ("Qdrant Edge int8 + rescore", "qdrant-edge-py", "qdrant_edge", qdrant_edge),
}
