"""Which method for what, read off the tables of all methods: docs/which-method.md.

``python -m benchmarks which_method`` prints the tables of that page. It measures
nothing: all figures are those of `method_tables` and `image_tables`.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import RESULTS, SETS
from headtail.registry import METHODS, recommended_method
from headtail.workflow import TRAINED

GROUPS = ("many", "medium", "few", "all")
REFERENCE = "linear"
OURS = recommended_method().name
TOP = 5
# Points of many-shot accuracy that a goal allows a method to lose.
LIMITS = (2, 6)

# Nothing is trained where the base is a trained head, as their cards tell (part 6).
UNTRAINED = ("ncm", "tau-norm", "logit-adjustment", "compositional")
ADDS_CLASSES = tuple(m.name for m in METHODS if hasattr(m.build(), "partial_fit"))
# One matrix product and a bias, on features of unit length; or something else. All
# other methods return a linear layer on raw features.
UNIT_FEATURES = ("cosine", "ldam-drw", "ncm")
NOT_ONE_PRODUCT = ("disalign", "causal-norm", "compositional", "count-aware-transfer")
LINEAR_LAYER = tuple(
    m.name for m in METHODS if m.name not in (*UNIT_FEATURES, *NOT_ONE_PRODUCT)
)


class Row(NamedTuple):
    """Mean and deviation over the seeds, and the gain of seed 0, in percent."""

    mean: dict[str, float]
    spread: dict[str, float]
    gain: tuple[float, float, float]

    def cell(self, group: str, reference: "Row | None" = None) -> str:
        """Return mean ± deviation (difference from a reference)."""
        text = f"{self.mean[group]:.1f}"
        if max(self.spread.values()) > 1e-9:
            text += f" ± {self.spread[group]:.1f}"
        if reference is not None:
            text += f" ({self.mean[group] - reference.mean[group]:+.1f})"
        return text

    def level_with(self, best: "Row", group: str) -> bool:
        """Tell whether it is within one standard deviation, the larger of the two."""
        spread = max(self.spread[group], best.spread[group])
        return best.mean[group] - self.mean[group] <= spread

    def verdict(self, best: "Row") -> str:
        """Return what the results tell of it beside the best, over all classes."""
        if self.level_with(best, "all"):
            return "level"
        return "open" if self.gain[2] >= best.gain[1] else "behind"


Rows = dict[str, Row]


class Case(NamedTuple):
    """What somebody has or wants, and what to take; `first` and `also` are methods."""

    title: str
    first: tuple[str, ...]
    also: tuple[str, ...]
    text: str
    sets: tuple[str, ...] = tuple(SETS)
    images: bool = False

    @property
    def anchor(self) -> str:
        """The heading's address on the page."""
        return "-".join(re.findall(r"\w+", self.title.lower()))


VERDICTS = """\
- *best*: the highest mean over the seeds.
- *level*: within one standard deviation of it, the larger one of the two methods.
- *open*: below that, but the 95 % intervals of the two gains overlap. They are paired
  with `linear` or the trained head, on the test examples of seed 0. By this page alone
  it is no worse.
- *behind*: neither."""

CASES = (
    Case(
        title="Features of a foundation model, or of any network trained elsewhere",
        first=("count-aware-transfer",),
        also=("ldam-drw", "over-sampling"),
        sets=("foreign", "plankton"),
        text="""
        It has the highest accuracy over all classes on both sets of such features,
        and chooses its settings itself. `ldam-drw` is the best of the published
        methods on one of them, `over-sampling` on the other.
        """,
    ),
    Case(
        title="Features of a network trained on the same examples",
        first=("count-aware-transfer",),
        also=("ldam-drw", "causal-norm", "compositional"),
        sets=("native",),
        text="""
        Its lead is small here, and on the many-shot classes it is the last of all
        methods; its settings are those for features known by heart, a guess.
        `ldam-drw` and `compositional` keep more of the many-shot classes. Compare
        on examples that the network has not seen.
        """,
    ),
    Case(
        title="Images, and no network yet",
        first=("ldam-drw", "count-aware-transfer"),
        also=("metamodelnet", "logit-adjustment"),
        sets=(),
        images=True,
        text="""
        Train a network first ([how](how-to/from-images.md)), then put another head
        on it. One network each was trained here, on a short schedule: a hint, no
        more. `ldam-drw` has the highest accuracy over all classes on both networks;
        `count-aware-transfer` is open beside it, and keeps more of the many-shot
        classes.
        """,
    ),
    Case(
        title="A trained head, its training features, and no time to train",
        first=("logit-adjustment",),
        also=("compositional", "tau-norm"),
        images=True,
        text="""
        Nothing is trained: one number per class is added to the logits. On a cosine
        head `compositional` comes close to it; on a linear one it lifts the
        few-shot classes further and costs the many-shot classes more. `tau-norm`
        takes a linear head. A head that was trained with balanced draws, or with a
        loss for long tails, is no base for `logit-adjustment` and `tau-norm`. The
        first table is the case itself: a network's own trained head, but for
        `tau-norm`, whose τ was chosen on examples held back, so that its base was
        trained anew; with a number for τ it takes the trained head. In the second
        table every base was trained on the features: a cosine head for
        `compositional`, a linear one for the others. [The page on
        it](how-to/improve-a-trained-head.md), and [the
        tutorial](tutorials/last-layer-to-a-better-one.md).
        """,
    ),
    Case(
        title="New classes every week, without training",
        first=("count-aware-transfer",),
        also=("compositional", "ncm"),
        text="""
        These three have `partial_fit`, and `headtail add` calls it: see [New
        classes every week](tutorials/add-classes-every-week.md). `compositional`
        builds on a trained head. **The figures are those of classes that were there
        from the start.** No benchmark here measures added classes.
        """,
    ),
    Case(
        title="The many-shot classes must not lose",
        first=("over-sampling",),
        also=("cosine", "logit-adjustment"),
        text="""
        Of the methods that stay within two points of `linear` on the many-shot
        classes it has the highest accuracy over all classes, on each set. `cosine`
        loses nothing there and gains less. `logit-adjustment` has a number for how
        much: a smaller τ takes less from them. In `count-aware-transfer` it is
        `max_head_loss`, whose smaller values are not in these tables.
        """,
    ),
    Case(
        title="One linear layer must come out",
        first=("metamodelnet", "over-sampling"),
        also=("lade", "lws"),
        text="""
        Which one leads depends on the set. `metamodelnet` has the better tail on
        all three, `over-sampling` keeps the many-shot classes. Of what kind the
        head of each method is stands [below](#what-kind-of-head-comes-out).
        """,
    ),
    Case(
        title="The tail matters most",
        first=("count-aware-transfer",),
        also=("compositional", "causal-norm", "alphanet-shared"),
        text="""
        Nothing has the best tail everywhere. `alphanet-shared` has it on two sets,
        and is below `linear` over all classes there. `count-aware-transfer` has it
        on the third, and the highest accuracy over all classes on each.
        `max_head_loss=1.0` lets it take more from the head; what that does is on
        its [card](methods/count-aware-transfer.md). Few-shot classes have few test
        images too: differences between tails are the least certain figures here.
        """,
    ),
)


def read(rows: Mapping[str, Any]) -> Rows:
    """Return the rows of a set or a network, in percent."""
    result = {}
    for name, row in rows.items():
        values = 100 * np.array(row["seeds"])
        mean, spread = values.mean(axis=0).tolist(), values.std(axis=0).tolist()
        # What the others are compared with has no gain.
        gain = row.get("gain", row.get("gain_all", [0.0, 0.0, 0.0]))
        value, low, high = (100 * end for end in gain)
        result[name] = Row(
            dict(zip(GROUPS, mean, strict=True)),
            dict(zip(GROUPS, spread, strict=True)),
            (value, low, high),
        )
    return result


def ranked(rows: Rows, group: str, names: Iterable[str] | None = None) -> list[str]:
    """Return the methods, of `names` alone if given, from the best of a group down."""
    names = [n for n in (rows if names is None else names) if n != TRAINED]
    return sorted(names, key=lambda name: -rows[name].mean[group])


def within(rows: Rows, points: float) -> list[str]:
    """Return the methods whose many-shot accuracy is near that of `linear`."""
    least = rows[REFERENCE].mean["many"] - points
    return [name for name in rows if rows[name].mean["many"] >= least]


def goals(rows: Rows) -> list[tuple[str, str, Iterable[str]]]:
    """Return what may be asked for: words, the group that decides, and who may win."""
    near = [
        (f"few-shot, many-shot at most {p} below `linear`", "few", within(rows, p))
        for p in LIMITS
    ]
    kinds = {
        "nothing trained but a base": UNTRAINED,
        "takes new classes without training": ADDS_CLASSES,
        "one linear layer": LINEAR_LAYER,
    }
    return [
        ("all classes", "all", list(rows)),
        ("few-shot", "few", list(rows)),
        *near,
        *(
            (f"{what}, {kind}", group, names)
            for kind, names in kinds.items()
            for what, group in (("all classes", "all"), ("few-shot", "few"))
        ),
    ]


def short() -> str:
    """Return the decisions, without figures."""
    rows = [
        [f"[{c.title}](#{c.anchor})", _linked(c.first), _linked(c.also)] for c in CASES
    ]
    return _table(["you have, or want", "begin with", "and try"], rows)


def case(one: Case, sets: Mapping[str, Rows], images: Mapping[str, Rows]) -> str:
    """Return a decision with its evidence."""
    parts = [f"### {one.title}"]
    parts.append(f"Begin with {_linked(one.first, ' or ')}. {one.text}")
    if one.images:
        parts.append(_evidence(one, images, TRAINED, "network"))
    if one.sets:
        chosen = {name: sets[name] for name in one.sets}
        parts.append(_evidence(one, chosen, REFERENCE, "set"))
    return "\n\n".join(_wrapped(part) for part in parts)


def _evidence(one: Case, sets: Mapping[str, Rows], reference: str, word: str) -> str:
    groups = ("many", "few", "all")
    lines = []
    for name, rows in sets.items():
        base = rows[reference]
        lines.append([name, reference, *(base.cell(group) for group in groups)])
        for method in (*one.first, *one.also):
            cells = [rows[method].cell(group, base) for group in groups]
            lines.append([name, method, *cells])
    return _table([word, "method", *groups], lines)


def top(rows: Rows) -> str:
    """Return the best over all classes, and how sure it is that they are behind."""
    names = ranked(rows, "all")
    best = rows[names[0]]
    lines = []
    for name in names[:TOP]:
        row = rows[name]
        value, low, high = row.gain
        lines.append(
            [
                name,
                *(row.cell(group) for group in GROUPS),
                f"{value:+.1f} [{low:+.1f}, {high:+.1f}]",
                "best" if row is best else row.verdict(best),
            ]
        )
    return _table(["method", *GROUPS, "all - linear, seed 0", "verdict"], lines)


def by_goal(sets: Mapping[str, Rows]) -> str:
    """Return for each goal and set the best, and what is level with it."""
    lines = []
    chosen = {name: goals(rows) for name, rows in sets.items()}
    for number, (words, group, _) in enumerate(next(iter(chosen.values()))):
        for name, rows in sets.items():
            first, *others = ranked(rows, group, chosen[name][number][2])
            best = rows[first]
            level = [o for o in others if rows[o].level_with(best, group)]
            cells = [best.cell(g, rows[REFERENCE]) for g in ("many", "few", "all")]
            lines.append([words, name, first, *cells, ", ".join(level) or "-"])
    head = ["best in", "set", "method", "many", "few", "all", "level with it"]
    return _table(head, lines)


def weak(sets: Mapping[str, Rows]) -> str:
    """Return the place of the recommended method, and its distance to the others."""
    lines = []
    for name, rows in sets.items():
        names = ranked(rows, "all")
        other = next(n for n in names if n != OURS)
        ours, best = rows[OURS], rows[names[0]]
        places = [
            str(ranked(rows, group).index(OURS) + 1) for group in ("all", "few", "many")
        ]
        gap = ours.mean["all"] - rows[other].mean["all"]
        second = rows[other] if names[0] == OURS else ours
        lines.append([name, *places, other, f"{gap:+.1f}", second.verdict(best)])
    return _table(
        ["features", "all", "few", "many", "best other", "all - that", "verdict"], lines
    )


def heads() -> str:
    """Return what kind of head each method returns."""
    kinds = {
        "one linear layer: a weight and a bias on raw features": LINEAR_LAYER,
        "one matrix product on features of unit length": UNIT_FEATURES,
        "more than one product": NOT_ONE_PRODUCT,
    }
    return _table(
        ["the head is", "of"], [[kind, _linked(names)] for kind, names in kinds.items()]
    )


def page_tables(tables: Mapping[str, Any], images: Mapping[str, Any]) -> str:
    """Return the tables of docs/which-method.md from those of the two benchmarks."""
    sets = {name: read(tables[name]) for name in SETS}
    networks = {name: read(rows) for name, rows in images.items()}
    parts = [
        "## In short",
        short(),
        "## Where the default is weak",
        _wrapped(
            f"Places of `{OURS}` among all {len(METHODS)} methods, from the best down, "
            "and over all classes its distance to the best of the others:"
        ),
        weak(sets | networks),
        VERDICTS,
        "## The evidence, case by case",
        _wrapped(
            "Accuracy in %; in brackets the difference from the first row of the set: "
            f"`{REFERENCE}`, or the head that the network was trained with."
        ),
        *(case(one, sets, networks) for one in CASES),
        "## The best over all classes",
        *(f"### {name} ({SETS[name]})\n\n{top(rows)}" for name, rows in sets.items()),
        "## The best for a goal",
        by_goal(sets),
        "## What kind of head comes out",
        heads(),
    ]
    return "\n\n".join(parts)


def _linked(names: Iterable[str], between: str = ", ") -> str:
    return between.join(f"[{name}](methods/{name}.md)" for name in names)


def _wrapped(text: str) -> str:
    if text.startswith(("|", "#")):
        return text
    return textwrap.fill(
        " ".join(text.split()), 88, break_on_hyphens=False, break_long_words=False
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the tables."""
    paths = [RESULTS / f"{name}.json" for name in ("method_tables", "image_tables")]
    if not all(path.exists() for path in paths):
        raise SystemExit("skipped: run method_tables and image_tables first")
    tables, images = (json.loads(path.read_text("utf-8")) for path in paths)
    print(page_tables(tables["tables"], images["methods"]))


if __name__ == "__main__":
    main()
