"""A question answered over a Qdrant collection on disk, by a LlamaIndex query engine with a reranker.

The language model is LlamaIndex's MockLLM, which repeats its prompt: put your own in its place.
"""

from __future__ import annotations

import tempfile

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, QdrantStore

ARTICLES = {
    "東京都": ("地理", "東京は日本の首都であり、人口は約千四百万人である。"),
    "富士山": ("地理", "富士山は静岡県と山梨県にまたがる活火山で、標高は3776メートルである。"),
    "イエネコ": ("生物", "イエネコは、形態と習性からネコ科の小型哺乳類とされ、魚や肉を食べる。"),
}


def main() -> None:
    model = JaColBERT.from_pretrained()
    documents = [
        Document(text=text, doc_id=title, metadata={"field": field}, excluded_embed_metadata_keys=["field"])
        for title, (field, text) in ARTICLES.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        client = QdrantClient(path=folder)  # or QdrantClient("https://..."): nothing else changes
        store = QdrantStore(client, "articles")
        retriever = JaColBERTRetriever.from_documents(documents, model, store=store, similarity_top_k=2)

        question = "富士山の高さはどれくらいですか。"
        for node in retriever.retrieve(question):
            print(f"{node.score:6.2f}  {node.node.ref_doc_id}: {node.text}")

        rerank = JaColBERTRerank(model, top_n=1, store=store)  # takes the stored vectors
        engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank])
        print(engine.query(question))

        retriever.filters = MetadataFilters(filters=[MetadataFilter(key="field", value="生物")])
        print([node.node.ref_doc_id for node in retriever.retrieve(question)])
        client.close()


if __name__ == "__main__":
    main()
