"""The retrieval benchmark that comes with the package: JSQuAD's validation split.

JSQuAD is part of JGLUE 1.3 (https://github.com/yahoojapan/JGLUE) by Yahoo Japan Corporation and
Waseda University, from Japanese Wikipedia, under CC BY-SA 4.0. It is for evaluation; nothing in
this package trains on it.
"""

from __future__ import annotations

from pathlib import Path

from ..text.squad import QuestionSet, read_squad

JSQUAD_FILE = Path(__file__).parent.parent / "data" / "jsquad-valid-v1.3.json.gz"
JSQUAD_SOURCE = "JSQuAD valid, JGLUE 1.3, Yahoo Japan Corporation and Waseda University, CC BY-SA 4.0"


def load_jsquad(*, titles: bool = False) -> QuestionSet:
    """Reads JSQuAD valid: 1,145 passages and 4,442 questions.

    Args:
        titles: Leave before each passage the title of its article, and `` [SEP] ``, as the file has them. Published
            figures are probably of these (``benchmarks/pretrained.md``); they are higher.
    """
    return read_squad([JSQUAD_FILE], separator=None if titles else " [SEP] ")
