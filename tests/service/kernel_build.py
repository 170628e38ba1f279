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


def at_cosines(seed, n, d):
    """Vectors (40, d), and rows (n, d) each at a cosine of its own to one of them."""
    rng = numpy.random.default_rng(seed)
    new = rng.standard_normal((40, d), numpy.float32)
    which = rng.integers(0, len(new), n)
    near = new[which] / numpy.linalg.norm(new[which], axis=1, keepdims=True)
    across = rng.standard_normal((n, d), numpy.float32)
    across -= (across * near).sum(1, keepdims=True) * near
    across /= numpy.linalg.norm(across, axis=1, keepdims=True)
    cosine = rng.uniform(0.02, 0.99, (n, 1)).astype(numpy.float32)
    rows = cosine * near + numpy.sqrt(1 - cosine**2) * across
    return new, which, rows * numpy.exp(rng.standard_normal((n, 1), numpy.float32))


def missed_at_threshold(kernel, new, which, rows, element="f32"):
    """How many rows `match` does not find that lie exactly at their threshold."""
    if element == "f16":
        rows = rows.astype(numpy.float16).astype(numpy.float32)
    index = kernel.index(rows.shape[1], element)
    index.add_many(rows, (rows * new[which]).sum(1) * (1 - 1e-5) - 1e-6)
    found = index.match(new)
    got = numpy.zeros((len(new), len(rows)), bool)
    got[found.vectors, found.slots] = True
    return int(numpy.count_nonzero(~got[which, numpy.arange(len(rows))]))
