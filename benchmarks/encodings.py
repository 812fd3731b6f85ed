"""Which encoding a Japanese file is in: how often each way of finding it out reads the text right.

Passages, questions and single words of JSQuAD valid are written in the four encodings that Japanese files have, and
read by strict decoding in the order of ``text.files.ENCODINGS``, by charset-normalizer (as it is, and told that only
these four are possible) and by chardet. A text is right only when every character is.

``pip install charset-normalizer chardet`` first, then ``python benchmarks/encodings.py``
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import chardet
import charset_normalizer

from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.files import read_documents

FILE_ENCODINGS = ("utf-8", "euc_jp", "cp932", "iso2022_jp")
SAMPLE = 200
_WORD = re.compile(r"[一-龠ァ-ヶー]{2,4}")


def by_strict_decoding(content: bytes) -> str | None:
    """Reads a text as ``jacolbert index`` does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        file.write_bytes(content)
        return next(iter(read_documents([file]))).text


def by_charset_normalizer(content: bytes) -> str | None:
    """Reads a text in the encoding that charset-normalizer finds."""
    best = charset_normalizer.from_bytes(content).best()
    return None if best is None else str(best)


def by_charset_normalizer_of_four(content: bytes) -> str | None:
    """Does the same, where it knows that there are only four."""
    best = charset_normalizer.from_bytes(content, cp_isolation=list(FILE_ENCODINGS)).best()
    return None if best is None else str(best)


def by_chardet(content: bytes) -> str | None:
    """Reads a text in the encoding that chardet finds."""
    encoding = chardet.detect(content)["encoding"]
    try:
        return None if encoding is None else content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


WAYS: dict[str, Callable[[bytes], str | None]] = {
    "strict decoding": by_strict_decoding,
    "charset-normalizer": by_charset_normalizer,
    "the same, of four": by_charset_normalizer_of_four,
    "chardet": by_chardet,
}


def share(texts: Sequence[str], encoding: str, way: Callable[[bytes], str | None]) -> float:
    """Returns the share of texts that are read right, of those that the encoding can write."""
    right = []
    for text in texts:
        try:
            content = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        right.append(way(content) == text)
    return sum(right) / len(right)


def main() -> None:
    """Prints the table."""
    data = load_jsquad()
    passages = [passage.text for passage in data.passages]
    words = sorted({word for text in passages for word in _WORD.findall(text)})
    drawn = random.Random(0)
    kinds = {
        "passages": drawn.sample(passages, SAMPLE),
        "questions": drawn.sample([question.text for question in data.questions], SAMPLE),
        "words": drawn.sample(words, SAMPLE),
    }
    print(f"| {SAMPLE} of | in | {' | '.join(WAYS)} |")
    print(f"|---|---|{'--:|' * len(WAYS)}")
    for kind, texts in kinds.items():
        for encoding in FILE_ENCODINGS:
            cells = " | ".join(f"{share(texts, encoding, way):.3f}" for way in WAYS.values())
            print(f"| {kind} | {encoding} | {cells} |")


if __name__ == "__main__":
    main()
