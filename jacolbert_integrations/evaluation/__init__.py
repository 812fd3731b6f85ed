"""Measuring retrieval: the bundled benchmark, its metrics, and the BM25 baseline."""
