"""A chat about documents, in which each person is answered from what they may read: metadata filters decide.

The language model is LlamaIndex's MockLLM, which repeats its prompt: put your own in its place.
"""

from __future__ import annotations

from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import Document
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from jacolbert_integrations import JaColBERT, JaColBERTRetriever, JaColBERTSentenceSplitter, MemoryStore

RULES = {
    "休暇規程": (["社員", "人事"], "社員の有給休暇は年に二十日である。\n休暇の申請は三日前までに行う。"),
    "給与規程": (["人事"], "社員の給与は毎月二十五日に支払う。\n昇給の審査は毎年四月に行う。"),
    "来客案内": (["社員", "人事", "来客"], "来客は一階の受付で名前を書く。\n会議室は二階にある。"),
}


def chat_for(group: str, store: MemoryStore, model: JaColBERT) -> ContextChatEngine:
    """A chat over what a group may read; the store and its vectors are shared by all."""
    allowed = MetadataFilters(filters=[MetadataFilter(key="groups", value=group, operator=FilterOperator.CONTAINS)])
    return ContextChatEngine.from_defaults(
        retriever=JaColBERTRetriever(store, model, similarity_top_k=1, filters=allowed),
        llm=MockLLM(),
        memory=ChatMemoryBuffer.from_defaults(token_limit=2000),
        system_prompt="資料に書かれていることだけを使って答えてください。",
    )


def main() -> None:
    model, store = JaColBERT.from_pretrained(), MemoryStore()
    documents = [
        Document(text=text, doc_id=title, metadata={"groups": groups}, excluded_embed_metadata_keys=["groups"])
        for title, (groups, text) in RULES.items()
    ]
    splitter = JaColBERTSentenceSplitter(model)
    JaColBERTRetriever.from_documents(documents, model, store=store, transformations=[splitter])

    for group in ("人事", "社員", "来客"):
        chat = chat_for(group, store, model)
        for question in ("給与はいつ支払われますか。", "休暇は何日ありますか。"):
            answer = chat.chat(question)
            print(f"{group}: {question} -> {answer.source_nodes[0].node.ref_doc_id}")
        print(f"{len(chat.chat_history)} messages so far\n")


if __name__ == "__main__":
    main()
