"""Uploading a checkpoint, with its card, to the Hugging Face hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

from ..checkpoints.files import weight_shapes
from ..checkpoints.layouts import Layout, inspect_checkpoint
from ..errors import InputError, JaColBERTError
from .layouts import StoredDtype, export

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT

NEVER_UPLOADED = (
    # a trainer's state: of no use to anybody else, some of it as large as the model, most of it pickled
    *("optimizer.*", "scheduler.*", "scaler.*", "rng_state*", "training_args.*", "trainer_state.json"),
    *("checkpoint-*/*", "runs/*", "events.out.tfevents.*"),
    # pickles run code when they are read
    *("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle"),
    # hidden files hold settings and secrets
    *(".*", "*/.*"),
)
"""Patterns of the files that :func:`push_to_hub` leaves where they are."""


def push_to_hub(
    model: JaColBERT | str | Path,
    repo_id: str,
    *,
    card: str | None = None,
    layout: Layout | str = Layout.STANFORD,
    dtype: StoredDtype = "float32",
    token: str | bool | None = None,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Uploads a checkpoint with its card, and makes the repository if there is none.

    Defaults are those of transformers' own ``push_to_hub``. Files that are in the repository and
    not in the checkpoint stay there. :data:`NEVER_UPLOADED` says what is left out.

    Args:
        model: A model, which is exported first; or the directory of a checkpoint, uploaded as it is.
        repo_id: ``"name"``, or ``"organisation/name"``.
        card: The card of a model, in Markdown with YAML front matter:
            :func:`~jacolbert_integrations.training.cards.model_card` writes one. A directory
            brings its own, in ``README.md``.
        layout: For a model, as in :func:`~jacolbert_integrations.exporting.layouts.export`.
        dtype: For a model, how its weights are stored.
        token: As in huggingface_hub: None takes the one of ``hf auth login`` or ``HF_TOKEN``.
        private: Whether a new repository is private; None makes it public, unless the organisation
            says otherwise. A repository that exists stays what it is.
        revision: The branch to commit to, made if there is none; None is ``main``.
        create_pr: Open a pull request instead of committing.
        commit_message: None says what was uploaded.
        api: Another client of the hub than the usual one.

    Returns:
        The address of the commit, or of the pull request.

    Raises:
        InputError: If the card is missing or no card, the weights are pickles, arguments contradict
            each other, or the hub refuses the repository's name or the token.
        CheckpointError: If the directory is no checkpoint that could be loaded.
        JaColBERTError: If the hub cannot be reached, or fails in another way.
    """
    if create_pr and revision is not None:
        raise InputError(f"a pull request is made against main: leave out revision={revision!r}, or create_pr.")
    if isinstance(token, str) and not (token.isascii() and token.isprintable() and token == token.strip() != ""):
        # as a header it would be quoted, whole, by the error that refuses it
        raise InputError("the token is empty, or has white space or line ends around it, or other odd characters.")
    if not isinstance(model, (str, Path)):
        if card is None:
            raise InputError(
                "a model needs a card to be published: data, licence, recipe, metrics and how to reproduce it. Pass "
                "card=, as training.cards.model_card writes it."
            )
        _check_card(card, "card")
        with tempfile.TemporaryDirectory() as folder:
            exported = export(model, Path(folder) / "checkpoint", layout, dtype=dtype, card=card)
            return push_to_hub(
                exported,
                repo_id,
                token=token,
                private=private,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message,
                api=api,
            )
    if card is not None:
        raise InputError(f"{model} brings its own card: write it to README.md there, and leave out card=.")
    path = Path(model)
    kind = _check_publishable(path)
    api = HfApi() if api is None else api
    try:
        # the name comes back with the owner's, if that was left out
        name = api.create_repo(repo_id, token=token, private=private, exist_ok=True).repo_id
        if revision is not None and not revision.startswith("refs/pr"):
            api.create_branch(name, branch=revision, token=token, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=path,
            token=token,
            revision=revision,
            create_pr=create_pr,
            commit_message=f"Upload ColBERT checkpoint ({kind})" if commit_message is None else commit_message,
            ignore_patterns=list(NEVER_UPLOADED),
        )
    except Exception as error:  # of the network, whose library is another one in each version of huggingface_hub
        if reason := _reason(error):
            raise InputError(f"{repo_id!r} cannot be pushed to: {reason}") from error
        raise JaColBERTError(
            f"the hub did not take the upload to {repo_id!r} ({type(error).__name__}: {str(error).strip()}). The "
            "checkpoint here is as it was: try again."
        ) from error
    return str(commit.pr_url if create_pr else commit.commit_url)


def _check_publishable(path: Path) -> str:
    """Says in which layout a directory is, once all that a published checkpoint needs is there."""
    checkpoint = inspect_checkpoint(path)
    for folder in (path, *(path / name for name in checkpoint.projections)):
        if weight_shapes(folder) is None:
            raise InputError(
                f"{folder} has no safetensors weights, and pickles are not published. Load the checkpoint with "
                "JaColBERT.from_pretrained, and push that, or export it first."
            )
    card = path / "README.md"
    if not card.is_file():
        raise InputError(
            f"{path} has no README.md. A published model needs a card: data, licence, recipe, metrics and how to "
            "reproduce it. training.cards.model_card writes one."
        )
    _check_card(card.read_text(encoding="utf-8"), str(card))
    return {
        Layout.STANFORD: "Stanford layout",
        Layout.PYLATE: "PyLate layout",
        Layout.OURS: "sentence-transformers layout, for jacolbert-integrations",
        Layout.SENTENCE_TRANSFORMERS: "sentence-transformers layout",
    }[checkpoint.layout]


def _check_card(card: str, name: str) -> None:
    try:
        licence = ModelCard(card, ignore_metadata_errors=False).data.get("license")
    except Exception as error:  # of YAML, or of huggingface_hub's own checks
        raise InputError(f"the front matter of {name} is no valid YAML of a model card: {error}") from None
    if not licence:
        raise InputError(
            f"{name} names no licence. It must begin with YAML between lines of '---', with a key 'license'; "
            "training.cards.model_card writes it."
        )


def _reason(error: Exception) -> str | None:
    if isinstance(error, HFValidationError):
        return "it is no valid name of a repository ('name' or 'organisation/name')."
    if isinstance(error, GatedRepoError):
        return "the repository is gated, and the token has no access to it."
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or the token may not see it."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the hub does not know the token. Pass token=, or run 'hf auth login'."
    if status == 403:
        return "the token has no right to write there. Make one with write access in the hub's settings."
    return None
