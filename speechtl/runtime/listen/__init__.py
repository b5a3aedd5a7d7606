"""The microphone loop: events, commands on detection, saved clips."""
