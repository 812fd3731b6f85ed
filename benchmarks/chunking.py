"""What the encoder cuts off: ``JaColBERTSentenceSplitter`` beside LlamaIndex's ``SentenceSplitter``, on JSQuAD.

The documents are JSQuAD's articles, their passages joined by line breaks, with the title as metadata. Tokens are those
of a chunk as it is embedded, title included. What is longer than the checkpoint reads is cut; what no other chunk has
can then not be found: the text never read. LlamaIndex's chunks overlap by 200 tokens, unless told otherwise.
Two checkpoints are measured: the bundled one, and one with the vocabulary and the document length of JaColBERTv2.4,
of which nothing but the tokenizer is used here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from llama_index.core.node_parser import NodeParser, SentenceSplitter
from llama_index.core.schema import Document, MetadataMode, TextNode

from jacolbert_integrations import JaColBERT, JaColBERTSentenceSplitter
from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.evaluation.jsquad import JSQUAD_SOURCE, load_jsquad

V24_TOKENS = Path(__file__).parent.parent / "tests" / "data" / "reference" / "stanford"
SENTENCE_END = re.compile("[。！？!?][」』）)】］〉》\"'”’]*$")


def articles() -> list[Document]:
    grouped = groupby(load_jsquad().passages, key=lambda passage: passage.article)
    return [
        Document(text="\n".join(passage.text for passage in passages), id_=title, metadata={"title": title})
        for title, passages in grouped
    ]


def splitters(model: JaColBERT) -> dict[str, NodeParser]:
    control = model.document_lengths([""])[0]

    def tokens(text: str) -> list[None]:  # LlamaIndex only counts them
        return [None] * (model.document_lengths([text])[0] - control)

    told = SentenceSplitter(chunk_size=model.document_maxlen - control, chunk_overlap=0, tokenizer=tokens)
    return {
        "SentenceSplitter()": SentenceSplitter(),
        "SentenceSplitter, the model's tokens and length, no overlap": told,
        "JaColBERTSentenceSplitter(model)": JaColBERTSentenceSplitter(model),
    }


def inside_a_sentence(node: TextNode, text: str) -> bool:
    """Whether a chunk ends neither with a sentence nor with a line."""
    end = node.end_char_idx
    assert end is not None
    return SENTENCE_END.search(node.text) is None and text[end : end + 1] not in ("", "\n")


def kept(node: TextNode, model: JaColBERT) -> range:
    """The characters of the document that the encoder reads of a chunk."""
    transformer = model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    embedded = node.get_content(metadata_mode=MetadataMode.EMBED)
    _, spans = transformer.text_tokenizer.encode_with_spans(embedded)
    room = model.document_maxlen - model.document_lengths([""])[0]
    ends = [0 if span is None else span[1] for span in spans[:room]]
    end = len(embedded) if len(spans) <= room else max(ends, default=0)
    start = node.start_char_idx
    assert start is not None
    return range(start, start + end - (len(embedded) - len(node.text)))


def report(name: str, model: JaColBERT, nodes: Sequence[TextNode], texts: dict[str, str]) -> None:
    limit = model.document_maxlen
    lengths = model.document_lengths([node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes])
    cut = sum(length > limit for length in lengths)
    read = {(node.ref_doc_id, place) for node in nodes for place in kept(node, model)}
    places = [(title, place) for title, text in texts.items() for place, c in enumerate(text) if not c.isspace()]
    unread = sum(place not in read for place in places) / len(places)
    inside = sum(inside_a_sentence(node, texts[node.ref_doc_id or ""]) for node in nodes) / len(nodes)
    print(
        f"| {name} | {len(nodes):,} | {cut:,} ({cut / len(nodes):.1%}) | {unread:.2%} | "
        f"{sum(lengths) / len(lengths):.0f} | {max(lengths):,} | {inside:.1%} |"
    )


def main() -> None:
    documents = articles()
    texts = {document.id_: document.text for document in documents}
    print(f"{len(documents):,} articles, {sum(map(len, texts.values())):,} characters ({JSQUAD_SOURCE})")
    for name, path in {"the bundled model": None, "the tokens of JaColBERTv2.4": V24_TOKENS}.items():
        model = JaColBERT.from_pretrained(path, device="cpu")
        print(f"\nWith {name}, {model.document_maxlen} tokens of a document:\n")
        print(
            "| splitter | chunks | cut by the encoder | text never read | tokens, mean | max | end inside a sentence |"
        )
        print("|---|--:|--:|--:|--:|--:|--:|")
        for label, splitter in splitters(model).items():
            nodes = [n for n in splitter.get_nodes_from_documents(documents) if isinstance(n, TextNode)]
            report(label, model, nodes, texts)


if __name__ == "__main__":
    main()
