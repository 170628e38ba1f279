"""How much streams gain from feedback, on papers whose category is the hidden truth.

    python -m benchmarks.learning            held-out categories, the product's steps
    python -m benchmarks.learning --tune     the grid on the tuning categories
    python -m benchmarks.learning --frontier what other steps would give, held out

A stream is the embedding of a random paper of the older half; its truth is the
paper's category. Twenty random ones of its 200 nearest in the older half are marked
good or bad; average precision is judged over the newer half. Marks may be the truth,
random (as many good ones) or inverted. Needs the arXiv vectors beside the checkout.
"""

import argparse
import collections
import lzma
import platform
import sys
from typing import Any

import numpy

from benchmarks.measure import ARXIV as DATA
from service.learning import MOST_DISTANCE, State
from service.learning import state as steps

LEAST = 278
"""Papers of a category that counts."""
NEAREST, MARKS = 200, 20
FRONTIER = (
    ((4.0, 0.0), (2.0, 0.0)),
    ((8.0, 2.0), (4.0, 10.0)),
    ((8.0, 4.0), (3.0, 10.0)),
    ((8.0, 5.0), (4.0, 10.0)),
    ((8.0, 7.0), (3.0, 10.0)),
    ((6.0, 7.0), (3.0, 10.0)),
    ((4.0, 7.0), (2.0, 8.0)),
)
"""(step, half) for good and bad marks, from bold to shy."""


class Papers:
    """Unit vectors and categories, older and newer half."""

    def __init__(self) -> None:
        rows = numpy.load(DATA / "embeddings_f16.npy").astype(numpy.float32)
        self.rows = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
        with lzma.open(DATA / "papers.tsv.xz", "rt") as file:
            lines = file.read().splitlines()
        names = [line.split("\t")[3] for line in lines]
        self.names = numpy.array(names[len(names) - len(rows) :])
        self.half = len(rows) // 2
        self.centre = self.rows[: self.half].mean(axis=0)
        counts = collections.Counter(self.names.tolist())
        self.large = sorted(name for name, n in counts.items() if n >= LEAST)

    def split(self) -> tuple[list[str], list[str]]:
        """Categories for tuning and those held out, every other one by name."""
        return self.large[::2], self.large[1::2]


def average_precision(scores: Any, truth: Any) -> float:
    """Mean of the precision at each true one, best score first."""
    ordered = truth[numpy.argsort(-scores, kind="stable")]
    hits = numpy.cumsum(ordered)
    precision = hits / numpy.arange(1, len(ordered) + 1)
    return float(precision[ordered].mean())


class Trial:
    """One stream with its marks."""

    def __init__(self, papers: Papers, row: int, random: Any, kind: str) -> None:
        self.name = papers.names[row]
        self.first = papers.rows[row]
        scores = papers.rows[: papers.half] @ self.first
        scores[row] = -numpy.inf
        nearest = numpy.argsort(-scores)[:NEAREST]
        marked = random.choice(nearest, MARKS, replace=False)
        good = papers.names[marked] == self.name
        if kind == "random":
            good = random.permutation(good)
        elif kind == "inverted":
            good = ~good
        self.state = State(self.first)
        for row_, is_good in zip(marked, good, strict=True):
            self.state = self.state.mark(papers.rows[row_], good=bool(is_good))


def trials(
    papers: Papers, names: list[str], each: int, seed: int, kind: str
) -> list[Trial]:
    """`each` streams of every category."""
    random = numpy.random.default_rng(seed)
    older = numpy.arange(papers.half)
    found = []
    for name in names:
        rows = older[papers.names[: papers.half] == name]
        for row in random.choice(rows, min(each, len(rows)), replace=False):
            found.append(Trial(papers, int(row), random, kind))
    return found


def judge(papers: Papers, made: list[Trial]) -> Any:
    """(unlearned, learned) average precision of each, shape (n, 2)."""
    newer = papers.rows[papers.half :]
    names = papers.names[papers.half :]
    pairs = []
    for trial in made:
        learned = trial.state.vector(papers.centre)
        assert trial.state.distance(learned) <= MOST_DISTANCE
        truth = names == trial.name
        both = newer @ numpy.stack([trial.first, learned], axis=1)
        pairs.append([average_precision(both[:, n], truth) for n in (0, 1)])
    return numpy.array(pairs)


def figures(pairs: Any) -> tuple[float, float, float]:
    """Gain of the mean, mean of the lowest decile of ratios, median ratio."""
    ratios = numpy.sort(pairs[:, 1] / pairs[:, 0])
    lowest = ratios[: max(1, len(ratios) // 10)]
    gain = pairs[:, 1].mean() / pairs[:, 0].mean() - 1
    return float(gain), float(lowest.mean()), float(numpy.median(ratios))


def interval(pairs: Any, seed: int = 1) -> list[tuple[float, float]]:
    """95 % intervals of the figures, by bootstrap over streams."""
    random = numpy.random.default_rng(seed)
    drawn = numpy.array(
        [
            figures(pairs[random.integers(0, len(pairs), len(pairs))])
            for _ in range(1000)
        ]
    )
    low, high = numpy.percentile(drawn, [2.5, 97.5], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def tune(papers: Papers, each: int) -> None:
    """Prints the figures of a grid of steps on the tuning categories."""
    made = trials(papers, papers.split()[0], each, 1, "true")
    for good_step in (4.0, 6.0, 8.0):
        for good_half in (2.0, 4.0, 5.0, 7.0):
            for bad_step, bad_half in ((2.0, 8.0), (3.0, 10.0), (4.0, 10.0)):
                steps._GOOD_STEP, steps._GOOD_HALF = good_step, good_half
                steps._BAD_STEP, steps._BAD_HALF = bad_step, bad_half
                gain, lowest, _ = figures(judge(papers, made))
                print(
                    f"good {good_step}/{good_half} bad {bad_step}/{bad_half}: "
                    f"{gain:+.1%}, lowest decile {lowest:.3f}",
                    flush=True,
                )


def frontier(papers: Papers, each: int) -> None:
    """Prints what mean and lowest decile cost each other, on held-out categories."""
    made = trials(papers, papers.split()[1], each, 2, "true")
    for good, bad in FRONTIER:
        steps._GOOD_STEP, steps._GOOD_HALF = good
        steps._BAD_STEP, steps._BAD_HALF = bad
        gain, lowest, _ = figures(judge(papers, made))
        print(f"good {good} bad {bad}: {gain:+.1%}, lowest decile {lowest:.3f}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tune", action="store_true", help="print the grid")
    parser.add_argument("--frontier", action="store_true", help="print other steps")
    parser.add_argument("--each", type=int, default=60, help="streams a category")
    options = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"{DATA} is missing: the arXiv vectors are needed.")
    papers = Papers()
    if options.tune:
        tune(papers, options.each)
        return
    if options.frontier:
        frontier(papers, options.each)
        return
    held_out = papers.split()[1]
    print(f"{platform.processor() or platform.machine()}, numpy {numpy.__version__}")
    print(f"held out: {', '.join(held_out)}; {options.each} streams each")
    for kind in ("true", "random", "inverted"):
        pairs = judge(papers, trials(papers, held_out, options.each, 2, kind))
        gain, lowest, median = figures(pairs)
        (from_, to), (least, most), _ = interval(pairs)
        before, after = pairs.mean(axis=0)
        print(
            f"{kind:9} marks: mean {before:.3f} -> {after:.3f} ({gain:+.1%}, 95 % "
            f"{from_:+.1%} to {to:+.1%}), lowest decile {lowest:.3f} "
            f"({least:.3f} to {most:.3f}), median ratio {median:.2f}, n {len(pairs)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
