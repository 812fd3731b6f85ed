"""Tables and colours of the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ..evaluation.metrics import RetrievalMetrics


def markers() -> tuple[str, str]:
    """What to put around highlighted text: colours on a terminal, brackets elsewhere."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return "\x1b[1;33m", "\x1b[0m"
    return "【", "】"


def metrics_table(rows: Mapping[str, RetrievalMetrics]) -> str:
    """A line a system: R@k and MRR@10."""
    depths = sorted(next(iter(rows.values())).recall)
    width = max(map(len, rows))
    lines = [f"{'':{width}}" + "".join(f"{f'R@{k}':>8}" for k in depths) + f"{'MRR@10':>9}"]
    for name, metrics in rows.items():
        values = "".join(f"{metrics.recall[k]:8.3f}" for k in depths)
        lines.append(f"{name:{width}}{values}{metrics.mrr_at_10:9.3f}")
    return "\n".join(lines)
