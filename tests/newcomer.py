"""A newcomer's first minutes: the wheel in an empty environment, the demonstration, and files of one's own.

    python -m tests.newcomer

The environment gets what README's line installs, in the versions of constraints.txt, and nothing else. Only torch and
what torch itself requires, 6 GB, are linked from the environment that runs this, instead of unpacked again: they are
there for whoever has installed the package, so that no missing dependency of the package can hide among them.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from time import perf_counter

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FILES = {  # name: text, encoding
    "utf8.txt": ("札幌市は北海道の道庁所在地である。\n雪まつりで知られる。\n", "utf-8"),
    "mark.txt": ("京都市には金閣寺という寺がある。\n", "utf-8-sig"),
    "utf16.txt": ("琵琶湖は日本で一番大きな湖である。\n", "utf-16"),
    "shift_jis.txt": ("富士山は日本で一番高い山である。\n", "cp932"),
    "euc.txt": ("鹿児島県の桜島は今も噴火する火山である。\n", "euc_jp"),
    "windows.md": ("# 猫\r\n\r\n猫は古くから人に飼われてきた肉食の動物である。\r\n", "utf-8"),
}
QUESTIONS = {
    "雪まつりで知られる市は？": "utf8.txt",
    "金閣寺はどこにある？": "mark.txt",
    "一番大きな湖は？": "utf16.txt",
    "一番高い山は？": "shift_jis.txt",
    "噴火する火山は？": "euc.txt",
    "肉食の動物は？": "windows.md",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir()
        _step("wheel", lambda: _build(folder))
        (wheel,) = folder.glob("*.whl")
        environment = folder / "environment"
        _step("environment", lambda: _set_up(environment, wheel))
        command = environment / "bin" / "jacolbert"
        _step("doctor", lambda: _expect(_run(work, command, "doctor"), "jacolbert"))
        _step("demonstration", lambda: _demonstration(work, command))
        _step("own files", lambda: _own_files(work, command))


def _build(folder: Path) -> None:
    _run(ROOT, sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)


def _set_up(environment: Path, wheel: Path) -> None:
    (extras,) = set(re.findall(r'^pip install "\.(\[edge,.*\])"$', (ROOT / "README.md").read_text("utf-8"), re.M))
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    there = Path(_run(environment, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for package in sorted(_required("torch")):
        _link(package, there)
    constraints = ("--constraint", ROOT / "constraints.txt")
    _run(environment, python, "-m", "pip", "install", "--quiet", *constraints, f"{wheel}{extras}")
    _expect(_run(environment, python, "-m", "pip", "check"), "No broken requirements found.")


def _required(package: str) -> set[str]:
    """A package and all that it requires here, with the extras that are asked for, and no others."""
    found: set[str] = set()
    waiting, seen = [Requirement(package)], set()
    while waiting:
        wanted = waiting.pop()
        try:
            requirements = distribution(wanted.name).requires or []
        except PackageNotFoundError:  # of another platform
            continue
        found.add(wanted.name)
        for requirement in map(Requirement, requirements):
            marker, extras = requirement.marker, ("", *wanted.extras)
            if str(requirement) not in seen and (
                marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
            ):
                seen.add(str(requirement))
                waiting.append(requirement)
    return found


def _link(package: str, there: Path) -> None:
    """Links the files of a package, or copies those that are on another disk."""
    here = Path(sysconfig.get_path("purelib"))
    for file in distribution(package).files or []:
        source, target = here / file, there / file
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue  # scripts
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            pass
        except OSError:
            shutil.copy2(source, target)


def _demonstration(work: Path, command: Path) -> None:
    shown = _run(work, command, "demo", "--model", "jacolbert-mini")  # the quick one: with the other it takes minutes
    _expect(shown, "1,145 passages", "Q: ", "BM25 (MeCab words)", "exact MaxSim in Qdrant")
    row = next(line for line in shown.splitlines() if line.startswith("jacolbert-mini"))
    if float(row.split()[1]) < 0.8:
        raise SystemExit(f"The demonstration finds too little: {row}")
    _left(work, [])


def _own_files(work: Path, command: Path) -> None:
    texts = work / "texts"
    texts.mkdir()
    for name, (text, encoding) in FILES.items():
        (texts / name).write_bytes(text.encode(encoding))
    _expect(_run(work, command, "index", "nosuch.txt", status=1), "nosuch.txt")
    _left(work, ["texts"])
    _expect(_run(work, command, "index", "texts"), "6 documents written", "It holds 6 points now.")
    _left(work, ["jacolbert-index", "texts"])
    (work / "questions.txt").write_text("\n".join(QUESTIONS), encoding="utf-8")
    shown = _run(work, command, "search", "--questions-from", "questions.txt", "--top-k", "1")
    for question, name in QUESTIONS.items():
        answer = shown.partition(f"Q: {question}")[2].partition("Q: ")[0]
        _expect(answer, f"texts/{name}")
    text = FILES["shift_jis.txt"][0]
    plain = _run(work, command, "search", "一番高い山は？", "--top-k", "1", "--text-only")
    _expect(plain, text.strip())
    _expect(_run(work, command, "search", "一番高い山は？", "--top-k", "1", "--explain"), "score ", "[CLS]")
    _expect(_run(work, command, "explain", "一番高い山は？", text), "score ", "高い")
    _run(work, command, "delete", "texts/euc.txt")
    _expect(_run(work, command, "stats"), "5")
    shown = _run(work, command, "search", "噴火する火山は？")
    if "texts/euc.txt" in shown:
        raise SystemExit("What was deleted is found:\n" + shown)
    _expect(_run(work, command, "index", "texts"), "1 documents written", "5 unchanged", "It holds 6 points now.")
    _expect(_run(work, command, "index", "texts"), "0 documents written", "6 unchanged", "It holds 6 points now.")


def _run(folder: Path, *command: object, status: int = 0) -> str:
    """Runs a command as from a shell that knows nothing of this tree, and returns all that it prints."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "QDRANT_", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**clean, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != status:
        raise SystemExit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _expect(shown: str, *parts: str) -> None:
    for part in parts:
        if part not in shown:
            raise SystemExit(f"{part!r} is not in:\n{shown}")


def _left(folder: Path, names: list[str]) -> None:
    found = sorted(path.name for path in folder.iterdir())
    if found != names:
        raise SystemExit(f"{folder} holds {found}, not {names}")


def _step(name: str, step: Callable[[], None]) -> None:
    start, before = perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    step()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {perf_counter() - start:.0f} s, {processor:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
