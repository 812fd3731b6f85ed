"""Old names keep working for one release, and say what they are called now."""

from __future__ import annotations

from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT, JaColBERTVectorStore
from jacolbert_integrations.cli.main import main, parser
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.settings import Setting


@pytest.mark.parametrize(
    ("arguments", "name", "value", "note"),
    [
        (["search", "q", "--at", "folder"], "location", "folder", "--at is called --location now"),
        (["demo", "--path", "folder"], "location", Path("folder"), "--path is called --location now"),
        (["index", "f", "--first-stage", "words"], "first_stage", ["lexical"], "words is called lexical now"),
        (
            ["evaluate", "--first-stages", "words", "mean"],
            "first_stages",
            ["lexical", "mean"],
            "words is called lexical",
        ),
    ],
)
def test_options(arguments: list[str], name: str, value: object, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert getattr(parser().parse_args(arguments), name) == value
    assert note in capsys.readouterr().err


@pytest.mark.parametrize("command", ["search", "demo"])
def test_the_help_does_not_name_them(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert not {"--at", "--path"} & set(capsys.readouterr().out.split())


def test_the_location_of_a_vector_store(mini: JaColBERT, tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="place is called location now"):
        store = JaColBERTVectorStore(mini, place=tmp_path)
    assert store.location == str(tmp_path)
    with pytest.warns(FutureWarning, match="place is called location now"):
        assert store.place == str(tmp_path)
    described = {**store.to_dict(), "place": str(tmp_path)}  # as an older version wrote it
    del described["location"]
    with pytest.warns(FutureWarning, match="place is called location now"):
        assert JaColBERTVectorStore.from_dict(described).location == str(tmp_path)
    with pytest.raises(InputError, match="Leave place out"):
        JaColBERTVectorStore(mini, location=tmp_path, place=tmp_path)


def test_the_first_stage_of_an_evaluation() -> None:
    with pytest.warns(FutureWarning, match='"words" is called "lexical" now'):
        assert Setting(first_stage="words").first_stage == "lexical"  # type: ignore[arg-type]
