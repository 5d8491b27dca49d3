"""Care for a session's processes: what each says is heard, one that ended is started again, one that hangs is killed.

Threading: the host's thread only, from its ticks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from qsep_live.engine.child import Word
from qsep_live.engine.input_process import BEAT as INPUT_BEAT
from qsep_live.engine.shared import Board
from qsep_live.engine.worker import Worker

MODEL_PATIENCE = 180.0
OPEN_PATIENCE = 30.0
HUNG = 5.0
"""Seconds without a beat after which a process is killed and started again."""
SLOW_STEPS = 20
"""Steps, each as long as the last one, that a mask takes at most before its process counts as hung."""


class Care(ABC):
    """What is done for every process. What a kind of process needs besides stands in its own class.

    Parameters
    ----------
    worker
        The process.
    board
        Where it beats.
    tell
        Hears what happened, a line each.

    Attributes
    ----------
    beat
        Its place in the board's beats.
    patience
        Seconds that it may take until it says "ready".
    """

    beat: int
    patience = OPEN_PATIENCE

    def __init__(self, worker: Worker, board: Board, tell: Callable[[str], None]) -> None:
        self._worker, self._board, self._tell = worker, board, tell

    def look(self, now: float, trust: float) -> None:
        """One look; nothing counts as hung before ``trust``, seconds of `time.monotonic` as ``now`` is."""
        worker = self._worker
        for word in worker.words():
            self._hear(word)
        if not worker.alive:
            self._ended()
        elif now >= trust and worker.hangs(self._board.beats[self.beat], self.patience, self._hung()):
            self._tell(f"the {worker.name} process hung; killed")
            worker.kill()

    @abstractmethod
    def _hear(self, word: Word) -> None:
        """What it said."""

    def _ended(self) -> None:
        """It is dead: start it again when that is due."""
        if self._worker.restart_when_due():
            self._tell(f"the {self._worker.name} process had ended; started again")

    def _hung(self) -> float:
        """Seconds that may lie between two beats."""
        return HUNG


class MaskCare(Care):
    """The mask process."""

    beat = 1
    patience = MODEL_PATIENCE

    def _hear(self, word: Word) -> None:
        self._tell(f"mask process: {word.text}" if word.kind != "ready" else "the mask process is back")

    def _hung(self) -> float:
        # It beats between steps alone: one that is slow, on a busy machine, is no worse than one that is not there.
        self._board.mask.refresh()
        return min(MODEL_PATIENCE, max(HUNG, SLOW_STEPS * self._board.mask["step_seconds"]))


class MidiCare(Care):
    """The MIDI process.

    Parameters
    ----------
    play
        Gets each message and its time stamp.

    Attributes
    ----------
    port
        What is open; None while there is none.
    dropped
        Messages lost because they were not fetched in time.
    """

    beat = 2

    def __init__(
        self, worker: Worker, board: Board, tell: Callable[[str], None], play: Callable[[bytes, float], None]
    ) -> None:
        super().__init__(worker, board, tell)
        self.port: str | None = None
        self.dropped = 0
        self._play = play

    def _hear(self, word: Word) -> None:
        if word.kind == "midi":
            self.dropped = word.data["dropped"]
            for stamp, message in word.data["messages"]:
                self._play(message, stamp)
        elif word.kind != "ready":
            self.port = word.data.get("port")
            if word.text:
                self._tell(word.text)

    def _ended(self) -> None:
        self.port = None
        super()._ended()


class DeviceCare(Care):
    """A process that has a device open: one that stays away is tried again and again, and complained of once.

    Parameters
    ----------
    back
        Gets the word that says that the device is open again.
    lost
        Called at every look while the process is dead.

    Attributes
    ----------
    sound
        What it is, for people.
    """

    sound: str

    def __init__(
        self,
        worker: Worker,
        board: Board,
        tell: Callable[[str], None],
        back: Callable[[Word], None],
        lost: Callable[[], None],
    ) -> None:
        super().__init__(worker, board, tell)
        self._back, self._lost = back, lost
        self._complaint = ""

    def _hear(self, word: Word) -> None:
        if word.kind == "ready":
            self._back(word)
            self._tell(f"{self.sound} is back: {word.text}")
            self._complaint = ""
        elif word.text != self._complaint:
            self._complaint = word.text
            self._tell(word.text)

    def _ended(self) -> None:
        self._lost()
        self._worker.restart_when_due()


class AudioCare(DeviceCare):
    """The audio process."""

    beat = 0
    sound = "sound"


class InputCare(DeviceCare):
    """The process of an input device that is not the output's."""

    beat = INPUT_BEAT
    sound = "the input"
