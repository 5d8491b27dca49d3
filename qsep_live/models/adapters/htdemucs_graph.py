"""HTDemucs's network, without the spectrum around it: in torch, and from there for OpenVINO."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qsep_live.models.adapters.htdemucs_sound import BINS, frames_of
from qsep_live.nets.openvino_ops import import_openvino


class Between(nn.Module):
    """What ``HTDemucs.forward`` does between normalising its inputs and giving the scale back to its outputs.

    Normalising stays outside: in bfloat16 it would cost digits, and it is cheap.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, spectrum: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra (batch, stems, 2·channels, bins, frames) and sounds (batch, stems, channels, samples)."""
        net, x, xt = self.network, spectrum, sound
        saved, saved_t, lengths, lengths_t = [], [], [], []
        for index, encode in enumerate(net.encoder):
            lengths.append(x.shape[-1])
            inject = None
            if index < len(net.tencoder):
                lengths_t.append(xt.shape[-1])
                xt = net.tencoder[index](xt)
                if net.tencoder[index].empty:
                    inject = xt
                else:
                    saved_t.append(xt)
            x = encode(x, inject)
            if index == 0:
                bins = torch.arange(x.shape[-2], device=x.device)
                x = x + net.freq_emb_scale * net.freq_emb(bins).t()[None, :, :, None].expand_as(x)
            saved.append(x)
        if net.bottom_channels:
            folded = x.shape
            x = net.channel_upsampler(x.flatten(2))
            x, xt = x.view(x.shape[0], -1, *folded[2:]), net.channel_upsampler_t(xt)
        x, xt = net.crosstransformer(x, xt)
        if net.bottom_channels:
            x = net.channel_downsampler(x.flatten(2)).view(folded)
            xt = net.channel_downsampler_t(xt)
        lead = net.depth - len(net.tdecoder)
        for index, decode in enumerate(net.decoder):
            x, before = decode(x, saved.pop(), lengths.pop())
            if index < lead:
                continue
            decode_t = net.tdecoder[index - lead]
            if decode_t.empty:
                xt, _ = decode_t(before[:, :, 0], None, lengths_t.pop())
            else:
                xt, _ = decode_t(xt, saved_t.pop(), lengths_t.pop())
        batch, stems = spectrum.shape[0], len(net.sources)
        return x.view(batch, stems, -1, *spectrum.shape[2:]), xt.view(batch, stems, -1, sound.shape[-1])


def openvino_model(network: Any, samples: int) -> Any:
    """The network as OpenVINO has it, for windows of ``samples``."""
    openvino, _ = import_openvino()
    spectrum = torch.zeros(1, 2 * network.audio_channels, BINS, frames_of(samples))
    inputs = (spectrum, torch.zeros(1, network.audio_channels, samples))
    between = Between(network).eval()
    with torch.no_grad():
        # A second trace would take as long again, and compare the trace with itself.
        traced = torch.jit.trace(between, inputs, check_trace=False)  # type: ignore[no-untyped-call]
    model = openvino.convert_model(traced, example_input=inputs)
    model.reshape({0: list(inputs[0].shape), 1: list(inputs[1].shape)})
    return model
