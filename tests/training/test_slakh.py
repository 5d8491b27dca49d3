"""Slakh2100's layout: one track written by hand in the published metadata's form, and those of our own renderer."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import yaml

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.data import slakh_bank
from qsep_live.training.midi_parts import LONGEST, read_score
from qsep_live.training.slakh_render import SlakhRenderer

RATE = 44_100
METADATA = """UUID: 1a81ae092884234f3264e2f45927f00a
audio_dir: stems
lmd_midi_dir: lmd_matched/O/O/O/TROOOOO/1a81ae092884234f3264e2f45927f00a.mid
midi_dir: MIDI
normalization_factor: -13.0
normalized: true
overall_gain: 0.18270259567062658
stems:
  S00:
    audio_rendered: true
    inst_class: Guitar
    integrated_loudness: -27.74756470264579
    is_drum: false
    midi_program_name: Distortion Guitar
    midi_saved: true
    plugin_name: elektrik_guitar.nkm
    program_num: 30
  S01:
    audio_rendered: true
    inst_class: Guitar
    integrated_loudness: -27.74756470264579
    is_drum: false
    midi_program_name: Distortion Guitar
    midi_saved: true
    plugin_name: elektrik_guitar.nkm
    program_num: 30
  S02:
    audio_rendered: true
    inst_class: Strings (continued)
    integrated_loudness: -27.74756470264579
    is_drum: false
    midi_program_name: Synth Voice
    midi_saved: true
    plugin_name: dark_pad.nkm
    program_num: 54
  S03:
    audio_rendered: false
    inst_class: Ethnic
    is_drum: false
    midi_program_name: Fiddle
    midi_saved: false
    plugin_name: None
    program_num: 110
  S04:
    audio_rendered: true
    inst_class: Drums
    integrated_loudness: -27.7476048963183
    is_drum: true
    midi_program_name: Drums
    midi_saved: true
    plugin_name: pop_kit.nkm
    program_num: 128
target_peak: -1.0
"""
HERTZ = {"S00": 400, "S01": 700, "S02": 1500, "S04": 3000}


SOUNDFONTS = [Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "FluidR3_GM.sf2")]


@pytest.fixture(scope="module")
def soundfont() -> Path:
    pytest.importorskip("fluidsynth", reason="needs pyfluidsynth and FluidSynth (Debian: libfluidsynth3)")
    for path in SOUNDFONTS:
        if path.is_file():
            return path
    pytest.skip("needs a General MIDI SoundFont (Debian: apt-get install timgm6mb-soundfont)")


@pytest.fixture
def midi(tmp_path: Path) -> Path:
    """A guitar and, on the same channel, a piano; drums; the tempo doubles after a beat of half a second."""
    at: list[tuple[int, mido.Message | mido.MetaMessage]] = [
        (0, mido.Message("program_change", program=30)),
        (0, mido.Message("control_change", control=7, value=90)),
        (0, mido.Message("note_on", note=60, velocity=100)),
        (480, mido.MetaMessage("set_tempo", tempo=250_000)),
        (480, mido.Message("note_on", channel=9, note=38, velocity=110)),
        (720, mido.Message("note_off", channel=9, note=38)),
        (900, mido.Message("program_change", program=0)),
        (960, mido.Message("note_on", note=64, velocity=80)),
        (1440, mido.Message("note_on", note=60, velocity=0)),
        (1920, mido.Message("note_off", note=64)),
    ]
    track, tick = mido.MidiTrack(), 0
    for when, message in at:
        track.append(message.copy(time=when - tick))
        tick = when
    path = tmp_path / "in.mid"
    mido.MidiFile(type=0, tracks=[track]).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One track in ``train`` and one in ``validation``."""
    for place in ("train/Track00001", "validation/Track01501"):
        track = tmp_path / "slakh" / place
        (track / "stems").mkdir(parents=True)
        (track / "metadata.yaml").write_text(METADATA)
        for name, hertz in HERTZ.items():
            sound = 0.1 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
            soundfile.write(track / "stems" / f"{name}.flac", sound, RATE)
    return tmp_path / "slakh"


class TestLoader:
    def test_classes_are_the_metadatas(self, root: Path) -> None:
        bank = slakh_bank(root, "train", 0.5, strict=True)
        (song,) = bank.songs
        assert song.name == "Track00001"
        assert bank.weight == 0.5
        assert bank.classes() == ("Drums", "Guitar", "Strings (continued)")
        assert bank.fine() == ("Guitar/Distortion Guitar", "Strings (continued)/Synth Voice")
        assert {stem.shape for stem in song.stems.values()} == {(1, MODEL_RATE)}

    def test_stems_of_one_program_are_summed(self, root: Path) -> None:
        (song,) = slakh_bank(root).songs
        spectrum = np.abs(np.fft.rfft(song.stems["Guitar/Distortion Guitar"][0])) / MODEL_RATE * 2 / 32767
        assert spectrum[[400, 700, 1500]] == pytest.approx([0.1, 0.1, 0.0], abs=1e-3)
        assert song.of("Guitar") is song.stems["Guitar/Distortion Guitar"]

    @pytest.mark.parametrize("spoil", ["missing", "silent"])
    def test_a_bad_stem_in_training(self, root: Path, spoil: str, capsys: pytest.CaptureFixture[str]) -> None:
        path = root / "train" / "Track00001" / "stems" / "S04.flac"
        path.unlink()
        if spoil == "silent":
            soundfile.write(path, np.zeros(RATE), RATE)
        assert slakh_bank(root).classes() == ("Guitar", "Strings (continued)")
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path) in line
        assert line.endswith("; left out")
        with pytest.raises(QsepError, match=r"S04\.flac"):
            slakh_bank(root, strict=True)

    def test_a_bad_stem_in_validation_takes_its_track_with_it(self, root: Path) -> None:
        (root / "validation" / "Track01501" / "stems" / "S04.flac").write_bytes(b"fLaC")
        with pytest.raises(QsepError, match="validation: none of its 1 tracks could be used"):
            slakh_bank(root, "valid")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("UUID: x\nstems: [}", "damaged at line 2"),
            ("UUID: x", "has no table of stems"),
            ("stems: {S00: {audio_rendered: true}}", "stem S00 has no inst_class"),
            ("stems: {S00: {audio_rendered: false, inst_class: Bass}}", "no stem of it can be used"),
        ],
    )
    def test_bad_metadata(self, root: Path, text: str, words: str) -> None:
        (root / "train" / "Track00001" / "metadata.yaml").write_text(text)
        with pytest.raises(QsepError, match=rf"Track00001.*{words}"):
            slakh_bank(root, strict=True)

    def test_another_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give Slakh2100's own folder"):
            slakh_bank(tmp_path)
        with pytest.raises(UsageError, match="no split 'dev'"):
            slakh_bank(tmp_path, "dev")


class TestParts:
    def test_one_for_each_program_on_each_channel(self, midi: Path) -> None:
        score = read_score(midi)
        assert [(part.channel, part.program, part.kit) for part in score.parts] == [(0, 30, 0), (9, 128, 0), (0, 0, 0)]
        guitar, drums, piano = score.parts
        heard = [(e.seconds, e.message.note, e.message.velocity) for e in guitar.events if e.message.type == "note_on"]
        assert heard == [(0.0, 60, 100), (1.0, 60, 0)]
        # The tempo doubles at one beat; the note that was begun by the guitar is ended by it, after the program change.
        assert [e.seconds for e in piano.events if e.message.type == "note_on"] == [0.75]
        assert all(any(e.message.is_cc(7) for e in part.events) for part in (guitar, piano))
        assert not any(e.message.is_cc() for e in drums.events)
        assert score.seconds == 1.25

    def test_a_part_as_a_file_is_the_same_part(self, midi: Path, tmp_path: Path) -> None:
        score = read_score(midi)
        for part in score.parts:
            score.part_file(part).save(tmp_path / "part.mid")
            assert read_score(tmp_path / "part.mid").parts == (part,)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "damaged or no MIDI"),
            (b"MThd no", "damaged or no MIDI"),
            (b"RIFF....", "damaged or no MIDI"),
            (None, "no such file"),
        ],
    )
    def test_bad_files(self, tmp_path: Path, content: bytes | None, words: str) -> None:
        path = tmp_path / "bad.mid"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(QsepError, match=rf"bad\.mid: {words}"):
            read_score(path)

    def test_no_notes_and_too_many_minutes(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.mid"
        mido.MidiFile(tracks=[mido.MidiTrack()]).save(path)
        with pytest.raises(QsepError, match="has no notes"):
            read_score(path)
        late = mido.Message("note_off", note=60, time=960 * (LONGEST + 60))
        mido.MidiFile(tracks=[mido.MidiTrack([mido.Message("note_on", note=60, velocity=9), late])]).save(path)
        with pytest.raises(QsepError, match="lasts 21 minutes, and 20 is the most"):
            read_score(path)


class TestRenderer:
    @pytest.fixture
    def renderer(self, tmp_path: Path, soundfont: Path) -> SlakhRenderer:
        return SlakhRenderer(tmp_path / "made", "train", [soundfont], RATE, seed=0, jobs=2)

    def test_a_track_in_slakhs_layout(self, renderer: SlakhRenderer, midi: Path) -> None:
        shares: list[float] = []
        made = renderer.render(midi, shares.append)
        assert shares == sorted(shares)
        assert 0 < shares[0] <= shares[-1] <= 1
        assert made.folder.name == "Track00001"
        names = sorted(str(path.relative_to(made.folder)) for path in made.folder.rglob("*") if path.is_file())
        three = ["S00", "S01", "S02"]
        assert names == [
            *(f"MIDI/{name}.mid" for name in three), "all_src.mid", "metadata.yaml", "mix.flac",
            *(f"stems/{name}.flac" for name in three),
        ]  # fmt: skip
        metadata = yaml.safe_load((made.folder / "metadata.yaml").read_text())
        published = yaml.safe_load(METADATA)
        assert set(published) - {"lmd_midi_dir"} <= set(metadata)
        assert all(set(stem) == set(published["stems"]["S00"]) for stem in metadata["stems"].values())
        assert [stem["inst_class"] for stem in metadata["stems"].values()] == ["Guitar", "Drums", "Piano"]

        stems = [soundfile.read(made.folder / "stems" / f"{name}.flac", dtype="int16")[0].astype(int) for name in three]
        mix, rate = soundfile.read(made.folder / "mix.flac", dtype="int16")
        assert rate == RATE
        assert mix.ndim == 1
        np.testing.assert_array_equal(sum(stems), mix)
        assert max(np.abs(sound).max() for sound in (mix, *stems)) / 32767 == pytest.approx(10 ** (-1 / 20), abs=1e-3)
        assert len(mix) / RATE == pytest.approx(made.seconds)
        assert made.seconds >= 1.25

    def test_stems_are_as_loud_as_the_metadata_says(self, renderer: SlakhRenderer, midi: Path) -> None:
        import pyloudnorm

        folder = renderer.render(midi).folder
        for name, stem in yaml.safe_load((folder / "metadata.yaml").read_text())["stems"].items():
            sound, rate = soundfile.read(folder / "stems" / f"{name}.flac")
            assert pyloudnorm.Meter(rate).integrated_loudness(sound) == pytest.approx(
                stem["integrated_loudness"], abs=0.5
            )

    def test_the_loader_reads_it(self, renderer: SlakhRenderer, midi: Path) -> None:
        track = renderer.render(midi).folder
        bank = slakh_bank(track.parents[1], strict=True)
        assert bank.fine() == ("Guitar/Distortion Guitar", "Piano/Acoustic Grand Piano")
        (song,) = bank.songs
        piano = np.abs(song.stems["Piano/Acoustic Grand Piano"][0].astype(int))
        begin = round(0.75 * MODEL_RATE)
        assert piano[: begin - 100].max() < 0.02 * piano[begin:].max(), "the note begins where the file says"

    def test_the_same_again_and_numbers_go_on(self, renderer: SlakhRenderer, midi: Path, soundfont: Path) -> None:
        first = renderer.render(midi).folder
        assert renderer.there(midi) == first
        root = first.parents[1]
        again = SlakhRenderer(root, "test", [soundfont], RATE, seed=0, jobs=1)
        assert again.there(midi) == first
        other = SlakhRenderer(root, "test", [soundfont], RATE, seed=1, jobs=1)
        assert other.there(midi) is None
        second = again.render(midi).folder
        assert second == root / "test" / "Track00002"
        for name in ("mix.flac", "metadata.yaml", "MIDI/S01.mid"):
            assert (second / name).read_bytes() == (first / name).read_bytes()

    def test_velocity_is_kept(self, tmp_path: Path, renderer: SlakhRenderer) -> None:
        track = mido.MidiTrack()
        for velocity in (30, 120):
            track += [mido.Message("note_on", note=60, velocity=velocity), mido.Message("note_off", note=60, time=960)]
        mido.MidiFile(tracks=[track]).save(tmp_path / "two.mid")
        sound, _ = soundfile.read(renderer.render(tmp_path / "two.mid").folder / "stems" / "S00.flac")
        soft, loud = np.abs(sound[: RATE // 2]).max(), np.abs(sound[RATE : RATE * 3 // 2]).max()
        assert loud > 4 * soft

    def test_a_failure_leaves_nothing(
        self, renderer: SlakhRenderer, midi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(soundfile, "write", full)
        with pytest.raises(QsepError, match=r"the track of in\.mid cannot be written: .*No space left"):
            renderer.render(midi)
        assert list((tmp_path / "made" / "train").iterdir()) == []

    def test_a_silent_part_has_no_sound(self, renderer: SlakhRenderer, tmp_path: Path) -> None:
        track = mido.MidiTrack([mido.Message("control_change", channel=1, control=7, value=0)])
        for channel in (0, 1):
            track.append(mido.Message("note_on", channel=channel, note=60, velocity=90))
        track += [mido.Message("note_off", channel=channel, note=60, time=480) for channel in (0, 1)]
        mido.MidiFile(tracks=[track]).save(tmp_path / "in.mid")
        made = renderer.render(tmp_path / "in.mid")
        assert made.stems == 1
        assert "program 0 (Acoustic Grand Piano) is silent; S01 has no sound" in made.remarks[0]
        assert not (made.folder / "stems" / "S01.flac").exists()
        assert len(slakh_bank(made.folder.parents[1], strict=True).songs) == 1
