"""Japanese text to the checkpoint's own token ids, fast.

The ids are those of transformers' ``BertJapaneseTokenizer`` (MeCab words, then WordPiece). The
speed comes from asking MeCab for its words as one string, and from remembering the pieces of a
word: a language repeats its words, so nearly every one is a single dictionary look-up.

One difference is wanted: text that looks like a control token ("[MASK]", "[unused0]") is ordinary
text here, so that nobody can put a marker into a query.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import fugashi
import unidic_lite
from tokenizers import Tokenizer, models, pre_tokenizers

from ..errors import CorruptCheckpointError, IncompleteCheckpointError, InputError
from .cleaning import clean, pieces
from .sentences import Span
from .spans import locate_words

_MAX_REMEMBERED_WORDS = 1 << 18


class TextTokenizer(Protocol):
    """Turns texts into token ids, without [CLS], markers or [SEP]."""

    def encode_batch(self, texts: Sequence[str], limit: int | None = None) -> list[list[int]]:
        """Computes the token ids of each text.

        Args:
            texts: The texts.
            limit: How many ids of a text are needed; of a longer text, the rest may be left out.
        """
        ...

    def encode_with_spans(self, text: str) -> tuple[list[int], Sequence[Span | None]]:
        """Computes the ids of one text, and for each where the characters of ``text`` that it stands for begin and end.

        A token that stands for no character that can be seen, such as the mark of a word's beginning, has None.

        Raises:
            NoOffsetsError: If the tokenizer cannot say where its tokens come from.
        """
        ...


_FREE_TAGGERS: dict[str, list[fugashi.GenericTagger]] = {}
"""MeCabs that nobody uses at the moment, by their options.

Each maps the dictionary into memory and keeps it mapped when it is dropped, so they are kept for the next user. A
list's pop and append are one step each to other threads."""


class WordSplitter:
    """Splits Japanese text into words with MeCab and unidic-lite, after NFKC normalisation.

    Takes any string of any length: what is no text is replaced (:func:`~.cleaning.clean`), and a long text goes to
    MeCab in pieces (:func:`~.cleaning.pieces`). Safe in threads (no two use one MeCab at a time) and in worker
    processes (picklable, and rebuilt there).

    Args:
        normalize: Apply NFKC first, which folds full- and half-width forms.
        mecab_option: Further options for MeCab.
    """

    def __init__(self, *, normalize: bool = True, mecab_option: str = "") -> None:
        self.normalize = normalize
        self.mecab_option = mecab_option
        directory = unidic_lite.DICDIR
        self._options = f'-d "{directory}" -r "{Path(directory, "mecabrc")}" -Owakati {mecab_option}'

    def __getstate__(self) -> dict[str, Any]:
        return {"normalize": self.normalize, "mecab_option": self.mecab_option}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def split(self, text: str) -> list[str]:
        """Splits ``text`` into words, in order, without white space."""
        return list(chain.from_iterable(self.split_pieces(text)))

    def split_pieces(self, text: str) -> Iterator[list[str]]:
        """Yields the words of one piece of ``text`` after the other, each when it is asked for."""
        for piece in self._pieces(text):
            # MeCab's own separator is one space, and its words hold no space; str.split also cuts
            # at the few other characters (U+001C, U+0085 ...) that WordPiece regards as space.
            with self._mecab() as tagger:
                words: str = tagger.parse(piece)
            yield words.split()

    def parts_of_speech(self, text: str) -> Iterator[tuple[str, str]]:
        """Yields the words of ``text``, each with its part of speech as UniDic names it, such as 名詞."""
        for piece in self._pieces(text):
            with self._mecab() as tagger:
                found = [(word.surface, word.feature[0]) for word in tagger(piece)]
            yield from found

    def _pieces(self, text: str) -> Iterator[str]:
        text = clean(text)
        return pieces(unicodedata.normalize("NFKC", text) if self.normalize else text)

    @contextmanager
    def _mecab(self) -> Iterator[fugashi.GenericTagger]:
        free = _FREE_TAGGERS.setdefault(self._options, [])
        try:
            tagger = free.pop()
        except IndexError:
            tagger = fugashi.GenericTagger(self._options)
        try:
            yield tagger
        finally:
            free.append(tagger)


class _Pieces(dict[str, list[int]]):
    """Word to WordPiece ids. It starts with the whole vocabulary, and learns the rest."""

    def __init__(self, vocabulary: Mapping[str, int], unk_token: str) -> None:
        super().__init__({word: [index] for word, index in vocabulary.items()})
        wordpiece = models.WordPiece(dict(vocabulary), unk_token=unk_token, max_input_chars_per_word=100)
        self._tokenizer = Tokenizer(wordpiece)
        self._tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self._limit = len(self) + _MAX_REMEMBERED_WORDS

    def __missing__(self, word: str) -> list[int]:
        pieces: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        if len(self) < self._limit:
            self[word] = pieces
        return pieces


class JapaneseTokenizer:
    """The ids of ``BertJapaneseTokenizer`` (MeCab, unidic-lite, WordPiece) at several times its speed.

    Args:
        vocabulary: Token to id.
        unk_token: The token for a word that the vocabulary cannot spell.
        do_lower_case: Lower-case the words, after MeCab.
        splitter: How text becomes words.

    Raises:
        InputError: If ``unk_token`` is not in the vocabulary.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        *,
        unk_token: str = "[UNK]",
        do_lower_case: bool = False,
        splitter: WordSplitter | None = None,
    ) -> None:
        if unk_token not in vocabulary:
            raise InputError(f"the vocabulary of {len(vocabulary)} tokens lacks the unknown token {unk_token!r}.")
        self.vocabulary = dict(vocabulary)
        self.unk_token = unk_token
        self.do_lower_case = do_lower_case
        self.splitter = WordSplitter() if splitter is None else splitter
        self._pieces = _Pieces(self.vocabulary, unk_token)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary,
            "unk_token": self.unk_token,
            "do_lower_case": self.do_lower_case,
            "splitter": self.splitter,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.vocabulary)} tokens, do_lower_case={self.do_lower_case})"

    def encode(self, text: str, limit: int | None = None) -> list[int]:
        """Computes the token ids of one text, without [CLS] and [SEP].

        Args:
            text: Any string.
            limit: How many ids are needed. Of a longer text, the rest may be left out, and is not tokenized.
        """
        ids: list[int] = []
        for words in self.splitter.split_pieces(text):
            ids += chain.from_iterable(map(self._pieces.__getitem__, self._cased(words)))
            if limit is not None and len(ids) >= limit:
                break
        return ids

    def encode_batch(self, texts: Sequence[str], limit: int | None = None) -> list[list[int]]:
        """Computes the token ids of each text, without [CLS] and [SEP]; ``limit`` is as for :meth:`encode`."""
        return [self.encode(text, limit) for text in texts]

    @staticmethod
    def most(text: str) -> int:
        """Returns how many tokens the text has at most, without reading it: none is shorter than a character."""
        return max(len(text), len(unicodedata.normalize("NFKC", text).lower()))

    def words(self, text: str) -> list[str]:
        """Returns the words that WordPiece gets."""
        return self._cased(self.splitter.split(text))

    def _cased(self, words: list[str]) -> list[str]:
        return [word.lower() for word in words] if self.do_lower_case else words

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """Computes token ids, and for each the characters of ``text`` that it was read from.

        Returns:
            The ids of :meth:`encode`, and as many ``(start, end)`` pairs. The pieces of a word
            share the word's span where a piece cannot be told apart.
        """
        ids: list[int] = []
        spans: list[Span] = []
        for word, start, end in locate_words(self.words(text), text, self.splitter.normalize):
            pieces = self._pieces[word]
            ids += pieces
            spans += self._piece_spans(word, pieces, start, end)
        return ids, spans

    def _piece_spans(self, word: str, pieces: list[int], start: int, end: int) -> Iterator[tuple[int, int]]:
        lengths = [len(self._token(piece).removeprefix("##")) for piece in pieces]
        if sum(lengths) != len(word) or len(word) != end - start:
            yield from [(start, end)] * len(pieces)
            return
        for length in lengths:
            yield start, start + length
            start += length

    def _token(self, index: int) -> str:
        if not hasattr(self, "_tokens"):
            self._tokens = {i: token for token, i in self.vocabulary.items()}
        return self._tokens[index]

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> JapaneseTokenizer:
        """Reads ``vocab.txt`` and ``tokenizer_config.json`` of a ``BertJapaneseTokenizer``.

        Raises:
            IncompleteCheckpointError: If one of the two files is missing.
            CorruptCheckpointError: If the configuration cannot be read.
            InputError: If it asks for another word or subword tokenizer.
        """
        directory = Path(directory)
        for name in ("vocab.txt", "tokenizer_config.json"):
            if not (directory / name).is_file():
                raise IncompleteCheckpointError(f"{directory} has no {name}, which a Japanese tokenizer needs.")
        try:
            config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorruptCheckpointError(f"{directory / 'tokenizer_config.json'} is no valid JSON: {error}") from None
        with (directory / "vocab.txt").open(encoding="utf-8", newline="\n") as lines:
            vocabulary = {line.rstrip("\n"): index for index, line in enumerate(lines)}
        return cls.from_config(vocabulary, config)

    @classmethod
    def from_config(cls, vocabulary: Mapping[str, int], config: Mapping[str, Any]) -> JapaneseTokenizer:
        """Builds the tokenizer from the settings of a ``BertJapaneseTokenizer``.

        Raises:
            InputError: If they ask for something other than MeCab with unidic-lite and WordPiece.
        """
        if not cls.supports(config):
            raise InputError(
                "only MeCab with unidic_lite and WordPiece are supported, but the settings ask for "
                f"word_tokenizer_type={config.get('word_tokenizer_type')!r}, "
                f"subword_tokenizer_type={config.get('subword_tokenizer_type')!r}, "
                f"mecab_kwargs={config.get('mecab_kwargs')!r}."
            )
        mecab = config.get("mecab_kwargs") or {}
        splitter = WordSplitter(
            normalize=mecab.get("normalize_text", True), mecab_option=mecab.get("mecab_option") or ""
        )
        unk_token = config.get("unk_token", "[UNK]")
        return cls(
            vocabulary,
            unk_token=unk_token["content"] if isinstance(unk_token, dict) else str(unk_token),
            do_lower_case=bool(config.get("do_lower_case", False)),
            splitter=splitter,
        )

    @staticmethod
    def supports(config: Mapping[str, Any]) -> bool:
        """Returns whether this class reproduces the settings of a ``BertJapaneseTokenizer``."""
        mecab = config.get("mecab_kwargs") or {}
        return (
            config.get("word_tokenizer_type") == "mecab"
            and config.get("subword_tokenizer_type", "wordpiece") == "wordpiece"
            and bool(config.get("do_word_tokenize", True))
            and bool(config.get("do_subword_tokenize", True))
            and mecab.get("mecab_dic", "unidic_lite") == "unidic_lite"
        )

    def save_pretrained(self, directory: str | Path) -> None:
        """Writes the two files that :meth:`from_pretrained` and ``BertJapaneseTokenizer`` read."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tokens = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
        (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8", newline="\n")
        config = {
            "tokenizer_class": "BertJapaneseTokenizer",
            "model_max_length": 512,
            "do_lower_case": self.do_lower_case,
            "word_tokenizer_type": "mecab",
            "subword_tokenizer_type": "wordpiece",
            "mecab_kwargs": {
                "mecab_dic": "unidic_lite",
                "normalize_text": self.splitter.normalize,
                "mecab_option": self.splitter.mecab_option or None,
            },
            "unk_token": self.unk_token,
        }
        (directory / "tokenizer_config.json").write_text(
            json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8"
        )
