"""Shows the main job: the compiled function copies an encrypted AMI to other accounts of a sandbox.

Read in this order: `processes`, `world`, `request`, `sandbox`, `function`, `aws`, `truth`,
`distribution`, `screen`, `report`, `checks`, `arguments`, `__main__`.
"""
