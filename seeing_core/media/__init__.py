"""Frames and waveforms: in memory, from files, resampled, muxed."""
