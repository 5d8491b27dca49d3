from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qsep_live.audio.devices import DeviceInfo
from qsep_live.audio.stream import choose_rate
from qsep_live.errors import QsepError

OPEN = """
from qsep_live.audio.devices import find_device, list_devices, open_streams
from qsep_live.audio.stream import DuplexStream
from qsep_live.errors import QsepError
system = find_device("output", "system")
def wait(test, seconds=20):
    end = time.monotonic() + seconds
    while not test() and time.monotonic() < end:
        time.sleep(0.02)
    return test()
"""


def device(name: str, *rates: int, hostapi: str = "ALSA", default: int = 44100) -> DeviceInfo:
    return DeviceInfo(0, name, hostapi, 2, 2, default, rates)


def test_a_rate_both_devices_have_is_chosen() -> None:
    mic, desk = device("mic", 44100, 48000, default=48000), device("desk", 44100, 48000, 96000)
    assert choose_rate(mic, desk, None) == 44100
    assert choose_rate(mic, None, None) == 48000
    assert choose_rate(device("mic", 48000, 96000, default=48000), desk, None) == 48000
    assert choose_rate(mic, desk, 48000) == 48000
    assert choose_rate(device("busy"), None, 96000) == 96000


def test_a_rate_that_does_not_work_names_those_that_do() -> None:
    mic, desk = device("mic", 44100, 48000), device("desk", 44100, 48000, 96000)
    with pytest.raises(QsepError, match=r"'desk' and 'mic' cannot run at 96000 Hz; it runs at 44100, 48000 Hz"):
        choose_rate(mic, desk, 96000)
    jack = device("system", 44100, hostapi="JACK Audio Connection Kit")
    with pytest.raises(QsepError, match=r"it runs at 44100 Hz \(the JACK server decides it"):
        choose_rate(jack, jack, 48000)
    with pytest.raises(QsepError, match="no sample rate in common"):
        choose_rate(device("a", 44100), device("b", 48000, default=48000), None)


@pytest.mark.parametrize("blocksize", [0, 512])
def test_duplex_runs_and_tells_its_latency(jack: Any, child: Callable[..., Any], blocksize: int) -> None:
    got = child(
        OPEN
        + f"""
shapes, latencies = set(), []
def callback(indata, outdata, times):
    shapes.add((indata.shape, outdata.shape, str(indata.dtype)))
    latencies.append((times.input_latency, times.output_latency))
    outdata[:] = indata
stream = DuplexStream(system, system, None, {blocksize}, 2, callback)
assert stream.last_callback_age == 0
stream.start()
ran = wait(lambda: stream.callbacks > 40)
alive, opened, listed = stream.alive(), len(open_streams), [d.name for d in list_devices()]
age, latency, rate = stream.last_callback_age, stream.latency, stream.rate
closed = stream.abort() and stream.abort()
left, shapes, last = len(open_streams), sorted(shapes), latencies[-1]
report([ran, alive, opened, listed, age, latency, rate, closed, left, shapes, last])
""",
        jack.env,
    )
    ran, alive, opened, listed, age, latency, rate, closed, left, shapes, last = got
    assert ran
    assert alive
    assert closed
    assert (opened, left) == (1, 0)
    assert "system" in listed
    assert age < 1
    assert rate == 44100
    size = blocksize or 256
    assert shapes == [[[size, 2], [size, 2], "float32"]]
    assert latency == last
    assert 256 / 44100 <= latency[0] < 0.1
    assert 256 / 44100 <= latency[1] < 0.1


def test_sound_goes_through_unchanged(jack: Any, child: Callable[..., Any]) -> None:
    """From one stream's output, over a JACK cable, into another's input and out of it again."""
    pytest.importorskip("jack", reason="the JACK-Client package is not installed")
    got = child(
        OPEN
        + """
import jack
def callback(indata, outdata, times):
    outdata[:] = indata
stream = DuplexStream(system, system, None, 0, 2, callback)
stream.start()
assert wait(lambda: stream.callbacks > 20)
client = jack.Client("probe", no_start_server=True)
out, back = client.outports.register("out"), client.inports.register("back")
sent, heard, counter = [], [], [0]
@client.set_process_callback
def process(frames):
    block = np.arange(counter[0] + 1, counter[0] + frames + 1, dtype="float32")
    counter[0] += frames
    out.get_array()[:] = block
    heard.append(back.get_array().copy())
client.activate()
ports = [p for p in client.get_ports(is_audio=True) if p.name.startswith("qsep-live:")]
ins = [p for p in ports if p.is_input][0]
outs = [p for p in ports if p.is_output][0]
client.connect(out, ins)
client.connect(outs, back)
wait(lambda: len(heard) > 300)
heard = np.concatenate(heard)
sound = heard[heard > 0]
steps = np.diff(sound)
# The probe's clock is the counter, so what comes back says when it was sent.
at = np.flatnonzero(heard > 0)
delays = (at + 1) - heard[at]
breaks, usual = int((steps != 1).sum()), float(np.median(delays))
report([len(sound), breaks, float(delays.max()), usual, stream.xruns])
""",
        jack.env,
    )
    frames, breaks, longest, usual, xruns = got
    assert frames > 20_000
    assert longest >= usual >= 256
    assert usual == 256
    # A busy machine loses blocks; a quiet one loses none.
    assert breaks <= 2 * xruns + 60


@pytest.mark.parametrize(
    ("sides", "shapes"), [("system, None", [[256, 2], [256, 0]]), ("None, system", [[256, 0], [256, 2]])]
)
def test_one_side_alone(jack: Any, child: Callable[..., Any], sides: str, shapes: list[list[int]]) -> None:
    got = child(
        OPEN
        + f"""
seen = set()
def callback(indata, outdata, times):
    seen.add((indata.shape, outdata.shape))
    outdata[:] = 0
stream = DuplexStream({sides}, 44100, 0, 2, callback)
stream.start()
wait(lambda: stream.callbacks > 20)
report([sorted(seen), stream.alive(), stream.channels, stream.latency, stream.abort()])
""",
        jack.env,
    )
    seen, alive, channels, latency, closed = got
    assert seen == [shapes]
    assert alive
    assert closed
    assert channels == [shapes[0][1], shapes[1][1]]
    assert latency[0 if shapes[0][1] else 1] > 0
    assert latency[1 if shapes[0][1] else 0] == 0


def test_more_channels_than_the_device_has(jack: Any, child: Callable[..., Any]) -> None:
    seen = child(
        OPEN
        + """
from dataclasses import replace
mono = replace(system, inputs=1, outputs=1)
seen = []
def callback(indata, outdata, times):
    seen.append([indata.shape, outdata.shape, bool((indata[:, 0] == indata[:, 1]).all())])
    outdata[:] = 1
stream = DuplexStream(mono, mono, None, 0, (2, 2), callback)
stream.start()
wait(lambda: stream.callbacks > 10)
stream.abort()
report([seen[-1], repr(stream.error)])
""",
        jack.env,
    )
    assert seen == [[[256, 2], [256, 2], True], "None"]


def test_a_callback_that_raises_ends_the_stream_and_is_kept(jack: Any, child: Callable[..., Any]) -> None:
    got = child(
        OPEN
        + """
def callback(indata, outdata, times):
    raise ZeroDivisionError("oh")
stream = DuplexStream(system, system, None, 0, 2, callback)
stream.start()
wait(lambda: not stream.alive())
report([stream.alive(), repr(stream.error), stream.abort()])
""",
        jack.env,
    )
    assert got == [False, "ZeroDivisionError('oh')", True]


def test_a_device_that_is_gone_or_wrong_is_one_line(jack: Any, child: Callable[..., Any]) -> None:
    got = child(
        OPEN
        + """
from dataclasses import replace
lines = []
for other, rate in ((replace(system, index=99), None), (system, 48000), (replace(system, rates=()), 48000)):
    try:
        DuplexStream(other, other, rate, 0, 2, print)
        lines.append("opened")
    except QsepError as error:
        lines.append(str(error))
report([lines, len(open_streams)])
""",
        jack.env,
    )
    lines, left = got
    assert "the audio device 'system' cannot be opened at 44100 Hz: " in lines[0]
    assert "cannot run at 48000 Hz; it runs at 44100 Hz" in lines[1]
    assert "cannot be opened at 48000 Hz: " in lines[2]
    assert not any("\n" in line for line in lines)
    assert left == 0


def test_a_server_that_dies_is_noticed_and_nothing_hangs(mortal_jack: Any, child: Callable[..., Any]) -> None:
    got = child(
        OPEN
        + f"""
import signal
def callback(indata, outdata, times):
    outdata[:] = indata
stream = DuplexStream(system, system, None, 0, 2, callback)
stream.start()
before = wait(lambda: stream.callbacks > 20) and stream.alive()
os.kill({mortal_jack.process.pid}, signal.SIGKILL)
noticed = wait(lambda: not stream.alive())
report([before, noticed, stream.abort()])
""",
        mortal_jack.env,
    )
    assert got == [True, True, False]
