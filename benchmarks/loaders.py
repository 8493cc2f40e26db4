"""What does turning a full GTEx release into an h5ad file need?

    python benchmarks/loaders.py                                # the size of GTEx v7
    python benchmarks/loaders.py --samples 2000 --genes 10000

Makes a GCT file of that size, decompresses it (the floor for time), and converts it with
`sp.datasets.gtex` as if it had been downloaded. Each step runs in a process of its own, so that its
peak memory is its own; what decompressing shows is that of the imports, which all have.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
from peers.answer import peak_memory

import scgan_perturb as sp
from scgan_perturb.datasets._gtex import ATTRIBUTES, EXPRESSION

RESULTS = Path(__file__).parent / "results"
V7_SAMPLES, V7_GENES = 11_688, 56_202
GENES_AT_ONCE = 500
# The share of zeros in GTEx's TPM is about a half; the values repeat, as rounded ones do.
SHARE_OF_ZEROS = 0.5
N_DISTINCT = 20_000


def make(folder: Path, n_samples: int, n_genes: int) -> None:
    """Write the two files of a release into the cache folder, a block of genes at a time."""
    rng = np.random.default_rng(0)
    samples = [f"GTEX-{i // 20:05d}-{i:05d}-SM-XXXXX" for i in range(n_samples)]
    words = np.array([f"{tpm:.4g}" for tpm in rng.lognormal(0, 2.5, N_DISTINCT)], dtype=object)
    n_zeros = int(N_DISTINCT * SHARE_OF_ZEROS / (1 - SHARE_OF_ZEROS))
    words = np.concatenate([words, np.full(n_zeros, "0", dtype=object)])
    with gzip.open(folder / EXPRESSION["v7"], "wt", compresslevel=1) as file:
        file.write(f"#1.2\n{n_genes}\t{n_samples}\n")
        file.write("\t".join(["Name", "Description", *samples]) + "\n")
        for start in range(0, n_genes, GENES_AT_ONCE):
            n = min(GENES_AT_ONCE, n_genes - start)
            drawn = words[rng.integers(len(words), size=(n, n_samples))]
            for gene, row in enumerate(drawn, start):
                file.write(f"ENSG{gene:011d}.1\tG{gene}\t" + "\t".join(row) + "\n")
    lines = [f"{sample}\tLung\tLung\n" for sample in samples]
    (folder / ATTRIBUTES["v7"]).write_text("".join(["SAMPID\tSMTS\tSMTSD\n", *lines]))


def decompress(path: Path) -> None:
    with gzip.open(path) as file:
        while file.read(1 << 20):
            pass


def convert(folder: Path) -> None:
    sp.settings.dataset_dir = folder.parent
    sp.settings.progress_bar = False
    sp.datasets.gtex("v7", backed=True)


def step(name: str, folder: Path, n_samples: int, n_genes: int) -> None:
    """One step, in this process; prints what it took."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    if name == "make":
        make(folder, n_samples, n_genes)
    elif name == "decompress":
        decompress(folder / EXPRESSION["v7"])
    elif name == "read into memory":
        ad.read_h5ad(folder / "v7.h5ad")
    else:
        convert(folder)
    took = {"seconds": time.perf_counter() - begin, "CPU": time.process_time() - begin_cpu}
    took["peak MB"] = peak_memory() / 1e6
    print(json.dumps(took))


def measure(name: str, folder: Path, n_samples: int, n_genes: int) -> dict[str, float]:
    """A step in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    command += ["--samples", str(n_samples), "--genes", str(n_genes)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout)


def report(n_samples: int, n_genes: int, took: dict[str, dict[str, float]], sizes) -> str:
    floor = took["decompress"]["CPU"]
    lines = [
        "# Loading a GTEx release",
        "",
        f"`python benchmarks/loaders.py --samples {n_samples} --genes {n_genes}`: a made GCT file of "
        f"{n_genes:,} genes × {n_samples:,} samples"
        f"{' (the size of GTEx v7)' if (n_samples, n_genes) == (V7_SAMPLES, V7_GENES) else ''}, "
        f"{sizes['gct'] / 1e6:,.0f} MB compressed; its h5ad file has {sizes['h5ad'] / 1e6:,.0f} MB, "
        f"the matrix {n_samples * n_genes * 4 / 1e6:,.0f} MB in memory.",
        "",
        "| step | seconds | CPU seconds | CPU, of decompressing | peak memory, MB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['seconds']:.1f} | {row['CPU']:.1f} | {row['CPU'] / floor:.1f} "
        f"| {row['peak MB']:.0f} |"
        for name, row in took.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=V7_SAMPLES)
    parser.add_argument("--genes", type=int, default=V7_GENES)
    parser.add_argument("--step", help="for the benchmark's own use")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    arguments = parser.parse_args()
    shape = arguments.samples, arguments.genes
    if arguments.step:
        step(arguments.step, arguments.folder, *shape)
        return
    base = Path(tempfile.mkdtemp(dir=arguments.folder))
    folder = base / "gtex"
    folder.mkdir()
    try:
        measure("make", folder, *shape)
        names = ["decompress", "convert", "read into memory"]
        took = {name: measure(name, folder, *shape) for name in names}
        gct = next(folder.glob("*.gct.gz"))
        sizes = {"gct": gct.stat().st_size, "h5ad": (folder / "v7.h5ad").stat().st_size}
        table = report(*shape, took, sizes)
    finally:
        shutil.rmtree(base)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "loaders.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
