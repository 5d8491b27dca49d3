"""Tables and figures of `qsep-live compose evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.report import Cell, Report, Table

if TYPE_CHECKING:
    from qsep_live.compose.composer import Composer
    from qsep_live.compose.songs import Song
    from qsep_live.compose.steering import Heard, Outcome

_STEERING = (
    "emotion", "method", "latents", "pitch wanted", "before", "after", "closed %", "notes a bar wanted", "before ",
    "after ", "closed % ", "in key", "similarity", "agreement", "ms a latent", "distance",
)  # fmt: skip
_PLACES = 9


def steering_report(outcomes: Sequence[Outcome]) -> Report:
    """A row for each emotion and method, the means of each method, and a scatter plot for each emotion."""
    table = Table("Latents of the prior, moved to emotions", _STEERING)
    first = outcomes[0].before
    table.rows.append(("untouched", "–", len(first.pitch), *[float("nan")] * 8, *_kept(first), *[float("nan")] * 2))
    for each in outcomes:
        table.rows.append(_row(each))
    for method in dict.fromkeys(each.method for each in outcomes):
        own = [each for each in outcomes if each.method == method]
        values = np.mean([[cell for cell in _row(each)[2:] if not isinstance(cell, str)] for each in own], axis=0)
        table.rows.append(("mean", method, int(values[0]), *(float(value) for value in values[1:])))
    table.notes = [
        "closed: 1 - mean |after - wanted| / mean |before - wanted|, latent by latent",
        "in key, similarity, agreement (tokens that come back when the melody is encoded and decoded again): means",
        "actor: asked again for what was missed, twice at most; once: the first answer",
        "ms a latent: CPU time on one core, the hearing between included",
    ]
    return Report("steering", table, _clouds([each for each in outcomes if each.method == "actor"]))


def interpolation_report(composer: Composer, songs: Sequence[Song], pairs: int, seed: int) -> Report:
    """From one held-out song to another, through the latents and by mixing tokens."""
    from qsep_live.compose.interpolation import Way, through_latents, through_tokens
    from qsep_live.compose.melody import melody_of

    random = np.random.default_rng(seed)
    ways: dict[str, list[Way]] = {"latent": [], "tokens": []}
    for _ in range(pairs):
        a, b = (melody_of(songs[index].windows[0]) for index in random.choice(len(songs), 2, replace=False))
        ways["latent"].append(through_latents(composer, a, b, _PLACES))
        ways["tokens"].append(through_tokens(a, b, _PLACES, random))
    table = Table(
        f"Between {pairs} pairs of held-out songs, {_PLACES} melodies each",
        ("way", "place", "edit distance from the one before", "from the first", "in key"),
    )
    for way, found in ways.items():
        steps, far, key = (np.mean([getattr(each, name) for each in found], axis=0) for name in
                           ("steps", "from_first", "in_key"))  # fmt: skip
        for place in range(_PLACES):
            step = float(steps[place - 1]) if place else float("nan")
            table.rows.append((way, f"{place}/{_PLACES - 1}", step, float(far[place]), float(key[place])))
        largest = float(np.mean([each.steps.max() / max(each.from_first[-1], 1e-9) for each in found]))
        table.notes.append(f"{way}: the largest step is {largest:.0%} of the distance between both ends, on average")
    table.notes.append(
        "distances: Levenshtein, as a share of 256 tokens; way tokens: each token from one end by chance"
    )
    return Report("interpolation", table, _ways(ways))


def _row(outcome: Outcome) -> tuple[Cell, ...]:
    before, after, wanted = outcome.before, outcome.after, outcome.reference
    return (
        outcome.emotion, outcome.method, len(before.pitch),
        wanted.pitch, float(np.nanmean(before.pitch)), float(np.nanmean(after.pitch)), 100.0 * outcome.pitch_closed,
        wanted.density, float(before.density.mean()), float(after.density.mean()), 100.0 * outcome.density_closed,
        *_kept(after), 1000.0 * outcome.seconds, outcome.distance,
    )  # fmt: skip


def _kept(heard: Heard) -> tuple[float, float, float]:
    return tuple(float(np.nanmean(each)) for each in (heard.in_key, heard.similarity, heard.agreement))  # type: ignore[return-value]


def _clouds(outcomes: Sequence[Outcome]) -> Any:
    plt = pyplot()
    figure, panels = plt.subplots(3, 3, figsize=(10, 9), sharex=True, sharey=True, layout="constrained")
    for axes, each in zip(panels.flat, outcomes, strict=False):
        axes.plot(each.before.pitch, each.before.density, ".", color="silver", label="before")
        axes.plot(each.after.pitch, each.after.density, ".", color="tab:blue", label="after")
        axes.plot(each.reference.pitch, each.reference.density, "*", color="tab:red", markersize=14, label="wanted")
        axes.set(title=each.emotion, xlabel="mean pitch", ylabel="notes a bar")
        axes.label_outer()
    panels.flat[0].legend(fontsize="small")
    plt.close(figure)
    return figure


def _ways(ways: dict[str, Any]) -> Any:
    plt = pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, name, label in zip(panels, ("from_first", "in_key"), ("edit distance from the first", "in key"),
                                 strict=True):  # fmt: skip
        for way, found in ways.items():
            axes.plot(np.linspace(0, 1, _PLACES), np.mean([getattr(each, name) for each in found], axis=0), ".-",
                      label=way)  # fmt: skip
        axes.set(xlabel="place", ylabel=label)
        axes.legend(fontsize="small")
    plt.close(figure)
    return figure
