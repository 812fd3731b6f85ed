from __future__ import annotations

from typing import Any

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.settings import Setting, settings_of


def test_names_say_what_is_changed() -> None:
    assert str(Setting()) == ""
    changed = Setting(query_length="fixed", pooling="hierarchical-2", dimension=64, datatype="int8", first_stage="mean")
    assert str(changed) == "queries fixed, hierarchical-2, 64 dimensions, int8, 100 candidates by mean"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (Setting(), 512),
        (Setting(datatype="float16"), 256),
        (Setting(datatype="int8", dimension=64), 64),
        (Setting(datatype="binary"), 16),
    ],
)
def test_bytes_of_a_vector(setting: Setting, expected: float) -> None:
    assert setting.bytes_of(128) == expected


def test_each_change_is_by_itself() -> None:
    found = settings_of(
        poolings=["kmeans-2"], datatypes=["float32", "binary"], first_stages=["lexical"], candidates=[5, 9]
    )
    assert found == [
        Setting(),
        Setting(pooling="kmeans-2"),
        Setting(datatype="binary"),
        Setting(first_stage="lexical", candidates=5),
        Setting(first_stage="lexical", candidates=9),
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"query_length": "long"}, "query_length is 'long'"),
        ({"pooling": "half"}, "'half' names no pooling"),
        ({"dimension": 0}, "dimension is 0"),
        ({"datatype": "int4"}, "datatype is 'int4', but there are float32, float16, int8, binary"),
        ({"first_stage": "bm25"}, "first_stage is 'bm25', but there are centroids, lexical, mean, muvera"),
        ({"candidates": 0}, "candidates is 0"),
    ],
)
def test_bad_input(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Setting(**wrong)
