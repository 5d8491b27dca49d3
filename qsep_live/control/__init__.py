"""MIDI to parameters: messages, mappings, soft takeover, smoothing, ports."""
