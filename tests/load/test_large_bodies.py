"""Bodies far larger than what the server may take of memory, in both directions."""

import http.client
import zlib
from pathlib import Path

import pytest

from tests.load.served import PATIENCE, serving

MIB = 1 << 20
#: Twice the largest block that is under way anywhere, many times over; a body is more.
MOST_GROWTH = 16 * MIB
#: Different in each place of a mebibyte, so that what is lost or doubled is seen.
BLOCK = b"".join(number.to_bytes(4) for number in range(65536 // 4))

SIZES = pytest.mark.parametrize(
    "size", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.load)], ids=["64M", "1G"]
)


def peak(served):
    """Bytes of memory that the process has held at most since `forget_peak`."""
    for line in Path(f"/proc/{served.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the server has ended")


def forget_peak(served):
    """Count the peak anew; the first requests have made what is made once."""
    for path in ("/checksum", "/stream?10"):
        with connected(served) as connection:
            connection.request("GET", path)
            connection.getresponse().read()
    Path(f"/proc/{served.pid}/clear_refs").write_text("5")


class connected:  # noqa: N801
    """A connection of the standard library's client."""

    def __init__(self, served):
        self._connection = http.client.HTTPConnection(*served.address, timeout=PATIENCE)

    def __enter__(self):
        return self._connection

    def __exit__(self, *_):
        self._connection.close()


def blocks(size):
    """A body of so many bytes, in parts, each with its number in front."""
    for number in range(size // len(BLOCK)):
        yield number.to_bytes(8) + BLOCK[8:]


def checksum(parts):
    total = check = 0
    for part in parts:
        total += len(part)
        check = zlib.crc32(part, check)
    return total, check


def received(response):
    """Length and CRC-32 of what comes."""
    return checksum(iter(lambda: response.read(MIB), b""))


@SIZES
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_is_read_in_constant_memory(tmp_path, size, chunked):
    headers = {} if chunked else {"Content-Length": str(size)}
    with serving("web", tmp_path) as served, connected(served) as connection:
        forget_peak(served)
        before = served.resident
        connection.request("POST", "/checksum", blocks(size), headers, encode_chunked=chunked)
        total, check = map(int, connection.getresponse().read().split())
        assert peak(served) - before < MOST_GROWTH
    assert (total, check) == checksum(blocks(size))


@SIZES
def test_an_upload_nobody_reads_is_not_kept_either(tmp_path, size):
    """The client is told at once, and hung up on."""
    with serving("web", tmp_path) as served, connected(served) as connection:
        forget_peak(served)
        before = served.resident
        with pytest.raises(ConnectionError):
            connection.request("POST", "/hello", blocks(size), {"Content-Length": str(size)})
        assert peak(served) - before < MOST_GROWTH


@SIZES
def test_a_download_is_made_in_constant_memory(tmp_path, size):
    with serving("web", tmp_path) as served, connected(served) as connection:
        forget_peak(served)
        before = served.resident
        connection.request("GET", f"/stream?{size // 65536}")
        found = received(connection.getresponse())
        assert peak(served) - before < MOST_GROWTH
    assert found == checksum(bytes(65536) for _ in range(size // 65536))


@SIZES
def test_a_file_is_sent_in_constant_memory(tmp_path, size):
    path = tmp_path / "file"
    with path.open("wb") as file:
        for block in blocks(size):
            file.write(block)
    with (
        serving("web", tmp_path, env={"FILE": str(path)}) as served,
        connected(served) as connection,
    ):
        forget_peak(served)
        before = served.resident
        connection.request("GET", "/file")
        response = connection.getresponse()
        assert response.headers["Content-Length"] == str(size)
        found = received(response)
        assert peak(served) - before < MOST_GROWTH
    path.unlink()
    assert found == checksum(blocks(size))
