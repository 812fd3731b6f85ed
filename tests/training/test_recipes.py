"""Recipes: the published settings, and what can be done with them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from jacolbert_integrations.errors import RecipeError
from jacolbert_integrations.training.recipes import RECIPES, Recipe, parse, recipe


def test_the_published_settings() -> None:
    v1, v2, v25 = (recipe(name) for name in ("v1", "v2", "v2.5"))
    assert (v1.ways, v1.losses, v1.learning_rate, v1.warmup_steps) == (2, {"softmax": 1, "in_batch": 1}, 5e-6, 8000)
    assert (v1.batch_size, v1.document_maxlen, v1.optimizer, v1.schedule) == (128, 228, "adamw", "linear")
    assert (v2.ways, v2.losses, v2.normalization, v2.steps) == (32, {"kl": 1, "in_batch": 1}, "none", 250_000)
    assert (v2.batch_size, v2.document_maxlen, v2.learning_rate, v2.warmup_steps) == (32, 256, 1e-5, 10_000)
    assert (v25.ways, v25.losses, v25.normalization) == (32, {"kl": 1}, "both")
    assert (v25.optimizer, v25.schedule, v25.learning_rate) == ("schedule_free_adamw", "constant", 3e-5)
    assert (v25.steps, v25.warmup_steps, v25.batch_size) == (50_000, 2_500, 64)
    assert v25.warmup_steps / v25.steps == 0.05
    assert (v25.weight_decay, v25.max_grad_norm) == (0, None)
    assert {(r.query_maxlen, r.query_length) for r in (v1, v2, v25)} == {(32, "fixed")}
    assert v25.document_maxlen == 300


def test_every_field_has_a_source() -> None:
    names = {f.name for f in fields(Recipe)} - {"name", "sources"}
    for published in RECIPES.values():
        assert published.sources.keys() == names
        assert all(published.sources.values())


def test_recipes_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        recipe("v1").steps = 5  # type: ignore[misc]


def test_an_unknown_recipe() -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'v3'. There are pairs, v1, v2, v2\.5\."):
        recipe("v3")


def test_changing_a_field_changes_its_source() -> None:
    changed = recipe("v2.5").change(steps=3000, ways=32)
    assert (changed.steps, changed.sources["steps"]) == (3000, "changed")
    assert changed.sources["ways"] == recipe("v2.5").sources["ways"]
    assert recipe("v2.5").steps == 50_000
    with pytest.raises(RecipeError, match=r"a recipe has no field .stepz.\. There are base, batch_size,"):
        recipe("v2.5").change(stepz=3)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("steps=500", "steps", 500),
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("max_grad_norm=none", "max_grad_norm", None),
        ("max_grad_norm=2", "max_grad_norm", 2.0),
        ("losses=kl:1,in_batch:0.5", "losses", {"kl": 1.0, "in_batch": 0.5}),
        ("losses=softmax", "losses", {"softmax": 1.0}),
        ("dimensions=96,64", "dimensions", (96, 64)),
        ("optimizer=adamw", "optimizer", "adamw"),
        ("base=some/model", "base", "some/model"),
    ],
)
def test_fields_from_a_command_line(text: str, field: str, value: object) -> None:
    assert parse(text) == (field, value)


@pytest.mark.parametrize("text", ["steps", "nosuch=3", "sources=x", "steps=many", "losses=kl:much"])
def test_fields_that_cannot_be_read(text: str) -> None:
    with pytest.raises(RecipeError, match=r"no field=value of a recipe|is no value for"):
        parse(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate of the recipe is 0.0, but it must be above 0 and finite"),
        ({"learning_rate": float("nan")}, "learning_rate of the recipe is nan"),
        ({"embedding_learning_rate": -1.0}, "embedding_learning_rate of the recipe is -1.0"),
        ({"ways": 1}, "ways of the recipe is 1, but it must be at least 2 with kl"),
        ({"ways": 0}, "ways of the recipe is 0, but it must be at least 1"),
        ({"steps": 0, "warmup_steps": 0}, "steps of the recipe is 0"),
        ({"warmup_steps": 60_000}, "warmup_steps of the recipe is 60000, but it must be from 0 to the 50000 steps"),
        ({"losses": {}}, "must be at least one loss"),
        ({"losses": {"klx": 1.0}}, "must be any of softmax, in_batch, kl, margin_mse"),
        ({"losses": {"kl": 0.0}}, "must be each of a weight above 0"),
        ({"normalization": "student"}, "must be one of none, teacher, both"),
        ({"schedule": "linear"}, "must be constant with schedule_free_adamw"),
        ({"query_length": "dynamic"}, "must be one of fixed, released, paper"),
        ({"pool_factor": 0.5}, "pool_factor of the recipe is 0.5, but it must be 1 or more"),
        ({"max_grad_norm": 0.0}, "max_grad_norm of the recipe is 0.0"),
        ({"dimensions": (64, 64)}, "dimensions of the recipe"),
    ],
)
def test_values_that_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe("v2.5").change(**changes)


def test_scaling_down_by_rule_says_what_it_does() -> None:
    small, notes = recipe("v2.5").scaled(1_000)
    assert (small.batch_size, small.steps, small.warmup_steps) == (64, 156, 8)
    assert notes == ["steps 50,000 -> 156, warmup_steps 2,500 -> 8: 10 times over 1,000 examples in batches of 64"]
    tiny, notes = recipe("v2.5").scaled(10)
    assert (tiny.batch_size, tiny.steps) == (10, 10)
    assert notes[0] == "batch_size 64 -> 10: there are only 10 examples"
    whole, notes = recipe("v2.5").scaled(3_200_000)
    assert whole is recipe("v2.5")
    assert notes == []
    with pytest.raises(RecipeError, match="there are no examples"):
        recipe("v1").scaled(0)
