"""Token vectors in a store without LlamaIndex: filters, saving, and the model that a store remembers."""

from __future__ import annotations

import tempfile

from jacolbert_integrations import Condition, Filter, JaColBERT, MemoryStore, Point
from jacolbert_integrations.errors import ModelMismatchError
from jacolbert_integrations.types import ModelIdentity


def main() -> None:
    model = JaColBERT.from_pretrained()
    texts = ["東京は日本の首都である。", "パリはフランスの首都である。", "ナイル川はアフリカを流れる。"]
    store = MemoryStore()  # QdrantStore(client, "name") takes the same calls
    store.bind(model.identity)
    store.upsert(
        Point(f"文書{i}", vectors, {"text": text, "n": i})
        for i, (text, vectors) in enumerate(zip(texts, model.encode_document(texts), strict=True))
    )
    query = model.query("フランスの首都は？")
    for hit in store.search(query, top_k=2):
        print(f"{hit.score:6.2f}  {hit.id}  {hit.payload['text']}")
    print([hit.id for hit in store.search(query, top_k=2, filter=Filter([Condition("n", "!=", 1)]))])

    with tempfile.TemporaryDirectory() as folder:
        store.save(folder)
        opened = MemoryStore.open(folder)
        try:
            opened.bind(ModelIdentity("another-model", "0" * 64, 128, 300))
        except ModelMismatchError as error:
            print(error)


if __name__ == "__main__":
    main()
