"""Our tokenizer beside transformers' BertJapaneseTokenizer: the same ids, and how much faster.

Run with the folder of JaQuAD's JSON files to compare the ids of all of its texts too::

    python benchmarks/tokenization.py path/to/jaquad
"""

from __future__ import annotations

import sys
from pathlib import Path

from side_by_side import compare
from transformers.models.bert_japanese import BertJapaneseTokenizer

from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.text.tokenization import JapaneseTokenizer

CHECKPOINT = Path(__file__).parent.parent / "tests" / "data" / "reference" / "stanford"


def texts_of(questions: QuestionSet) -> list[str]:
    return [passage.text for passage in questions.passages] + [question.text for question in questions.questions]


def main() -> None:
    theirs = BertJapaneseTokenizer.from_pretrained(CHECKPOINT, model_max_length=1 << 30)
    ours = JapaneseTokenizer.from_pretrained(CHECKPOINT)

    def slow(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = theirs(texts, add_special_tokens=False)["input_ids"]
        return ids

    jsquad = load_jsquad()
    passages = [passage.text for passage in jsquad.passages]
    print(f"{len(passages):,} passages of JSQuAD, {sum(map(len, passages)):,} characters, one process\n")
    medians = compare(
        {
            "ours": lambda: ours.encode_batch(passages),
            "ours, nothing remembered": lambda: JapaneseTokenizer.encode_batch(
                JapaneseTokenizer(ours.vocabulary, splitter=ours.splitter), passages
            ),
            "BertJapaneseTokenizer": lambda: slow(passages),
        },
        rounds=5,
    )
    print(f"\n{medians['BertJapaneseTokenizer'] / medians['ours']:.1f} times the speed of BertJapaneseTokenizer\n")

    checked = {"JSQuAD valid": texts_of(jsquad)}
    if len(sys.argv) > 1:
        for split in ("train", "dev"):
            files = sorted(Path(sys.argv[1]).glob(f"jaquad_{split}_*.json"))
            checked[f"JaQuAD {split}"] = texts_of(read_squad(files))
    for name, texts in checked.items():
        different = sum(one != other for one, other in zip(ours.encode_batch(texts), slow(texts), strict=True))
        print(f"{name}: {len(texts):,} texts, {different} with other ids")


if __name__ == "__main__":
    main()
