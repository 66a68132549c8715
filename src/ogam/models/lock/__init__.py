"""The lock: what this environment consists of, so that another machine can have it or prove it has.

``values`` is the lock itself and its file; ``packages``, ``index``, ``conda`` and ``models``
find what goes into it, ``trouble`` says what could not be had elsewhere; ``files`` writes it,
``check`` compares a machine with it, ``restore`` builds an environment from it. Knows no
engine and no route: whoever calls names the models.
"""
