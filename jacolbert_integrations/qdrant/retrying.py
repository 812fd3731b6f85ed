"""Requests to Qdrant that are sent again when that may help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TypeVar

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ..errors import AccessError, GaveUpError, InputError, ServerError
from .answers import DENIED, REFUSAL, cause_of, describe, status_of

REJECTED = (ServerError, UnexpectedResponse, grpc.RpcError, ValueError)
"""What is raised, over REST, over gRPC and in local mode, for a request that would fail again."""

# The HTTP statuses, and the names of gRPC's, that a busy, full or restarting server answers with. Qdrant says
# 500 or INTERNAL when its disk is full, FAILED_PRECONDITION when a shard is being moved.
_PASSING: frozenset[int | str | None] = frozenset({
    408, 425, 429, 500, 502, 503, 504, 507,
    "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "INTERNAL", "RESOURCE_EXHAUSTED",
    "UNAVAILABLE", "UNKNOWN",
})  # fmt: skip

# No answer, or half of one. Of QdrantException there is besides 429 only one whose Retry-After is no number.
_PASSING_ERRORS = (
    QdrantException,
    ResponseHandlingException,
    ConnectionError,
    TimeoutError,
    JSONDecodeError,
    UnicodeDecodeError,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a request is sent again, and after how long.

    The pause doubles from one to the next, and each is cut at random by up to a half, so that several
    writers do not come back together. A server that says when to come back (429) is believed.

    A writer has its own. A search is sent once; ``Retries().call(lambda: store.search(...))`` sends it again.

    Attributes:
        times: How often at most, after the first.
        first_pause: Seconds before the second try.
        longest_pause: Seconds that no pause exceeds, but one that the server asks for.
    """

    times: int = 8
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def __post_init__(self) -> None:
        if self.times < 0 or self.first_pause < 0 or self.longest_pause < self.first_pause:
            raise InputError(f"{self}: times and first_pause must be 0 or more, longest_pause no less than the first.")

    def call(self, request: Callable[[], T]) -> T:
        """Makes the request, again where it failed for a reason that may pass, and returns its answer.

        Raises:
            GaveUpError: If the last try failed too.
            AccessError: If the server refuses the client.
            Exception: What the client raised, if another try would fail alike.
        """
        pause = self.first_pause
        for left in range(self.times, -1, -1):
            try:
                return request()
            except Exception as error:
                cause = cause_of(error)
                if status_of(cause) in DENIED:
                    # Without what the server said, which may repeat the key.
                    raise AccessError(REFUSAL.format(status=status_of(cause))) from None
                if not may_pass(error):
                    raise
                if left == 0:
                    raise GaveUpError(
                        f"{self.times + 1} tries failed, the last with {describe(cause)}{_advice(cause)}"
                    ) from error
                asked = cause.retry_after_s if isinstance(cause, ResourceExhaustedResponse) else 0
                time.sleep(max(asked, pause * random.uniform(0.5, 1)))
                pause = min(2 * pause, self.longest_pause)
        raise AssertionError("unreachable")


def may_pass(error: Exception) -> bool:
    """Returns whether the same request may succeed later: a busy server, a lost connection, a time-out."""
    cause = cause_of(error)
    if _no_message(cause):
        return False
    return status_of(cause) in _PASSING or isinstance(cause, _PASSING_ERRORS)


def _advice(error: BaseException) -> str:
    """Returns advice for a client that does not wait long enough: by default it waits for 5 seconds."""
    source = error.source if isinstance(error, ResponseHandlingException) else None
    if isinstance(source, httpx.TimeoutException) or status_of(error) == "DEADLINE_EXCEEDED":
        return "; a client with a longer timeout may help, or a writer with a smaller batch"
    return ""


def _no_message(error: BaseException) -> bool:
    """Returns whether gRPC refused a message for its size or its depth: with the statuses of a busy server."""
    if not isinstance(error, grpc.RpcError):
        return False
    said = error.details() or ""
    return "larger than max" in said or "deserializing" in said
