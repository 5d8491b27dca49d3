"""The hierarchical MusicVAE of 16-bar melodies (Roberts et al. 2018, "A Hierarchical Latent Vector Model for Learning
Long-Term Structure in Music", ICML, §3).

A bidirectional LSTM reads all 256 tokens; its two last states give the Gaussian latent. A conductor LSTM makes an
embedding for each bar from the latent, and a decoder LSTM writes each bar from its embedding alone: it begins every
bar with a fresh state and a start token, so what spans bars has to be in the latent (§3.2). It follows that all bars
are decoded at once, which makes decoding 16 steps long instead of 256.

Threading: the thread that owns the module.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qsep_live.compose.melody import BAR, BARS, STEPS, TOKENS

_START = TOKENS
"""What stands before the first token of a bar, and where a token is kept from the decoder."""


@dataclass(frozen=True)
class VaeConfig:
    """Sizes.

    The published model (embedding 90 one-hot, encoder 2×2048, latent 512, conductor 1024, decoder 1024) saw 1.5
    million melodies. A few hundred songs have far less to say, and two CPU cores have far less time: at the default
    sizes a window costs about 1.3 GFLOP forward and backward, half of it in the encoder, so that half an hour
    passes over a set of ten thousand windows some ten times.

    Attributes
    ----------
    embedding
        Of a token.
    encoder
        LSTM units in each direction.
    latent
        Dimensions of z.
    conductor
        LSTM units.
    bar
        Dimensions of a bar's embedding, as it goes to the decoder.
    decoder
        LSTM units.
    """

    embedding: int = 48
    encoder: int = 192
    latent: int = 128
    conductor: int = 192
    bar: int = 128
    decoder: int = 256


class MusicVae(nn.Module):
    """Tokens to a Gaussian over latents, latents to tokens."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = nn.Embedding(TOKENS + 1, c.embedding)
        self.encoder = nn.LSTM(c.embedding, c.encoder, batch_first=True, bidirectional=True)
        self.gaussian = nn.Linear(2 * c.encoder, 2 * c.latent)
        self.to_conductor = nn.Linear(c.latent, 2 * c.conductor)
        self.conductor = nn.LSTM(c.latent, c.conductor, batch_first=True)
        self.to_bar = nn.Linear(c.conductor, c.bar)
        self.to_decoder = nn.Linear(c.bar, 2 * c.decoder)
        self.decoder = nn.LSTM(c.embedding + c.bar, c.decoder, batch_first=True)
        self.logits = nn.Linear(c.decoder, TOKENS)
        for lstm in (self.encoder, self.conductor, self.decoder):
            _remember(lstm)

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each ``(n, latent)``, of tokens ``(n, 256)``."""
        _, (last, _) = self.encoder(self.embed(tokens))
        mean, log_variance = self.gaussian(torch.cat([last[0], last[1]], dim=1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latent: Tensor, tokens: Tensor, keep: float = 1.0) -> Tensor:
        """Logits ``(n, 256, TOKENS)``, each from the tokens before it in its bar: teacher-forced.

        ``keep`` is the share of those tokens that the decoder is shown. What it is not shown it has to take from the
        latent (Bowman et al. 2016, "Generating Sentences from a Continuous Space", §3.1).
        """
        before = torch.roll(tokens.reshape(-1, BAR), 1, dims=1)
        before[:, 0] = _START
        if keep < 1.0:
            hidden = torch.rand(before.shape, device=before.device) >= keep
            before = before.masked_fill(hidden, _START)
        bars = self._bars(latent)
        inputs = torch.cat([self.embed(before), bars[:, None, :].expand(-1, BAR, -1)], dim=2)
        heard, _ = self.decoder(inputs, self._first(bars))
        logits: Tensor = self.logits(heard)
        return logits.reshape(len(latent), STEPS, TOKENS)

    @torch.no_grad()
    def generate(self, latent: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Tokens ``(n, 256)``, each from those the decoder itself wrote: free-running.

        ``temperature`` 0 takes the likeliest one; else they are drawn by softmax(logits / temperature).
        """
        bars = self._bars(latent)
        state, written = self._first(bars), []
        before = torch.full((len(bars),), _START, device=latent.device)
        for _ in range(BAR):
            logits, state = self._step(self.embed(before), bars, state)
            if temperature > 0.0:
                shares = torch.softmax(logits / temperature, dim=1)
                before = torch.multinomial(shares, 1, generator=generator)[:, 0]
            else:
                before = logits.argmax(dim=1)
            written.append(before)
        return torch.stack(written, dim=1).reshape(len(latent), STEPS)

    def expected(self, latent: Tensor, sharpness: float = 1.0) -> Tensor:
        """Chances of tokens ``(n, 256, TOKENS)``, differentiable in ``latent``.

        Free-running, but instead of a token the decoder is fed the mean of all embeddings by their chances, which are
        softmax(sharpness · logits): the higher, the closer to what `generate` writes.
        """
        bars = self._bars(latent)
        state, written = self._first(bars), []
        before = self.embed.weight[_START].expand(len(bars), -1)
        for _ in range(BAR):
            logits, state = self._step(before, bars, state)
            shares = torch.softmax(sharpness * logits, dim=1)
            before = shares @ self.embed.weight[:TOKENS]
            written.append(shares)
        return torch.stack(written, dim=1).reshape(len(latent), STEPS, TOKENS)

    def _bars(self, latent: Tensor) -> Tensor:
        """Embeddings of all bars, ``(n · 16, bar)``."""
        first = [each[None].contiguous() for each in torch.tanh(self.to_conductor(latent)).chunk(2, dim=1)]
        conducted, _ = self.conductor(latent[:, None, :].expand(-1, BARS, -1), tuple(first))
        bars: Tensor = torch.tanh(self.to_bar(conducted))
        return bars.reshape(len(latent) * BARS, -1)

    def _first(self, bars: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.tanh(self.to_decoder(bars)).chunk(2, dim=1)
        return hidden[None].contiguous(), cell[None].contiguous()

    def _step(self, before: Tensor, bars: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        heard, state = self.decoder(torch.cat([before, bars], dim=1)[:, None, :], state)
        return self.logits(heard[:, 0]), state


@torch.no_grad()
def _remember(lstm: nn.LSTM) -> None:
    """Forget gates begin open (Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network
    Architectures", §3)."""
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_hh"):
            bias[lstm.hidden_size : 2 * lstm.hidden_size] = 1.0


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) in nats, ``(n,)`` (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)


def draw(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """The reparameterised latent: mean + σ · noise."""
    return mean + torch.exp(0.5 * log_variance) * noise
