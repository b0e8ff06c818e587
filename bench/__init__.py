"""Measures a distribution to few targets and to many: time, AWS calls, `State`, memory, with the
compiled function.

Read in this order: `worlds`, `binary`, `measure`, `table`, `__main__`. Sandbox, function and call
loop are the demo's.
"""
