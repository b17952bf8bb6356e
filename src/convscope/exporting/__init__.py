"""Write a trained network for use elsewhere: one ONNX file, checked, and a card with it."""
