from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import scgan_perturb as sp
from scgan_perturb._settings import Settings
from scgan_perturb.datasets import _rnaseqdb

KICH = "kich-rsem-fpkm-tcga.txt.gz"
KIDNEY = "kidney-rsem-fpkm-gtex.txt.gz"


def test_files_are_downloaded_once(source):
    sp.datasets.rnaseqdb(["kidney", "kich"])
    sp.datasets.rnaseqdb(["kidney", "kich"])
    assert source.asked == [KIDNEY, KICH]


def test_only_files_not_yet_in_the_cache_are_downloaded(source):
    sp.datasets.rnaseqdb("kich")
    source.asked.clear()
    sp.datasets.rnaseqdb(["kidney", "kich"])
    assert source.asked == [KIDNEY]


def test_the_cache_holds_the_files_as_served(source, cache):
    sp.datasets.rnaseqdb("kich")
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == {KICH: source.served[KICH]}


def test_a_file_in_the_cache_needs_no_server(source, cache):
    source.stop()
    cache.mkdir(parents=True)
    (cache / KICH).write_bytes(source.served[KICH])
    assert sp.datasets.rnaseqdb("kich").n_obs == 2


def test_another_file_in_the_cache_is_named_and_left_and_downloaded_once_it_is_deleted(
    source, cache
):
    cache.mkdir(parents=True)
    (cache / KICH).write_bytes(source.served[KICH][:50])
    with pytest.raises(ValueError, match=f"{KICH} is not the file .* left .*delete it"):
        sp.datasets.rnaseqdb("kich")
    assert source.asked == []
    assert (cache / KICH).read_bytes() == source.served[KICH][:50]
    (cache / KICH).unlink()
    sp.datasets.rnaseqdb("kich")
    assert source.asked == [KICH]
    assert (cache / KICH).read_bytes() == source.served[KICH]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body[:-1] + b"x", id="changed"),
        pytest.param(lambda body: body[:50], id="cut off"),
        pytest.param(lambda body: b"", id="empty"),
    ],
)
def test_a_download_with_another_hash_is_refused_by_name_and_not_kept(source, cache, change):
    source.served[KICH] = change(source.served[KICH])
    with pytest.raises(ValueError, match=f"^{KICH} from http.*damaged or was changed"):
        sp.datasets.rnaseqdb("kich")
    assert list(cache.iterdir()) == []


def test_a_download_that_breaks_off_is_refused_by_name_and_not_kept(source, cache):
    source.bytes_held_back = 20
    with pytest.raises((ConnectionError, ValueError), match=f"^{KICH} "):
        sp.datasets.rnaseqdb("kich")
    assert list(cache.iterdir()) == []


def test_files_before_the_one_that_failed_are_kept(source, cache):
    source.served[KICH] = b"damaged"
    with pytest.raises(ValueError, match=KICH):
        sp.datasets.rnaseqdb(["kidney", "kich"])
    assert [path.name for path in cache.iterdir()] == [KIDNEY]


def test_a_file_the_server_lacks_is_a_connection_error(source):
    del source.served[KICH]
    with pytest.raises(
        ConnectionError, match=rf"{KICH} could not be downloaded.*\(HTTPError 404\)"
    ):
        sp.datasets.rnaseqdb("kich")


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(str, id="cache folder"),
        pytest.param(lambda cache: "SCGAN_PERTURB_DATASET_DIR", id="variable"),
        pytest.param(lambda cache: "sp.settings.dataset_dir", id="setting"),
        pytest.param(lambda cache: f"rnaseqdb/{KICH}", id="file"),
        pytest.param(lambda cache: _rnaseqdb.SHA256[KICH], id="hash"),
    ],
)
def test_without_a_network_the_error_says_how_to_go_on(source, cache, named):
    source.stop()
    with pytest.raises(ConnectionError, match=re.escape(named(cache))):
        sp.datasets.rnaseqdb("kich")


@pytest.mark.parametrize("in_place_of", ["data", "data/rnaseqdb"])
def test_a_file_in_place_of_the_cache_folder_is_a_clear_error(source, tmp_path, in_place_of):
    file = tmp_path / in_place_of
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with pytest.raises(OSError, match=r"rnaseqdb cannot be read or written \(.*Set sp.settings"):
        sp.datasets.rnaseqdb("kich")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_a_cache_folder_without_permission_is_a_clear_error(source, tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"cannot be read or written \(Permission denied\)"):
        sp.datasets.rnaseqdb("kich")


def test_the_dataset_folder_may_be_text_with_a_tilde(source, tmp_path):
    os.environ |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    sp.settings.dataset_dir = "~/cache"
    sp.datasets.rnaseqdb("kich")
    assert (tmp_path / "cache" / "rnaseqdb" / KICH).is_file()


def test_the_environment_variable_names_the_dataset_folder(source, tmp_path):
    os.environ["SCGAN_PERTURB_DATASET_DIR"] = str(tmp_path / "named")
    sp.settings.dataset_dir = Settings().dataset_dir
    sp.datasets.rnaseqdb("kich")
    assert (tmp_path / "named" / "rnaseqdb" / KICH).is_file()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        pytest.param(
            {"SCGAN_PERTURB_DATASET_DIR": "named", "XDG_CACHE_HOME": "xdg"}, "named", id="named"
        ),
        pytest.param({"XDG_CACHE_HOME": "xdg"}, "xdg/scgan_perturb", id="xdg"),
        pytest.param({}, "home/.cache/scgan_perturb", id="home"),
    ],
)
def test_the_dataset_folder_is_looked_for_in_order(tmp_path, variables, folder):
    for name in ("SCGAN_PERTURB_DATASET_DIR", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    for name, value in {"HOME": "home", "USERPROFILE": "home", **variables}.items():
        os.environ[name] = str(tmp_path / value)
    assert Settings().dataset_dir == tmp_path / folder


@pytest.mark.parametrize("wanted", [True, False])
def test_a_progress_bar_is_shown_where_wanted(source, capfd, wanted):
    sp.settings.progress_bar = wanted
    sp.datasets.rnaseqdb("kich")
    assert ("100%" in capfd.readouterr().err) == wanted


IN_A_NOTEBOOK = """
import sys, warnings
from pathlib import Path
import ipykernel.zmqshell

with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    from scgan_perturb.datasets._download import download

    address, path, sha256 = sys.argv[1:]
    download([address], Path(path), sha256)
print([one.category.__name__ for one in warned if "tqdm" in one.category.__name__.lower()])
"""


def test_a_notebook_without_widgets_is_not_warned_of(source, tmp_path):
    """In a process that has the modules of a kernel, and no ipywidgets."""
    (tmp_path / "ipywidgets.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            IN_A_NOTEBOOK,
            source.address + KICH,
            tmp_path / KICH,
            _rnaseqdb.SHA256[KICH],
        ],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"
    assert (tmp_path / KICH).is_file()
