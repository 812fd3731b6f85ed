"""The bundled mini model: a small ColBERT trained from scratch on Japanese questions."""

from __future__ import annotations

import random
import shutil
import string
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from sentence_transformers import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from torch import nn
from transformers import BertConfig, BertModel, set_seed

from ..checkpoints import ColBERTSettings
from ..encoder import JaColBERT
from ..errors import MissingExtraError
from ..evaluation.jsquad import load_jsquad
from ..evaluation.retrieval import evaluate_model
from ..saving import save_scratch, save_stanford, whole_directory
from ..squad import QuestionSet, read_squad
from ..tokenization import JapaneseTokenizer
from .cards import mini_card
from .pairs import ArticleBatchSampler, Pair, as_columns, inverse_cloze_pairs, question_pairs, windows
from .recipes import MiniRecipe
from .vocabulary import learn_vocabulary


def build_mini(texts: Iterable[str], recipe: MiniRecipe) -> JaColBERT:
    """An untrained mini model with a vocabulary of its own, learned from ``texts``."""
    tokenizer = JapaneseTokenizer(learn_vocabulary(texts, recipe.vocabulary_size))
    set_seed(recipe.seed)
    backbone = BertModel(
        BertConfig(
            vocab_size=len(tokenizer.vocabulary),
            hidden_size=recipe.hidden_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=4 * recipe.hidden_size,
            hidden_dropout_prob=recipe.dropout,
            attention_probs_dropout_prob=recipe.dropout,
            initializer_range=recipe.layer_std,
        ),
        add_pooling_layer=False,
    )
    nn.init.normal_(backbone.embeddings.word_embeddings.weight, std=recipe.embedding_std)
    projection = nn.Linear(recipe.hidden_size, recipe.dimension, bias=False)
    nn.init.orthogonal_(projection.weight)
    settings = ColBERTSettings(
        query_marker="[unused0]",
        document_marker="[unused1]",
        query_maxlen=32,
        document_maxlen=recipe.document_maxlen,
        skiplist=tuple(string.punctuation),
        query_length=recipe.query_length,
    )
    with tempfile.TemporaryDirectory() as folder:
        save_scratch(Path(folder) / "untrained", backbone, projection, tokenizer, settings)
        return JaColBERT.from_pretrained(Path(folder) / "untrained")


def mini_pairs(questions: QuestionSet, recipe: MiniRecipe) -> list[Pair]:
    """The recipe's training pairs."""
    questions = windows(questions, recipe.window)
    asked = question_pairs(questions)
    rng = random.Random(recipe.seed)
    cloze = inverse_cloze_pairs(questions, round(len(asked) * recipe.inverse_cloze), cut=recipe.cut, rng=rng)
    return asked + cloze


def train_mini(questions: QuestionSet, recipe: MiniRecipe, output: Path, *, progress: bool = True) -> JaColBERT:
    """Trains the mini model from raw text.

    Args:
        questions: Passages and questions.
        recipe: How.
        output: Where the trainer keeps its files.
        progress: Show the trainer's progress bar.

    Raises:
        MissingExtraError: If the training extra is not installed.
        InputError: If there are too few passages for a batch.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise MissingExtraError("datasets", "training") from error
    texts = [p.text for p in questions.passages] + [q.text for q in questions.questions]
    model = build_mini(texts, recipe)
    pairs = mini_pairs(questions, recipe)
    arguments = MultiVectorEncoderTrainingArguments(
        output_dir=str(output),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        learning_rate_mapping={r"word_embeddings": recipe.embedding_learning_rate},
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="linear",
        seed=recipe.seed,
        batch_sampler=partial(_article_batches, pairs),
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=50,
        disable_tqdm=not progress,
    )
    trainer = MultiVectorEncoderTrainer(
        model=model.model,
        args=arguments,
        train_dataset=Dataset.from_dict(as_columns(pairs)),
        loss=MultiVectorMultipleNegativesRankingLoss(model.model, scale=recipe.scale),
    )
    trainer.train()
    model.model.eval()
    return model


def make_mini(
    files: Sequence[str | Path], output: Path, recipe: MiniRecipe, *, dev_files: Sequence[str | Path] = ()
) -> None:
    """Trains the mini model, measures it as saved, and writes it with its card.

    Args:
        files: Training files in SQuAD's JSON layout.
        output: The checkpoint's folder; it appears when everything has been written.
        recipe: How to train.
        dev_files: Files of the same layout, held out, to measure on.

    Raises:
        InputError: If a file cannot be read, or there are too few passages for a batch.
        MissingExtraError: If the training extra is not installed.
    """
    questions = read_squad(files)
    development = read_squad(dev_files) if dev_files else None
    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_mini(questions, recipe, Path(folder) / "trainer")
        minutes = (perf_counter() - start) / 60
        # float16 halves the package; float32 comes back at loading
        save_stanford(trained.model, Path(folder) / "mini", dtype=torch.float16)
        saved = JaColBERT.from_pretrained(Path(folder) / "mini")
        measured = {"JSQuAD valid": evaluate_model(saved, load_jsquad())}
        if development is not None:
            measured["development set"] = evaluate_model(saved, development)
        card = mini_card(recipe, questions, measured, minutes)
        (Path(folder) / "mini" / "README.md").write_text(card, encoding="utf-8")
        with whole_directory(output) as finished:
            shutil.copytree(Path(folder) / "mini", finished, dirs_exist_ok=True)
    print(card)


def _article_batches(
    pairs: list[Pair], *_: object, batch_size: int, seed: int = 0, **__: object
) -> ArticleBatchSampler:
    return ArticleBatchSampler(pairs, batch_size, seed)
