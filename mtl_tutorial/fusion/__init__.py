"""Several models, one answer: fused experts, students that teach each other, data that may not meet."""
