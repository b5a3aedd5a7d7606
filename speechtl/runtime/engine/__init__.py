"""Run the graphs of bundles, in ONNX Runtime or LiteRT."""
