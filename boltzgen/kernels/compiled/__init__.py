"""What numba compiles: float32 kernels for the CPU, one element of a batch in each lane of its vectors."""
