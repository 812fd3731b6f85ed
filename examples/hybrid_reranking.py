"""Hybrid retrieval with reranking: words and JaColBERT, fused by LlamaIndex, and reranked by JaColBERT.

Words find names and numbers to the letter, JaColBERT finds what is said in other words. ``WordRetriever`` stands in for
LlamaIndex's BM25Retriever, which is in a package of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import BaseNode, Document, NodeWithScore, QueryBundle

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTSentenceSplitter
from jacolbert_integrations.evaluation.bm25 import BM25

ARTICLES = {
    "信濃川": "信濃川は、新潟県と長野県を流れる川である。全長は367キロメートルで、日本で一番長い。",
    "利根川": "利根川は、関東地方を流れる川である。流域面積は日本で一番広い。坂東太郎とも呼ばれる。",
    "富士山": "富士山は、静岡県と山梨県にまたがる山である。標高は3776メートルで、日本で一番高い。",
    "琵琶湖": "琵琶湖は、滋賀県にある湖である。面積は日本で一番広く、多くの川が流れ込む。",
}


class WordRetriever(BaseRetriever):
    """BM25 over the words that MeCab finds."""

    def __init__(self, nodes: Sequence[BaseNode], top_k: int) -> None:
        super().__init__()
        self._nodes, self._top_k = nodes, top_k
        self._index = BM25([node.get_content() for node in nodes])

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        scores = self._index.score([query_bundle.query_str])[0]
        best = (-scores).argsort(kind="stable")[: self._top_k]
        return [NodeWithScore(node=self._nodes[i], score=float(scores[i])) for i in best if scores[i] > 0]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)  # the event loop goes on


def main() -> None:
    model = JaColBERT.from_pretrained()
    documents = [Document(text=text, doc_id=title) for title, text in ARTICLES.items()]
    nodes = JaColBERTSentenceSplitter(model, chunk_size=24).get_nodes_from_documents(documents)

    hybrid = QueryFusionRetriever(
        [WordRetriever(nodes, top_k=4), JaColBERTRetriever.from_nodes(nodes, model, similarity_top_k=4)],
        mode=FUSION_MODES.RECIPROCAL_RANK,
        num_queries=1,  # the question as it is; more are made up by the language model
        similarity_top_k=4,
        llm=MockLLM(),
    )
    question = "日本で一番長い川の全長は何キロメートルですか。"
    for node in hybrid.retrieve(question):
        print(f"fused {node.score:.4f}  {node.node.ref_doc_id}: {node.text}")

    rerank = JaColBERTRerank(model, top_n=2)
    engine = RetrieverQueryEngine.from_args(hybrid, llm=MockLLM(), node_postprocessors=[rerank])
    for node in engine.query(question).source_nodes:
        print(f"MaxSim {node.score:6.2f}  {node.node.ref_doc_id}: {node.text}")


if __name__ == "__main__":
    main()
