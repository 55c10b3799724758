"""Networks of the systems that both papers compare with, each after its own paper."""
