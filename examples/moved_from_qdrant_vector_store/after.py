"""One application twice: over LlamaIndex's QdrantVectorStore in before.py, over JaColBERT in after.py.

Five lines differ, one of them blank. A collection that is there already is taken over by ``reindex`` or
``add_late_interaction`` of ``jacolbert_integrations.qdrant``.

MockEmbedding in before.py only stands in for somebody's dense model: it gives every text the same vector, and so it
finds nothing. What the two find says nothing about dense models. MockLLM stands in for a language model.
"""

from __future__ import annotations

import qdrant_client
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from jacolbert_integrations import JaColBERTVectorStore, QdrantStore

RULES = {
    "休暇": ("社員", "有給休暇は年に二十日である。休暇の申請は三日前までに行う。"),
    "給与": ("社員", "給与は毎月二十五日に支払う。昇給の審査は毎年四月に行う。"),
    "交通費": ("社員", "通勤の交通費は、月に五万円まで会社が負担する。"),
    "受付": ("来客", "来客は一階の受付で名前を書く。駐車場は建物の裏にある。"),
}
QUESTIONS = ["有給休暇は何日ありますか。", "給与はいつ支払われますか。", "駐車場はどこにありますか。"]


def document(title: str, reader: str, text: str) -> Document:
    """A rule, which knows who may read it."""
    hidden = ["reader"]
    metadata = {"title": title, "reader": reader}
    return Document(doc_id=title, text=text, metadata=metadata, excluded_embed_metadata_keys=hidden)


def ask(index: VectorStoreIndex, question: str, reader: str | None = None) -> None:
    """Asks about what everybody may read, or one reader."""
    filters = None if reader is None else MetadataFilters(filters=[MetadataFilter(key="reader", value=reader)])
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=1, filters=filters)
    for source in engine.query(question).source_nodes:
        print(f"{question} -> {source.metadata['title']}: {source.text}")


def main() -> None:
    client = qdrant_client.QdrantClient(":memory:")
    vector_store = JaColBERTVectorStore(store=QdrantStore(client, "rules"))
    embed_model = vector_store.embed_model

    storage = StorageContext.from_defaults(vector_store=vector_store)
    documents = [document(title, reader, text) for title, (reader, text) in RULES.items()]
    index = VectorStoreIndex.from_documents(documents, storage_context=storage, embed_model=embed_model)
    for question in QUESTIONS:
        ask(index, question)
    ask(index, "受付は何階にありますか。", reader="来客")

    index.insert(document("在宅勤務", "社員", "在宅勤務は週に三日までできる。前日に上司に伝える。"))
    ask(index, "在宅勤務は週に何日できますか。")
    index.delete_ref_doc("在宅勤務")
    ask(index, "在宅勤務は週に何日できますか。")
    client.close()


if __name__ == "__main__":
    main()
