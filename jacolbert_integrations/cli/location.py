"""Locations of collections: the options that several commands share, and the client that they make."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from time import monotonic
from typing import TYPE_CHECKING, Any

from .renamed import add_old_name, renamed_value
from .usage import UsageError

if TYPE_CHECKING:
    from ..errors import JaColBERTError
    from ..qdrant import FirstStage, QdrantStore
    from ..qdrant.clients import Client
    from ..stores.server_options import ServerOptions

DEFAULT_LOCATION = "jacolbert-index"
DEFAULT_COLLECTION = "documents"
_PATIENCE = 5.0  # seconds to wait for the first answer of a server
STAGES = ("centroids", "lexical", "bm25", "muvera", "mean")
OLD_STAGES = {"words": "lexical"}
DATATYPES = ("float32", "float16", "turbo16", "turbo8", "turbo4")


def add_location(parser: argparse.ArgumentParser) -> None:
    """Adds the options of where collections are, and of how to reach a server."""
    parser.add_argument(
        "--location",
        default=os.environ.get("QDRANT_URL", DEFAULT_LOCATION),
        help="a Qdrant server's address, or a folder, where Qdrant Edge runs in this process (default: $QDRANT_URL, or "
        f"the folder {DEFAULT_LOCATION}). The key of a server is read from $QDRANT_API_KEY, or from the file that "
        "$QDRANT_API_KEY_FILE names",
    )
    add_old_name(parser, "--at", "--location")
    server = parser.add_argument_group("a Qdrant server")
    server.add_argument("--grpc", action="store_true", help="talk gRPC with the server, which is faster")
    server.add_argument("--grpc-port", type=int, metavar="PORT", help="(default: 6334)")
    server.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait for an answer (default: 60)")
    server.add_argument(
        "--prefix",
        metavar="PATH",
        help="the path under which a proxy has the server. The address says the proxy's port: https://host:443",
    )
    server.add_argument("--ca-certificate", metavar="FILE", help="certificates of the authorities to trust")
    server.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=WHERE",
        help="send a header, whose value is in an environment variable (NAME=env:VARIABLE) or a file (NAME=file:PATH); "
        "may be repeated",
    )
    server.add_argument("--api-key-file", metavar="FILE", help="a file with the server's key")


def server_options(arguments: argparse.Namespace) -> ServerOptions | None:
    """Returns what the command line says of the server; None if it says nothing.

    Raises:
        InputError: If it cannot be used.
    """
    from ..stores.server_options import ServerOptions

    headers = dict(header.partition("=")[::2] for header in arguments.header)
    if len(headers) < len(arguments.header):
        raise UsageError("--header names the same header twice.")
    said = {
        "grpc_port": arguments.grpc_port,
        "timeout": arguments.timeout,
        "prefix": arguments.prefix,
        "verify": arguments.ca_certificate,
        "headers": headers or None,
        "api_key_file": arguments.api_key_file,
    }
    values = {name: value for name, value in said.items() if value is not None}
    return ServerOptions(**values) if values else None


def add_collection(parser: argparse.ArgumentParser) -> None:
    """Adds the option of the collection's name."""
    parser.add_argument("--collection", default=DEFAULT_COLLECTION, metavar="NAME", help="(default: %(default)s)")


def add_new_collection(parser: argparse.ArgumentParser) -> None:
    """Adds the options of how a new collection is made."""
    parser.add_argument(
        "--first-stage",
        nargs="+",
        choices=STAGES,
        type=renamed_value(OLD_STAGES),
        default=[],
        help="how a new collection finds candidates for MaxSim: by centroids of token vectors, which need no shared "
        "word, by words (lexical: BM25 over MeCab's), by Qdrant's own BM25, by MUVERA encodings, by mean vectors, or "
        "by several of these (default: none; every search is exact)",
    )
    parser.add_argument(
        "--datatype",
        choices=DATATYPES,
        help="how a new collection keeps numbers (default: float16); turbo8 has half of its bytes, turbo4 a quarter",
    )
    parser.add_argument(
        "--payload-index",
        nargs="+",
        default=[],
        metavar="KEY=TYPE",
        help="keys of the payload to filter by, as keyword, integer, float, bool, datetime or text: a server in strict "
        "mode, as Qdrant's cloud is, refuses filters by others. Made also in a collection that is there",
    )


def store_in(client: Client, collection: str, arguments: argparse.Namespace) -> QdrantStore:
    """Returns the store for a collection that exists, or that will be created with the given options.

    Raises:
        InputError: If the client that is installed does not know the data type, or an index is none.
    """
    from importlib.metadata import version

    from qdrant_client import models

    from ..errors import InputError
    from ..qdrant import FixedDimensional, Lexical, MeanPooled, NearestCentroids, QdrantBM25, QdrantStore

    kinds: list[type[FirstStage]] = [NearestCentroids, Lexical, QdrantBM25, FixedDimensional, MeanPooled]
    by_name = dict(zip(STAGES, kinds, strict=True))
    stages = [by_name[name]() for name in arguments.first_stage] or None
    datatype: dict[str, Any] = {}
    if arguments.datatype is not None:
        if arguments.datatype not in {known.value for known in models.Datatype}:
            raise InputError(
                f"the qdrant-client that is installed ({version('qdrant-client')}) knows no {arguments.datatype}. Take "
                "a newer one: pip install --upgrade qdrant-client"
            )
        datatype["datatype"] = models.Datatype(arguments.datatype)
    indexes = _indexes(arguments.payload_index)
    return QdrantStore(client, collection, first_stage=stages, vector_options=datatype, indexes=indexes)


def _indexes(given: list[str]) -> dict[str, str]:
    parted = [text.rpartition("=") for text in given]
    if bad := [text for text, (key, _, kind) in zip(given, parted, strict=True) if not key or not kind]:
        raise UsageError(f"--payload-index takes KEY=TYPE, such as year=integer, but got {bad[0]!r:.60}.")
    return {key: kind for key, _, kind in parted}


@contextmanager
def opened(arguments: argparse.Namespace, *, must_exist: bool = False) -> Iterator[Client]:
    """Yields a client for the location that the command line names, and closes it at the end.

    Args:
        arguments: Of a command with :func:`add_location`.
        must_exist: Whether a folder that is not there is an error, rather than made.

    Raises:
        InputError: If ``must_exist`` and there is no such folder, or the options of a server cannot be used.
        MissingExtraError: If it is a folder, and Qdrant Edge is not installed.
        UnreachableError: If it is a server that does not answer within some seconds.
    """
    from ..errors import InputError
    from ..qdrant.clients import connect
    from ..stores.addresses import check_location, is_address

    location = check_location(arguments.location)
    server = is_address(location)
    if must_exist and not server and not Path(location).expanduser().is_dir():
        raise InputError(f"there is no folder {location}. Index something first, or say where it is with --location.")
    options = server_options(arguments)
    check_reachable(arguments)
    client = connect(location, grpc=arguments.grpc, server=options)
    try:
        yield client
    finally:
        client.close()


def check_reachable(arguments: argparse.Namespace) -> None:
    """Checks that a server answers, if the location that the command line names is one.

    Raises:
        InputError: If the options of a server cannot be used.
        UnreachableError: If it does not answer within some seconds.
    """
    from ..errors import UnreachableError
    from ..stores.addresses import check_location, is_address
    from ..stores.server_options import ServerOptions

    location = check_location(arguments.location)
    if not is_address(location):
        return
    problem = answers(location, ServerOptions.given(server_options(arguments)), grpc=arguments.grpc)
    if isinstance(problem, UnreachableError):
        raise problem


@contextmanager
def nothing_left_after_failure(arguments: argparse.Namespace) -> Iterator[None]:
    """Removes the folder that a block has made for collections, if the block fails before a point is written.

    A folder that was there before stays as it is, and so does one with points: whoever goes on needs them.
    """
    from ..stores.addresses import check_location, is_address

    location = check_location(arguments.location)
    folder = Path(location).expanduser()
    made_here = not is_address(location) and not folder.exists()
    try:
        yield
    except BaseException:  # an interrupt, too
        if made_here and folder.is_dir() and _is_empty(location):
            rmtree(folder)
        raise


def _is_empty(location: str) -> bool:
    """Says whether the collections of a folder hold no points; False if they cannot be read."""
    from ..errors import JaColBERTError
    from ..qdrant.answers import ask
    from ..qdrant.clients import connect

    try:
        client = connect(location)
    except JaColBERTError:
        return False
    try:
        names = [found.name for found in ask(client, client.get_collections).collections]
        return not any(ask(client, client.count, name).count for name in names)
    except JaColBERTError:
        return False
    finally:
        client.close()


def answers(location: str, options: ServerOptions, *, grpc: bool) -> JaColBERTError | None:
    """Checks whether a server answers, for which it waits some seconds only, however long the rest may take.

    Args:
        location: The server's address.
        options: How to reach it.
        grpc: Whether over gRPC.

    Returns:
        What is wrong: :class:`UnreachableError` if nothing answers, another error if the answer is a refusal. None if
        all is well.
    """
    from ..errors import JaColBERTError, UnreachableError
    from ..qdrant.answers import ask
    from ..qdrant.clients import connect

    seconds = min(options.timeout, _PATIENCE)
    try:
        client = connect(location, grpc=grpc, server=replace(options, timeout=seconds, check_compatibility=False))
    except JaColBERTError as error:
        return error
    begun = monotonic()
    try:
        ask(client, client.get_collections)
    except UnreachableError as error:
        if monotonic() - begun < seconds:
            return error
        way = f"gRPC, port {options.grpc_port}" if grpc else "REST"
        return UnreachableError(
            f"{location} has not answered for {seconds:.0f} s ({way}). Is a Qdrant server running there, and are the "
            "address, the port and a firewall's rules right?"
        )
    except JaColBERTError as error:
        return error
    finally:
        client.close()
    return None
