"""Fit on all GPUs of a machine or a cluster, or on several processes of a processor.

    python fit.py                                        one device
    python fit.py --devices 4                            four GPUs of this machine
    torchrun --nproc-per-node 4 fit.py --devices 4       the same, started by torchrun
    sbatch fit.sbatch                                    two machines of four GPUs, by SLURM

Without a file the blood cells that come with scanpy are taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
from lightning_fabric.utilities.rank_zero import rank_zero_only

import scgan_perturb as sp


def parse() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=Path, help="an .h5ad file of normalised expression")
    parser.add_argument("--groupby", default="bulk_labels")
    parser.add_argument("--target", default="CD19+ B")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--devices", type=int, default=1, help="of each machine")
    parser.add_argument("--num-nodes", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, default=Path("fitted"), help="shared by all machines"
    )
    return parser.parse_args()


def main() -> None:
    """Run in every process: all of them read the data, train together, and end with one model."""
    options = parse()
    adata = ad.read_h5ad(options.cells) if options.cells else sp.datasets.pbmc68k()
    sp.tl.fit_tspg(
        adata,
        options.groupby,
        options.target,
        fabric={
            "accelerator": options.accelerator,
            "devices": options.devices,
            "num_nodes": options.num_nodes,
        },
        checkpoint=options.folder / "state",  # a job that the queue ends goes on in the next one
    )
    finish(adata, options.folder)


@rank_zero_only
def finish(adata: ad.AnnData, folder: Path) -> None:
    """Measure and write, in the first process alone."""
    sp.tl.evaluate(adata)
    adata.write_h5ad(folder / "fitted.h5ad")


if __name__ == "__main__":
    main()
