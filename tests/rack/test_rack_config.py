from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from qsep_live.errors import UsageError
from qsep_live.rack.config import RackConfig

HEAD = "schema = 1\n"


def parse(text: str) -> RackConfig:
    return RackConfig.parse(text, Path("my.toml"))


def test_reads_types_values_and_names(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        HEAD + '[[effect]]\ntype = "reverb"\n[effect.parameters]\nroom_size = 0.9\n'
        '[[effect]]\ntype = "low_shelf_filter"\nbypass = true\n'
        '[[effect]]\ntype = "Reverb"\n'
        '[[effect]]\nplugin = "~/.vst3/Big Room.vst3"\nblock = 64\n[effect.parameters]\nmix = 40\n'
    )
    config = RackConfig.load(path)
    assert [e.name for e in config.effects] == ["reverb", "lowshelffilter", "reverb-2", "big-room"]
    first, second, _, plugin = config.effects
    assert first.effect is not None
    assert first.effect.type == "Reverb"
    assert dict(first.values) == {"room_size": 0.9}
    assert second.bypass
    assert plugin.effect is None
    assert (plugin.plugin, plugin.block, dict(plugin.values)) == ("~/.vst3/Big Room.vst3", 64, {"mix": 40})


def test_parameters_carry_the_files_values_as_defaults() -> None:
    config = parse(
        HEAD + '[[effect]]\ntype = "Gain"\nname = "trim"\nbypass = true\n[effect.parameters]\ngain_db = -3\n'
    )
    by_name = {p.name: p for p in config.parameters}
    assert by_name["rack.trim.gain_db"].default == -3
    assert by_name["rack.trim.bypass"].default == 1


def test_a_given_name_is_kept_for_its_owner() -> None:
    config = parse(HEAD + '[[effect]]\ntype = "Gain"\n[[effect]]\ntype = "Reverb"\nname = "gain"\n')
    assert [e.name for e in config.effects] == ["gain-2", "gain"]


def test_can_be_sent_to_another_process() -> None:
    config = parse(HEAD + '[[effect]]\ntype = "Reverb"\n')
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "[[effect]\n", ["my.toml:2", "not TOML"]),
        (HEAD + 'x = "', ["my.toml:2", "not TOML"]),
        ("", ["schema is missing", "schema = 1"]),
        ("schema = 2\n", ["my.toml:1", "schema is 2"]),
        ("schema = true\n", ["my.toml:1", "schema"]),
        (HEAD + '[[effects]]\ntype = "Gain"\n', ["my.toml:2", "'effects'", "did you mean 'effect'?"]),
        (HEAD + 'effect = "Gain"\n', ["my.toml:2", "[[effect]]"]),
        (HEAD + '[[effect]]\ntype = "Reverbb"\n', ["my.toml:3", "did you mean 'Reverb'?", "Compressor"]),
        (HEAD + '[[effect]]\ntype = "PitchShift"\n', ["my.toml:3", "1.1 s", "not for live use"]),
        (HEAD + '[[effect]]\ntype = "iir_filter"\n', ["my.toml:3", "PeakFilter"]),
        (HEAD + '[[effect]]\nname = "x"\n', ["my.toml:2", "type or plugin"]),
        (HEAD + '[[effect]]\ntype = "Gain"\nplugin = "a.vst3"\n', ["my.toml:2", "not both"]),
        (HEAD + '[[effect]]\ntype = "Gain"\nbypas = true\n', ["my.toml:4", "did you mean 'bypass'?"]),
        (HEAD + '[[effect]]\ntype = "Gain"\nbypass = 1\n', ["my.toml:4", "true or false"]),
        (HEAD + '[[effect]]\ntype = "Gain"\nblock = 64\n', ["my.toml:4", "plugin"]),
        (HEAD + '[[effect]]\nplugin = "a.vst3"\nblock = 3\n', ["my.toml:4", "16 to 8192"]),
        (HEAD + "[[effect]]\ntype = 3\n", ["my.toml:3", "type must be a text"]),
        (HEAD + '[[effect]]\ntype = "Gain"\nname = "a b"\n', ["my.toml:4", "'a b'"]),
        (
            HEAD + '[[effect]]\ntype = "Gain"\nname = "a"\n[[effect]]\ntype = "Gain"\nname = "a"\n',
            ["my.toml:7", "used twice"],
        ),
        (
            HEAD + '[[effect]]\ntype = "Gain"\n[[effect]]\ntype = "Reverb"\n[effect.parameters]\nroom = 1\n',
            ["my.toml:7", "did you mean 'room_size'?", "damping", "wet_level"],
        ),
        (
            HEAD + '[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = 200\n',
            ["my.toml:5", "gain_db = 200", "-80 to 24 dB"],
        ),
        (HEAD + '[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = nan\n', ["my.toml:5", "a number"]),
        (HEAD + '[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = true\n', ["my.toml:5", "a number"]),
        (HEAD + '[[effect]]\ntype = "Gain"\nparameters = 3\n', ["my.toml:4", "[effect.parameters]"]),
        (
            HEAD + '[[effect]]\ntype = "LadderFilter"\n[effect.parameters]\nmode = "LP12"\n',
            ["my.toml:5", "did you mean 'LPF12'?", "HPF24"],
        ),
        (HEAD + '[[effect]]\ntype = "Convolution"\n', ["my.toml:3", "needs impulse_response"]),
        (
            HEAD + '[[effect]]\ntype = "Convolution"\n[effect.parameters]\nimpulse_response = "no.wav"\n',
            ["my.toml:5", "no file", "no.wav"],
        ),
        (HEAD + '[[effect]]\nplugin = "a.vst3"\n[effect.parameters]\nx = [1]\n', ["my.toml:5", "x must be"]),
    ],
)
def test_a_mistake_is_one_line_that_helps(text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: cannot read"):
        RackConfig.load(tmp_path / "nowhere.toml")
    with pytest.raises(UsageError, match="cannot read"):
        RackConfig.load(tmp_path)
    (tmp_path / "noise.toml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UsageError, match="UTF-8"):
        RackConfig.load(tmp_path / "noise.toml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    plain, marked = tmp_path / "a.toml", tmp_path / "b.toml"
    text = HEAD + '[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = 3.0\n'
    plain.write_text(text, encoding="utf-8")
    marked.write_text(text, encoding="utf-8-sig")
    assert RackConfig.load(marked).parameters == RackConfig.load(plain).parameters
