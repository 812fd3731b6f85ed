"""Japanese text: where it can be cut, what its words and tokens are, and how files of it are read.

May import: ``errors`` and ``types``. No torch, and no tokenizer of a model but BERT-Japanese's own. Begin with
``tokenization.py`` (words and token ids), then ``sentences.py`` and ``windows.py`` (cutting).
"""
