"""Wake words inside other programs: Open Voice OS, Pipecat, LiveKit, ROS 2, and the interface of Porcupine. README.md has a page of each.

Nothing here is imported by the rest of speechtl. A module can be imported where its platform is not installed; what it offers then
raises `MissingExtraError` when it is used.
"""
