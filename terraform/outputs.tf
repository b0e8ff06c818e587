output "function_arn" {
  description = "The ARN of the function"
  value       = aws_cloudformation_stack.amiferry.outputs["FunctionArn"]
}

output "function_role_arn" {
  description = "The ARN of the function's role, which the targets' roles trust"
  value       = aws_cloudformation_stack.amiferry.outputs["FunctionRoleArn"]
}

output "state_machine_arn" {
  description = "The ARN of the state machine"
  value       = aws_cloudformation_stack.amiferry.outputs["StateMachineArn"]
}

output "bucket_name" {
  description = "The name of the ledger's bucket"
  value       = aws_cloudformation_stack.amiferry.outputs["BucketName"]
}
