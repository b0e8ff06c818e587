# Deploys the stack of templates/target-role.yaml: the role by which amiferry copies into an
# account, and in each Region of targets a key and a rule. `RoleRegion` names the Region that has
# the role.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "parameters" {
  description = "Parameters of templates/target-role.yaml by their names"
  type        = map(string)
}

variable "stack_name" {
  description = "The name of the stack"
  type        = string
  default     = "amiferry-target"
}

variable "tags" {
  description = "Tags of the stack and of its resources"
  type        = map(string)
  default     = {}
}

resource "aws_cloudformation_stack" "target" {
  name          = var.stack_name
  template_body = file("${path.module}/../../templates/target-role.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters    = var.parameters
  tags          = var.tags
}

output "kms_key_arn" {
  description = "The ARN of the key that CreateKmsKey made; null without it"
  value       = lookup(aws_cloudformation_stack.target.outputs, "TargetKmsKeyArn", null)
}

output "role_arn" {
  description = "The ARN of the role; null where RoleRegion is another Region"
  value       = lookup(aws_cloudformation_stack.target.outputs, "TargetRoleArn", null)
}
