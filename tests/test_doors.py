"""Wrong arguments at every door: a typed error, which names what was given, and nothing else happens."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from llama_index.core.schema import TextNode

from jacolbert_integrations import (
    Condition,
    EdgeStore,
    Filter,
    JaColBERT,
    JaColBERTRerank,
    JaColBERTRetriever,
    JaColBERTVectorStore,
    MemoryStore,
    MultiVectorStore,
)
from jacolbert_integrations.encoding.devices import check_device
from jacolbert_integrations.errors import (
    CheckpointNotFoundError,
    EngineError,
    InputError,
    JaColBERTError,
    SaveError,
    StoreFileError,
    UnsupportedFilterError,
)
from jacolbert_integrations.locations import open_store
from jacolbert_integrations.stores.addresses import check_location
from jacolbert_integrations.types import WithIds

from .stores.samples import IDENTITY, QUERY, points

ANY: Any = None  # what no type checker would let through


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cuda:x", "", 5, b"cpu"])
def test_devices(device: Any) -> None:
    with pytest.raises(InputError, match="no device"):
        JaColBERT.from_pretrained(device=device)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="there is no device 'cuda' here: torch sees 0 GPUs"):
        JaColBERT.from_pretrained(device="cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_device("cuda:1") == "cuda:1"
    assert check_device("cpu") == "cpu"


@pytest.mark.parametrize(
    "name", ["x" * 5_000, "a/" + "y" * 5_000, "a\0b", "a\ud800", "", " ", 5, b"name", "../../x/y/z"]
)
def test_names_of_models(name: Any) -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        JaColBERT.from_pretrained(name)
    assert len(str(caught.value)) < 6_000


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "address",
    [
        "https://h/;key={}", "https://h/a;b={}/c", "https://u:{}@h", "https://{}@h", "https://h?api_key={}",
        "https://h/?{}", "https://h/#{}", "https://h:6333/path;{}", "http://h;{}", "https://u:{}@[::1",
    ],
)  # fmt: skip
def test_no_secret_in_an_address_gets_anywhere(address: str, mini: JaColBERT) -> None:
    for act in (
        check_location,
        lambda location: JaColBERTVectorStore(mini, location=location),
        lambda p: open_store(p, "c"),
    ):
        with pytest.raises(InputError, match="holds a user, a password, a query or parameters") as caught:
            act(address.format(SECRET))
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "location", ["https://", "https://h:99999", "http:// h", "http://[::1", "", " ", "a\0b", 5, None, b"x"]
)
def test_locations(location: Any) -> None:
    with pytest.raises(InputError):
        check_location(location)


def test_a_location_may_be_a_path(tmp_path: Path, mini: JaColBERT) -> None:
    with JaColBERTVectorStore(mini, location=tmp_path / "索引") as store:
        store.add([TextNode(id_="a", text="猫")])
        assert store.to_dict()["location"] == str(tmp_path / "索引")
    with JaColBERTVectorStore.from_dict(store.to_dict()) as again:
        assert [node.node_id for node in again.get_nodes()] == ["a"]


class Own(JaColBERTVectorStore):
    """Somebody's own vector store."""

    @classmethod
    def class_name(cls) -> str:
        return "Own"


def test_a_subclass_stays_one_when_it_is_pickled(mini: JaColBERT) -> None:
    store: Any = Own(mini)  # type: ignore[call-arg, arg-type]
    store.add([TextNode(id_="a", text="猫")])
    again = pickle.loads(pickle.dumps(store))
    assert type(again) is Own
    assert [node.node_id for node in again.get_nodes()] == ["a"]


@pytest.mark.parametrize("collection", ["../x", "a\ud800", "", "a/b", 5])
def test_collections_of_a_vector_store(mini: JaColBERT, collection: Any) -> None:
    with pytest.raises(InputError, match="no name of a collection"):
        JaColBERTVectorStore(mini, collection=collection)


@pytest.mark.parametrize("store", [5, "folder", object()])
def test_stores(mini: JaColBERT, store: Any) -> None:
    for act in (
        lambda: JaColBERTRetriever(store, mini),
        lambda: JaColBERTRerank(mini, store=store),
        lambda: JaColBERTVectorStore(mini, store),
    ):
        with pytest.raises(InputError, match="must be a store of token vectors"):
            act()


TEXTS: list[Callable[[JaColBERT], object]] = [
    lambda m: m.encode_query(ANY),
    lambda m: m.encode_document([ANY]),
    lambda m: m.encode_document([b"x"]),  # type: ignore[list-item]
    lambda m: m.encode_query("one"),
    lambda m: m.query(ANY),
    lambda m: m.rank("x", ANY),
    lambda m: m.rank(ANY, ["a"]),
    lambda m: m.rank("a", "b"),
    lambda m: m.rank("a", [5]),  # type: ignore[list-item]
    lambda m: m.score(["a"], [5]),  # type: ignore[arg-type]
    lambda m: m.document_lengths([ANY]),
    lambda m: m.unknown_tokens([ANY]),
    lambda m: m.unknown_tokens("one"),
]


@pytest.mark.parametrize("act", TEXTS)
def test_texts(mini: JaColBERT, act: Callable[[JaColBERT], object]) -> None:
    with pytest.raises(InputError):
        act(mini)


def of_store(store: MultiVectorStore) -> dict[str, Callable[[], object]]:
    one = Condition("n", "==", 1)
    return {
        "bind": lambda: store.bind(ANY),
        "search": lambda: store.search(ANY, top_k=1),
        "search text": lambda: store.search("猫", top_k=1),  # type: ignore[arg-type]
        "top_k": lambda: store.search(QUERY, top_k="3"),  # type: ignore[arg-type]
        "upsert": lambda: store.upsert(ANY),
        "upsert None": lambda: store.upsert([ANY]),
        "get": lambda: store.get(ANY),
        "get one": lambda: store.get("abc"),
        "get None": lambda: store.get([ANY]),
        "contains": lambda: store.contains([5]),  # type: ignore[list-item]
        "delete one": lambda: store.delete("abc"),
        "delete None": lambda: store.delete([ANY]),
        "filter": lambda: store.count(filter=5),
        "how": lambda: store.count(filter=Filter([one], "xor")),  # type: ignore[arg-type]
        "condition": lambda: store.count(filter=Filter([5])),  # type: ignore[list-item]
        "ids": lambda: store.count(filter=Filter([WithIds([ANY])])),
    }


@pytest.mark.parametrize("door", of_store(MemoryStore()))
@pytest.mark.parametrize("kind", ["memory", "edge"])
def test_doors_of_stores(kind: str, door: str, tmp_path: Path) -> None:
    store: Any = MemoryStore() if kind == "memory" else EdgeStore(tmp_path)
    store.bind(IDENTITY)
    store.upsert(points(3))
    with pytest.raises((InputError, UnsupportedFilterError)):
        of_store(store)[door]()
    assert store.count() == 3
    if kind == "edge":
        store.close()


def test_files_that_are_none(tmp_path: Path, mini: JaColBERT) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    memory = MemoryStore()
    memory.bind(IDENTITY)
    doors: list[tuple[type[JaColBERTError], Callable[[], object]]] = [
        (EngineError, lambda: EdgeStore(file)),
        (EngineError, lambda: EdgeStore("a\0b")),
        (StoreFileError, lambda: MemoryStore.open(file)),
        (StoreFileError, lambda: MemoryStore.open("a\0b")),
        (StoreFileError, lambda: memory.save(file / "x")),
        (StoreFileError, lambda: memory.save("a\0b")),
        (SaveError, lambda: mini.save_pretrained(file / "x")),
        (SaveError, lambda: mini.save_pretrained("a\0b")),
    ]
    for error, act in doors:
        with pytest.raises(error):
            act()
    assert file.read_text(encoding="utf-8") == "x"


def test_a_disk_that_fills_up_while_a_model_is_saved(
    tmp_path: Path, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini.save_pretrained(tmp_path / "model")
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jacolbert_integrations.encoding.saving.save_file", full)
    with pytest.raises(SaveError, match=r"could not be written: .*No space left on device.*as it was"):
        mini.save_pretrained(tmp_path / "model")
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
