"""How a comparison was made, as text: data, seeds, versions, settings."""

from collections.abc import Mapping
from typing import Any

from headtail.evaluation import Comparison

__all__ = ["facts_of", "settings_of"]

# Entries of a list that are shown.
_LISTED = 10


def settings_of(
    provenance: Mapping[str, Any], name: str
) -> tuple[tuple[str, str], ...]:
    """Return a method's parameters, and what it chose on which data, as text."""
    parameters = provenance.get("methods", {}).get(name, {})
    chosen = provenance.get("selections", {}).get(name, {})
    rows = [(key, _text(value)) for key, value in sorted(parameters.items())]
    rows += [(f"chosen: {key}", _text(value)) for key, value in sorted(chosen.items())]
    return tuple(rows)


def facts_of(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Return data, seed and versions of a comparison, as names and text."""
    facts = [("accuracy of a group", "mean of its classes' recalls")]
    first = next(iter(comparison.evaluations.values()))
    facts.append(("shot groups", f"convention {first.convention!r}"))
    for part in ("train", "test"):
        for key, value in sorted(comparison.provenance.get(part, {}).items()):
            facts.append((f"{part}: {key.replace('_', ' ')}", _text(value)))
    facts.append(("bootstrap replicates", str(len(first.replicates))))
    if "random_state" in comparison.provenance:
        facts.append(("seed", _text(comparison.provenance["random_state"])))
    versions = comparison.provenance.get("versions", {})
    facts += [(f"version of {key}", _text(v)) for key, v in sorted(versions.items())]
    return tuple(facts)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_text(item)}" for key, item in value.items())
    if isinstance(value, list) and len(value) > _LISTED:
        return f"{_text(value[:_LISTED])} and {len(value) - _LISTED} more"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
