"""Every error and warning of the package.

::

    JaColBERTError
    ├── CheckpointError
    │   ├── CheckpointNotFoundError    nothing at that path or hub id
    │   ├── UnknownLayoutError         files are there, but not those of a late-interaction model
    │   ├── IncompleteCheckpointError  a known layout with something missing
    │   ├── CorruptCheckpointError     truncated, unreadable, of a wrong shape, or unsafe to unpickle
    │   └── RemoteCodeError            needs code from the checkpoint, which was not asked for
    ├── InputError                     an argument that cannot be used             (a ValueError)
    │   ├── VectorError                token vectors of a wrong shape or content
    │   └── NoOffsetsError             a tokenizer that cannot say where its tokens come from
    ├── StoreError
    │   ├── StoreNotBoundError         no model has been named for the store yet
    │   ├── StoreFileError             a saved store that cannot be read, or written
    │   ├── CollectionLayoutError      a Qdrant collection that this package did not create
    │   ├── ModelMismatchError         the collection was made by another model
    │   ├── UnsupportedFilterError     a filter that this store cannot apply
    │   │   └── PayloadIndexError      one for which a payload index is missing, or of a wrong type
    │   ├── UnsupportedModeError       a way of searching that this store has not
    │   ├── AccessError                a server refuses the API key, or what it is used for
    │   ├── UnreachableError           a server does not answer
    │   ├── ServerError                a server refuses a request, or cannot do it
    │   ├── GaveUpError                a request that failed each time it was sent
    │   ├── EngineError                Qdrant Edge refused, or failed
    │   └── WriteError                 a writer had to stop; what it wrote before is there
    ├── TrainingError
    │   ├── TrainingDataError          rows of a training file that cannot be used (a ValueError)
    │   ├── RecipeError                a recipe, or a field of one, that cannot be   (a ValueError)
    │   ├── TeacherError               a teacher whose scores teach nothing
    │   ├── DivergedError              the loss is no longer a number
    │   ├── SaveError                  a checkpoint could not be written
    │   └── MergeError                 checkpoints that cannot be merged             (a ValueError)
    ├── BenchmarkError                 a benchmark that cannot be downloaded, or is not whole
    ├── DeviceMemoryError              a GPU has too little memory, for smaller batches too
    ├── WorkerError                    a process of a pool has died, or was forked where it must not be
    └── MissingExtraError              an optional dependency is not installed     (an ImportError)

    TruncationWarning                  texts were cut to the model's length        (a UserWarning)
    QueryLengthWarning                 a collection was made with another query-length rule
    DeviceMemoryWarning                a GPU had too little memory, and batches are smaller from then on
    FilterWarning                      metadata that filters will not find as they are
    MissingCollectionWarning           a search in a collection that does not exist
    StatisticsWarning                  a first stage was measured in documents unlike those that came later
"""

from __future__ import annotations

from collections.abc import Sequence


class JaColBERTError(Exception):
    """Base class of every error that this package raises on purpose."""


class CheckpointError(JaColBERTError):
    """A model checkpoint cannot be used."""


class CheckpointNotFoundError(CheckpointError):
    """There is no checkpoint at the given path or hub id."""


class UnknownLayoutError(CheckpointError):
    """The files found are not those of any late-interaction layout."""


class IncompleteCheckpointError(CheckpointError):
    """A checkpoint of a known layout lacks a file, a setting or a weight."""


class CorruptCheckpointError(CheckpointError):
    """A file of the checkpoint is truncated, unreadable, unsafe or of a wrong shape."""


class RemoteCodeError(CheckpointError):
    """The checkpoint brings its own Python code, and running it was not asked for."""


class InputError(JaColBERTError, ValueError):
    """An argument cannot be used as given."""


class VectorError(InputError):
    """Token vectors have a wrong shape, type or content."""


class NoOffsetsError(InputError):
    """A model's tokenizer cannot say which characters of a text its tokens come from."""


class StoreError(JaColBERTError):
    """A multi-vector store cannot do what was asked."""


class StoreNotBoundError(StoreError):
    """The store was used before :meth:`bind` told it which model its vectors come from."""


class StoreFileError(StoreError):
    """A saved store is missing, truncated or inconsistent; or it could not be written, and nothing was."""


class CollectionLayoutError(StoreError):
    """A Qdrant collection exists, but this package did not create it."""


class ModelMismatchError(StoreError):
    """The collection was made by a model other than the one that wants to use it."""


class UnsupportedFilterError(StoreError):
    """The store cannot apply this kind of filter."""


class PayloadIndexError(UnsupportedFilterError):
    """A filter needs a payload index that the collection lacks, or would be answered wrongly by the one that it has."""


class UnsupportedModeError(StoreError):
    """The store cannot search in the way that was asked for."""


class EngineError(StoreError):
    """Qdrant Edge, the engine in this process, refused something or failed; or its folder cannot be used."""


class AccessError(StoreError):
    """A server refuses the client: its API key is wrong, or grants too little."""


class UnreachableError(StoreError):
    """A Qdrant server cannot be reached.

    Attributes:
        cause: What the client raised. It is no part of the traceback, because it may show the API key.
    """

    cause: BaseException | None = None


class ServerError(StoreError):
    """A Qdrant server refuses a request, or cannot do it.

    Attributes:
        cause: What the client raised. It is no part of the traceback, because it may show the API key.
    """

    cause: BaseException | None = None


class GaveUpError(StoreError):
    """A request that failed each time that it was sent, for a reason that may pass."""


class WriteError(StoreError):
    """A writer had to stop before the end; what was acknowledged before is there.

    Args:
        message: Why, and what to do.
        result: What has been written until then, where that is known.
    """

    def __init__(self, message: str, result: object | None = None) -> None:
        self.result = result
        super().__init__(message)


class TrainingError(JaColBERTError):
    """Something that ends a training run, or keeps it from beginning."""


class TrainingDataError(TrainingError, ValueError):
    """Rows of a training file cannot be used.

    Args:
        message: What is wrong, with the first of the rows.
        problems: Each bad row: its line number, from 1, and what is wrong with it.
    """

    def __init__(self, message: str, problems: Sequence[tuple[int, str]] = ()) -> None:
        self.problems = list(problems)
        super().__init__(message)


class RecipeError(TrainingError, ValueError):
    """There is no such recipe, or a field of it has a value that cannot be."""


class TeacherError(TrainingError):
    """A teacher's scores are missing, not numbers, or all the same."""


class DivergedError(TrainingError):
    """The loss is infinite or not a number; the last good weights have been kept."""


class SaveError(TrainingError):
    """A checkpoint could not be written; the one before it is whole."""


class MergeError(TrainingError, ValueError):
    """Checkpoints differ in more than their weights, or the weights asked for make no sense."""


class DeviceMemoryError(JaColBERTError):
    """A GPU has too little memory to encode, also for batches of half the size, or for a single text."""


class WorkerError(JaColBERTError):
    """A process of a pool died before its work was done, or a process was forked off where torch would hang."""


class BenchmarkError(JaColBERTError):
    """A benchmark cannot be downloaded, or what was downloaded is not whole."""


class MissingExtraError(JaColBERTError, ImportError):
    """An optional dependency is not installed.

    Args:
        package: What could not be imported.
        extra: The extra of this package that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package!r} is not installed. It comes with an extra of this package: "
            f'pip install "jacolbert-integrations[{extra}]"'
        )


class TruncationWarning(UserWarning):
    """Some texts were longer than the model reads, and were cut."""


class QueryLengthWarning(UserWarning):
    """A collection was recorded under another query-length rule than the model's present one."""


class StatisticsWarning(UserWarning):
    """What a first stage measured in the first documents of a collection does not fit those that came later."""


class MissingCollectionWarning(UserWarning):
    """A collection that does not exist was searched: the answer is empty, and its name may be misspelt."""


class DeviceMemoryWarning(UserWarning):
    """A GPU had too little memory: the model's batches have half as many tokens from now on."""


class FilterWarning(UserWarning):
    """Metadata are kept as they are, but a filter will not find them as one might expect."""
