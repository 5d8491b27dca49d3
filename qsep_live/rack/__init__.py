"""The effects rack: pedalboard chains from TOML files, plugins included, run in the audio callback."""
