def measure(o):
    raise NotImplementedError
