import gc
import math
import sys
import types
import warnings

import numpy as np
import pytest
import torch

from headtail.analysis import taxonomy as module
from headtail.analysis.taxonomy import Taxonomy
from headtail.datasets.glyphs import glyph_taxonomy

RAGGED = [
    ("life", "animal", "cat", "lynx"),
    ("life", "animal", "cat", "puma"),
    ("life", "animal", "dog"),
    ("life", "plant", "fern", "lynx"),  # another lynx
    ("life", "plant"),  # stands above the fern
    ("life", "animal", "cat"),
]


def walk(edges, start):
    """Return the nodes of the shortest ways from a node, start included, by search."""
    lengths, front = {start: 1}, [start]
    while front:
        node = front.pop(0)
        for one, other in edges:
            for here, there in (one, other), (other, one):
                if here == node and there not in lengths:
                    lengths[there] = lengths[node] + 1
                    front.append(there)
    return lengths


def edges_of(paths):
    return {(path[:i], path[: i + 1]) for path in paths for i in range(1, len(path))}


def reference(paths, depth):
    edges = edges_of(paths)
    rows = [walk(edges, path) for path in paths]
    return [[-math.log(row[p] / (2 * depth)) for p in paths] for row in rows]


def test_a_tree_matches_a_search_over_its_edges():
    taxonomy = Taxonomy.from_paths(RAGGED)
    assert taxonomy.depth == 4
    assert taxonomy.n_classes == 6
    np.testing.assert_allclose(taxonomy.similarity(), reference(RAGGED, 4))


def test_paths_that_begin_differently_get_a_root():
    paths = glyph_taxonomy()
    taxonomy = Taxonomy.from_paths(paths)
    assert len({path[0] for path in paths}) > 1
    assert taxonomy.depth == 4
    rooted = [("all", *path) for path in paths[::7]]
    part = np.arange(len(paths))[::7]
    ours = taxonomy.similarity(part[:, None], part)
    np.testing.assert_allclose(ours, reference(rooted, 4))


def test_a_class_is_most_similar_to_itself_and_the_order_of_two_is_the_same():
    similarity = Taxonomy.from_paths(glyph_taxonomy()).similarity()
    np.testing.assert_array_equal(similarity, similarity.T)
    assert np.diag(similarity) == pytest.approx(np.log(2 * 4))
    off = similarity[~np.eye(len(similarity), dtype=bool)]
    assert off.max() < np.log(2 * 4)
    assert off.min() == pytest.approx(-np.log(7 / 8))  # 3 up, the root, 3 down


def test_permuted_classes_permute_the_similarities():
    order = np.random.default_rng(0).permutation(6)
    mixed = Taxonomy.from_paths([RAGGED[i] for i in order]).similarity()
    ours = Taxonomy.from_paths(RAGGED).similarity()
    np.testing.assert_array_equal(mixed, ours[np.ix_(order, order)])


def test_in_a_tree_a_column_meets_itself_alone():
    columns = Taxonomy.from_paths(RAGGED)._meeting_columns
    assert columns == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_chosen_pairs_are_entries_of_the_matrix():
    taxonomy = Taxonomy.from_paths(RAGGED)
    every = taxonomy.similarity()
    assert taxonomy.similarity(0, 3).shape == ()
    assert taxonomy.similarity(0, 3) == every[0, 3]
    np.testing.assert_array_equal(taxonomy.similarity(2, range(6)), every[2])
    first, second = np.array([[0, 1, 2]]), torch.tensor([[3], [4]])
    ours = taxonomy.similarity(first, second)
    np.testing.assert_array_equal(ours, every[first, second.numpy()])
    assert taxonomy.similarity([], []).shape == (0,)


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch):
    taxonomy = Taxonomy.from_paths(RAGGED)
    once = taxonomy.similarity()

    def four_rows(n_rows, row_size):
        return (slice(i, min(i + 4, n_rows)) for i in range(0, n_rows, 4))

    monkeypatch.setattr(module, "row_blocks", four_rows)
    np.testing.assert_array_equal(taxonomy.similarity(), once)


def test_numbers_may_be_names_and_one_class_is_a_taxonomy():
    taxonomy = Taxonomy.from_paths(np.array([[1, 2], [1, 3]]))
    assert np.exp(-taxonomy.similarity()[0]) * 4 == pytest.approx([1, 3])
    alone = Taxonomy.from_paths([("x",)])
    assert alone.similarity().tolist() == [[pytest.approx(math.log(2))]]


@pytest.mark.parametrize(
    ("paths", "error", "match"),
    [
        ("abc", TypeError, r"paths must be sequences of names.*got text"),
        (["ab", "cd"], TypeError, r"paths must be sequences of names.*got text"),
        ([], ValueError, r"at least one path.*got 0 paths"),
        ([("a",), ()], ValueError, r"got 2 paths, and no name in \[1\]"),
        ([("a", 1), ("b",), ("a", 1)], ValueError, r"\[\('a', 1\)\] come twice"),
    ],
)
def test_paths_that_make_no_tree_are_refused(paths, error, match):
    with pytest.raises(error, match=match):
        Taxonomy.from_paths(paths)


def test_positions_that_are_none_are_refused():
    taxonomy = Taxonomy.from_paths(RAGGED)
    with pytest.raises(ValueError, match=r"must be in 0 … 5; got \[-1, 6\]"):
        taxonomy.similarity([6, 0, -1], 0)
    with pytest.raises(TypeError, match=r"must be integers; got float64"):
        taxonomy.similarity(0.5, 1)
    with pytest.raises(TypeError, match=r"given both, or neither"):
        taxonomy.similarity(0)


# A little WordNet: a dog is a canine and a pet, and a poodle stands deep below.
HYPERNYMS = {
    "entity": [],
    "animal": ["entity"],
    "bird": ["animal"],
    "pet": ["animal"],
    "mammal": ["animal"],
    "carnivore": ["mammal"],
    "canine": ["carnivore"],
    "feline": ["carnivore"],
    "dog": ["canine", "pet"],
    "wolf": ["canine"],
    "cat": ["feline", "pet"],
    "lynx": ["feline"],
    "poodle": ["dog"],
    "toy_poodle": ["poodle"],
    "rex": ["@i toy_poodle"],  # one dog, an instance
}
CLASSES = ["dog", "cat", "wolf", "lynx", "poodle", "pet", "bird"]


def write_wordnet(folder):
    """Write HYPERNYMS in WordNet's format; return the byte offset of every noun."""

    def line(name, offsets):
        pointers = [parent.split() for parent in HYPERNYMS[name]]
        pointers = [p if len(p) == 2 else ["@", *p] for p in pointers]
        text = "".join(f" {sign} {offsets[to]:08d} n 0000" for sign, to in pointers)
        head = f"{offsets[name]:08d} 03 n 01 {name} 0 {len(pointers):03d}{text}"
        return f"{head} | a {name}  \n"

    offsets = dict.fromkeys(HYPERNYMS, 0)
    position = 0
    for name in HYPERNYMS:
        offsets[name] = position
        position += len(line(name, offsets))
    files = {
        "data.noun": "".join(line(name, offsets) for name in HYPERNYMS),
        "index.noun": "".join(
            f"{name} n 1 0 1 0 {offset:08d}  \n" for name, offset in offsets.items()
        ),
        "lexnames": "".join(f"{i:02d}\tnoun.x\t1\n" for i in range(4)),
        "data.adj": "  1 This is WordNet 3.0 Copyright of nobody\n",
    }
    for part in "noun", "verb", "adj", "adv":
        for name in f"data.{part}", f"index.{part}", f"{part}.exc":
            (folder / name).write_text(files.get(name, ""), encoding="utf-8")
    for name in "lexnames", "cntlist.rev", "index.sense":
        (folder / name).write_text(files.get(name, ""), encoding="utf-8")
    return offsets


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    nltk = pytest.importorskip("nltk")
    corpus = pytest.importorskip("nltk.corpus.reader.wordnet")
    folder = tmp_path_factory.mktemp("wordnet")
    offsets = write_wordnet(folder)

    class Reader(corpus.WordNetCorpusReader):
        def map_wn(self, version="wordnet"):
            """Map to no other version; that would need another corpus."""

    nltk.data.path.append(str(folder))  # nltk reads from nowhere else
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the multilingual functions
        reader = Reader(str(folder), None)
    yield reader, {name: f"n{offset:08d}" for name, offset in offsets.items()}
    nltk.data.path.remove(str(folder))
    # nltk leaves its files open, and their warning would fall on a later test.
    for stream in reader._data_file_map.values():
        stream.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del reader
        gc.collect()


def test_wordnet_matches_nltk_pair_by_pair(wordnet):
    reader, ids = wordnet
    taxonomy = Taxonomy.from_wordnet([ids[name] for name in CLASSES], reader=reader)
    synsets = [reader.synset(f"{name}.n.01") for name in CLASSES]
    expected = [[one.lch_similarity(other) for other in synsets] for one in synsets]
    np.testing.assert_allclose(taxonomy.similarity(), expected)
    assert taxonomy.depth == 8  # edges: entity … canine, dog … rex


def test_wordnet_takes_the_shortest_of_several_ways(wordnet):
    reader, ids = wordnet
    taxonomy = Taxonomy.from_wordnet([ids[name] for name in CLASSES], reader=reader)
    lengths = 2 * taxonomy.depth * np.exp(-taxonomy.similarity(0, range(7)))
    # To cat and bird over the pet, to the lynx over the carnivore.
    assert lengths == pytest.approx([1, 3, 3, 5, 2, 2, 4])


def test_ids_that_are_no_nouns_of_the_corpus_are_named(wordnet):
    reader, ids = wordnet
    with pytest.raises(ValueError, match=r"\['n00000003', 'n09999999'\] are not"):
        Taxonomy.from_wordnet([ids["dog"], "n00000003", "n09999999"], reader=reader)
    with pytest.raises(ValueError, match=r"\['n00000000'\] come twice"):
        Taxonomy.from_wordnet([ids["entity"]] * 2, reader=reader)


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        (["n02084071", "v02084071", "dog"], r"got \['v02084071', 'dog'\]"),
        ([2084071], r"such as 'n02084071'; got \[2084071\]"),
        ([], r"got none"),
        ("n02084071", r"got \['n', '0'"),
    ],
)
def test_ids_of_another_form_are_refused(ids, match):
    with pytest.raises(ValueError, match=match):
        Taxonomy.from_wordnet(ids, reader=object())


def test_classes_without_a_common_ancestor_have_no_similarity():
    taxonomy = Taxonomy(
        ancestors=np.array([[3, 0], [3, 1], [-1, 2]], dtype=np.int32),
        distances=np.array([[1, 0], [1, 0], [module._FAR, 0]], dtype=np.int16),
        depth=2,
    )
    missing = np.isnan(taxonomy.similarity())
    assert missing.tolist() == [[False, False, True]] * 2 + [[True, True, False]]


def test_without_nltk_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ImportError, match=r"needs nltk.*pip install nltk.*download"):
        Taxonomy.from_wordnet(["n02084071"])


def test_without_the_corpus_the_error_says_what_to_download(monkeypatch):
    def fail():
        raise LookupError("a page of text")

    corpus = types.ModuleType("nltk.corpus")
    corpus.wordnet = types.SimpleNamespace(ensure_loaded=fail)
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)
    monkeypatch.setitem(sys.modules, "nltk", types.ModuleType("nltk"))
    with pytest.raises(LookupError, match=r"nltk.download\('wordnet'\).*pass reader"):
        Taxonomy.from_wordnet(["n02084071"])


def test_the_installed_corpus_is_used_if_there_is_one(monkeypatch, wordnet):
    reader, ids = wordnet
    corpus = types.ModuleType("nltk.corpus")
    corpus.wordnet = reader
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)
    assert Taxonomy.from_wordnet([ids["dog"], ids["cat"]]).n_classes == 2
