"""What a report says: numbers and text alone, in the order in which they are shown."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

__all__ = [
    "GROUPS",
    "Calibration",
    "ClassTable",
    "Confusion",
    "Donors",
    "Finding",
    "GainAtDistance",
    "GainBars",
    "Group",
    "Map",
    "MethodResult",
    "Number",
    "Outcome",
    "Pair",
    "Report",
]

# Nothing unknown, nothing converted, no NaN: what is undefined is None.
CHECKED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

GroupName = Literal["many", "medium", "few"]
GROUPS: tuple[GroupName, ...] = ("many", "medium", "few")
Kind = Literal["sample", "prototype", "weight", "final"]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

Outcome = Literal["found", "not found", "not applicable"]


@dataclass(frozen=True, config=CHECKED)
class Number:
    """A figure with its 95 % interval; None where it is undefined.

    Attributes
    ----------
    value, low, high
        Fractions.
    n, n_classes
        Test examples and classes that it rests on.
    """

    value: float | None
    low: float | None
    high: float | None
    n: Count
    n_classes: Count


@dataclass(frozen=True, config=CHECKED)
class Calibration:
    """Confidence beside accuracy, in bins; None for an empty bin.

    Attributes
    ----------
    confidence, accuracy, n
        Per bin.
    gap, gap_error
        Mean confidence minus accuracy, and its standard error.
    """

    confidence: tuple[Share | None, ...]
    accuracy: tuple[Share | None, ...]
    n: tuple[Count, ...]
    gap: float | None
    gap_error: float | None


@dataclass(frozen=True, config=CHECKED)
class Pair:
    """A class that is taken for another, by positions.

    `rate` is the share of the true class's `n_of` examples, `n` their number.
    """

    true: Count
    predicted: Count
    rate: Share
    n: Count
    n_of: Count


@dataclass(frozen=True, config=CHECKED)
class Confusion:
    """What the classes of each group are taken for.

    Attributes
    ----------
    rates
        Rows many, medium, few; columns right, many, medium, few; None for a group
        without test examples.
    pairs
        The classes that are confused most.
    tail_to_head, tail_to_head_error
        Of the mistakes of a few-shot class, the share that are many-shot classes: mean
        over the classes that are mistaken, and its standard error.
    """

    rates: tuple[tuple[Share | None, ...], ...]
    pairs: tuple[Pair, ...]
    tail_to_head: Share | None
    tail_to_head_error: float | None


@dataclass(frozen=True, config=CHECKED)
class Donors:
    """Who gave to whom; entries are positions in the table of classes.

    Attributes
    ----------
    receivers
        The classes that were composed.
    donors, shares
        Of every receiver, the strongest first.
    distances
        To the nearest donor that is not the class itself.
    """

    receivers: tuple[Count, ...]
    donors: tuple[tuple[Count, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    distances: tuple[float | None, ...]


@dataclass(frozen=True, config=CHECKED)
class Map:
    """A receiver and its strongest donors in the plane.

    Attributes
    ----------
    receiver, donors
        Positions of the classes.
    kinds, classes, x, y
        Of every point: "sample", "prototype", "weight" or "final", its class, where.
    """

    receiver: Count
    donors: tuple[Count, ...]
    kinds: tuple[Kind, ...]
    classes: tuple[Count, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, config=CHECKED)
class GainBars:
    """How many classes of each group gained how much.

    Attributes
    ----------
    edges
        Of the bins, ascending.
    counts
        By group: classes per bin.
    unchanged
        By group: classes that neither gained nor lost, which are in no bin.
    """

    edges: tuple[float, ...]
    counts: dict[str, tuple[Count, ...]]
    unchanged: dict[str, Count]


@dataclass(frozen=True, config=CHECKED)
class GainAtDistance:
    """Mean gain of few-shot classes about as far from their nearest donor.

    Attributes
    ----------
    distance, gain
        Means over `n` classes.
    error
        Standard error of the gain; None for one class.
    """

    distance: float
    gain: float
    error: float | None
    n: Count


@dataclass(frozen=True, config=CHECKED)
class MethodResult:
    """What one method reached.

    Attributes
    ----------
    name
        In the registry, or the user's.
    figures
        By name, as in `Evaluation.figures`.
    gains
        The same figures minus those of the reference, paired.
    recall
        Per class; None for a class without a test example.
    trend
        Mean recall of the classes around the ranks `Report.trend_ranks`.
    calibration
        By group: "all", "many", "medium", "few".
    confusion
        Of this method.
    gain_bars
        Of the gains in recall over the reference.
    donors, gain_at_distance, maps
        Where the method composes classifiers.
    settings
        Parameters, and what was chosen on which data, as text.
    """

    name: str
    figures: dict[str, Number]
    gains: dict[str, Number]
    recall: tuple[Share | None, ...]
    trend: tuple[Share | None, ...]
    calibration: dict[str, Calibration]
    confusion: Confusion
    gain_bars: GainBars
    donors: Donors | None
    gain_at_distance: tuple[GainAtDistance, ...]
    maps: tuple[Map, ...]
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, config=CHECKED)
class ClassTable:
    """The classes, from the most to the fewest training examples.

    Attributes
    ----------
    names
        As text.
    counts, sizes
        Training and test examples.
    groups
        Name of each class's shot group.
    """

    names: tuple[str, ...]
    counts: tuple[Count, ...]
    sizes: tuple[Count, ...]
    groups: tuple[GroupName, ...]


@dataclass(frozen=True, config=CHECKED)
class Group:
    """A shot group: how many classes, how many of them in the test set."""

    name: str
    rule: str
    n_classes: Count
    n_tested: Count
    n: Count


@dataclass(frozen=True, config=CHECKED)
class Finding:
    """What a check found, or why it does not apply."""

    code: str
    title: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, config=CHECKED)
class Report:
    """All that a page or a figure shows of a comparison.

    Attributes
    ----------
    method
        The method that the answer is about.
    chosen_by
        Why this one; never because of its test figures.
    reference
        The method that all are compared with.
    answer
        One sentence, with intervals.
    classes, groups, methods, findings
        See there.
    trend_ranks
        Positions in the table of classes that trends are given for.
    rivals
        Methods whose accuracy over all classes the test set does not tell from the
        highest, which comes first.
    shared_examples
        Test examples whose features are those of a training example; None if unknown.
    facts
        How it was made: names and values.
    """

    method: str
    chosen_by: str
    reference: str
    answer: str
    classes: ClassTable
    groups: tuple[Group, ...]
    methods: tuple[MethodResult, ...]
    trend_ranks: tuple[Count, ...]
    rivals: tuple[str, ...]
    shared_examples: Count | None
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]

    def result(self, name: str) -> MethodResult:
        """Return what the method of this name reached."""
        for method in self.methods:
            if method.name == name:
                return method
        known = [method.name for method in self.methods]
        raise ValueError(f"method must be one of {known}; got {name!r}.")
