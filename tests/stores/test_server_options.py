"""What may be said of a server, and that no secret is in it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.stores.server_options import ServerOptions, check_server, header_values, key_of_server

SECRET = "geheim"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QDRANT_API_KEY", "QDRANT_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"grpc_prot": 1}, "server has no grpc_prot. It takes prefer_grpc, grpc_port"),
        ({"prefer_grpc": 1}, "prefer_grpc is 1, but it is True or False"),
        ({"grpc_port": 0}, "grpc_port is 0, but it must be a number above 0, and 65,535 at most"),
        ({"grpc_port": "6334"}, "grpc_port is '6334'"),
        ({"grpc_port": 6334.0}, "grpc_port is 6334.0"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": True}, "timeout is True"),
        ({"prefix": "a/../b"}, "prefix must be a path"),
        ({"prefix": "a?b"}, "prefix must be a path"),
        ({"prefix": 5}, "prefix must be a path"),
        ({"verify": ""}, "verify is '', but it must be the path of a file"),
        ({"verify": None}, "verify is None"),
        ({"api_key_file": " "}, "api_key_file is ' '"),
        ({"headers": ["x-a"]}, "headers is a list"),
        ({"headers": {"a b": "env:A"}}, "'a b' is no name of a header of yours"),
        ({"headers": {"API-Key": "env:A"}}, "'API-Key' is no name of a header of yours. A key is read from"),
        ({"headers": {"x-bin": "env:A"}}, "'x-bin' is no name of a header of yours"),
        ({"headers": {"x-a": SECRET}}, "the header 'x-a' must say where its value is: 'env:NAME'"),
        ({"headers": {"x-a": "env:"}}, "the header 'x-a' must say where its value is"),
    ],
)
def test_what_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        ServerOptions.given(values)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "values", "said"),
    [
        ("http://h/qdrant", {"prefer_grpc": True}, "gRPC has no paths, so that a server under 'qdrant' cannot be"),
        ("http://h", {"prefer_grpc": True, "prefix": "/a/b/"}, "a server under 'a/b' cannot be reached"),
        ("http://h/qdrant", {"prefix": "a"}, "has a path, and prefix is 'a'. Give one of the two"),
        ("http://h", {"verify": False}, "verify is for https://"),
        ("https://h", {"verify": False, "prefer_grpc": True}, "gRPC always checks the server's certificate"),
    ],
)
def test_what_does_not_go_together(address: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        ServerOptions.given(values).check_address(address)
    assert said in str(caught.value)


def test_only_servers_have_options() -> None:
    check_server("folder", None)
    check_server("http://h", {})
    with pytest.raises(InputError, match="server is for the address of a Qdrant server, but the location is 'folder'"):
        check_server("folder", {})
    with pytest.raises(InputError, match="server is a int"):
        ServerOptions.given(5)  # type: ignore[arg-type]


def test_they_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ServerOptions().to_dict() == {}
    assert ServerOptions.given(None, grpc=True).to_dict() == {"prefer_grpc": True}
    made = ServerOptions(
        timeout=5, prefix="/qdrant/", verify="ca.pem", headers={"X-Token": "file:token"}, api_key_file="key"
    )
    assert made.to_dict() == {
        "timeout": 5,
        "prefix": "qdrant",
        "verify": str(tmp_path / "ca.pem"),
        "headers": {"x-token": f"file:{tmp_path / 'token'}"},
        "api_key_file": str(tmp_path / "key"),
    }
    assert ServerOptions.given(json.loads(json.dumps(made.to_dict()))) == made
    assert pickle.loads(pickle.dumps(made)) == made


def test_where_secrets_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{SECRET} of the file\n", encoding="utf-8")
    assert key_of_server(ServerOptions()) is None
    monkeypatch.setenv("QDRANT_API_KEY_FILE", str(tmp_path / "key"))
    assert key_of_server(ServerOptions()) == f"{SECRET} of the file"
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    assert key_of_server(ServerOptions()) == SECRET
    assert key_of_server(ServerOptions(api_key_file=str(tmp_path / "key"))) == f"{SECRET} of the file"
    headers = {"x-a": "env:QDRANT_API_KEY", "x-b": f"file:{tmp_path / 'key'}"}
    options = ServerOptions(headers=headers)
    assert header_values(options) == {"x-a": SECRET, "x-b": f"{SECRET} of the file"}
    assert SECRET not in repr(options) + str(options) + str(options.to_dict()) + str(pickle.dumps(options))


def test_secrets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"header 'x-a' is read from \$NOT_SET_ANYWHERE, which is not set"):
        header_values(ServerOptions(headers={"x-a": "env:NOT_SET_ANYWHERE"}))
    with pytest.raises(InputError, match=r"the key's file .*none cannot be read \(No such file"):
        key_of_server(ServerOptions(api_key_file=str(tmp_path / "none")))
    for content in (b"\n", f"{SECRET}\nb".encode(), "鍵".encode(), b"\xff"):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(InputError) as caught:
            key_of_server(ServerOptions(api_key_file=str(tmp_path / "key")))
        assert SECRET not in str(caught.value)
    monkeypatch.setenv("QDRANT_API_KEY", f"{SECRET}\n")
    with pytest.raises(InputError, match=r"\$QDRANT_API_KEY is empty, or holds what no header can"):
        key_of_server(ServerOptions())
