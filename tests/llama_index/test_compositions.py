"""The retriever, the reranker and the splitter in what LlamaIndex builds of such parts: engines, chats, agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core import MockEmbedding, QueryBundle, StorageContext, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.chat_engine import CondensePlusContextChatEngine
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.extractors import TitleExtractor
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import HierarchicalNodeParser, SentenceWindowNodeParser, get_leaf_nodes
from llama_index.core.postprocessor import (
    LongContextReorder,
    MetadataReplacementPostProcessor,
    PrevNextNodePostprocessor,
    SimilarityPostprocessor,
)
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    SubQuestionQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import AutoMergingRetriever, QueryFusionRetriever
from llama_index.core.schema import Document, NodeWithScore, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import QueryEngineTool, RetrieverTool

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTSentenceSplitter
from jacolbert_integrations.llama_index import ScoredNode

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "kyoto": "京都は平安京が置かれた古い都である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
QUESTIONS = ["日本の首都はどこですか。", "日本で一番高い山は？", "猫は何を食べますか。"]
ANSWERS = ["tokyo", "fuji", "cat"]


class ScriptedLLM(CustomLLM):
    """Gives its answers one after the other, and then repeats its prompts."""

    answers: list[str]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.answers.pop(0) if self.answers else prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        yield self.complete(prompt)


@pytest.fixture
def retriever(mini: JaColBERT) -> JaColBERTRetriever:
    nodes = [TextNode(id_=name, text=text) for name, text in TEXTS.items()]
    return JaColBERTRetriever.from_nodes(nodes, mini, similarity_top_k=2)


def ids(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [node.node_id for node in nodes]


# Engines


@pytest.mark.parametrize("asynchronous", [False, True])
def test_citations(retriever: JaColBERTRetriever, asynchronous: bool) -> None:
    index = VectorStoreIndex([], embed_model=MockEmbedding(embed_dim=2))  # asked for, and not used
    engine = CitationQueryEngine.from_args(index, llm=MockLLM(), retriever=retriever, citation_chunk_size=512)
    response = asyncio.run(engine.aquery(QUESTIONS[0])) if asynchronous else engine.query(QUESTIONS[0])
    assert response.source_nodes[0].text.startswith(f"Source 1:\n{TEXTS['tokyo']}")


def test_sub_questions(retriever: JaColBERTRetriever) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    plan = {"items": [{"sub_question": question, "tool_name": "japan"} for question in QUESTIONS[:2]]}
    llm = ScriptedLLM(answers=[f"```json\n{json.dumps(plan, ensure_ascii=False)}\n```"])
    sub_questions = SubQuestionQueryEngine.from_defaults(
        [QueryEngineTool.from_defaults(engine, name="japan", description="日本について")],
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        use_async=True,
        verbose=False,
    )
    sources = sub_questions.query("首都と山は？").source_nodes
    assert {"tokyo", "fuji"} <= {node.node_id for node in sources if isinstance(node, ScoredNode)}


def test_an_engine_that_asks_by_an_imagined_answer(retriever: JaColBERTRetriever) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    hyde = HyDEQueryTransform(llm=ScriptedLLM(answers=["魚や肉を食べる。"]), include_original=False)
    assert TransformQueryEngine(engine, hyde).query("にゃあ").source_nodes[0].node_id == "cat"


def test_a_stream_has_its_sources(retriever: JaColBERTRetriever) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), streaming=True)
    response: Any = engine.query(QUESTIONS[0])
    assert TEXTS["tokyo"] in "".join(response.response_gen)
    assert ids(response.get_response().source_nodes)[0] == "tokyo"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_chat_asks_anew_by_what_was_said(retriever: JaColBERTRetriever, mini: JaColBERT, asynchronous: bool) -> None:
    chat = CondensePlusContextChatEngine.from_defaults(
        retriever=retriever,
        llm=ScriptedLLM(answers=["東京です。", QUESTIONS[2], "魚です。"]),
        memory=ChatMemoryBuffer.from_defaults(token_limit=2000),
        node_postprocessors=[JaColBERTRerank(mini, top_n=1)],
    )
    found = []
    for message in (QUESTIONS[0], "では猫は？"):
        response = asyncio.run(chat.achat(message)) if asynchronous else chat.chat(message)
        found.append(ids(response.source_nodes))
    assert found == [["tokyo"], ["cat"]]
    assert [str(message.content) for message in chat.chat_history][1::2] == ["東京です。", "魚です。"]


# Tools and agents


def test_a_tool_says_what_it_found(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(mini, top_n=1)
    tool = RetrieverTool.from_defaults(retriever, name="japan", node_postprocessors=[rerank])
    for output in (tool.call(QUESTIONS[1]), asyncio.run(tool.acall(QUESTIONS[1]))):
        assert TEXTS["fuji"] in output.content
        assert [type(node) for node in output.raw_output] == [ScoredNode]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # an agent looks at every attribute that it has
def test_an_agent_asks_the_retriever(retriever: JaColBERTRetriever) -> None:
    def answer(messages: Sequence[ChatMessage], **kwargs: Any) -> ChatMessage:
        if messages[-1].role is MessageRole.TOOL:
            return ChatMessage(role=MessageRole.ASSISTANT, content=f"資料: {messages[-1].content}")
        call = ToolCallBlock(tool_call_id="1", tool_name="japan", tool_kwargs={"input": QUESTIONS[0]})
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])

    tool = RetrieverTool.from_defaults(retriever, name="japan", description="日本について")
    agent = FunctionAgent(tools=[tool], llm=MockFunctionCallingLLM(response_generator=answer))

    async def run() -> Any:
        handler = agent.run("首都は？", memory=ChatMemoryBuffer.from_defaults(token_limit=2000))  # none of a database
        async for event in handler.stream_events():
            event.model_dump_json()
        return await handler

    output = asyncio.run(run())
    assert TEXTS["tokyo"] in str(output)
    assert ids(output.tool_calls[0].tool_output.raw_output)[0] == "tokyo"


# Evaluation


def test_an_evaluation(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    metrics = ["hit_rate", "mrr", "ndcg", "precision", "recall", "ap"]
    evaluator = RetrieverEvaluator.from_metric_names(metrics, retriever=retriever)
    result = evaluator.evaluate(QUESTIONS[0], ["tokyo"])
    assert result.metric_vals_dict == {"hit_rate": 1, "mrr": 1, "ndcg": 1, "precision": 0.5, "recall": 1, "ap": 1}
    rerank = JaColBERTRerank(mini, top_n=1)
    reranked = RetrieverEvaluator.from_metric_names(metrics, retriever=retriever, node_postprocessors=[rerank])
    assert asyncio.run(reranked.aevaluate(QUESTIONS[1], ["fuji"])).retrieved_ids == ["fuji"]


# Beside other postprocessors


def test_postprocessors_of_llama_index_keep_the_provenance(retriever: JaColBERTRetriever) -> None:
    found = retriever.retrieve(QUESTIONS[0])
    best = SimilarityPostprocessor(similarity_cutoff=found[0].get_score()).postprocess_nodes(found)
    assert best == found[:1]
    reordered = LongContextReorder().postprocess_nodes(found)
    assert sorted(ids(reordered)) == sorted(ids(found))
    assert all(isinstance(node, ScoredNode) for node in reordered)


class Words(BaseRetriever):
    """Finds the nodes that share a character with the query, and gives them no score, as keyword tables do."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = [name for name, text in TEXTS.items() if set(text) & set(query_bundle.query_str)]
        return [NodeWithScore(node=TextNode(id_=name, text=TEXTS[name])) for name in found]


@pytest.mark.parametrize("first", ["dense", "words", "late interaction", "fusion"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_reranking_after_any_retriever(
    retriever: JaColBERTRetriever, mini: JaColBERT, first: str, asynchronous: bool
) -> None:
    nodes = [TextNode(id_=name, text=text) for name, text in TEXTS.items()]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=2))
    parts: dict[str, BaseRetriever] = {
        "dense": index.as_retriever(similarity_top_k=4),
        "words": Words(),
        "late interaction": retriever,
    }
    parts["fusion"] = QueryFusionRetriever(list(parts.values()), llm=MockLLM(), num_queries=1, similarity_top_k=9)
    rerank = JaColBERTRerank(mini, top_n=2)
    engine = RetrieverQueryEngine.from_args(parts[first], llm=MockLLM(), node_postprocessors=[rerank])
    for question, answer in zip(QUESTIONS, ANSWERS, strict=True):
        response = asyncio.run(engine.aquery(question)) if asynchronous else engine.query(question)
        assert response.source_nodes[0].node_id == answer
        for node in response.source_nodes:
            assert node.score == pytest.approx(mini.score([question], [TEXTS[node.node_id]])[0, 0], abs=1e-4)


def sentences(text: str) -> list[str]:
    return [sentence + "。" for sentence in text.split("。") if sentence]


def test_sentences_with_their_windows_and_neighbours(mini: JaColBERT) -> None:
    text = "富士山は高い。東京は首都である。猫は魚を食べる。犬は走る。"
    parser = SentenceWindowNodeParser.from_defaults(window_size=1, sentence_splitter=sentences)
    nodes = parser.get_nodes_from_documents([Document(text=text)])
    retriever = JaColBERTRetriever.from_nodes(nodes, mini, similarity_top_k=1)
    rerank = JaColBERTRerank(mini, top_n=4)

    replaced = MetadataReplacementPostProcessor(target_metadata_key="window").postprocess_nodes(
        retriever.retrieve("首都")
    )
    (window,) = rerank.postprocess_nodes(replaced, query_str="首都")
    assert window.text == "富士山は高い。 東京は首都である。 猫は魚を食べる。"
    assert isinstance(window, ScoredNode)
    assert window.best_window == window.text
    assert window.provenance.previous is not None
    assert [node.text for node in retriever.retrieve("首都")] == ["東京は首都である。"]  # the store has what it had

    docstore = SimpleDocumentStore()
    docstore.add_documents(nodes)
    around = PrevNextNodePostprocessor(docstore=docstore, num_nodes=1, mode="both").postprocess_nodes(
        retriever.retrieve("首都")
    )
    assert [node.text for node in around] == sentences(text)[:3]
    assert {node.text for node in rerank.postprocess_nodes(around, query_str="首都")} == set(sentences(text)[:3])


# The splitter in other parts


def test_chunks_in_chunks_are_merged(mini: JaColBERT) -> None:
    text = "".join(f"富士山の{i}合目には山小屋がある。" for i in range(1, 9))
    splitters = {str(size): JaColBERTSentenceSplitter(mini, chunk_size=size) for size in (200, 30)}
    parser = HierarchicalNodeParser.from_defaults(node_parser_ids=list(splitters), node_parser_map=splitters)  # type: ignore[arg-type]
    nodes = parser.get_nodes_from_documents([Document(text=text), Document(text=TEXTS["cat"])])
    leaves = get_leaf_nodes(nodes)
    storage = StorageContext.from_defaults()
    storage.docstore.add_documents(nodes)
    retriever = JaColBERTRetriever.from_nodes(leaves, mini, similarity_top_k=len(leaves) - 1)
    merging = AutoMergingRetriever(retriever, storage)  # type: ignore[arg-type]  # asks for a class, needs a method
    assert len(leaves) > 4
    for found in (merging.retrieve("山小屋"), asyncio.run(merging.aretrieve("山小屋"))):
        assert [node.text for node in found] == [text]


def test_chunks_go_on_to_an_extractor() -> None:
    document = Document(text="猫がいる。" * 30, id_="d")
    steps = [JaColBERTSentenceSplitter(chunk_size=60), TitleExtractor(llm=ScriptedLLM(answers=["題", "猫"]), nodes=1)]
    nodes = asyncio.run(IngestionPipeline(transformations=steps, disable_cache=True).arun(documents=[document]))
    assert len(nodes) > 2
    assert {node.metadata["document_title"] for node in nodes} == {"猫"}


# All sorts of queries


@pytest.mark.parametrize(
    "query",
    ["猫", "a", "🗻🐈\u200d⬛", "。！？", "!!!", "ﾌｼﾞｻﾝはＴＯＫＹＯ？", "what is the 首都 of 일본؟", "\u200b", "\x00",
     "[MASK][Q]", "か\u3099", "\ud800", " \n 猫 \u3000"],
)  # fmt: skip
def test_any_text_is_a_query(retriever: JaColBERTRetriever, query: str) -> None:
    retriever.similarity_top_k = 1000
    found = retriever.retrieve(query)
    assert sorted(ids(found)) == sorted(TEXTS)
    assert [node.get_score() for node in found] == sorted((node.get_score() for node in found), reverse=True)


@pytest.mark.filterwarnings("ignore:1 of 1 queries were longer than the 512 tokens")
def test_a_query_of_three_thousand_characters(retriever: JaColBERTRetriever) -> None:
    assert ids(retriever.retrieve("猫は何を食べますか。" * 300))[0] == "cat"


def test_many_threads_get_the_same(retriever: JaColBERTRetriever) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda i: ids(retriever.retrieve(QUESTIONS[i % 3])), range(24)))
    assert [own[0] for own in found] == ANSWERS * 8
    assert all(own == found[i % 3] for i, own in enumerate(found))
