"""Training data in and out: files of texts, files of ids, and datasets."""
