"""What 100 million passages cost in bytes, encoder hours and nodes, from figures measured on 1,145.

    python benchmarks/scale.py --output benchmarks/scale.md

measures, reckons and writes the page. What was measured can be kept, and taken for other plans without measuring:

    python benchmarks/scale.py --json > measured.json
    python benchmarks/scale.py --measured measured.json --passages 1000000000 --node-memory-gib 256

``--passages-per-second-per-device`` is how fast your own device encodes: that of a GPU was not measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from scale_model import PLANS, Assumptions, Measured, cost, device_hours, pieces
from scale_report import report

YOURS = "encoding, your device"


def parser() -> argparse.ArgumentParser:
    """An argument for each assumption, and what to do with them."""
    found = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for each in fields(Assumptions):
        kind = int if isinstance(each.default, int) else float
        what = f"{each.metadata['why']} (default: %(default)s)".replace("% ", "%% ")
        found.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=each.default, help=what)
    found.add_argument("--passages-per-second-per-device", type=float, help="of your own device, to count its hours")
    found.add_argument("--measured", type=Path, help="a file that --json has written; nothing is measured then")
    found.add_argument("--json", action="store_true", help="print everything as JSON, in place of the page")
    found.add_argument("--output", type=Path, help="the Markdown file; printed if not given")
    return found


def measured_in(file: Path | None) -> Measured:
    """What a file says, or what this machine shows."""
    if file is not None:
        return Measured(**json.loads(file.read_text(encoding="utf-8"))["measured"])
    from scale_measuring import measure

    return measure()


def rates_of(measured: Measured, own: float | None) -> dict[str, float]:
    """Passages a second, the reader's own device included."""
    return {**measured.rates, **({} if own is None else {YOURS: own})}


def as_json(measured: Measured, assumed: Assumptions, own: float | None) -> dict[str, Any]:
    """Everything that the page is made of."""
    return {
        "measured": asdict(measured),
        "assumed": asdict(assumed),
        "device hours": {name: device_hours(assumed.passages, rate) for name, rate in rates_of(measured, own).items()},
        "plans": {
            plan.name: asdict(cost(plan, measured, assumed))
            | {"pieces": {name: asdict(piece) for name, piece in pieces(plan, measured, assumed).items()}}
            for plan in PLANS
        },
    }


def main(given: Sequence[str] | None = None) -> None:
    arguments = parser().parse_args(given)
    assumed = Assumptions(**{each.name: getattr(arguments, each.name) for each in fields(Assumptions)})
    measured, own = measured_in(arguments.measured), arguments.passages_per_second_per_device
    try:
        values = as_json(measured, assumed, own)
        page = report(measured, assumed, rates_of(measured, own))
    except ValueError as error:
        sys.exit(f"this cannot be planned: {error}")
    text = json.dumps(values, ensure_ascii=False, indent=1) if arguments.json else page
    if arguments.output is None:
        print(text.rstrip("\n"))
    else:
        arguments.output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
