"""One file that holds the points of a store, each byte of them under a checksum; export and import.

It is a zip archive without compression, which any zip program opens::

    part-00000.safetensors    one matrix "vectors", (tokens, dimension): the points' vectors, one below the other
    part-00000.jsonl          one line per point: id, tokens, payload, and text where there is one
    part-00001.safetensors
    ...
    manifest.json             what made the vectors, and of each part the counts and SHA-256 checksums

One part is in memory at a time, and 16 bytes a point, to see that no id comes twice.

May import: the files beside this folder, ``scoring`` and ``text``. Begin with ``transfer.py``.
"""

from .manifest import Manifest, Part, StoredDtype
from .reading import Archive, read_manifest
from .transfer import ImportResult, export_points, import_points, payload_text
from .writing import ArchiveWriter, new_archive

__all__ = [
    "Archive",
    "ArchiveWriter",
    "ImportResult",
    "Manifest",
    "Part",
    "StoredDtype",
    "export_points",
    "import_points",
    "new_archive",
    "payload_text",
    "read_manifest",
]
