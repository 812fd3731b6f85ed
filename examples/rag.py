"""From files to answers with their sources: a whole RAG application over ten short Japanese articles.

Files are split at the ends of sentences, and kept in a folder by Qdrant Edge. Words and JaColBERT find passages,
JaColBERT reranks them, and the answer cites them. What was read is remembered beside them: when the files are read
again, by the next process, only what has changed is encoded, and what is gone is removed.

The language model is LlamaIndex's MockLLM, which repeats its prompt: put your own in its place.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from pathlib import Path

from llama_index.core import PromptTemplate, SimpleDirectoryReader
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.schema import Document
from llama_index.core.storage.docstore import SimpleDocumentStore

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTSentenceSplitter, JaColBERTVectorStore

CORPUS = Path(__file__).parent / "data" / "corpus"
PROMPT = PromptTemplate(
    "次の資料だけを使って、質問に答えてください。使った資料の番号を [1] のように示してください。\n\n"
    "{context_str}\n\n質問：{query_str}\n回答："
)
QUESTIONS = ["日本で一番長い川は何キロメートルですか。", "八丁味噌はどこで作られていますか。"]
LATER = "いつから新幹線が津軽海峡の下を走りますか。"
NEWS = "2016年3月には北海道新幹線が開業し、新幹線がこのトンネルを走るようになった。\n"

# It says of each text file that llama-index-readers-file is missing, which only other files need.
logging.getLogger("llama_index.core.readers.file.base").setLevel(logging.ERROR)


def read(corpus: Path) -> list[Document]:
    """A document of each file, known and named by its title."""
    documents = SimpleDirectoryReader(corpus, file_metadata=lambda path: {"title": Path(path).stem}).load_data()
    for document in documents:
        document.id_ = document.metadata["title"]
    return documents


def ingest(documents: list[Document], vector_store: JaColBERTVectorStore, remembered: Path) -> int:
    """Brings the collection to what the documents are now, and returns how many passages were encoded."""
    docstore = SimpleDocumentStore.from_persist_path(str(remembered)) if remembered.exists() else SimpleDocumentStore()
    pipeline = IngestionPipeline(
        transformations=[JaColBERTSentenceSplitter(vector_store.encoder, chunk_size=64), vector_store.embed_model],
        vector_store=vector_store,
        docstore=docstore,
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )
    encoded = len(pipeline.run(documents=documents))
    docstore.persist(str(remembered))
    return encoded


async def ask(engine: CitationQueryEngine, questions: list[str]) -> str:
    """Asks all questions at once, prints the sources of the answers, and returns the last answer."""
    answers = await asyncio.gather(*(engine.aquery(question) for question in questions))
    for question, answer in zip(questions, answers, strict=True):
        print(f"\n{question}")
        for source in answer.source_nodes:
            number, *lines = source.text.splitlines()
            print(f"  {number} {source.score:5.2f}  {source.metadata['title']}: {''.join(lines)}")
    return str(answers[-1])


def main() -> None:
    model = JaColBERT.from_pretrained()  # for real work "answerdotai/JaColBERTv2.5"
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(shutil.copytree(CORPUS, Path(folder) / "corpus"))
        remembered = Path(folder) / "documents.json"
        vector_store = JaColBERTVectorStore(model, location=f"{folder}/index", first_stage=["lexical"])
        print(f"Ten files: {ingest(read(corpus), vector_store, remembered)} passages encoded")

        index = vector_store.as_index()
        engine = CitationQueryEngine.from_args(
            index,
            llm=MockLLM(),
            retriever=index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=8),
            node_postprocessors=[JaColBERTRerank(model, top_n=2, store=vector_store.store)],
            text_splitter=JaColBERTSentenceSplitter(model),
            citation_qa_template=PROMPT,
        )
        asyncio.run(ask(engine, [*QUESTIONS, LATER]))  # in a notebook: await ask(...)

        changed = corpus / "青函トンネル.txt"
        changed.write_text(changed.read_text(encoding="utf-8") + NEWS, encoding="utf-8")
        (corpus / "和紙.txt").unlink()
        print(f"\nOne file changed, one is gone: {ingest(read(corpus), vector_store, remembered)} passages encoded")
        print(f"\nMockLLM's answer is its prompt:\n\n{asyncio.run(ask(engine, [LATER]))}")
        vector_store.close()


if __name__ == "__main__":
    main()
