"""JaColBERT: texts in, token vectors and exact MaxSim scores out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from tqdm import tqdm

from ..checkpoints.hub import resolve_checkpoint
from ..checkpoints.layouts import Checkpoint, inspect_checkpoint
from ..checkpoints.weights import checkpoint_fingerprint, model_fingerprint
from ..errors import (
    DeviceMemoryWarning,
    InputError,
    ModelMismatchError,
    TruncationWarning,
)
from ..query_length import QueryLength, check_query_length
from ..scoring.centroids import FILE as CENTROIDS_FILE
from ..scoring.centroids import Centroids
from ..scoring.maxsim import maxsim
from ..scoring.vectors import check_top_k
from ..text.cleaning import clean
from ..types import Hit, Hits, ModelIdentity, Query, Scores, TokenVectors
from .batching import packed_batches, padded_batches
from .computing import start
from .configuration import configuration_hash
from .devices import check_device
from .int8 import Precision, check_int8, uses_int8
from .loading import LoadOptions, load_model
from .packing import should_be_packed
from .pooling import NO_POOLING, Pooling, as_pooling, is_pooling, pipeline_pooling
from .saving import save_stanford
from .scheduling import Schedule
from .transformer import ColBERTTransformer, Task, check_texts
from .whole_weights import is_whole, make_whole

_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 32768


class JaColBERT:
    """A ColBERT model for Japanese, and any other that sentence-transformers can load.

    Args:
        model: The sentence-transformers pipeline; train and evaluate it as any other.
        name: What to call it in collections and logs.
        checkpoint: Where it was loaded from, if it was.
        pooling: How to pool documents, or its name, such as ``"hierarchical-2"``; None keeps one vector per token.

    Attributes:
        model: The pipeline, a :class:`~sentence_transformers.MultiVectorEncoder`.
        batch_tokens: Tokens of a batch, padding included where there is any. Batches are cut by tokens rather than by
            texts: small, even batches suit a processor's caches, large ones a GPU.

    Raises:
        InputError: If ``pooling`` names none, or the pipeline pools documents already.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        name: str = "unnamed",
        checkpoint: Checkpoint | None = None,
        pooling: Pooling | str | None = None,
    ) -> None:
        self._pooling = as_pooling(pooling)
        own = pipeline_pooling(model.children())
        if self._pooling is not None and own != NO_POOLING:
            raise InputError(
                f"pooling is {str(self._pooling)!r}, but {name} pools documents by itself already ({own}). "
                "Leave pooling out: to pool twice would lose more than either says."
            )
        self.model = model
        self.name = name
        self.batch_tokens = _CPU_BATCH_TOKENS if model.device.type == "cpu" else _GPU_BATCH_TOKENS
        self._checkpoint = checkpoint
        self._fingerprint: tuple[object, str] | None = None
        self._centroids: Centroids | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | None = None,
        *,
        query_length: QueryLength | None = None,
        pooling: Pooling | str | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        precision: Precision | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> JaColBERT:
        """Loads a checkpoint of any late-interaction layout.

        Args:
            name_or_path: A directory, a hub id such as ``"answerdotai/JaColBERTv2.5"``, or the name of a bundled
                model: ``"jacolbert-small"``, which None loads too, or ``"jacolbert-mini"``, which is faster and
                worse.
            query_length: ``"fixed"``, ``"released"``, ``"paper"`` or ``"unpadded"``
                (:func:`~jacolbert_integrations.query_length.padded_query_length`). None takes what the
                checkpoint records; where it records nothing, ``"released"`` for a Japanese
                checkpoint and ``"fixed"``, as colbert-ai does it, for any other.
            pooling: How to pool documents: a :class:`~jacolbert_integrations.encoding.pooling.Pooling`, or its
                name, such as ``"hierarchical-2"``, which leaves half of the vectors. None pools no further than
                the checkpoint itself does.
            device: As in sentence-transformers; None takes a GPU if there is one.
            dtype: Of weights and computation; None is bfloat16 on a GPU made for it, and else float32. Vectors always
                come out as float32.
            precision: ``"int8"`` multiplies 8-bit integers, which a processor does faster, and rounds for that; None
                computes as ``dtype`` says. Without a ``device`` it takes the processor.
            revision: Branch, tag or commit of the hub repository.
            token: As in huggingface_hub.
            cache_dir: As in huggingface_hub.
            local_files_only: Never ask the hub; ``HF_HUB_OFFLINE=1`` does the same.
            trust_remote_code: Run Python code that the checkpoint brings.

        Raises:
            CheckpointError: If there is no such checkpoint, or not one of a ColBERT, incomplete,
                damaged, or in need of its own code.
            InputError: If ``query_length`` is no rule, if ``pooling`` names none, if the checkpoint pools already, or
                if 8-bit integers are asked for where there are none.
        """
        rule = None if query_length is None else check_query_length(query_length)
        pooling = as_pooling(pooling)
        if device is not None:
            check_device(device)
        check_int8(precision, device, dtype)
        if precision is not None and device is None:
            device = "cpu"
        path, name = resolve_checkpoint(
            name_or_path, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )
        checkpoint = inspect_checkpoint(path)
        options = LoadOptions(
            query_length=rule,
            device=device,
            dtype=dtype,
            precision=precision,
            trust_remote_code=trust_remote_code,
            local_files_only=local_files_only,
            token=token,
        )
        return cls(load_model(checkpoint, options), name=name, checkpoint=checkpoint, pooling=pooling)

    def __repr__(self) -> str:
        pooling = "" if self._pooling_name == NO_POOLING else f"pooling={self._pooling_name!r}, "
        precision = "" if self.precision is None else f"precision={self.precision!r}, "
        return (
            f"{type(self).__name__}({self.name!r}, dimension={self.dimension}, document_maxlen={self.document_maxlen}, "
            f"query_length={self.query_length!r}, {pooling}{precision}device={str(self.model.device)!r})"
        )

    @property
    def pooling(self) -> Pooling | None:
        """How :meth:`encode_document` pools what the pipeline gives; None if it does not."""
        return self._pooling

    @property
    def precision(self) -> Precision | None:
        """``"int8"`` if the model multiplies 8-bit integers, else None."""
        return "int8" if uses_int8(self.model) else None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where the model was loaded from, if it was."""
        return self._checkpoint

    @property
    def unpooled(self) -> JaColBERT:
        """The same model with one vector per token, for finding out what a token matched; itself if it has that."""
        pipeline = self.model
        modules = [module for module in pipeline.children() if not is_pooling(module)]
        if len(modules) < len(list(pipeline.children())):
            prompts = cast("dict[str, str]", pipeline.prompts)
            pipeline = MultiVectorEncoder(modules=modules, device=str(pipeline.device), prompts=prompts)
        elif self._pooling is None:
            return self
        plain = JaColBERT(pipeline, name=self.name, checkpoint=self._checkpoint)
        plain.batch_tokens = self.batch_tokens
        return plain

    @property
    def in_float32(self) -> JaColBERT:
        """The same model with the weights that are stored, on the CPU; itself if it computes with float32.

        :meth:`save_pretrained` writes these, and training begins with them.

        Raises:
            CheckpointError: If the checkpoint that stores them can no longer be read.
        """
        if is_whole(self.model):
            return self
        pipeline = copy.deepcopy(self.model).to("cpu")
        make_whole(pipeline, self._checkpoint)
        return JaColBERT(pipeline, name=self.name, checkpoint=self._checkpoint, pooling=self._pooling)

    @property
    def dimension(self) -> int:
        """Length of a token vector."""
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def query_length(self) -> QueryLength | None:
        """The query-length rule; None where the model makes its queries in its own way."""
        return None if self._transformer is None else self._transformer.query_length_rule

    @property
    def document_maxlen(self) -> int:
        """Most tokens of a document, control tokens included."""
        return self._limit("document")

    @property
    def query_maxlen(self) -> int:
        """Most tokens of a query, control tokens included, before it is cut."""
        return self._limit("query")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights; the same in every layout, and at every run-time dtype."""
        # torch counts the changes of a tensor, so that further training gives a new fingerprint
        versions = tuple((weights.data_ptr(), weights._version) for weights in self.model.parameters())
        if self._fingerprint is None or self._fingerprint[0] != versions:
            if is_whole(self.model) or self._checkpoint is None:
                value = model_fingerprint(self.model)
            else:  # rounding has lost what the stored weights still have
                value = checkpoint_fingerprint(self._checkpoint)
            self._fingerprint = (versions, value)
        return self._fingerprint[1]

    @property
    def identity(self) -> ModelIdentity:
        """What a store records of the model that made its vectors."""
        return ModelIdentity(
            name=self.name,
            fingerprint=self.fingerprint,
            dimension=self.dimension,
            document_maxlen=self.document_maxlen,
            pooling=self._pooling_name,
            query_length=self.query_length,
            configuration=configuration_hash(self.model),
            precision=self.precision,
        )

    @property
    def centroids(self) -> Centroids | None:
        """The centroids of the model's token vectors that its checkpoint brings; None if it brings none.

        :class:`~jacolbert_integrations.qdrant.NearestCentroids` finds candidates by them.

        Raises:
            CorruptCheckpointError: If its file of them cannot be read.
            ModelMismatchError: If they are of other weights, as after further training.
        """
        if self._centroids is None and self._checkpoint is not None:
            file = self._checkpoint.path / CENTROIDS_FILE
            self._centroids = Centroids.load(file) if file.is_file() else None
        if self._centroids is not None:
            self._centroids.check(self.identity)
        return self._centroids

    @property
    def skipped_ids(self) -> frozenset[int]:
        """Token ids that documents have no vectors of: punctuation."""
        tokenizer = self.model.tokenizer
        words = [w for m in self.model.children() if isinstance(m, MultiVectorMask) for w in m.skiplist_words]
        return frozenset(tokenizer.convert_tokens_to_ids(words)) - {tokenizer.unk_token_id}

    def encode_query(
        self, texts: Sequence[str], *, batch_size: int | None = None, show_progress_bar: bool | None = None
    ) -> list[TokenVectors]:
        """Encodes queries as token vectors, [MASK] tokens included.

        Args:
            texts: The queries. The answer for each is the same alone or among others.
            batch_size: Most texts of a batch; None limits batches by their tokens alone.
            show_progress_bar: None shows one after a second, on a terminal.

        Returns:
            A (tokens, dimension) float32 array a query, its rows of length 1.

        Raises:
            InputError: If ``texts`` is one string, or holds something other than strings.

        Warns:
            TruncationWarning: Once, if queries were longer than the model reads.
        """
        return self._encode(texts, "query", batch_size, show_progress_bar)

    def encode_document(
        self, texts: Sequence[str], *, batch_size: int | None = None, show_progress_bar: bool | None = None
    ) -> list[TokenVectors]:
        """Encodes documents as token vectors, without those of punctuation, pooled if the model has a :attr:`pooling`.

        Args:
            texts: The documents. The answer for each is the same alone or among others.
            batch_size: Most texts of a batch; None limits batches by their tokens alone.
            show_progress_bar: None shows one after a second, on a terminal.

        Returns:
            A (tokens, dimension) float32 array a document, its rows of length 1. Pooled, it has fewer rows.

        Raises:
            InputError: If ``texts`` is one string, or holds something other than strings.

        Warns:
            TruncationWarning: Once, if documents were longer than the model reads.
        """
        return self._encode(texts, "document", batch_size, show_progress_bar)

    def document_lengths(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text as a document, control tokens included, before any cut.

        What is longer than :attr:`document_maxlen` is cut when it is encoded.

        Raises:
            InputError: If something is no string.
        """
        if isinstance(texts, str):
            raise InputError(f"expected a list of texts, but got one string; write [{texts!r:.40}].")
        return self._lengths(list(texts), "document")

    def query_lengths(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text as a query, control tokens included, before any cut, and without [MASK]s.

        Raises:
            InputError: If something is no string.
        """
        if isinstance(texts, str):
            raise InputError(f"expected a list of texts, but got one string; write [{texts!r:.40}].")
        return self._lengths(list(texts), "query")

    def with_query_length(self, rule: QueryLength) -> JaColBERT:
        """Returns the model with another query-length rule; it shares all weights.

        Raises:
            InputError: If there is no such rule, or the model makes its queries in its own way.
        """
        checked = check_query_length(rule)
        own = self._transformer
        if own is None:
            raise InputError(f"{self.name} makes its queries in its own way, not by the rule {rule!r}.")
        changed = type(own).from_transformer(own, own.settings, checked)
        modules = [changed if module is own else module for module in self.model.children()]
        prompts = cast("dict[str, str]", self.model.prompts)
        pipeline = MultiVectorEncoder(modules=modules, device=str(self.model.device), prompts=prompts)
        other = JaColBERT(pipeline, name=self.name, checkpoint=self._checkpoint, pooling=self._pooling)
        other.batch_tokens = self.batch_tokens
        return other

    def unknown_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each document that the vocabulary lacks ([UNK]), in what the model reads of it.

        All that it lacks looks alike to the model: where there is much of it, another model is needed.

        Raises:
            InputError: If something is no string.
        """
        if isinstance(texts, str):
            raise InputError(f"expected a list of texts, but got one string; write [{texts!r:.40}].")
        unknown = self.model.tokenizer.unk_token_id
        prompt = self.model.prompts.get("document") or ""
        prompted = [prompt + text if isinstance(text, str) else text for text in texts]
        if self._transformer is not None:
            return [encoded.ids.count(unknown) for encoded in self._transformer.tokenize_texts(prompted, "document")]
        read = self.model.tokenizer([clean(text) for text in prompted], verbose=False)["input_ids"]
        return [list(ids)[: self._limit("document")].count(unknown) for ids in read]

    def documents_fit(self, texts: Sequence[str], limit: int) -> list[bool]:
        """Returns which texts have at most so many tokens, as :meth:`document_lengths` counts them.

        It is quicker than counting: where a text has so few characters that it must fit, no token is looked at.
        """
        prompt = self.model.prompts.get("document") or ""
        transformer = self._transformer
        if transformer is None:
            short = [False for _ in texts]
        else:
            short = transformer.are_short([prompt + text for text in texts], limit, "document")
        counted = iter(
            self.document_lengths([text for text, is_short in zip(texts, short, strict=True) if not is_short])
        )
        return [is_short or next(counted) <= limit for is_short in short]

    def query(self, text: str) -> Query:
        """Encodes a query for a store: its text and its token vectors."""
        return Query(vectors=self.encode_query([text])[0], text=text)

    def score(
        self, queries: Sequence[str] | Sequence[TokenVectors], documents: Sequence[str] | Sequence[TokenVectors]
    ) -> Scores:
        """Computes MaxSim of each query with each document.

        Args:
            queries: Texts, or vectors from :meth:`encode_query`.
            documents: Texts, which are encoded and pooled as by :meth:`encode_document`, or vectors from it.

        Returns:
            (queries, documents) float32.

        Raises:
            InputError: If texts and vectors are mixed, or vectors malformed.
        """
        return maxsim(self._vectors(queries, "query"), self._vectors(documents, "document"), device=self.model.device)

    def rank(self, query: str, documents: Sequence[str], top_k: int | None = None) -> Hits:
        """Ranks documents by their MaxSim with the query, best first.

        Args:
            query: The query.
            documents: The texts to rank, encoded and pooled as by :meth:`encode_document`.
            top_k: How many to return; None returns all.

        Returns:
            Hits whose ``id`` is the document's position as a string, and whose payload holds it as
            ``"index"`` beside the ``"text"``. Equal scores keep the documents' order.

        Raises:
            InputError: If ``top_k`` is below 1.
        """
        if top_k is not None:
            check_top_k(top_k)
        if not isinstance(query, str) or isinstance(documents, str) or not isinstance(documents, Sequence):
            raise InputError(
                f"rank takes a query and a list of texts, but got a {type(query).__name__} and a "
                f"{type(documents).__name__}."
            )
        if not len(documents):
            return Hits()
        scores = self.score([query], documents)[0]
        order = np.argsort(-scores, kind="stable")[:top_k]
        return Hits(Hit(str(i), float(scores[i]), {"index": int(i), "text": documents[i]}) for i in order)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes a checkpoint in the layout of the released JaColBERT models, whole or not at all.

        :attr:`centroids` come along, if they are of these weights. :attr:`pooling` is no part of a checkpoint: name it
        again when loading.

        Raises:
            InputError: If the model is one that this layout cannot hold.
            CheckpointError: If it computes with rounded weights, and what it was loaded from can no longer be read.
        """
        whole = self.in_float32
        save_stanford(whole.model, Path(path))
        whole.save_centroids(Path(path))

    def save_centroids(self, folder: Path) -> None:
        """Writes the model's centroids into a checkpoint of its weights as float32, if it has any of its own.

        Args:
            folder: The checkpoint's directory.
        """
        if not is_whole(self.model):  # what is saved of it has another fingerprint
            return
        try:
            own = self.centroids
        except ModelMismatchError:  # trained on since
            return
        if own is not None:
            own.save(folder / CENTROIDS_FILE)

    @property
    def _pooling_name(self) -> str:
        return pipeline_pooling(self.model.children()) if self._pooling is None else str(self._pooling)

    @property
    def _transformer(self) -> ColBERTTransformer | None:
        first = self.model[0]
        return first if isinstance(first, ColBERTTransformer) else None

    def _limit(self, task: Task) -> int:
        if self._transformer is not None:
            return self._transformer.limit(task)
        first = self.model[0]
        own = first.document_length if task == "document" else first.query_length
        return int(cast("int", own) or self.model.tokenizer.model_max_length)

    def _vectors(self, items: Sequence[str] | Sequence[TokenVectors], task: Task) -> list[TokenVectors]:
        if isinstance(items, str):
            raise InputError(f"expected a list of texts or vectors, but got one string: {items!r:.60}")
        texts = [isinstance(item, str) for item in items]
        if any(texts) and not all(texts):
            raise InputError(f"expected texts or vectors, but got {sum(texts)} texts among {len(texts)} items.")
        if any(texts):
            return self._encode(cast("Sequence[str]", items), task, None, None)
        return list(cast("Sequence[TokenVectors]", items))

    def _encode(
        self, texts: Sequence[str], task: Task, batch_size: int | None, show_progress_bar: bool | None
    ) -> list[TokenVectors]:
        if isinstance(texts, str):
            raise InputError(f"expected a list of texts, but got one string; write [{texts!r:.40}].")
        if not isinstance(texts, Iterable):
            raise InputError(f"expected a list of texts, but got a {type(texts).__name__}.")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}, but it must be at least 1, or None.")
        texts = list(texts)
        pooling = self._pooling if task == "document" else None
        if self._transformer is None:
            arrays = self._encode_their_way(texts, task, batch_size, show_progress_bar)
            return arrays if pooling is None else pooling.pool(arrays)
        if prompt := self.model.prompts.get(task):
            texts = [prompt + text if isinstance(text, str) else text for text in texts]
        check_texts(texts)
        cut_into_batches = packed_batches if should_be_packed(self.model, task) else padded_batches
        batches = cut_into_batches(self._transformer, texts, task, self.batch_tokens, batch_size)
        schedule = Schedule(partial(start, self.model, task=task), str(self.model.device))
        vectors: list[TokenVectors] = [np.empty((0, 0), np.float32)] * len(texts)
        cut = 0
        bar = tqdm(
            total=len(texts),
            desc=f"Encoding {'queries' if task == 'query' else 'documents'}",
            disable=None if show_progress_bar is None else not show_progress_bar,
            delay=1.0 if show_progress_bar is None else 0.0,
        )
        with bar, torch.inference_mode():
            self.model.eval()
            for batch, matrices in schedule.computed(batches):
                pooled = matrices if pooling is None else pooling.pool(matrices)
                for row, matrix in zip(batch.rows, pooled, strict=True):
                    vectors[row] = matrix
                cut += batch.cut
                bar.update(len(batch.rows))
        self._warn_of_cuts(cut, len(texts), task)
        if schedule.too_large is not None:
            self._make_batches_smaller(schedule.too_large)
        return vectors

    def _make_batches_smaller(self, too_large: int) -> None:
        self.batch_tokens = max(1, self.batch_tokens // 2)
        warnings.warn(
            f"{self.model.device} has too little memory for batches of {too_large:,} tokens: batch_tokens of "
            f"{self.name} is {self.batch_tokens:,} from now on.",
            DeviceMemoryWarning,
            stacklevel=4,
        )

    def _encode_their_way(
        self, texts: list[str], task: Task, batch_size: int | None, show_progress_bar: bool | None
    ) -> list[TokenVectors]:
        """Encodes with sentence-transformers' own method, for models whose inputs only its own module can make."""
        texts = [clean(text) for text in texts]
        lengths = self._lengths(texts, task)
        self._warn_of_cuts(sum(length > self._limit(task) for length in lengths), len(texts), task)
        encode = self.model.encode_query if task == "query" else self.model.encode_document
        arrays = encode(
            texts,
            batch_size=32 if batch_size is None else batch_size,
            show_progress_bar=bool(show_progress_bar),
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return [np.asarray(array, np.float32) for array in arrays]

    def _lengths(self, texts: Sequence[str], task: Task) -> list[int]:
        prompt = self.model.prompts.get(task) or ""
        prompted = [prompt + text if isinstance(text, str) else text for text in texts]
        if self._transformer is not None:
            return self._transformer.text_lengths(prompted, task)
        readable = [clean(text) for text in prompted]
        return [len(ids) for ids in self.model.tokenizer(readable, verbose=False)["input_ids"]]

    def _warn_of_cuts(self, cut: int, total: int, task: Task) -> None:
        if cut:
            texts = {"query": "queries", "document": "documents"}[task]
            warnings.warn(
                f"{cut} of {total} {texts} were longer than the {self._limit(task)} tokens that {self.name} reads, "
                "and were cut there.",
                TruncationWarning,
                stacklevel=4,
            )
