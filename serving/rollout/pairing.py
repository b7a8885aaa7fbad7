"""Pairs the answers of two revisions to the same requests.

A mirrored request carries the same body, so that both revisions log the client's request id, or else the
same entity and event time. A request with neither cannot be paired, and counts as unpaired.
"""

import time
from datetime import datetime
from pathlib import Path

from serving.rollout.logged import Answer, AnswerLog, Key, by_key
from serving.rollout.sights import SHIFT_BINS, Pairs
from serving.rollout.target import RevisionId

SETTLED_S = 10.0
"""A log file is closed after three idle seconds; whoever has no partner after so long will get none."""


class Pairing:
    """Grows with the log; made anew from the same files after a kill, it says the same."""

    def __init__(
        self,
        folder: Path,
        since: datetime,
        thresholds: dict[RevisionId, float],
        *,
        stable: RevisionId,
        canary: RevisionId,
    ) -> None:
        """Name the log, both revisions and the probability from which on each decides positively."""
        self._log, self._stable, self._canary = AnswerLog(folder, since), stable, canary
        self._thresholds = thresholds
        self._theirs: dict[Key, Answer] = {}
        self._waiting: dict[Key, Answer] = {}
        self._paired: set[Key] = set()
        self._changed = 0
        self._shifts = [0] * SHIFT_BINS

    def totals(self, now_us: int | None = None) -> Pairs:
        """Read what is new in the log and say what all of it amounts to.

        Raises:
            NotReadyError: A file cannot be read now.
        """
        for answer in self._log.read():
            self._take(answer)
        for key, answer in list(self._waiting.items()):
            if (partner := by_key(self._theirs, answer)) is not None:
                del self._waiting[key]
                self._pair(key, answer, partner)
        before_us = (now_us or time.time_ns() // 1000) - SETTLED_S * 1e6
        return Pairs(
            compared=len(self._paired),
            changed=self._changed,
            shifts=tuple(self._shifts),
            unpaired=sum(answer.received_us < before_us for answer in self._waiting.values()),
        )

    def _take(self, answer: Answer) -> None:
        if answer.revision == self._canary:
            for key in filter(None, (answer.request, answer.event)):
                self._theirs.setdefault(key, answer)
        elif answer.revision == self._stable:
            key = answer.event or answer.request  # the same question asked again is no new evidence
            if key not in self._paired:
                self._waiting.setdefault(key, answer)

    def _pair(self, key: Key, ours: Answer, theirs: Answer) -> None:
        self._paired.add(key)
        self._changed += self._positive(ours) is not self._positive(theirs)
        shift = min(SHIFT_BINS - 1, int(abs(ours.probability - theirs.probability) * SHIFT_BINS))
        self._shifts[shift] += 1

    def _positive(self, answer: Answer) -> bool:
        return answer.probability >= self._thresholds[answer.revision]
