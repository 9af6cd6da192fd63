"""Figures: speeds at a recall, the table as text and Markdown, the plot."""

import math
import statistics
import textwrap

TARGETS = (0.95, 0.98, 0.99, 0.995)
OURS = "nearfield"


def mark(curve, target):
    """Queries per second at a recall: between two widths, linear in the logarithm. Else "above" or "never"."""
    for low, high in zip(curve, curve[1:]):
        if low["recall"] < target <= high["recall"]:
            along = (target - low["recall"]) / (high["recall"] - low["recall"])
            return math.exp((1 - along) * math.log(low["qps"]) + along * math.log(high["qps"]))
    return "above" if curve and curve[0]["recall"] >= target else "never"


def mark_text(target, value):
    return f"qps@{target}={value if isinstance(value, str) else format(value, '.0f')}"


def median_mark(runs, target):
    """The median of the rounds; a round that has no figure counts as the end of the scale it fell off."""
    ends = {"above": math.inf, "never": 0.0}
    values = [mark(run["curve"], target) for run in runs]
    middle = statistics.median_low([ends.get(v, v) for v in values])
    return {math.inf: "above", 0.0: "never"}.get(middle, middle)


def table(summary):
    """Header cells and rows of cells."""
    ours = next((row for row in summary["systems"] if row["name"] == OURS), None)
    head = ["system", "build s", "bytes/row", *(f"qps@{t}" for t in TARGETS), "ours/it @0.95", "ours/it @0.99"]
    rows = []
    for row in summary["systems"]:
        size = f"{row['bytes_per_row']:,.0f}" if row["bytes_per_row"] else "?"
        speeds = [v if isinstance(v, str) else f"{v:,.0f}" for v in row["qps"].values()]
        rows.append([row["title"], f"{row['build_s']:.2f}", size, *speeds, *(ratio(ours, row, t) for t in ("0.95", "0.99"))])
    for kind in ("skipped", "failed"):
        rows += [[f"{name}: {kind.upper()}", *["-"] * (len(head) - 1)] for name in summary[kind]]
    return head, rows


def ratio(ours, row, target):
    if ours is None:
        return "-"
    a, b = ours["qps"][target], row["qps"][target]
    return "-" if isinstance(a, str) or isinstance(b, str) else f"{a / b:.2f}"


def verdicts(summary):
    """One sentence for each recall: we against the best peer."""
    ours = next((row for row in summary["systems"] if row["name"] == OURS), None)
    for target in map(str, TARGETS):
        peers = [(row["qps"][target], row["title"]) for row in summary["systems"] if row["name"] != OURS]
        measured = [peer for peer in peers if not isinstance(peer[0], str)]
        if ours is None or isinstance(ours["qps"][target], str) or not measured:
            continue
        best, title = max(measured)
        yield f"recall {target}: nearfield is {ours['qps'][target] / best:.2f} x the best peer ({title})"


def as_text(summary):
    head, rows = table(summary)
    widths = [max(len(cells[i]) for cells in [head, *rows]) for i in range(len(head))]
    lines = [f"{key:9} {value}" for key, value in summary["header"].items()] + [""]
    for cells in [head, *rows]:
        lines.append("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))))
    lines += ["", *verdicts(summary)]
    lines += [f"SKIPPED {name}: {reason}" for name, reason in summary["skipped"].items()]
    lines += [f"FAILED {name}: {reason}" for name, reason in summary["failed"].items()]
    return "\n".join(lines).rstrip() + "\n"


def as_markdown(summary):
    head, rows = table(summary)
    lines = [f"- {key}: {'`' + value + '`' if key == 'command' else value}" for key, value in summary["header"].items()]
    lines += ["", "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    lines += ["", *(f"- {verdict}" for verdict in verdicts(summary))]
    for kind in ("skipped", "failed"):
        lines += [f"- {kind.upper()} `{name}`: {reason}" for name, reason in summary[kind].items()]
    return "\n".join(lines).rstrip() + "\n"


def plot(summary, out):
    """Writes recall-qps.svg and .png. Raises ModuleNotFoundError where matplotlib is not installed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9.5, 6.5))
    # The left edge: a little below the lowest target, so that the part that people choose from fills the plot.
    floor = 0.90
    for row, marker in zip(summary["systems"], "osv^D<>pX*"):
        points = [(p["recall"], p["qps"]) for p in row["curve"]]
        shown = [point for point in points if point[0] >= floor] or points
        ours = row["name"] == OURS
        label = f"{row['title']} {row['version']} (build {row['build_s']:.1f} s)"
        axes.plot(*zip(*shown), marker=marker, markersize=5, linewidth=2.6 if ours else 1.3, zorder=3 if ours else 2, label=label)
    for target in TARGETS:
        axes.axvline(target, color="0.85", linewidth=0.8, zorder=1)
    axes.set_yscale("log")
    axes.set_xlim(left=floor, right=1.001)
    axes.set_xlabel("recall")
    axes.set_ylabel("queries per second, one thread")
    axes.grid(True, which="both", axis="y", color="0.9", linewidth=0.6)
    header = summary["header"]
    axes.set_title(header["data"], fontsize=11)
    told = "; ".join(header[key] for key in ("machine", "settings", "date")), header["command"]
    foot = "\n".join(line for text in told for line in textwrap.wrap(text, 170))
    figure.text(0.5, 0.01, foot, ha="center", va="bottom", fontsize=7, color="0.35")
    axes.legend(fontsize=8, loc="lower left")
    figure.tight_layout(rect=(0, 0.03 + 0.02 * foot.count("\n"), 1, 1))
    figure.savefig(out / "recall-qps.svg")
    figure.savefig(out / "recall-qps.png", dpi=150)
    plt.close(figure)
