"""Does a fit that is killed at any instant go on to the same result?

    python benchmarks/kills.py                # 30 kills

Starts a fit of the bundled blood cells with `checkpoint=` in a process of its own, kills it
(SIGKILL) after a random time, as often as asked for, and lets it end. The state is written after
each epoch, not each half minute, so that kills meet writes. The result has to be that of a fit that
nobody killed, to the last bit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import scgan_perturb as sp
from scgan_perturb.training import _checkpoint

RESULTS = Path(__file__).parent / "results"
EPOCHS = 150
LONGEST = 4.0  # seconds from the start of training to a kill


def fit(folder: Path, out: Path) -> None:
    """One fit from start to end, or to the kill."""
    _checkpoint.SECONDS_BETWEEN = 0.0
    sp.settings.progress_bar = False
    adata = sp.datasets.pbmc68k()
    print("training", flush=True)
    sp.tl.fit_tspg(
        adata,
        "bulk_labels",
        "CD19+ B",
        recipe=sp.tl.Transport(max_epochs=EPOCHS),
        checkpoint=folder,
    )
    np.savez(out, x_adv=adata.layers["xadv"], **adata.uns["tspg"]["weights"])


def start(folder: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, __file__, "--folder", str(folder), "--out", str(out)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout is not None
    run.stdout.readline()
    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        fit(options.folder, options.out)
        return
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_killed = n_unfinished = 0
        while n_killed < options.kills:
            run = start(folder / "state", folder / "killed.npz")
            time.sleep(rng.uniform(0, LONGEST))
            n_unfinished += (folder / "state" / "generator.part").exists()
            if run.poll() is None:
                run.kill()
                n_killed += 1
            else:  # it ended: begin again
                for file in (folder / "state").iterdir():
                    file.unlink()
            run.wait()
            print(n_killed, "kills", flush=True)
        for where, out in (("state", "killed.npz"), ("other", "whole.npz")):
            assert start(folder / where, folder / out).wait() == 0
        killed, whole = (np.load(folder / out) for out in ("killed.npz", "whole.npz"))
        same = all(np.array_equal(killed[part], whole[part]) for part in whole.files)
    text = (
        f"# Killed fits\n\n`python benchmarks/kills.py --kills {options.kills}`: {n_killed} kills at "
        f"random instants of a fit, {n_unfinished} of them while a state was written. The fit that "
        f"went on each time ended {'with the same bits as' if same else 'DIFFERENT from'} one that "
        "nobody killed.\n"
    )
    print(text)
    (RESULTS / "kills.md").write_text(text)


if __name__ == "__main__":
    main()
