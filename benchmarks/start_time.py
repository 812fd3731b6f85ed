"""What `jacolbert search` over a small folder takes: with imports as they are, and with the command's late ones.

    python benchmarks/start_time.py [--rounds 5]

Both run in turn, each in a process of its own, so that a busy machine is busy for both. A third row is the time until a
wrong argument is told of.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

_AS_THEY_ARE = "import sys; from jacolbert_integrations.cli.main import main; sys.exit(main(sys.argv[1:]))"
_LATE = "import sys; from jacolbert_integrations.cli.main import main; sys.exit(main())"
_TEXTS = ["東京は日本の首都である。", "富士山は日本で一番高い山である。", "猫は人に飼われてきた動物である。"]


def measure(program: str, arguments: list[str], folder: Path, status: int = 0) -> tuple[float, float]:
    """Returns the processor seconds (user and system) and the seconds of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, check=False)
    wall, after = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != status:
        raise SystemExit(done.stderr.decode())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind (%(default)s)")
    rounds = parser.parse_args().rounds
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, text in enumerate(_TEXTS):
            (folder / f"{number}.txt").write_text(text, encoding="utf-8")
        measure(_LATE, ["index", "0.txt", "1.txt", "2.txt", "--location", "here"], folder)
        search = ["search", "日本の首都は？", "--location", "here"]
        kinds = {
            "search, imports as they are": (_AS_THEY_ARE, search, 0),
            "search, late imports": (_LATE, search, 0),
            "search nowhere": (_LATE, ["search", "猫", "--location", "nowhere"], 1),
        }
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for program, arguments, status in kinds.values():
            measure(program, arguments, folder, status)  # files are in the cache after it
        for _ in range(rounds):
            for kind, (program, arguments, status) in kinds.items():
                found[kind].append(measure(program, arguments, folder, status))
    first = [median(column) for column in zip(*found["search, imports as they are"], strict=True)]
    print(f"{rounds} processes of each, in turn; medians; {os.cpu_count()} cores\n")
    print("| | processor s | least | wall s | processor, of the first | wall, of the first |")
    print("|---|---|---|---|---|---|")
    for kind, times in found.items():
        processor, wall = (median(column) for column in zip(*times, strict=True))
        least = min(seconds for seconds, _ in times)
        print(f"| {kind} | {processor:.2f} | {least:.2f} | {wall:.2f} | {processor / first[0]:.2f} |", end="")
        print(f" {wall / first[1]:.2f} |")


if __name__ == "__main__":
    main()
