from __future__ import annotations

import pytest

from scgan_perturb.datasets._download import download

BODY = bytes(range(256)) * 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "file.bin"


@pytest.fixture
def addresses(store):
    store.add("one/file.bin", BODY)
    store.add("two/file.bin", BODY)
    return [f"{store.address}{host}/file.bin" for host in ("one", "two")]


def half_downloaded(store, addresses, path):
    store.cut_after["one/file.bin"] = 1000
    with pytest.raises(ConnectionError):
        download(addresses, path)
    store.cut_after.clear()
    store.asked.clear()


def test_a_file_that_breaks_off_is_not_begun_again_elsewhere(store, addresses, path):
    half_downloaded(store, addresses, path)
    download(addresses, path)
    assert store.asked == [("file.bin", "bytes=1000-")]
    assert path.read_bytes() == BODY


def test_what_has_arrived_outlasts_an_address_that_fails(store, addresses, path):
    half_downloaded(store, addresses, path)
    served = dict(store.served)
    store.served.clear()
    with pytest.raises(ConnectionError):
        download(addresses, path)
    store.served |= served
    store.asked.clear()
    download(addresses, path)
    assert store.asked == [("file.bin", "bytes=1000-")]
    assert path.read_bytes() == BODY


def test_the_rest_comes_from_another_address_that_has_the_same_file(store, addresses, path):
    half_downloaded(store, addresses, path)
    del store.served["one/file.bin"]
    download(addresses, path)
    assert store.asked == [("file.bin", "bytes=1000-")] * 2
    assert path.read_bytes() == BODY


def test_several_interruptions_add_up(store, addresses, path):
    for stop in (700, 1900, 4000):
        store.cut_after["one/file.bin"] = stop
        with pytest.raises(ConnectionError):
            download(addresses, path)
    store.cut_after.clear()
    download(addresses, path)
    assert [asked for _, asked in store.asked] == [
        None,
        "bytes=700-",
        "bytes=1900-",
        "bytes=4000-",
    ]
    assert path.read_bytes() == BODY


def test_a_hash_is_checked_over_the_parts_together(store, addresses, path):
    half_downloaded(store, addresses, path)
    part = path.with_name("file.bin.part")
    part.write_bytes(b"x" + part.read_bytes()[1:])
    store.add("one/file.bin", BODY, md5=True)
    with pytest.raises(ValueError, match="another MD5"):
        download(addresses, path)
    assert list(path.parent.iterdir()) == []
    assert download(addresses, path).read_bytes() == BODY


def test_only_the_file_is_left(store, addresses, path):
    half_downloaded(store, addresses, path)
    download(addresses, path)
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_file_is_a_file(store, path):
    store.add("empty", b"")
    assert download([store.address + "empty"], path).read_bytes() == b""
