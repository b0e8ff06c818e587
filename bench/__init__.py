"""Measures distributions of the compiled function to few and to many targets.

The figures are time, AWS calls, the `State` and memory.

Read in this order: `worlds`, `binary`, `start`, `measure`, `table`, `figures`, `__main__`. Sandbox,
function and call loop are the demo's.
"""
