"""Late interaction after a retriever that you have already: here LlamaIndex's own vector index."""

from __future__ import annotations

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import TextNode

from jacolbert_integrations import JaColBERT, JaColBERTRerank


def main() -> None:
    nodes = [
        TextNode(text="猫は魚や肉を食べる。"),
        TextNode(text="京都には平安京が置かれた。"),
        TextNode(text="日本で一番長い川は信濃川である。"),
    ]
    # MockEmbedding gives every text the same vector: a first stage that knows nothing
    first_stage = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=8)).as_retriever(similarity_top_k=3)
    question = "日本で一番長い川は何ですか。"
    candidates = first_stage.retrieve(question)

    rerank = JaColBERTRerank(JaColBERT.from_pretrained(), top_n=2, keep_retrieval_score=True)
    for node in rerank.postprocess_nodes(candidates, query_str=question):
        print(f"{node.score:6.2f}  {node.text}  (before: {node.node.metadata['retrieval_score']:.2f})")


if __name__ == "__main__":
    main()
