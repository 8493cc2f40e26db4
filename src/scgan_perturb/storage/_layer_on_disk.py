"""A layer in an h5ad file or zarr store, written part by part, dense or CSR.

Its space is allocated before values are written, so that later writes change values only: the file
stays valid if the process is killed. A sample that is not written yet is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np

from ..data._blocks import blocks, dense
from ._file import commit, flush

if TYPE_CHECKING:
    from scipy import sparse

    from ..data._blocks import Matrix
    from ._file import Group

IDENTITY_ATTRIBUTE = "scgan_perturb"  # of the layer: the identity of the result
VALUES_IN_CHUNK = 2**16  # of a CSR layer
SPARE = 1.05  # values to make room for, of those that are expected


class DenseLayer:
    """A dense layer. Parts are written in any order, by several processes.

    Parameters
    ----------
    file
        The AnnData in the file.
    name, shape
        Name and shape of the layer.
    stride
        Samples in a part.
    """

    in_order = False

    def __init__(self, file: Group, name: str, shape: tuple[int, int], stride: int) -> None:
        self.file, self.name, self.shape, self.stride = file, name, shape, stride

    @property
    def encoding(self) -> dict[str, Any]:
        """Attributes with which anndata reads the layer."""
        return {"encoding-type": "array", "encoding-version": "0.2.0"}

    @property
    def element(self) -> Any:
        """The array or group in the file."""
        return self.file["layers"][self.name]

    @property
    def matrix(self) -> Any:
        """The layer as an AnnData holds it."""
        return self.element

    def create(self) -> None:
        """Create the layer, all values NaN. It becomes readable with the attributes `encoding`."""
        layers = self.file["layers"]
        if isinstance(layers, h5py.Group):
            self._create_h5(layers)
            return
        layers.create_array(
            self.name,
            shape=self.shape,
            dtype=np.float32,
            chunks=(min(self.stride, self.shape[0]), self.shape[1]),
            fill_value=np.nan,
            overwrite=True,
        )

    def _create_h5(self, layers: h5py.Group) -> None:
        """Create the layer, or take an earlier result: HDF5 does not free its space."""
        old = layers.get(self.name)
        if not isinstance(old, h5py.Dataset) or (
            (old.shape, old.dtype, old.chunks) != (self.shape, np.float32, None)
        ):
            if old is not None:
                del layers[self.name]
            options = _allocated_early()
            options.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            layers.create_dataset(self.name, self.shape, np.float32, dcpl=options)
        for part in blocks(self.shape[0], self.stride):
            layers[self.name][part] = np.float32(np.nan)

    def resume(self, row: int) -> None:
        """Continue with the samples from `row` on."""

    def write(self, part: slice, expression: Matrix) -> None:
        """Write a part."""
        self.element[part] = dense(expression)

    def finish(self) -> None:
        """Leave the layer as it is: all parts are written."""


class CsrLayer(DenseLayer):
    """A CSR layer. Parts are written in order, by one process.

    Each sample that is not written yet holds a NaN at the end of the allocated space. The first of
    these samples also holds the free space before, into which the next part is written.
    """

    in_order = True

    def __init__(self, file: Group, name: str, shape: tuple[int, int], stride: int) -> None:
        super().__init__(file, name, shape, stride)
        self._n_values = 0  # of the samples that are written

    @property
    def encoding(self) -> dict[str, Any]:
        """Attributes with which anndata reads the layer."""
        shape = list(self.shape)
        return {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape}

    @property
    def matrix(self) -> ad.abc.CSRDataset:
        """The layer as an AnnData holds it."""
        return ad.io.sparse_dataset(self.element)

    def create(self) -> None:
        """Create the layer, or take an earlier result of the same shape; all samples are NaN."""
        layers = self.file["layers"]
        if self.name in layers and not self._is_own(layers[self.name]):
            del layers[self.name]
        if self.name not in layers:
            group = layers.create_group(self.name)
            n_samples, n_genes = self.shape
            fits = SPARE * n_samples * (n_genes + 1) < np.iinfo(np.int32).max
            _create_array(group, "data", n_samples, np.dtype("float32"), np.nan)
            _create_array(group, "indices", n_samples, np.dtype("int32"), 0)
            _create_array(group, "indptr", n_samples + 1, np.dtype("int32" if fits else "int64"), 0)
        self.resume(0)

    def _is_own(self, element: Any) -> bool:
        shape = element.attrs.get("shape")
        is_own = IDENTITY_ATTRIBUTE in element.attrs and shape is not None
        return is_own and tuple(shape) == self.shape

    def resume(self, row: int) -> None:
        """Continue with the samples from `row` on, which become NaN."""
        self._n_values = int(self.element["indptr"][row])
        self._make_room(row, self._n_values)

    def write(self, part: slice, expression: sparse.csr_matrix) -> None:
        """Write the next part."""
        element, n_samples = self.element, self.shape[0]
        end = self._n_values + expression.nnz
        if end + n_samples > element["data"].shape[0]:
            self._make_room(part.start, int(SPARE * end * n_samples / part.stop))
        for name in ("data", "indices"):
            element[name][self._n_values : end] = getattr(expression, name)
        flush(self.file)
        stops = self._n_values + expression.indptr[1:].astype(np.int64)
        element["indptr"][part.start + 1 : part.stop + 1] = stops
        self._n_values = end

    def _make_room(self, row: int, n_values: int) -> None:
        """Make room for so many values and a NaN of each sample; samples from `row` on are NaN."""
        element, n_samples = self.element, self.shape[0]
        size = max(n_values + n_samples, element["data"].shape[0])
        self._resize(size)
        nan = slice(size - n_samples, size)
        element["data"][nan] = np.full(n_samples, np.nan, dtype=np.float32)
        element["indices"][nan] = np.zeros(n_samples, dtype=np.int32)
        flush(self.file)
        element["indptr"][row + 1 :] = np.arange(nan.start + row + 1, size + 1)

    def _resize(self, size: int) -> None:
        arrays = [self.element[name] for name in ("data", "indices")]
        if any(array.shape != (size,) for array in arrays):
            for array in arrays:
                array.resize((size,))
            commit(self.file)

    def finish(self) -> None:
        """Free the space that no value needs: all parts are written."""
        self._resize(int(self.element["indptr"][-1]))


def _create_array(group: Group, name: str, size: int, dtype: np.dtype[Any], fill: float) -> None:
    if isinstance(group, h5py.Group):
        group.create_dataset(
            name,
            (size,),
            dtype,
            chunks=(VALUES_IN_CHUNK,),
            maxshape=(None,),
            fillvalue=fill,
            dcpl=_allocated_early(),
        )
    else:
        chunks = (VALUES_IN_CHUNK,)
        group.create_array(name, shape=(size,), dtype=dtype, chunks=chunks, fill_value=fill)


def _allocated_early() -> h5py.h5p.PropDCID:
    """Options of a dataset whose space is allocated at once: HDF5 changes its index only then."""
    options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    options.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    return options
