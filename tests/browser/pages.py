"""Pages with a long tail and hostile names, small and large."""

from dataclasses import replace

import numpy as np

from headtail.datasets import ImageSet
from headtail.features import FeatureSet
from headtail.registry import get_method
from headtail.report import thumbnails, write_html
from headtail.workflow import compare, report_of

SMALL, LARGE = 200, 8142
# Not in the test set.
UNTESTED = 3
# As a user could write them; every one must come out as it is.
HOSTILE = (
    '<script>document.title="Owned"</script>',
    '"><img src=x onerror="document.title=1">',
    "a & b &lt;c&gt;",
    "{{7*7}} {% raw %}",
    "<b>bold</b><br>",
    "</script><!--",
    "\u202bנקבה\u202c עיט",  # right to left
    "長い尾の鳥",
    "x" * 200,
    "$x$ %{x} `${1}`",
)
METHODS = ("cosine", "compositional", "count-aware-transfer", "ncm")
HOSTILE_METHOD = ' <i>mine</i> &  "yours"\n%{x}'


def long_tail():
    """Return training and test features: families of alike classes, a long tail."""
    generator = np.random.default_rng(0)
    ranks = np.arange(SMALL)
    families = generator.normal(size=(20, 24))
    centers = families[ranks % 20] + 0.5 * generator.normal(size=(SMALL, 24))
    names = [f"bird {rank:03d}" for rank in ranks]
    names[-len(HOSTILE) :] = HOSTILE

    def drawn(per_class):
        labels = np.repeat(ranks, per_class)
        noise = generator.normal(size=(len(labels), 24))
        return FeatureSet((centers[labels] + noise).astype("f"), labels, names)

    counts = np.maximum(150 * 0.013 ** (ranks / SMALL), 2).astype(int)
    return drawn(counts), drawn(np.where(ranks == UNTESTED, 0, 8))


def small_report():
    """Return that of a real comparison, with an empty and a tiny figure."""
    train, test = long_tail()
    methods = {name: get_method(name).build() for name in METHODS}
    methods[HOSTILE_METHOD] = get_method("ncm").build()
    report = report_of(compare(methods, train, test, n_replicates=100))

    def odd(method):
        figures, gains = dict(method.figures), dict(method.gains)
        figures["top5_accuracy"] = replace(
            figures["top5_accuracy"], value=None, low=None, high=None
        )
        # As text it would stand behind 0.2.
        gains["few"] = replace(gains["few"], value=1e-5, low=-0.1, high=0.1)
        return replace(method, figures=figures, gains=gains)

    made = (
        odd(method) if method.name == HOSTILE_METHOD else method
        for method in report.methods
    )
    return replace(report, methods=tuple(made))


def enlarged(report, n_classes):
    """Return a report of more classes; what is not per class stays as it is."""
    generator = np.random.default_rng(0)
    n_small = len(report.classes.names)
    counts = np.maximum(1000 * 0.002 ** (np.arange(n_classes) / n_classes), 2)
    counts = counts.astype(int)
    groups = np.where(counts > 100, "many", np.where(counts < 20, "few", "medium"))
    names = [f"species {rank:04d}" for rank in range(n_classes)]
    names[-len(HOSTILE) :] = HOSTILE
    receivers = np.flatnonzero(groups != "many")
    ranks = np.linspace(0, n_classes - 1, 200).round().astype(int)
    right = generator.binomial(3, np.linspace(0.8, 0.3, n_classes))

    def moved(position):
        return round(position * (n_classes - 1) / (n_small - 1))

    def donors():
        size = (len(receivers), 5)
        shares = -np.sort(-generator.dirichlet(np.ones(5), len(receivers)))
        return {
            "receivers": tuple(receivers.tolist()),
            "donors": tuple(map(tuple, generator.integers(0, 999, size).tolist())),
            "shares": tuple(map(tuple, shares.round(6).tolist())),
            "distances": tuple(generator.random(len(receivers)).round(6).tolist()),
        }

    def result(method):
        change = generator.choice([-1, 0, 0, 0, 1], n_classes)
        recall = (np.clip(right + change, 0, 3) / 3).round(6)
        trend = [recall[max(rank - 400, 0) : rank + 401].mean() for rank in ranks]
        pairs = tuple(
            replace(pair, true=moved(pair.true), predicted=moved(pair.predicted))
            for pair in method.confusion.pairs
        )
        maps = tuple(
            replace(
                one,
                receiver=moved(one.receiver),
                donors=tuple(map(moved, one.donors)),
                classes=tuple(map(moved, one.classes)),
            )
            for one in method.maps
        )
        return replace(
            method,
            recall=tuple(recall.tolist()),
            trend=tuple(map(float, trend)),
            confusion=replace(method.confusion, pairs=pairs),
            donors=method.donors and replace(method.donors, **donors()),
            maps=maps,
        )

    return replace(
        report,
        classes=replace(
            report.classes,
            names=tuple(names),
            counts=tuple(counts.tolist()),
            sizes=(3,) * n_classes,
            groups=tuple(groups.tolist()),
        ),
        methods=tuple(map(result, report.methods)),
        trend_ranks=tuple(ranks.tolist()),
    )


def write_pages(folder):
    """Write both pages; return their paths by name."""
    paths = {"small": folder / "small.html", "large": folder / "large.html"}
    report = small_report()
    colors = np.random.default_rng(0).integers(0, 256, (SMALL, 1, 1, 3), np.uint8)
    images = ImageSet(
        np.tile(colors, (1, 48, 48, 1)), np.arange(SMALL), report.classes.names
    )
    write_html(report, paths["small"], pictures=thumbnails(report, images))
    write_html(enlarged(report, LARGE), paths["large"])
    return paths
