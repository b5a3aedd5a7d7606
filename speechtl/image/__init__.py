"""Pictures on the transfer core: backbones, tasks, and what layers see."""
