"""Rank a few texts for a question, and see what it matched. Runs offline with the bundled model."""

from __future__ import annotations

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.explaining import find_matches, highlight


def main() -> None:
    # For real work: JaColBERT.from_pretrained("answerdotai/JaColBERTv2.5")
    model = JaColBERT.from_pretrained()
    documents = [
        "富士山は静岡県と山梨県にまたがる、日本で一番高い山である。",
        "東京は日本の首都であり、世界有数の大都市である。",
        "猫は古くから人に飼われてきた、小さな肉食の動物である。",
    ]
    question = "日本の首都はどこですか。"
    print(question)
    for hit in model.rank(question, documents):
        text = hit.payload["text"]
        print(f"{hit.score:6.2f}  {highlight(text, find_matches(model, question, text))}")


if __name__ == "__main__":
    main()
