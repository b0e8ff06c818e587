"""What a distribution costs: time, AWS calls, `State`, memory; for few targets and for many, with the compiled function.

Read in this order: `worlds`, `binary`, `measure`, `table`, `__main__`. Sandbox, function and call loop are the demo's.
"""
