"""Texts and a question for tests of the vector store."""

from __future__ import annotations

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
QUESTION = "日本の首都はどこですか。"
