"""The control surface: knobs, 14-bit pairs, takeover, presets; total on garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.control.mapping import Control, Mapping, Pick
from qsep_live.control.surface import ControlSurface, PickPreset, SetParameter
from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import UsageError

PARAMETERS = (
    Parameter("morph", 0.0, 1.0, 0.0),
    Parameter("gain", -60.0, 12.0, 0.0, "dB"),
    Parameter("wet", 0.0, 1.0, 1.0),
    Parameter("cutoff", 20.0, 20000.0, 1000.0, "Hz", "log"),
)
PRESETS = ("vocals", "drums", "bass")
LATER = 10.0


def surface(*controls: Control, picks: tuple[Pick, ...] = (), **rest: object) -> ControlSurface:
    return ControlSurface(Mapping(controls, picks, **rest), PARAMETERS, PRESETS)  # type: ignore[arg-type]


def cc(number: int, value: int, channel: int = 1) -> bytes:
    return bytes([0xB0 + channel - 1, number, value])


def test_the_default_mapping_morphs_with_the_mod_wheel() -> None:
    gear = ControlSurface(Mapping.default(), PARAMETERS, PRESETS)
    assert gear.handle(cc(1, 0), 0.0) == [SetParameter("morph", 0.0)]
    assert gear.handle(cc(1, 127), 0.01) == [SetParameter("morph", 1.0)]
    assert gear.handle(cc(91, 127), 0.0) == [SetParameter("wet", 1.0)]
    assert gear.handle(cc(2, 127), 0.0) == []


def test_the_ends_of_a_knob_are_the_ends_of_the_range() -> None:
    gear = surface(Control(20, "cutoff", takeover=False))
    assert gear.handle(cc(20, 0), 0) == [SetParameter("cutoff", 20.0)]
    assert gear.handle(cc(20, 127), 0) == [SetParameter("cutoff", 20000.0)]


def test_a_part_of_the_range_and_inverted() -> None:
    gear = surface(Control(7, "gain", minimum=-20, maximum=0, invert=True, takeover=False))
    assert gear.handle(cc(7, 0), 0) == [SetParameter("gain", 0.0)]
    assert gear.handle(cc(7, 127), 0) == [SetParameter("gain", -20.0)]


def test_a_channel_is_heard_alone() -> None:
    gear = surface(Control(1, "morph", channel=3, takeover=False))
    assert gear.handle(cc(1, 64, channel=2), 0) == []
    assert gear.handle(cc(1, 64, channel=3), 0) == [SetParameter("morph", 64 / 127)]


def test_one_knob_may_move_two_parameters() -> None:
    gear = surface(Control(1, "morph", takeover=False), Control(1, "wet", invert=True, takeover=False))
    assert gear.handle(cc(1, 127), 0) == [SetParameter("morph", 1.0), SetParameter("wet", 0.0)]


def test_a_knob_far_from_its_parameter_waits() -> None:
    gear = surface(Control(1, "morph"))
    assert gear.handle(cc(1, 100), 0.0) == []
    assert gear.handle(cc(1, 50), 1.0) == []
    assert gear.handle(cc(1, 2), 2.0) == [SetParameter("morph", 2 / 127)]
    assert gear.handle(cc(1, 3), 3.0) == [SetParameter("morph", 3 / 127)]


def test_a_parameter_moved_from_elsewhere_must_be_met_again() -> None:
    gear = surface(Control(1, "morph"))
    gear.handle(cc(1, 0), 0.0)
    gear.moved("morph", 0.8)
    assert gear.handle(cc(1, 10), LATER) == []
    assert gear.handle(cc(1, 110), 2 * LATER) == [SetParameter("morph", 110 / 127)]


def test_takeover_follows_an_inverted_knob() -> None:
    gear = surface(Control(91, "wet", invert=True))
    assert gear.handle(cc(91, 127), 0.0) == []
    gear = surface(Control(91, "wet", invert=True))
    assert gear.handle(cc(91, 0), 0.0) == [SetParameter("wet", 1.0)]


def test_moved_knows_its_parameters() -> None:
    with pytest.raises(KeyError, match="volume"):
        surface().moved("volume", 1.0)


def test_the_coarse_half_works_alone() -> None:
    gear = surface(Control(1, "morph", fine=33, takeover=False))
    assert gear.handle(cc(1, 127), 0) == [SetParameter("morph", 1.0)]
    assert gear.handle(cc(1, 0), 0) == [SetParameter("morph", 0.0)]


@given(st.integers(0, 127), st.integers(0, 127), st.booleans())
def test_both_halves_make_the_value_in_either_order(coarse: int, fine: int, fine_first: bool) -> None:
    gear = surface(Control(1, "morph", fine=33, takeover=False))
    messages = [cc(1, coarse), cc(33, fine)]
    for message in reversed(messages) if fine_first else messages:
        changes = gear.handle(message, 0)
    assert changes == [SetParameter("morph", (coarse << 7 | fine) / 16383)]


@given(st.lists(st.integers(0, 16383), min_size=1, max_size=20), st.booleans())
def test_a_stream_of_pairs_ends_right_whichever_half_is_first(values: list[int], fine_first: bool) -> None:
    gear = surface(Control(1, "morph", fine=33, takeover=False))
    for value in values:
        pair = [cc(1, value >> 7), cc(33, value & 127)]
        for message in reversed(pair) if fine_first else pair:
            changes = gear.handle(message, 0)
        assert changes == [SetParameter("morph", value / 16383)]


def test_a_fine_half_alone_moves_nothing() -> None:
    gear = surface(Control(1, "morph", fine=33, takeover=False))
    assert gear.handle(cc(33, 5), 0) == []


def test_the_pairs_of_two_channels_do_not_mix() -> None:
    gear = surface(Control(1, "morph", fine=33, takeover=False))
    gear.handle(cc(33, 127, channel=2), 0)
    assert gear.handle(cc(1, 64, channel=1), 0) == [SetParameter("morph", 64 / 127)]


def test_programs_and_notes_count_the_presets() -> None:
    gear = ControlSurface(Mapping.default(), PARAMETERS, PRESETS)
    assert gear.handle(b"\xc0\x00", 0) == [PickPreset("vocals")]
    assert gear.handle(b"\xc5\x02", 0) == [PickPreset("bass")]
    assert gear.handle(b"\xc0\x03", 0) == []
    assert gear.handle(b"\x99\x24\x40", 0) == [PickPreset("vocals")]
    assert gear.handle(b"\x90\x25\x01", 0) == [PickPreset("drums")]
    assert gear.handle(b"\x90\x25\x00", 0) == []
    assert gear.handle(b"\x80\x25\x40", 0) == []
    assert gear.handle(b"\x90\x23\x40", 0) == []


def test_programs_and_notes_can_be_off() -> None:
    gear = surface(program_change=False, notes=None)
    assert gear.handle(b"\xc0\x00", 0) == []
    assert gear.handle(b"\x90\x24\x40", 0) == []


def test_a_pick_goes_before_the_count_and_minds_its_channel() -> None:
    gear = surface(picks=(Pick("bass", note=36, channel=10), Pick("drums", program=0)))
    assert gear.handle(b"\x99\x24\x40", 0) == [PickPreset("bass")]
    assert gear.handle(b"\x90\x24\x40", 0) == [PickPreset("vocals")]
    assert gear.handle(b"\xc0\x00", 0) == [PickPreset("drums")]
    assert gear.handle(b"\xc0\x01", 0) == [PickPreset("drums")]


def test_a_mapping_that_names_nothing_real_is_refused() -> None:
    with pytest.raises(UsageError, match="'morf'; did you mean 'morph'"):
        surface(Control(1, "morf"))


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=5),
            st.tuples(st.integers(0x80, 0xFF), st.integers(0, 127), st.integers(0, 127)).map(bytes),
        )
    )
)
def test_any_bytes_give_legal_changes(messages: list[bytes]) -> None:
    mapping = Mapping((*Mapping.default().controls, Control(20, "cutoff", fine=52, invert=True)))
    gear = ControlSurface(mapping, PARAMETERS, PRESETS)
    ranges = {parameter.name: parameter for parameter in PARAMETERS}
    for now, message in enumerate(messages):
        for change in gear.handle(message, now / 100):
            if isinstance(change, SetParameter):
                parameter = ranges[change.name]
                assert parameter.minimum <= change.value <= parameter.maximum
            else:
                assert change.name in PRESETS
