"""A small network for microWakeWord's listeners (ESP32 with ESPHome), taught by a run: `speechtl microwakeword`."""
