"""Every kernel that this machine compiles and runs, built once for all tests."""

import functools
import tempfile
from pathlib import Path

import numpy

from service.kernel import metric, native
from service.kernel.build import build
from service.kernel.interface import unit
from service.kernel.library import runnable
from service.kernel.native import Native
from service.kernel.reference import Reference

FOLDER = tempfile.TemporaryDirectory(prefix="meridian-kernel-")


@functools.cache
def kernels():
    """The reference and every variant, with codes in use at any dimension."""
    native.NARROW, native.SEARCH_WIDTH = 1, 6.0
    folder = Path(FOLDER.name)
    try:
        build(folder)
    except SystemExit:
        return [Reference()]
    return [Reference(), *(Native(name, path) for name, path in runnable(folder))]


def vectors(seed, n, d, kind):
    """Rows (n, d) of float32 of one kind."""
    rng = numpy.random.default_rng(seed)
    made = rng.normal(size=(n, d)).astype(numpy.float32)
    if kind == "unit":
        made = numpy.stack([unit(v) for v in made])
    elif kind == "skewed":
        made *= rng.exponential(3.0, size=(n, 1)).astype(numpy.float32)
        made[:, 0] += 5
    elif kind == "repeated":
        made[:] = made[rng.integers(0, max(1, n // 4), n)]
    elif kind == "zero":
        made[rng.random(n) < 0.5] = 0
    elif kind == "axes":
        made[:] = 0
        made[numpy.arange(n), rng.integers(0, d, n)] = rng.choice([-2, 1], n)
    return made


KINDS = ("unit", "skewed", "repeated", "zero", "axes")


def put(index, name, row):
    """Adds a stored row of a metric; its slot."""
    factor, bias = metric.stored(name, row)
    return index.add(row, factor=factor, bias=bias)
