variable "artifacts_bucket" {
  description = "A bucket in the same Region, for the function's code and the template"
  type        = string
}

variable "bootstrap" {
  description = "The compiled function; by default the one that `make package` has made"
  type        = string
  default     = null
}

variable "parameters" {
  description = "Parameters of template.yaml by their names; CloudFormation refuses unknown ones"
  type        = map(string)
  default     = {}
}

variable "prefix" {
  description = "The prefix of the objects in the bucket"
  type        = string
  default     = "amiferry"
}

variable "stack_name" {
  description = "The name of the stack, as `amiferry --stack` takes it"
  type        = string
  default     = "amiferry"
}

variable "tags" {
  description = "Tags of the stack and of its resources"
  type        = map(string)
  default     = {}
}
