"""A search imports nothing that it does not use, and what it does not import still works once it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jacolbert_integrations import EdgeStore, JaColBERT
from jacolbert_integrations.cli.late_imports import LATE

_SEARCH = """
import sys
from jacolbert_integrations.cli.late_imports import LateModule
from jacolbert_integrations.cli.main import main

status = main()
unused = ["sklearn", "scipy", "pandas", "pyarrow", "datasets", "accelerate", "torch._dynamo", "torch.distributed.fsdp"]
print("imported:", [n for n in unused if not isinstance(sys.modules.get(n), LateModule | None)], file=sys.stderr)
raise SystemExit(status)
"""


def _run(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_search_imports_no_more_than_it_uses(tmp_path: Path, mini: JaColBERT) -> None:
    with EdgeStore(tmp_path / "here") as store:
        store.bind(mini.identity)
        store.create()
    done = _run(_SEARCH, "search", "猫", "--location", "here", "--model", "jacolbert-mini", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing found" in done.stdout
    assert done.stderr.splitlines()[-1] == "imported: []"


_USES = {
    "a call": "from scipy.stats import spearmanr\nassert spearmanr([1, 2, 3], [1, 2, 3]).statistic > 0.99",
    "a function of a parent": "import scipy.sparse\nassert scipy.sparse.coo_matrix(([1], ([0], [0]))).sum() == 1",
    "an attribute": "import sklearn.metrics as m\nassert m.accuracy_score.__name__ == 'accuracy_score'",
    "a subclass": (
        "from datasets import Dataset\nclass Own(Dataset): pass\n"
        "import datasets\nassert datasets.Dataset in Own.__mro__"
    ),
    "an instance": (
        "from datasets import Dataset\nassert not isinstance(3, Dataset)\n"
        "import datasets\nmade = Dataset.from_dict({'n': [1]})\nassert isinstance(made, Dataset) and len(made) == 1"
    ),
    "an annotation": (
        "from datasets import Dataset\nfrom typing import get_args\nform = Dataset | None\n"
        "assert type(None) in get_args(form)\nimport sys\n"
        "from jacolbert_integrations.cli.late_imports import LateModule\n"
        "assert isinstance(sys.modules['datasets'], LateModule)"
    ),
    "a name that is not there": (
        "from scipy import nosuch\ntry:\n    nosuch()\n"
        "except ImportError as error:\n    assert 'nosuch' in str(error)\nelse:\n    raise AssertionError"
    ),
    "a version": "import scipy\nfrom importlib.metadata import version\nassert scipy.__version__ == version('scipy')",
    "a compiled function": (
        "import torch\ncompiled = torch.compile(lambda x: x + 1, backend='eager')\n"
        "assert compiled(torch.ones(2)).tolist() == [2, 2]"
    ),
    "a function that a library of these imported": (
        "import numpy as np\n"
        "from sentence_transformers.util.similarity import pairwise_distances\n"
        "assert pairwise_distances(np.eye(2)).shape == (2, 2)"
    ),
    "a trainer": (
        "from sentence_transformers import MultiVectorEncoderTrainingArguments as Arguments\n"
        "assert Arguments(output_dir='out', report_to=[], use_cpu=True).device.type == 'cpu'"
    ),
}


@pytest.mark.parametrize("use", _USES)
def test_what_is_late_loads_when_it_is_used(tmp_path: Path, use: str) -> None:
    setup = "from jacolbert_integrations.cli.late_imports import import_late\nimport_late()\n"
    done = _run(setup + _USES[use], folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_library_imports_as_ever(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom jacolbert_integrations.encoding.encoder import JaColBERT\n"
        f"assert not [name for name in {LATE!r} if 'Late' in type(sys.modules.get(name)).__name__]"
    )
    done = _run(program, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_not_installed_is_not_found(tmp_path: Path) -> None:
    program = (
        "from jacolbert_integrations.cli.late_imports import import_late\nimport_late(['nosuch_package'])\n"
        "try:\n    import nosuch_package\nexcept ModuleNotFoundError:\n    pass\nelse:\n    raise AssertionError"
    )
    done = _run(program, folder=tmp_path)
    assert done.returncode == 0, done.stderr
