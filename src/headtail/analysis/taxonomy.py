"""How near classes are in a taxonomy: in a tree of names, or in WordNet."""

import importlib
import math
import re
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.analysis._arrays import as_numpy
from headtail.tensors import row_blocks, shown

__all__ = ["Taxonomy"]

# Farther than any ancestor; the sum of two still fits into 16 bits.
_FAR = 2**13


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Every class with its ancestors; `from_paths` and `from_wordnet` build one.

    Attributes
    ----------
    ancestors
        Numbers of the nodes above every class, and of its own: [n_classes, n_columns].
        -1 where a class has fewer.
    distances
        Edges on the shortest way up to each, [n_classes, n_columns].
    depth
        D of the similarity: how deep the taxonomy is.

    Examples
    --------
    >>> paths = [("animal", "cat"), ("animal", "dog"), ("plant", "fern")]
    >>> Taxonomy.from_paths(paths).similarity().round(2)  # -log(1, 3 or 5 / (2 * 3))
    array([[1.79, 0.69, 0.18],
           [0.69, 1.79, 0.18],
           [0.18, 0.18, 1.79]])
    """

    ancestors: npt.NDArray[np.int32]
    distances: npt.NDArray[np.int16]
    depth: int

    @classmethod
    def from_paths(cls, paths: Sequence[Sequence[Hashable]]) -> "Taxonomy":
        """Build a tree from the path of every class, from the root to the class.

        Equal names below different parents are different nodes. If the paths begin
        with different names, a root is added above them. The depth is the number of
        nodes on the longest path, an added root included.

        Parameters
        ----------
        paths
            One per class, in the order of the classes; all different. A class may
            stand above others: its path is the beginning of theirs.

        Examples
        --------
        >>> from headtail.datasets.glyphs import glyph_taxonomy
        >>> Taxonomy.from_paths(glyph_taxonomy()).depth  # root, script, base, letter
        4
        """
        if isinstance(paths, str) or any(isinstance(path, str) for path in paths):
            raise TypeError(
                "paths must be sequences of names, from the root to the class; got "
                "text. Split it first."
            )
        rows = [tuple(path) for path in paths]
        if not rows or not all(rows):
            empty = [position for position, path in enumerate(rows) if not path]
            raise ValueError(
                "paths must hold at least one path, each with at least one name; got "
                f"{len(rows)} paths, and no name in {shown(empty)}."
            )
        _check_distinct(rows)
        if len({path[0] for path in rows}) > 1:
            rows = [(None, *path) for path in rows]
        numbers: dict[tuple[Hashable, ...], int] = {}
        ways = [
            {
                numbers.setdefault(path[: i + 1], len(numbers)): len(path) - 1 - i
                for i in range(len(path))
            }
            for path in rows
        ]
        return cls(*_table(ways), depth=max(map(len, rows)))

    @classmethod
    def from_wordnet(cls, ids: Sequence[str], *, reader: Any = None) -> "Taxonomy":
        """Look up WordNet's nouns and all that stands above them, with nltk.

        A noun may have several hypernyms: the distance of two classes is that of the
        shortest way over a common one, as in nltk's `shortest_path_distance`, and the
        similarity equals its `lch_similarity`. There the depth is the number of edges,
        not of nodes, from the deepest noun to the root, 19 in WordNet 3.0: by a
        constant, -log(20/19), that shifts all similarities alike.

        Nothing is downloaded. To find the depth, all nouns are read: this takes
        seconds.

        Parameters
        ----------
        ids
            One per class, in the order of the classes: ``"n02084071"``, as in ImageNet.
            They are of WordNet 3.0; other versions number otherwise.
        reader
            An nltk `WordNetCorpusReader`; None for `nltk.corpus.wordnet`.

        Raises
        ------
        ImportError
            If nltk is not installed.
        LookupError
            If its corpus is not on this machine.
        """
        malformed = [i for i in ids if not re.fullmatch(r"n\d{8}", str(i))]
        if isinstance(ids, str) or malformed or not len(ids):
            raise ValueError(
                "ids must be at least one id of a noun in WordNet, n and eight digits "
                f"such as 'n02084071'; got {shown(malformed) if len(ids) else 'none'}."
            )
        _check_distinct([str(i) for i in ids])
        reader = _nltk_wordnet() if reader is None else reader
        with warnings.catch_warnings():
            # Of an id that is not there; all of them are named below.
            warnings.simplefilter("ignore")
            synsets = [reader.synset_from_pos_and_offset("n", int(i[1:])) for i in ids]
        unknown = [i for i, synset in zip(ids, synsets, strict=True) if synset is None]
        if unknown:
            raise ValueError(
                f"ids must be nouns of the given WordNet; {shown(unknown)} are not "
                "among them. ImageNet's ids are of WordNet 3.0: nltk's corpus "
                '"wordnet".'
            )
        ways = [_shortest_ways(synset) for synset in synsets]
        depth = max(synset.max_depth() for synset in reader.all_synsets("n"))
        return cls(*_table(ways), depth=max(depth, 1))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.ancestors)

    def similarity(
        self, first: Any = None, second: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return -log(len / (2 D)) of all classes with all, or of chosen pairs.

        len is the number of nodes on the shortest way from one class to the other,
        both included: 1 for a class and itself, 3 for two children of one parent. So
        the similarity is largest, log(2 D), for a class and itself. NaN for classes
        that have no ancestor in common.

        Parameters
        ----------
        first, second
            Positions of the classes of each pair, of shapes that broadcast; None, both,
            for all with all: [n_classes, n_classes].

        References
        ----------
        Leacock, Chodorow. "Combining local context and WordNet similarity for word
        sense identification." WordNet: An electronic lexical database, 1998.

        Examples
        --------
        >>> taxonomy = Taxonomy.from_paths([(0, 1, 2), (0, 1, 3), (0, 4)])
        >>> np.exp(-taxonomy.similarity(0, [0, 1, 2])) * 6  # nodes on the way
        array([1., 3., 4.])
        """
        if (first is None) != (second is None):
            raise TypeError("first and second must be given both, or neither.")
        if first is None:
            first, second = (
                np.arange(self.n_classes)[:, None],
                np.arange(self.n_classes),
            )
        first, second = (self._checked(part) for part in (first, second))
        shape = np.broadcast_shapes(first.shape, second.shape)
        first, second = (
            part.reshape((1,) * (max(len(shape), 1) - part.ndim) + part.shape)
            for part in (first, second)
        )
        result = np.empty(np.broadcast_shapes(first.shape, second.shape))
        for rows in row_blocks(len(result), math.prod(result.shape[1:])):
            lengths = self._lengths(
                *(part[rows] if len(part) > 1 else part for part in (first, second))
            )
            result[rows] = np.log(2 * self.depth / lengths)
        return result.reshape(shape)

    def _lengths(
        self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return the nodes on the shortest way; NaN if there is none."""
        shape = np.broadcast_shapes(first.shape, second.shape)
        best = np.full(shape, _FAR, dtype=np.int16)  # in edges
        for i, j in self._meeting_columns:
            edges = self.distances[first, i] + self.distances[second, j]
            meet = self.ancestors[first, i] == self.ancestors[second, j]
            np.minimum(best, edges, out=best, where=meet)
        return np.where(best < _FAR, best + 1.0, np.nan)

    @cached_property
    def _meeting_columns(self) -> list[tuple[int, int]]:
        """Columns that share a node; in a tree these are equal columns."""
        columns = [set(column.tolist()) - {-1} for column in self.ancestors.T]
        return [
            (i, j)
            for i, one in enumerate(columns)
            for j, other in enumerate(columns)
            if not one.isdisjoint(other)
        ]

    def _checked(self, positions: Any) -> npt.NDArray[np.int64]:
        positions = as_numpy(positions)
        if positions.size and positions.dtype.kind not in "iu":
            raise TypeError(
                f"Positions of classes must be integers; got {positions.dtype}."
            )
        wrong = positions[(positions < 0) | (positions >= self.n_classes)]
        if wrong.size:
            raise ValueError(
                f"Positions of classes must be in 0 … {self.n_classes - 1}; got "
                f"{shown(np.unique(wrong))}."
            )
        return np.asarray(positions, dtype=np.int64)


def _table(
    ways: Sequence[dict[int, int]],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int16]]:
    """Return nodes and distances, farthest first, from a mapping per class."""
    width = max(map(len, ways))
    nodes = np.full((len(ways), width), -1, dtype=np.int32)
    edges = np.full((len(ways), width), _FAR, dtype=np.int16)
    for row, way in enumerate(ways):
        ordered = sorted(way.items(), key=lambda item: (-item[1], item[0]))
        nodes[row, : len(way)], edges[row, : len(way)] = zip(*ordered, strict=True)
    return nodes, edges


def _shortest_ways(synset: Any) -> dict[int, int]:
    """Return the fewest edges up to every node above a synset, by its offset."""
    ways: dict[int, int] = {}
    for above, edges in synset.hypernym_distances():
        offset = above.offset()
        ways[offset] = min(edges, ways.get(offset, edges))
    return ways


def _check_distinct(names: Sequence[Any]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"Every class must have a place of its own in the taxonomy; {shown(twice)} "
            "come twice. Append the name of the class to its path."
        )


def _nltk_wordnet() -> Any:
    try:
        wordnet = importlib.import_module("nltk.corpus").wordnet
    except ImportError as error:
        raise ImportError(
            "Taxonomy.from_wordnet needs nltk, which is not installed. Run `pip "
            'install nltk`, and once `python -c "import nltk; '
            "nltk.download('wordnet')\"`."
        ) from error
    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise LookupError(
            'WordNet is not on this machine. Run `python -c "import nltk; '
            "nltk.download('wordnet')\"` once, or pass reader."
        ) from error
    return wordnet
