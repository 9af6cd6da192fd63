#!/usr/bin/env python3
"""Nearfield and its peers over one data set in one go: one table, one plot. README.md beside this file says how to read them.

Each system runs in a process of its own, round after round, so that a slow minute of the machine meets all of them and no
system sees the memory of another. A figure is the median of the rounds.
"""

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import figures
from figures import OURS, TARGETS
from systems import PEERS

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
EFS = "10,16,24,32,48,64,96,128,192,256,400"


def main():
    cfg = arguments()
    if cfg.worker:
        print(json.dumps(work(cfg)))
        return 0
    wanted = cfg.systems.split(",")
    unknown = [name for name in wanted if name != OURS and name not in PEERS]
    if unknown:
        sys.exit(f"unknown systems {', '.join(unknown)}; there are {', '.join([OURS, *PEERS])}")
    cfg.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nearfield-peers-") as scratch:
        cfg.scratch = scratch
        cfg.named = cfg.folder.resolve().name + (" (its first rows)" if cfg.limit_rows else "")
        cfg.folder = prepare(cfg, scratch)
        systems, skipped = available(cfg, wanted)
        runs, failed = measure(cfg, systems)
        summary = summarise(cfg, systems, runs, skipped, failed)
    write(cfg, summary)
    return 1 if failed else 0


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("folder", type=Path, help="folder with base.f16.npy or base.f32.npy, queries.*.npy, truth.i32.npy")
    ap.add_argument("--systems", default=",".join([OURS, *PEERS]), help="which to run, in this order (default: all)")
    ap.add_argument("--nearfield", type=Path, default=REPOSITORY / "target/release/nearfield", help="our binary")
    ap.add_argument("--nearfield-args", default="", help="further flags for ours, such as '--graph hnsw_rs'")
    ap.add_argument("--metric", default="cosine", choices=["cosine", "dot", "l2"])
    ap.add_argument("--k", type=int, default=10)
    ap.add_argument("--ef", default=EFS, help=f"beam widths (default: {EFS})")
    ap.add_argument("--m", type=int, default=16)
    ap.add_argument("--ef-construction", type=int, default=200)
    ap.add_argument("--svs-window", type=int, default=128, help="build window of SVS (default: 128)")
    ap.add_argument("--build-threads", type=int, default=2)
    ap.add_argument("--rounds", type=int, default=3, help="builds of each system; figures are medians (default: 3)")
    ap.add_argument("--passes", type=int, default=3, help="timed passes at each width, the best counts (default: 3)")
    ap.add_argument("--limit-rows", type=int, help="only the first rows of the base, the truth computed anew")
    ap.add_argument("--limit-queries", type=int, help="only the first queries")
    ap.add_argument("--timeout", type=float, default=7200, help="seconds for one system in one round (default: 7200)")
    ap.add_argument("--out", type=Path, default=HERE / "out", help="folder for the results (default: beside this file)")
    ap.add_argument("--worker", help=argparse.SUPPRESS)
    ap.add_argument("--scratch", help=argparse.SUPPRESS)
    return ap.parse_args()


# One system, in its own process


def work(cfg):
    base, queries, truth = load(cfg.folder)
    if cfg.metric == "cosine":
        # Peers without a cosine metric get unit vectors, on which the inner product orders alike.
        base = unit(base)
        queries = unit(queries)
    _, _, module, build = PEERS[cfg.worker]
    importlib.import_module(module)
    gc.collect()
    before = resident_bytes()
    start = time.perf_counter()
    search = build(cfg, base, queries)
    seconds = time.perf_counter() - start
    gc.collect()
    bytes_per_row = (resident_bytes() - before) / len(base) if before else None
    curve = []
    for ef in map(int, cfg.ef.split(",")):
        recall = recall_of(search(ef), truth, cfg.k)
        best = min(timed(search, ef) for _ in range(cfg.passes))
        curve.append({"ef": ef, "recall": recall, "qps": len(queries) / best})
    return {"build_s": seconds, "bytes_per_row": bytes_per_row, "curve": curve}


def work_ours(cfg):
    command = [cfg.nearfield, "bench", "search", "--json", "--quiet", "--data-dir", cfg.folder]
    for flag in ("metric", "k", "m", "ef_construction", "build_threads"):
        command += ["--" + flag.replace("_", "-"), getattr(cfg, flag)]
    # Ours takes an ef below k, and is past .95 at 10: without these the curve would begin too high.
    command += ["--ef", f"4,8,{cfg.ef}"]
    command += ["--threads", 1, "--rounds", cfg.passes, *shlex.split(cfg.nearfield_args)]
    told = call(command, cfg.timeout)
    return {
        "build_s": told["build"]["seconds"],
        "bytes_per_row": told["memory"]["bytes_per_row"],
        "curve": [{key: point[key] for key in ("ef", "recall", "qps")} for point in told["curve"]],
    }


def timed(search, ef):
    start = time.perf_counter()
    search(ef)
    return time.perf_counter() - start


def recall_of(found, truth, k):
    """Over the neighbours that exist: an entry of -1 stands for none."""
    hit = exist = 0
    for rows, nearest in zip(found, truth):
        wanted = {int(row) for row in nearest[:k] if row >= 0}
        exist += len(wanted)
        hit += len(wanted & {int(row) for row in rows[:k]})
    return hit / exist


def resident_bytes():
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# The data


def load(folder):
    base, queries = (np.ascontiguousarray(np.load(find(folder, stem)), dtype=np.float32) for stem in ("base", "queries"))
    truth = Path(folder) / "truth.i32.npy"
    return base, queries, np.load(truth) if truth.exists() else None


def find(folder, stem):
    for kind in ("f16", "f32"):
        path = Path(folder) / f"{stem}.{kind}.npy"
        if path.exists():
            return path
    sys.exit(f"{folder} has no {stem}.f16.npy or {stem}.f32.npy")


def prepare(cfg, scratch):
    """The folder that all systems read: the given one, or a smaller copy with a truth of its own."""
    has_truth = (cfg.folder / "truth.i32.npy").exists()
    if has_truth and not cfg.limit_rows and not cfg.limit_queries:
        return cfg.folder
    folder = Path(scratch) / "data"
    folder.mkdir()
    for stem, limit in (("base", cfg.limit_rows), ("queries", cfg.limit_queries)):
        path = find(cfg.folder, stem)
        np.save(folder / path.name, np.load(path)[:limit])
    base, queries, _ = load(folder)
    note(f"computing the exact {cfg.k} of {len(base):,} rows for {len(queries):,} queries")
    np.save(folder / "truth.i32.npy", exact(base, queries, cfg.metric, cfg.k))
    return folder


def exact(base, queries, metric, k):
    """Brute force, ties by row number."""
    base = base.astype(np.float64)
    if metric == "cosine":
        base = unit(base)
    squares = (base * base).sum(axis=1)
    found = []
    for first in range(0, len(queries), 64):
        far = -(queries[first : first + 64].astype(np.float64) @ base.T)
        if metric == "l2":
            far = squares + 2 * far
        found.append(np.argsort(far, axis=1, kind="stable")[:, :k])
    return np.concatenate(found).astype(np.int32)


# All systems, round after round


def available(cfg, wanted):
    systems, skipped = {}, {}
    for name in wanted:
        if name == OURS:
            if os.access(cfg.nearfield, os.X_OK):
                told = subprocess.run([cfg.nearfield, "--version"], capture_output=True, text=True).stdout.split()
                systems[name] = {"title": "nearfield", "version": told[-1] if told else "?"}
            else:
                skipped[name] = f"no binary at {cfg.nearfield}: cargo build --release, or --nearfield PATH"
            continue
        title, package, _, _ = PEERS[name]
        try:
            systems[name] = {"title": title, "version": importlib.metadata.version(package)}
        except importlib.metadata.PackageNotFoundError:
            skipped[name] = f"{package} is not installed: {sys.executable} -m pip install {package}"
    for name, reason in skipped.items():
        note(f"!!! SKIPPED {name}: {reason}")
    return systems, skipped


def measure(cfg, systems):
    runs, failed = {name: [] for name in systems}, {}
    for turn in range(cfg.rounds):
        for name in systems:
            if name in failed:
                continue
            try:
                run = work_ours(cfg) if name == OURS else call(worker(cfg, name), cfg.timeout)
            except RuntimeError as error:
                failed[name] = str(error)
                note(f"!!! FAILED {name}: {error}")
                continue
            runs[name].append(run)
            speeds = " ".join(figures.mark_text(target, figures.mark(run["curve"], target)) for target in TARGETS)
            note(f"round {turn + 1}/{cfg.rounds}  {name:12} build {run['build_s']:8.2f} s  {speeds}")
    return runs, failed


def worker(cfg, name):
    command = [sys.executable, __file__, cfg.folder, "--worker", name, "--scratch", cfg.scratch]
    for flag in ("metric", "k", "ef", "m", "ef_construction", "svs_window", "build_threads", "passes"):
        command += ["--" + flag.replace("_", "-"), getattr(cfg, flag)]
    return command


def call(command, timeout):
    """Runs a command and returns the JSON that its stdout ends with; a library may chat before it."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"exit code {done.returncode}: {last}")
    text = done.stdout.strip()
    return json.loads(text if text.startswith("{") else text.splitlines()[-1])


# The result


def summarise(cfg, systems, runs, skipped, failed):
    rows = []
    for name, about in systems.items():
        done = runs[name]
        if name in failed or not done:
            continue
        curve = [
            {key: statistics.median(run["curve"][i][key] for run in done) for key in ("ef", "recall", "qps")}
            for i in range(len(done[0]["curve"]))
        ]
        sizes = [run["bytes_per_row"] for run in done if run["bytes_per_row"]]
        rows.append(
            about
            | {
                "name": name,
                "build_s": statistics.median(run["build_s"] for run in done),
                "bytes_per_row": statistics.median(sizes) if sizes else None,
                "qps": {str(target): figures.median_mark(done, target) for target in TARGETS},
                "curve": curve,
                "rounds": done,
            }
        )
    base, queries, _ = load(cfg.folder)
    header = {
        "data": f"{cfg.named}: {len(base):,} x {base.shape[1]}, "
        f"{len(queries):,} queries, {cfg.metric}, recall@{cfg.k}",
        "machine": f"{cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "versions": ", ".join(f"{row['title']} {row['version']}" for row in rows) + f", Python {platform.python_version()}",
        "settings": f"M {cfg.m}, efConstruction {cfg.ef_construction}, build on {cfg.build_threads} threads, search on 1; "
        f"median of {cfg.rounds} rounds, best of {cfg.passes} passes each",
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
    }
    return {"header": header, "systems": rows, "skipped": skipped, "failed": failed}


def cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(cfg, summary):
    text = figures.as_text(summary)
    (cfg.out / "table.txt").write_text(text)
    (cfg.out / "table.md").write_text(figures.as_markdown(summary))
    (cfg.out / "runs.json").write_text(json.dumps(summary, indent=1) + "\n")
    if summary["systems"]:
        try:
            figures.plot(summary, cfg.out)
        except ModuleNotFoundError as missing:
            note(f"!!! NO PLOT: {missing}: {sys.executable} -m pip install matplotlib")
    print(text, end="")
    note(f"written: {', '.join(sorted(path.name for path in cfg.out.iterdir()))} in {cfg.out}")


def note(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
