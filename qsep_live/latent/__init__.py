"""The latent space: presets, slerp, morph paths, and sound queries turned into latents."""
