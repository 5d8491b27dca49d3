"""Real-time isolation of one instrument from live audio, steered by a latent vector."""

__version__ = "0.1.0"
