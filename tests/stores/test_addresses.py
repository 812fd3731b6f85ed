"""Names of places: what is one, and what only looks like one."""

from __future__ import annotations

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.stores.addresses import MEMORY, check_location


@pytest.mark.parametrize(
    "location",
    [MEMORY, "index", "./index", "~/索引", "C:\\index", "C:/index", "a:b", "2024-11-21 12:30", "http://localhost:6333",
     "https://example.com/qdrant"],
)  # fmt: skip
def test_places(location: str) -> None:
    assert check_location(location) == location


@pytest.mark.parametrize(
    "location",
    ["localhost:6333", "qdrant.example.com:6333/", "127.0.0.1:6334", "HTTP://localhost", "grpc://localhost:6334"],
)
def test_addresses_are_not_taken_for_folders(location: str) -> None:
    with pytest.raises(InputError, match="looks like the address of a server, and would be taken for a folder"):
        check_location(location)
    assert check_location(f"./{location}") == f"./{location}"


@pytest.mark.parametrize(
    "location",
    ["https://u:geheim@h", "HTTPS://u:geheim@h", " https://u:geheim@h", "grpc://u:geheim@h:6334",
     "h:6333?api-key=geheim", "https://h/?key=geheim", "https://h/#geheim"],
)  # fmt: skip
def test_secrets_are_neither_kept_nor_shown(location: str) -> None:
    with pytest.raises(InputError) as caught:
        check_location(location)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("location", ["", " \n", None, 6333])
def test_no_places(location: str) -> None:
    with pytest.raises(InputError, match="but it is ':memory:', a folder, or the address of a Qdrant server"):
        check_location(location)
