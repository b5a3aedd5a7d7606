"""Microphones, behind PortAudio."""
