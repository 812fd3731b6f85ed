"""What a writer shows while it works."""

from __future__ import annotations

import pytest

from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.types import Document

from .writing import Encoder, writer

LONG = "".join(f"これは{i}番目の文である。" for i in range(12))  # becomes three windows


def test_it_counts_passages_and_tokens_within_one_document(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    split = writer(client, Encoder(), too_long="split", batch=1, show_progress_bar=True)
    assert split.write([Document("長", LONG)]).windows == 3
    err = capsys.readouterr().err
    assert "Writing to Qdrant:" in err
    assert "Writing to Qdrant: 3 passages," in err
    assert "100 %" in err
    assert "left" in err


def test_without_the_whole_no_time_is_promised(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    shown = writer(client, Encoder(), show_progress_bar=True)
    shown.write(Document(str(i), "短い文。") for i in range(3))
    err = capsys.readouterr().err
    assert "3 passages" in err
    assert "%" not in err


def test_what_is_there_already_counts_as_done(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    shown = writer(client, Encoder(), show_progress_bar=True)
    documents = [Document(str(i), "短い文。") for i in range(3)]
    shown.write(documents)
    capsys.readouterr()
    assert shown.write(documents).unchanged == 3
    assert "100 %" in capsys.readouterr().err


def test_nothing_is_shown_that_is_not_asked_for(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    writer(client, Encoder(), show_progress_bar=False).write([Document("a", "短い文。")])
    assert capsys.readouterr().err == ""


def test_the_whole_may_be_known_of_what_is_read_as_it_is_needed(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = writer(client, Encoder(), show_progress_bar=True)
    shown.write((Document(str(i), "短い文。") for i in range(3)), characters=12)
    assert "100 %" in capsys.readouterr().err
