"""Commands killed again and again, and what was found afterwards."""

import importlib
import random
import shutil
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.kill.child import Ended, Moment, draw, run_until
from tools.kill.scenes import Scene, contents, differing, hidden, load, prepare

__all__ = ["Tally", "Trials", "import_all"]

# A lock and a folder for what is half-written, of the run and of what is in it.
_MOST_HIDDEN = 4


@dataclass
class Tally:
    """What was found of one command.

    `moments` were drawn; at `killed` of them it was running, `at_writes` of these
    before or after a change to a file. `loaded` files were found whole, `ended` runs
    went on to their end, `equal` of them with the bytes of the unbroken run. `faults`
    says what was broken.
    """

    moments: int = 0
    killed: int = 0
    at_writes: int = 0
    loaded: int = 0
    ended: int = 0
    equal: int = 0
    faults: list[str] = field(default_factory=list)


class Trials:
    """The trials of commands in one folder, which is filled at the start."""

    def __init__(self, folder: Path, seed: int, commands: Iterable[str]) -> None:
        self.folder, self.seed = folder, seed
        self.store = folder / "store"
        self.store.mkdir()
        prepare(self.store, self._prepared, commands)

    def run(self, name: str, scenes: Sequence[Scene], n_moments: int) -> Tally:
        """Kill a running command so many times; in between, let it go on to its end."""
        tally, rng = Tally(), random.Random(f"{self.seed} {name}")
        unbroken = [self._unbroken(scene) for scene in scenes]
        while tally.killed < n_moments:
            for scene, expected in zip(scenes, unbroken, strict=True):
                trial = _Trial(scene, self._begun(scene), *expected, tally)
                while tally.killed < n_moments:
                    ended = trial.kill(rng)
                    if ended or rng.random() < 0.5:
                        break
                trial.end()
        return tally

    def _prepared(self, words: tuple[str, ...], folder: Path) -> None:
        scene = Scene(words, lambda *_: None, "")
        ended = run_until(None, scene.work, folder, self.folder / "log")
        if ended.code:
            raise RuntimeError(f"{words} ended with {ended.code}:\n{ended.stderr}")

    def _begun(self, scene: Scene) -> Path:
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        scene.begin(self.store, work)
        return work

    def _unbroken(
        self, scene: Scene
    ) -> tuple[dict[str, bytes], dict[str, bytes], Ended]:
        """Return the files before and after an unbroken run, and how it ended."""
        for _ in range(2):
            work = self._begun(scene)
            before = contents(work)
            ended = run_until(None, scene.work, work, self.folder / "log")
            if ended.code:
                raise RuntimeError(f"{scene.words} ended with:\n{ended.stderr}")
            # What is imported here needs no import after the next fork.
            import_all(ended.modules)
        return before, contents(work), ended


class _Trial:
    """One beginning of a command, killed some times and then left to end."""

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        before: dict[str, bytes],
        after: dict[str, bytes],
        unbroken: Ended,
        tally: Tally,
    ) -> None:
        self.scene, self.folder, self.tally = scene, folder, tally
        self.before, self.after, self.unbroken = before, after, unbroken
        self.log = folder.parent / "log"

    def kill(self, rng: random.Random) -> bool:
        """Kill the command at a random moment, and look; tell whether it had ended."""
        moment = draw(rng, self.unbroken.seconds, self.unbroken.events)
        ended = run_until(moment, self.scene.work, self.folder, self.log)
        self.tally.moments += 1
        if ended.signal:
            self.tally.killed += 1
            self.tally.at_writes += moment.event is not None
            if ended.signal != signal.SIGKILL:
                self._fault(f"ended by signal {ended.signal}", moment)
        elif ended.code:
            self._fault(f"ended with {ended.code}: {ended.stderr}", moment)
        self._look(moment, acknowledged=f"{self.scene.output}\n" in ended.stdout)
        return not ended.signal or self._is_done()

    def end(self) -> None:
        """Let the command end, and compare with the unbroken run."""
        if self._is_done() and not self.scene.repeats:
            self.tally.ended += 1
            self.tally.equal += self._visible() == self.after
            return
        ended = run_until(None, self.scene.work, self.folder, self.log)
        if ended.code:
            self._fault(f"called again, it ended with {ended.code}: {ended.stderr}")
        self._look(None, acknowledged=True)
        self.tally.ended += 1
        if wrong := differing(contents(self.folder), self.after):
            self._fault(f"called again, it differs in {wrong}")
        self.tally.equal += not wrong
        if left := hidden(self.folder):
            self._fault(f"called again, it left {left}")

    def _look(self, moment: Moment | None, *, acknowledged: bool) -> None:
        try:
            self.tally.loaded += len(list(load(self.folder)))
        except Exception as error:  # whatever is raised: the file is not whole
            self._fault(f"{type(error).__name__}: {error}", moment)
        if len(left := hidden(self.folder)) > _MOST_HIDDEN:
            self._fault(f"hidden files become many: {left}", moment)
        single = self.scene.output in self.after
        if acknowledged and single and not self._is_done():
            self._fault("what was acknowledged is not there", moment)
        for name, content in self._visible().items():
            old, new = self.before.get(name), self.after.get(name)
            if name.startswith(f"{self.scene.output}/"):
                # Of a folder of a run, files may be those of an earlier epoch.
                wrong = new is None or (not self.scene.repeats and content != new)
            else:
                wrong = content not in (old, new)
            if wrong:
                self._fault(f"{name} is neither the old nor the new one", moment)
        for name in set(self.before) - set(self._visible()):
            self._fault(f"{name} is gone", moment)

    def _is_done(self) -> bool:
        """Tell whether the output is that of the unbroken run."""
        visible, output = self._visible(), self.scene.output
        new = {n: c for n, c in self.after.items() if Path(n).parts[0] == output}
        return all(visible.get(name) == content for name, content in new.items())

    def _visible(self) -> dict[str, bytes]:
        return {
            name: content
            for name, content in contents(self.folder).items()
            if not any(part[0] == "." for part in Path(name).parts)
        }

    def _fault(self, text: str, moment: Moment | None = None) -> None:
        at = "" if moment is None else f"killed at {moment}: "
        self.tally.faults.append(f"{' '.join(self.scene.words)}: {at}{text}")


def import_all(modules: Sequence[str]) -> None:
    """Import what a child has imported, so that the next need not."""
    for module in modules:
        # A module may only look like one, or stand for the main program.
        with suppress(Exception):
            importlib.import_module(module)
