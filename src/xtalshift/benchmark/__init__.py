"""The engine that runs methods on splits and keeps what they did.

Nothing is imported here: the report needs `xtalshift.benchmark.store`, which needs no network.
"""
