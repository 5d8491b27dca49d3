"""Mapping files: what they mean, and how their mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.control.mapping import Control, Mapping, Pick
from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import UsageError

PARAMETERS = (
    Parameter("morph", 0.0, 1.0, 0.0),
    Parameter("gain", -60.0, 12.0, 0.0, "dB"),
    Parameter("wet", 0.0, 1.0, 1.0),
    Parameter("rack.reverb.room_size", 0.0, 1.0, 0.5),
)
PRESETS = ("vocals", "drums")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "knobs.toml"


def refusal(file: Path, text: str | bytes) -> str:
    """What the user is told about this mapping, less the path before the line."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        Mapping.load(file).check(PARAMETERS, PRESETS)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}:")
    return message.removeprefix(f"{file}:")


def test_the_default_fits_what_every_session_has() -> None:
    mapping = Mapping.default()
    mapping.check(PARAMETERS, PRESETS)
    assert {control.cc: control.parameter for control in mapping.controls} == {
        1: "morph",
        7: "gain",
        91: "wet",
    }
    assert mapping.program_change
    assert mapping.notes == 36
    assert mapping.smoothing == 0.03


def test_a_whole_file_is_read(file: Path) -> None:
    file.write_text(
        """\
# my knobs
schema = 1
program_change = false
notes = 48
smoothing = 0.1

[[control]]
cc = 2
parameter = "morph"
bits14 = true

[[control]]
cc = 7
channel = 16
parameter = "gain"
minimum = -20
maximum = 0.0
invert = true
takeover = false

[[control]]
cc = 20
fine = 99
parameter = "rack.reverb.room_size"

[[preset]]
note = 36
channel = 10
preset = "vocals"

[[preset]]
program = 0
preset = "drums"
"""
    )
    mapping = Mapping.load(str(file))
    mapping.check(PARAMETERS, PRESETS)
    assert mapping == Mapping(
        controls=(
            Control(2, "morph", fine=34),
            Control(7, "gain", 16, -20.0, 0.0, invert=True, takeover=False),
            Control(20, "rack.reverb.room_size", fine=99),
        ),
        picks=(Pick("vocals", note=36, channel=10), Pick("drums", program=0)),
        program_change=False,
        notes=48,
        smoothing=0.1,
    )
    assert mapping.controls[1].where == f"{file}:15"


def test_a_small_file_has_the_usual_rest(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfschema = 1\r\nnotes = false\r\n")
    assert Mapping.load(file) == Mapping(notes=None)


KNOB = '[[control]]\ncc = 1\nparameter = "morph"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("notes = 36\n", "1: 'schema' is missing; write: schema = 1"),
        ("\nschema = 2\nnew_thing = 1\n", "2: 'schema' must be 1, the only one this version knows, not 2"),
        ("schema = 1\nsmothing = 0.1\n", "2: unknown key 'smothing'; did you mean 'smoothing'? There are: "),
        (
            f"schema = 1\n{KNOB}{KNOB.replace('[[control]]', '[[controls]]')}",
            "5: unknown key 'controls'; did",
        ),
        ("schema = 1\n[control]\ncc = 1\n", "2: 'control' must be a list of tables"),
        ("schema = 1\n[midi.port]\ncc = 1\n", "2: unknown key 'midi'"),
        (
            "schema = 1\n\n[[control]]\n# knob\ncc = 1\nparametre = 'morph'\n",
            "6: unknown key 'parametre'; did",
        ),
        (f"schema = 1\n{KNOB}{KNOB}takover = false\n", "8: unknown key 'takover'; did you mean 'takeover'?"),
        (
            "schema = 1\ncontrol = [\n  {cc = 1, parameter = 'morph'},\n  {cc = 2, knob = 3}]\n",
            "4: unknown key",
        ),
        (
            "schema = 1\n[[control]]\ncc = 128\nparameter = 'morph'\n",
            "3: 'cc' must be an integer from 0 to 127",
        ),
        (
            "schema = 1\n[[control]]\ncc = true\nparameter = 'morph'\n",
            "3: 'cc' must be an integer from 0 to 127",
        ),
        (
            "schema = 1\n[[control]]\ncc = 1.0\nparameter = 'morph'\n",
            "3: 'cc' must be an integer from 0 to 127",
        ),
        (f"schema = 1\n{KNOB}channel = 0\n", "5: 'channel' must be an integer from 1 to 16, not 0"),
        (f"schema = 1\n{KNOB}takeover = 1\n", "5: 'takeover' must be true or false, not 1"),
        (f"schema = 1\n{KNOB}minimum = nan\n", "5: 'minimum' must be a number, not nan"),
        (f"schema = 1\n{KNOB}minimum = 0x{'f' * 4000}\n", "5: 'minimum' must be a number, not a number of"),
        (f"schema = 1\n{KNOB}minimum = 0.5\nmaximum = 0.5\n", "5: 'minimum' must be below 'maximum'"),
        (f"schema = 1\n{KNOB}minimum = 2\n", "4: 2 to 1 is no part of the range of 'morph', 0 to 1"),
        (f"schema = 1\n{KNOB}minimum = -1\n", "4: -1 to 1 is no part of the range of 'morph', 0 to 1"),
        ("schema = 1\n[[control]]\nparameter = 'morph'\n", "2: this control has no 'cc'"),
        ("schema = 1\n[[control]]\ncc = 3\n", "2: this control has no 'parameter'"),
        ("schema = 1\n[[control]]\ncc = 3\nparameter = ''\n", "4: 'parameter' must be a name in quotes"),
        (
            "schema = 1\n[[control]]\ncc = 32\nparameter = 'wet'\nbits14 = true\n",
            "5: a 14-bit pair starts at",
        ),
        (f"schema = 1\n{KNOB}fine = 1\n", "5: 'fine' must be another cc"),
        (f"schema = 1\n{KNOB}fine = 40\nbits14 = true\n", "6: with 'fine' leave 'bits14' out"),
        (f"schema = 1\n{KNOB}\n{KNOB}", "7: cc 1 moves 'morph' already"),
        (
            f"schema = 1\n{KNOB}bits14 = true\n[[control]]\ncc = 33\nparameter = 'wet'\n",
            "7: cc 33 belongs to",
        ),
        (
            f"schema = 1\n{KNOB}fine = 9\n[[control]]\ncc = 2\nfine = 9\nparameter = 'wet'\n",
            "7: cc 9 belongs to",
        ),
        (
            "schema = 1\n[[control]]\ncc = 3\nparameter = 'wett'\n",
            "4: unknown parameter 'wett'; did you mean 'wet'?",
        ),
        (
            "schema = 1\n[[preset]]\nnote = 3\npreset = 'vocal'\n",
            "4: unknown preset 'vocal'; did you mean 'vocals'?",
        ),
        ("schema = 1\n[[preset]]\npreset = 'vocals'\n", "2: a preset needs either 'note' or 'program'"),
        ("schema = 1\n[[preset]]\nnote=1\nprogram=1\npreset = 'vocals'\n", "2: a preset needs either"),
        ("schema = 1\n[[preset]]\nnote = 1\n", "2: this preset has no 'preset'"),
        (
            "schema = 1\nnotes = true\n",
            "2: 'notes' must be the first note, an integer from 0 to 127, or false",
        ),
        ("schema = 1\nsmoothing = -1\n", "2: 'smoothing' must be a number from 0 to 10, not -1"),
        ('schema = 1\nsmoothing = "a\\nb"\n', "2: 'smoothing' must be a number from 0 to 10, not 'a\\nb'"),
        ("schema = 1\nnotes = = 3\n", "2: no valid TOML: Invalid value"),
        ("schema = 1\nnotes = 1\nnotes = 2\n", "3: no valid TOML: Cannot overwrite a value"),
        ("schema = 1\nnotes = [\n", "2: no valid TOML: "),
        (b"schema = 1\n# caf\xe9\n", "2: the text is not UTF-8"),
    ],
)
def test_a_mistake_is_told_with_its_line(file: Path, text: str | bytes, told: str) -> None:
    assert refusal(file, text).startswith(told)


@pytest.mark.parametrize("text", ["schema = " + "[" * 20000, f"schema = {'1' * 9999}\n"], ids=["nested", "long number"])
def test_hostile_toml_is_one_line_too(file: Path, text: str) -> None:
    assert refusal(file, text).startswith("1: no valid TOML: ")


def test_a_key_of_two_lines_is_told_on_one(file: Path) -> None:
    assert "unknown key 'a\\nb'" in refusal(file, 'schema = 1\n"a\\nb" = 1\n')


def test_what_exists_is_listed(file: Path) -> None:
    told = refusal(file, "schema = 1\n[[control]]\ncc = 3\nparameter = 'zzz'\n")
    assert told.endswith("There are: gain, morph, rack.reverb.room_size, wet")


def test_the_same_cc_on_two_channels_is_two_knobs(file: Path) -> None:
    file.write_text(f"schema = 1\n{KNOB}channel = 1\n{KNOB}channel = 2\n")
    assert [control.channel for control in Mapping.load(file).controls] == [1, 2]


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "none.toml"
    with pytest.raises(UsageError, match="cannot read the mapping file") as caught:
        Mapping.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


LINES = ("schema = 1", "[[control]]", "[[preset]]", "[a]", "x.y = 1", "cc = 1", "fine = 2", "bits14 = true")
LINES += ("note = 1", "notes = false", "parameter = 'wet'", "preset = 'drums'", "minimum = 0.5")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.sampled_from(LINES),
            max_size=8,
        ).map(lambda lines: "\n".join(lines).encode()),
    )
)
def test_any_file_is_a_mapping_or_one_line_with_a_place(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        mapping = Mapping.load(file)
    except UsageError as error:
        message = str(error)
        assert "\n" not in message
        line = int(message.removeprefix(f"{file}:").partition(":")[0])
        assert 1 <= line <= data.count(b"\n") + 1
    else:
        assert all(0 <= control.cc <= 127 for control in mapping.controls)
