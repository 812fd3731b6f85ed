"""The bundled mini model: a small ColBERT made from Japanese questions and nothing else."""
