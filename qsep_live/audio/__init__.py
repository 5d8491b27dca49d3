"""The outside world of sound: devices, streams, files, recordings and the demo song."""
