"""Training kernels in C for small networks: see `library.py` for how they are found and called."""
