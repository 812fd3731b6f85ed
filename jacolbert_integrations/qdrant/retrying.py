"""Requests to Qdrant that are sent again when that may help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ..errors import InputError

_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PASSING_GRPC = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNKNOWN"}

T = TypeVar("T")


class GaveUpError(Exception):
    """A request that failed each time that it was sent, for a reason that may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a request is sent again, and after how long.

    The pause doubles from one to the next, and each is cut at random by up to a half, so that several
    writers do not come back together. A server that says when to come back (429) is believed.

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
        """The request's answer.

        Raises:
            GaveUpError: If the last try failed too.
            Exception: What the client raised, if another try would fail alike.
        """
        pause = self.first_pause
        for left in range(self.times, -1, -1):
            try:
                return request()
            except Exception as error:
                if not may_pass(error):
                    raise
                if left == 0:
                    raise GaveUpError(f"{self.times + 1} tries failed, the last with {_short(error)}") from error
                asked = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else 0
                time.sleep(max(asked, pause * random.uniform(0.5, 1)))
                pause = min(2 * pause, self.longest_pause)
        raise AssertionError("unreachable")


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later: a busy server, a lost connection, a time-out."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _PASSING_STATUS
    if isinstance(error, ResourceExhaustedResponse | ResponseHandlingException | ConnectionError | TimeoutError):
        return True
    code: Any = getattr(error, "code", None)  # grpc.RpcError, without importing grpc for REST
    return callable(code) and getattr(code(), "name", None) in _PASSING_GRPC


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
