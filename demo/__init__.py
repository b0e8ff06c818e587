"""Shows the main job: one encrypted AMI into other accounts, with the compiled function and a
sandbox in AWS's place.

Read in this order: `processes`, `world`, `request`, `sandbox`, `function`, `aws`, `truth`,
`distribution`, `screen`, `report`, `checks`, `__main__`.
"""
