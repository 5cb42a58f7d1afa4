"""How hard the demonstration's letters are: validation accuracy by hardness.

``python -m benchmarks demo_settings``. The demonstration wants a gap between head and
tail that a small network shows after a minute; its setting was taken from this.
"""

from typing import Any

from benchmarks.common import write
from headtail.demo import FULL, letters, trained_network

HARDNESS = (0.5, 0.75, 0.85)


def main() -> None:
    """Train once per hardness, and score images that the demonstration never shows."""
    rows: dict[str, Any] = {}
    for hardness in HARDNESS:
        size = FULL._replace(hardness=hardness)
        data = letters(size, n_validation=20)
        _, log = trained_network(data.train, size, validation=data.validation)
        last = log[-1]
        rows[str(hardness)] = {
            key: value for key, value in last.items() if key.startswith("validation")
        }
        print(hardness, rows[str(hardness)], flush=True)
    write("demo_settings", {"size": FULL._asdict(), "hardness": rows})


if __name__ == "__main__":
    main()
