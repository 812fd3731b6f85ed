"""JaColBERT in LlamaIndex: a retriever and a reranker."""

from .rerank import JaColBERTRerank
from .retriever import JaColBERTRetriever

__all__ = ["JaColBERTRerank", "JaColBERTRetriever"]
