"""From files to answers with their sources: a whole RAG application over ten short Japanese articles.

Files are split at the ends of sentences, and kept in a folder by Qdrant Edge. Words and JaColBERT find passages,
JaColBERT reranks them, and the answer cites them. When files are read again, only what has changed is encoded.

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


def read(folder: Path) -> list[Document]:
    """A document of each file, known by its path and named by its title."""
    reader = SimpleDirectoryReader(folder, filename_as_id=True, file_metadata=lambda path: {"title": Path(path).stem})
    return reader.load_data()


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
    splitter = JaColBERTSentenceSplitter(model, chunk_size=64)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(shutil.copytree(CORPUS, Path(folder) / "corpus"))
        vector_store = JaColBERTVectorStore(model, place=f"{folder}/index", first_stage=["lexical"])
        pipeline = IngestionPipeline(
            transformations=[splitter, vector_store.embed_model],
            vector_store=vector_store,
            docstore=SimpleDocumentStore(),  # it knows what was read before
            docstore_strategy=DocstoreStrategy.UPSERTS,
        )
        print(f"Ten files: {len(pipeline.run(documents=read(corpus)))} passages encoded")

        index = vector_store.as_index()
        engine = CitationQueryEngine.from_args(
            index,
            llm=MockLLM(),
            retriever=index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=8),
            node_postprocessors=[JaColBERTRerank(model, top_n=2, store=vector_store.store)],
            text_splitter=splitter,
            citation_qa_template=PROMPT,
        )
        asyncio.run(ask(engine, [*QUESTIONS, LATER]))

        changed = corpus / "青函トンネル.txt"
        changed.write_text(changed.read_text(encoding="utf-8") + NEWS, encoding="utf-8")
        print(f"\nOne file changed: {len(pipeline.run(documents=read(corpus)))} passages encoded")
        print(f"\nMockLLM's answer is its prompt:\n\n{asyncio.run(ask(engine, [LATER]))}")
        vector_store.close()


if __name__ == "__main__":
    main()
