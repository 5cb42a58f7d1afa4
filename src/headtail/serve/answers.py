"""What the server answers, as models of the OpenAPI page."""

from pydantic import BaseModel

__all__ = ["Changed", "ClassList", "Health", "Predictions", "Problem"]


class Prediction(BaseModel):
    """The best classes of one row."""

    classes: list[str]
    probabilities: list[float]
    donors: list[dict[str, str | float]] | None = None


class Predictions(BaseModel):
    """Of all rows, by one state of the head."""

    version: int
    predictions: list[Prediction]


class Changed(BaseModel):
    """What a change led to; `id` where examples were added."""

    version: int
    n_examples: int | None = None
    id: int | None = None


class ClassRow(BaseModel):
    """One class; `added` if it is not of the head's file."""

    name: str
    n_examples: int
    added: bool


class ClassList(BaseModel):
    """Some of the classes."""

    version: int
    total: int
    classes: list[ClassRow]


class Health(BaseModel):
    """That the server lives, and which state it has."""

    status: str
    version: str
    snapshot: int


class Problem(BaseModel):
    """What must hold; what came; what to do."""

    detail: str
