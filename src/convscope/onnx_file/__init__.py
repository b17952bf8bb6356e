"""The ONNX files of convscope: what is written into them, and how a stranger's is checked."""
