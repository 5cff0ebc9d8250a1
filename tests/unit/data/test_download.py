"""Downloads over a loopback server, whole, interrupted and hostile; archives, sound and hostile."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vadbench.data.download import Remote, download, unpack
from vadbench.errors import DataError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; ``mode`` says how badly. Keeps the Range headers that it was sent."""

    mode = "good"
    ranges: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        mode = self.server.mode
        if mode == "missing":
            self.send_error(404, "Not Found")
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and mode != "no_ranges" else 0
        body = CONTENT[first:]
        if mode == "endless":
            body = CONTENT + b"x" * 1000
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if mode != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mode == "breaks":
            body = body[:1_000_000]
        if mode == "altered":
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.ranges = []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def remote(server: Server, size: int = len(CONTENT)) -> Remote:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Remote(f"http://127.0.0.1:{server.server_address[1]}/set.zip", digest, size)


def test_a_file_is_fetched_once(tmp_path: Path, server: Server) -> None:
    path = download(remote(server), tmp_path / "new")
    assert path == tmp_path / "new" / "set.zip" and path.read_bytes() == CONTENT
    assert download(remote(server), tmp_path / "new") == path
    assert server.ranges == [None]
    assert [p.name for p in path.parent.iterdir()] == ["set.zip"]


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path, server: Server) -> None:
    server.mode = "breaks"
    for have in (1_000_000, 2_000_000):
        with pytest.raises(DataError, match=rf"{have:,} of 3,000,000 bytes came; the same command goes on"):
            download(remote(server), tmp_path)
        assert (tmp_path / "set.zip.part").stat().st_size == have and not (tmp_path / "set.zip").exists()
    server.mode = "good"
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_server_that_cant_resume_starts_anew(tmp_path: Path, server: Server) -> None:
    (tmp_path / "set.zip.part").write_bytes(b"y" * 700)
    server.mode = "no_ranges"
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_file_of_another_checksum_is_not_kept(tmp_path: Path, server: Server) -> None:
    server.mode = "altered"
    with pytest.raises(DataError, match=r"its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}"):
        download(remote(server), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_but_altered_is_fetched_anew(tmp_path: Path, server: Server) -> None:
    (tmp_path / "set.zip").write_bytes(b"half of it")
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_more_bytes_than_announced_are_refused(tmp_path: Path, server: Server) -> None:
    server.mode = "endless"
    with pytest.raises(DataError, match="larger than the 3,000,000 bytes"):
        download(remote(server), tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "set.zip.part").write_bytes(b"z" * 3_000_500)  # left by something else
    server.mode = "good"
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_an_unreachable_server_says_where_to_put_a_copy(tmp_path: Path, server: Server) -> None:
    server.mode = "missing"
    with pytest.raises(DataError, match=rf"Not Found\. .*A copy from elsewhere can be put at {tmp_path}/set\.zip"):
        download(remote(server), tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_only_the_web_is_fetched_from(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="only http and https"):
        download(Remote(url, "0" * 64, 10), tmp_path)


FILES = {"set/a.txt": b"one", "set/deep/b.bin": b"two" * 1000, "set/._a.txt": b"fork", "__MACOSX/set/a.txt": b"fork"}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """A .zip or .tar.gz of ``files``."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as stream:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                stream.addfile(info, io.BytesIO(content))
    return path


KINDS = ["x.zip", "x.tar.gz"]


@pytest.mark.parametrize("kind", KINDS)
def test_archives_are_unpacked_without_what_file_managers_leave(tmp_path: Path, kind: str) -> None:
    unpack(archive(tmp_path / kind, FILES), tmp_path / "out", 10_000)
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {"set/a.txt": b"one", "set/deep/b.bin": b"two" * 1000}


HOSTILE = ["../out_of_it.txt", "set/../../out_of_it.txt", "/tmp/out_of_it.txt", "..\\out_of_it.txt", "C:/x.txt"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_member_that_would_leave_the_folder_is_refused_and_nothing_is_unpacked(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = archive(tmp_path / kind, {"set/a.txt": b"one", name: b"evil"})
    with pytest.raises(DataError, match="would leave the target folder; refused, nothing was unpacked"):
        unpack(path, tmp_path / "in" / "out", 10_000)
    assert list((tmp_path / "in").rglob("*")) == [tmp_path / "in" / "out"]
    assert not Path("/tmp/out_of_it.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as stream:
        info = tarfile.TarInfo("set/link")
        info.type, info.linkname = kind, "/etc/passwd"
        stream.addfile(info)
    with pytest.raises(DataError, match="link or device; refused"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out", 10_000)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("set/link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link or device; refused"):
        unpack(tmp_path / "x.zip", tmp_path / "out", 10_000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_refused(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path / kind, {"set/zeros": bytes(5_000_000)})
    assert path.stat().st_size < 20_000
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        unpack(path, tmp_path / "out", 1_000_000)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["short", "noise"])
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, kind: str, damage: str) -> None:
    path = archive(tmp_path / kind, {"set/a.bin": CONTENT[:200_000]})
    data = bytearray(path.read_bytes())
    if damage == "short":
        data = data[: len(data) // 2]
    else:
        data[50_000:50_100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match="can't be unpacked"):
        unpack(path, tmp_path / "out", 10_000_000)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out" / "set").mkdir(parents=True)
    (tmp_path / "out" / "set" / "a.txt").write_text("mine")
    with pytest.raises(DataError, match="exists already; remove or rename it"):
        unpack(archive(tmp_path / kind, FILES), tmp_path / "out", 10_000)
    assert (tmp_path / "out" / "set" / "a.txt").read_text() == "mine"
