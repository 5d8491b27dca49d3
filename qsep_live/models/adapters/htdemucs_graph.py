"""HTDemucs's network, without the spectrum around it: in torch, and from there for OpenVINO."""

from __future__ import annotations

import warnings
from importlib import import_module
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
        self._places: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

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
        x, xt = self._attended(x, xt)
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

    def _attended(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        """``CrossTransformerEncoder.forward``, of which the places are made once: they come by way of the CPU."""
        each = self.network.crosstransformer
        place, place_t = self._places_of(x, xt)
        frames = x.shape[-1]
        x = each.norm_in(x.permute(0, 3, 2, 1).flatten(1, 2)) + each.weight_pos_embed * place
        xt = each.norm_in_t(xt.transpose(1, 2)) + each.weight_pos_embed * place_t
        for index in range(each.num_layers):
            layer, layer_t = each.layers[index], each.layers_t[index]
            if index % 2 == each.classic_parity:
                x, xt = layer(x), layer_t(xt)
            else:
                x, xt = layer(x, xt), layer_t(xt, x)
        x = x.view(x.shape[0], frames, -1, x.shape[-1]).permute(0, 3, 2, 1)
        return x, xt.transpose(1, 2)

    def _places_of(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        places = import_module("demucs.transformer")  # as strictly typed as it is not
        _, channels, bins, frames = x.shape
        key = channels, bins, frames, xt.shape[-1]
        if key not in self._places:
            period = self.network.crosstransformer.max_period
            place = places.create_2d_sin_embedding(channels, bins, frames, x.device, period)
            place_t = places.create_sin_embedding(xt.shape[-1], channels, device=x.device, max_period=period)
            self._places[key] = place.permute(0, 3, 2, 1).flatten(1, 2), place_t.transpose(0, 1)
        return self._places[key]


def openvino_model(network: Any, samples: int) -> Any:
    """The network as OpenVINO has it, for windows of ``samples``."""
    openvino, _ = import_openvino()
    spectrum = torch.zeros(1, 2 * network.audio_channels, BINS, frames_of(samples))
    inputs = (spectrum, torch.zeros(1, network.audio_channels, samples))
    between = Between(network).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the trace: shapes become constants, which is what is wanted
        between(*inputs)
        # A second trace would take as long again, and compare the trace with itself.
        traced = torch.jit.trace(between, inputs, check_trace=False)  # type: ignore[no-untyped-call]
    model = openvino.convert_model(traced, example_input=inputs)
    model.reshape({0: list(inputs[0].shape), 1: list(inputs[1].shape)})
    return model


def difference(network: Any, model: Any, samples: int) -> float:
    """Largest difference between the torch network and OpenVINO's, in float32 on noise, over the largest sample."""
    from qsep_live.nets.openvino_ops import openvino_core

    random = torch.Generator().manual_seed(1)
    bins = (1, 2 * network.audio_channels, BINS, frames_of(samples))
    spectrum, sound = torch.randn(bins, generator=random), torch.randn(1, bins[1] // 2, samples, generator=random)
    with torch.inference_mode():
        wanted = Between(network).eval()(spectrum, sound)
    options = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    request = openvino_core().compile_model(model, "CPU", options).create_infer_request()
    given = request.infer([spectrum.numpy(), sound.numpy()])
    pairs = [(torch.from_numpy(given[index]), each) for index, each in enumerate(wanted)]
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
