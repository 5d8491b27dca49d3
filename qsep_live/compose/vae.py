"""The hierarchical MusicVAE of 16-bar melodies (Roberts et al. 2018, "A Hierarchical Latent Vector Model for Learning
Long-Term Structure in Music", ICML, §3).

A bidirectional LSTM reads each bar into a code, and another one reads the sixteen codes; its two last states give the
Gaussian latent. (The published 16-bar model reads all 256 tokens in one go; its code has the two levels too, as
`HierarchicalLstmEncoder`.) A conductor LSTM makes a code for each bar from the latent, and a decoder LSTM writes each
bar from its code alone: it begins every bar with a fresh state and a start token, so what spans bars has to be in the
latent (§3.2). It follows that all bars are read, and written, at once.

Beside both LSTMs over bars goes a linear map between codes and latent, which the published model has not got: it begins
as the principal components of real music's codes (`start_linear`), so that the LSTMs need only learn what is missing.

Threading: the thread that owns the module.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from qsep_live.compose.melody import BAR, BARS, STEPS, TOKENS

_START = TOKENS
"""What stands before the first token of a bar, and where a token is kept from the decoder."""


@dataclass(frozen=True)
class VaeConfig:
    """Sizes.

    The published model (embedding 90 one-hot, encoder 2×2048, latent 512, conductor 1024, decoder 1024) saw 1.5
    million melodies. A few hundred songs have far less to say, and two CPU cores have far less time: at the default
    sizes a window costs about 0.6 GFLOP forward and backward.

    Attributes
    ----------
    embedding
        Of a token.
    encoder
        LSTM units in each direction, over the steps of a bar and over the bars.
    latent
        Dimensions of z.
    conductor
        LSTM units.
    bar
        Dimensions of a bar's code.
    step
        Dimensions of what each step of the decoder gets of it.
    decoder
        LSTM units.
    """

    embedding: int = 48
    encoder: int = 112
    latent: int = 256
    conductor: int = 160
    bar: int = 128
    step: int = 64
    decoder: int = 192


class MusicVae(nn.Module):
    """Tokens to a Gaussian over latents, latents to tokens."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = nn.Embedding(TOKENS + 1, c.embedding)
        self.bar_encoder = nn.LSTM(c.embedding, c.encoder, batch_first=True, bidirectional=True)
        self.to_code = nn.Linear(2 * c.encoder, c.bar)
        self.linear_code = nn.Linear(BAR * c.embedding, c.bar)
        self.encoder = nn.LSTM(c.bar, c.encoder, batch_first=True, bidirectional=True)
        self.gaussian = nn.Linear(2 * c.encoder, 2 * c.latent)
        self.linear_mean = nn.Linear(BARS * c.bar, c.latent)
        self.to_conductor = nn.Linear(c.latent, 2 * c.conductor)
        self.conductor = nn.LSTM(c.latent, c.conductor, batch_first=True)
        self.to_bar = nn.Linear(c.conductor, c.bar)
        self.linear_bars = nn.Linear(c.latent, BARS * c.bar)
        self.to_decoder = nn.Linear(c.bar, 2 * c.decoder)
        self.linear_steps = nn.Linear(c.bar, BAR * c.step)
        self.decoder = nn.LSTM(c.embedding + c.step, c.decoder, batch_first=True)
        self.logits = nn.Linear(c.decoder, TOKENS)
        for lstm in (self.bar_encoder, self.encoder, self.conductor, self.decoder):
            _remember(lstm)

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each ``(n, latent)``, of tokens ``(n, 256)``."""
        codes = self.codes(tokens.reshape(-1, BAR)).reshape(len(tokens), BARS, -1)
        _, (last, _) = self.encoder(codes)
        mean, log_variance = self.gaussian(torch.cat([last[0], last[1]], dim=1)).float().chunk(2, dim=1)
        return mean + self.linear_mean(codes.flatten(1)).float(), log_variance

    def codes(self, bars: Tensor) -> Tensor:
        """Codes ``(n, bar)`` of single bars ``(n, 16)``, each number from -1 to 1."""
        embedded = self.embed(bars)
        _, (last, _) = self.bar_encoder(embedded)
        heard = self.to_code(torch.cat([last[0], last[1]], dim=1)) + self.linear_code(embedded.flatten(1))
        return torch.tanh(heard.float())

    def decode(self, latent: Tensor, tokens: Tensor, keep: float = 1.0) -> Tensor:
        """Logits ``(n, 256, TOKENS)``, each from the tokens before it in its bar: teacher-forced.

        ``keep`` is the share of those tokens that the decoder is shown. What it is not shown it has to take from the
        latent (Bowman et al. 2016, "Generating Sentences from a Continuous Space", §3.1).
        """
        return self.decode_bars(self._bars(latent), tokens.reshape(-1, BAR), keep).reshape(len(latent), STEPS, TOKENS)

    def decode_bars(self, codes: Tensor, bars: Tensor, keep: float = 1.0) -> Tensor:
        """Logits ``(n, 16, TOKENS)`` of single bars ``(n, 16)`` from their codes ``(n, bar)``; see `decode`."""
        before = torch.roll(bars, 1, dims=1)
        before[:, 0] = _START
        if keep < 1.0:
            hidden = torch.rand(before.shape, device=before.device) >= keep
            before = before.masked_fill(hidden, _START)
        inputs = torch.cat([self.embed(before), self._steps(codes)], dim=2)
        heard, _ = self.decoder(inputs, self._first(codes))
        logits: Tensor = self.logits(heard)
        return logits

    @torch.no_grad()
    def generate(self, latent: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Tokens ``(n, 256)``, each from those the decoder itself wrote: free-running.

        ``temperature`` 0 takes the likeliest one; else they are drawn by softmax(logits / temperature).
        """
        return self.generate_bars(self._bars(latent), temperature, generator).reshape(len(latent), STEPS)

    @torch.no_grad()
    def generate_bars(
        self, codes: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Single bars ``(n, 16)`` from their codes ``(n, bar)``; see `generate`."""
        steps, state, written = self._steps(codes), self._first(codes), []
        before = torch.full((len(codes),), _START, device=codes.device)
        for step in range(BAR):
            logits, state = self._step(self.embed(before), steps[:, step], state)
            if temperature > 0.0:
                shares = torch.softmax(logits / temperature, dim=1)
                before = torch.multinomial(shares, 1, generator=generator)[:, 0]
            else:
                before = logits.argmax(dim=1)
            written.append(before)
        return torch.stack(written, dim=1)

    def expected(self, latent: Tensor, sharpness: float = 1.0, certain: bool = False) -> Tensor:
        """Chances of tokens ``(n, 256, TOKENS)``, differentiable in ``latent``.

        Free-running, but instead of a token the decoder is fed the mean of all embeddings by their chances, which are
        softmax(sharpness · logits): the higher, the closer to what `generate` writes. With ``certain`` the chances are
        0 and 1 and the tokens those that `generate` writes; only the gradient is that of the softmax (the
        straight-through estimator of Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation").
        """
        codes = self._bars(latent)
        steps, state, written = self._steps(codes), self._first(codes), []
        before = self.embed.weight[_START].expand(len(codes), -1)
        for step in range(BAR):
            logits, state = self._step(before, steps[:, step], state)
            shares = torch.softmax(sharpness * logits, dim=1)
            if certain:
                chosen = functional.one_hot(shares.argmax(dim=1), TOKENS).to(shares.dtype)
                shares = chosen + shares - shares.detach()
            before = shares @ self.embed.weight[:TOKENS]
            written.append(shares)
        return torch.stack(written, dim=1).reshape(len(latent), STEPS, TOKENS)

    @torch.no_grad()
    def start_linear(self, codes: Tensor, noise: float) -> None:
        """Make the linear maps those of principal component analysis, and let the LSTMs over bars say nothing yet.

        Parameters
        ----------
        codes : (n, 16, bar)
            Of real music.
        noise
            Standard deviation, in each dimension of a code, that the latent's own is made to cause: what the decoder
            has learned to bear.
        """
        flat = codes.flatten(1).double()
        centre = flat.mean(dim=0)
        variance, axes = torch.linalg.eigh((flat - centre).T @ (flat - centre) / len(flat))
        # The largest last. Components that the noise drowns carry nothing and get the prior's variance.
        variance = variance[-self.config.latent :].flip(0).clamp_min(1e-4 * noise**2)
        axes = axes[:, -self.config.latent :].flip(1)
        scale = variance.sqrt()
        self.linear_mean.weight.copy_(axes.T / scale[:, None])
        self.linear_mean.bias.copy_(-(axes.T @ centre) / scale)
        self.linear_bars.weight.copy_(axes * scale)
        self.linear_bars.bias.copy_(centre)
        silent = variance <= noise**2
        self.linear_mean.weight[silent] = 0.0
        self.linear_mean.bias[silent] = 0.0
        self.linear_bars.weight[:, silent] = 0.0
        for layer in (self.gaussian, self.to_bar):
            layer.weight.zero_()
            layer.bias.zero_()
        self.gaussian.bias[self.config.latent :] = torch.log(noise**2 / variance).clamp_max(0.0)

    def _bars(self, latent: Tensor) -> Tensor:
        """Codes of all bars, ``(n · 16, bar)``."""
        first = [each[None].contiguous() for each in torch.tanh(self.to_conductor(latent)).chunk(2, dim=1)]
        conducted, _ = self.conductor(latent[:, None, :].expand(-1, BARS, -1), tuple(first))
        bars: Tensor = self.to_bar(conducted) + self.linear_bars(latent).reshape(len(latent), BARS, -1)
        return bars.reshape(len(latent) * BARS, -1)

    def _steps(self, codes: Tensor) -> Tensor:
        """What of a code each step of its bar gets, ``(n, 16, step)``."""
        steps: Tensor = self.linear_steps(codes).reshape(len(codes), BAR, -1)
        return steps

    def _first(self, bars: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.tanh(self.to_decoder(bars)).chunk(2, dim=1)
        return hidden[None].contiguous(), cell[None].contiguous()

    def _step(self, before: Tensor, step: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        heard, state = self.decoder(torch.cat([before, step], dim=1)[:, None, :], state)
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
